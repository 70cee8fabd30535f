"""`catalog-service serve` that cannot start says why in one message, before it starts workers."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from catalog_service.config import load_config
from catalog_service.factory import build_services
from tests.catalog_service.storage.publishing import publish, stored


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish(tmp_path / "catalogs", "stars", (stored("ra"), stored("dec")))
    return tmp_path / "catalogs"


def settings(root: Path, text: str = 'state_dir = "state"\n') -> Path:
    path = root.parent / "service.toml"
    path.write_text(f'catalog_root = "catalogs"\n{text}')
    return path


def refused_start(config: Path, *options: str) -> str:
    """Return the message of a start that fails."""
    command = [sys.executable, "-m", "catalog_service.cli", "serve", "--config", str(config), *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode not in {0, -9}
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1, run.stderr
    return run.stderr


def test_a_busy_port(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        message = refused_start(settings(root), "--port", str(other.getsockname()[1]))
    assert "in use" in message
    assert "--port" in message


def test_an_address_of_another_machine(root: Path) -> None:
    message = refused_start(settings(root), "--host", "192.0.2.1", "--port", "0")
    assert "cannot listen at 192.0.2.1" in message


def test_a_state_directory_that_is_a_file(root: Path) -> None:
    (root.parent / "state").write_text("")
    assert "state_dir" in refused_start(settings(root), "--port", "0")


def test_a_damaged_catalog(root: Path) -> None:
    (root / "sky" / "stars" / "stars_r1" / "manifest" / "manifest.json").write_text("{")
    assert "no readable manifest" in refused_start(settings(root), "--port", "0")


def test_a_rule_for_an_unknown_schema_is_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(settings(root, 'state_dir = "state"\n[schemas.Sky]\naccess = "group:x"\n[schemas.sky]\n'))
    build_services(config, public_url="http://x").scratch.close()
    assert ["'Sky'" in record.getMessage() for record in caplog.records] == [True]
