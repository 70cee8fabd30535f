import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog_service.engines.pool import WorkerPool
from tests.catalog_service.engines.queries import make_config


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for a module's tests."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with ``shards`` and temporary files."""
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(scope="module")
def pool(runner: asyncio.Runner, place: Path) -> Iterator[WorkerPool]:
    """A pool of two workers that every test of the module leaves idle."""
    made = WorkerPool(make_config(place), size=2, max_queued=3)
    runner.run(made.start())
    yield made
    runner.run(made.close())
