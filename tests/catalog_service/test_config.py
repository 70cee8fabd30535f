"""Settings: what is wrong stops the start with one message that names it."""

from pathlib import Path

import pytest

from catalog_service.config import load_config
from catalog_service.exceptions import ConfigurationError


def config_file(directory: Path, text: str) -> Path:
    path = directory / "service.toml"
    path.write_text('catalog_root = "catalogs"\n' + text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("workers = 0", "workers"),
        ("workers = 1000000", "workers"),
        ("worker_threads = 9999", "worker_threads"),
        ("worker_memory_mb = 99999999999999999999", "worker_memory_mb"),
        ("sync_timeout_s = nan", "sync_timeout_s"),
        ("sync_timeout_s = inf", "sync_timeout_s"),
        ("poll_s = inf", "poll_s"),
        ("maxrec_hard = 9223372036854775807", "maxrec_hard"),
        ('access = "private"', "access"),
        ('public_url = "catalogs.example.org"', "public_url"),
        ("colour = 1", "colour"),
        ('[schemas.a]\naccess = "everyone"', "schemas.a.access"),
        ('[schemas.a]\naliases = ["x"]\n[schemas.b]\naliases = ["X"]', "alias 'X' of 'b'"),
        ('[schemas.a]\naliases = ["B"]\n[schemas.b]', "alias 'B' of 'a'"),
        ('[schemas.a]\naliases = ["tap_schema"]', "alias 'tap_schema' of 'a'"),
        ('state_dir = "catalogs/state"', "state_dir .* must not lie in catalog_root"),
        ("state_dir = catalogs", "not a TOML file"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_config(config_file(tmp_path, text))


def test_a_wrong_variable_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_SERVICE_SCHEMAS", "{")
    with pytest.raises(ConfigurationError, match=r"environment: .*schemas"):
        load_config(config_file(tmp_path, ""))


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config_file(tmp_path, 'state_dir = "../state"\npublic_url = "https://example.org/sky/"\n')
    monkeypatch.chdir("/")
    config = load_config(path)
    assert (config.catalog_root, config.state_dir) == (tmp_path / "catalogs", tmp_path.parent / "state")
