"""Shared fixtures: sample catalogs built once, a real server on a free port, system tools."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from sample_catalogs.demo import prepare
from tests.harness import RunningServer, SampleStore, directory_of_run, require, start_server, stop_server

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")

SAMPLES = Path(__file__).parent.parent / "sample_catalogs"
_LONG = ("partitioning/test_append.py", "generated", "scale", "partitioning", "faults", "catalog_service/migration")
"""What takes long, in the order of its beginning: what needs the sample catalogs comes when they are built."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: _place(item.path))


@cache
def _place(path: Path) -> int:
    """Return the place of a file's directory, or of the file, among what takes long; later ones come after that."""
    found = (at for at, name in enumerate(_LONG) if path.is_relative_to(Path(__file__).parent / name))
    return next(found, len(_LONG))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let this process not wait until what it wrote is on the disk.

    Only a loss of power shows whether it is, and no test can cut that; a build flushes hundreds of files.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def stilts() -> str:
    """Return the path of STILTS, Debian's command-line VO client."""
    path = shutil.which("stilts")
    require(path, "STILTS is not installed (apt-get install stilts)")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a headless-capable Chromium."""
    path = shutil.which("chromium")
    require(path, "Chromium is not installed (apt-get install chromium)")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def sample_store(tmp_path_factory: pytest.TempPathFactory) -> SampleStore:
    """Return the demo's catalogs, built once per test run (or reused from CATALOG_SERVICE_TEST_STORE)."""
    kept = os.environ.get("CATALOG_SERVICE_TEST_STORE")
    directory = Path(kept) if kept else directory_of_run(tmp_path_factory) / "samples"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:  # the first process of the run builds, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        prepare(directory)
    return SampleStore(
        root=directory / "catalogs",
        tycho2=SAMPLES / "tycho2" / "tycho2_vt95.parquet",
        survey=directory / "input" / "survey",
    )


REGISTRY = """
[registry]
ivoid = "ivo://example.org/tap"
publisher = "The <observatory> & friends"
contact = "Help desk"
contact_email = "help@example.org"
creators = ["Høg, E."]
description = "Sample catalogs."
subjects = ["sky-surveys", "galaxies"]
created = "2026-11-30"
short_name = "samples"
"""


@pytest.fixture(scope="session")
def server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one real server on the sample catalogs for all tests that only ask it questions."""
    running = start_server(sample_store.root, tmp_path_factory.mktemp("server"), extra_config=REGISTRY)
    yield running
    stop_server(running)


@pytest.fixture(scope="session")
def server_url(server: RunningServer) -> str:
    """Return the address of the shared server."""
    return server.url
