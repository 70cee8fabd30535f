"""The sky of generated queries, built once for each process."""

import asyncio
from collections.abc import Iterator

import duckdb
import pytest

from tests.generated.answers import Answers
from tests.generated.sky import make_sky


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    sky = make_sky(tmp_path_factory.mktemp("generated"))
    with asyncio.Runner() as runner, duckdb.connect(config={"threads": 1}) as engine:
        engine.execute("LOAD parquet; SET parquet_metadata_cache = true")  # the same small files again and again
        yield Answers(sky, runner, engine)
