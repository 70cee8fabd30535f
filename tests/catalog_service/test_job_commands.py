"""Commands ``jobs``, ``download`` and ``check-config``."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from catalog_service.cli import app
from catalog_service.client import CatalogServiceError, NotFoundError, QueryNameError
from tests.harness import SampleStore


def run(url: str, *arguments: str) -> Result:
    """Run a command; its errors are raised."""
    answer = CliRunner().invoke(app, list(arguments), env={"CATALOG_SERVICE_URL": url})
    if isinstance(answer.exception, CatalogServiceError):
        raise answer.exception
    return answer


def test_submit_wait_download_delete(server_url: str, tmp_path: Path) -> None:
    query = "SELECT TOP 30 tyc_row FROM tycho2.stars"
    job_id = run(server_url, "jobs", "submit", query, "--runid", "mine", "--maxrec", "20").stdout.strip()
    assert run(server_url, "jobs", "wait", job_id).stdout.startswith(f"{job_id}  COMPLETED\n")
    shown = run(server_url, "jobs", "show", job_id).stdout
    assert "result: 20 rows" in shown
    assert "more rows match" in shown
    info = json.loads(run(server_url, "jobs", "show", job_id, "--json").stdout)
    assert (info["query"], info["runid"], info["results"][0]["rows"]) == (query, "mine", 20)
    target = tmp_path / "stars.parquet"
    assert run(server_url, "download", job_id, "--out", str(target)).stdout == f"{target}\n"
    assert pq.read_table(target).num_rows == 20
    run(server_url, "jobs", "delete", job_id)
    with pytest.raises(NotFoundError):
        run(server_url, "jobs", "show", job_id)
    assert run(server_url, "jobs", "--json").stdout == "[]\n"


def test_parts_are_fetched_into_a_directory(server_url: str, tmp_path: Path) -> None:
    submitted = run(server_url, "jobs", "submit", "SELECT ra FROM tycho2.stars", "--format", "parquet/parts")
    job_id = submitted.stdout.strip()
    printed = run(server_url, "download", job_id, "--out", str(tmp_path / "stars")).stdout.split()
    assert printed == [str(path) for path in sorted((tmp_path / "stars").iterdir())]
    assert pq.read_table(tmp_path / "stars").num_rows == 100_000


def test_a_failed_job_fails_the_command(server_url: str) -> None:
    job_id = run(server_url, "jobs", "submit", "SELECT nothing FROM tycho2.stars").stdout.strip()
    with pytest.raises(QueryNameError):
        run(server_url, "jobs", "wait", job_id)
    assert "error: line 1, column 8" in run(server_url, "jobs", "show", job_id).stdout


def check(config: Path) -> Result:
    return CliRunner().invoke(app, ["check-config", "--config", str(config)])


def test_check_config(sample_store: SampleStore, tmp_path: Path) -> None:
    config = tmp_path / "service.toml"
    rules = 'access = "public"\n[schemas.surwey]\naccess = "group:x"\n'
    config.write_text(f'catalog_root = "{sample_store.root}"\nstate_dir = "state"\n{rules}')
    fine = check(config)
    assert fine.exit_code == 0
    assert "tycho2: 1 tables, 199,217 rows, public" in fine.stdout
    assert "a rule for schema 'surwey', which is not published" in fine.stdout
    assert not (tmp_path / "state").exists()


def test_check_config_finds_what_stops_a_service(
    sample_store: SampleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "service.toml"
    config.write_text(f'catalog_root = "{sample_store.root}"\nstate_dir = "state"\nworkers = "many"\n')
    assert "error:" in check(config).stdout
    assert "workers" in check(config).stdout
    config.write_text('catalog_root = "nowhere"\nstate_dir = "state"\n')
    assert check(config).exit_code == 1
    config.write_text(f'catalog_root = "{sample_store.root}"\nstate_dir = "state"\n')
    monkeypatch.setattr("catalog_service.config_check.network_file_system", lambda _directory: "nfs4")
    network = check(config)
    assert network.exit_code == 1
    assert "error: state_dir" in network.stdout
    assert "network file system (nfs4)" in network.stdout


def test_check_config_tells_of_directories_that_another_user_has_made(
    sample_store: SampleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "service.toml"
    config.write_text(f'catalog_root = "{sample_store.root}"\nstate_dir = "state"\n')
    (tmp_path / "state" / "tokens").mkdir(parents=True)
    assert "belongs to" not in check(config).stdout
    monkeypatch.setattr("catalog_service.config_check.os.geteuid", lambda: os.getuid() + 4321)
    found = check(config)
    assert found.exit_code == 0, "the service may run as the owner"
    assert str(tmp_path / "state" / "tokens") in found.stdout
    assert f"this command runs as user {os.getuid() + 4321}" in found.stdout
