"""Generated queries have one answer, however the tables are stored: in few tiles, in many, in batches, in one file.

Each query is asked of one file for each table, where pairs of near positions are found among all pairs, and of one of
the ways to store them. ``GENERATED_QUERIES`` sets how many are asked (2,000), ``GENERATED_FIRST`` the number of the
first: a nightly run takes other ones each time.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import duckdb
import pytest

from catalog_service.language import emit_near
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import PARTIAL_ROWS, Language, ParsedQuery, QueryText, ResolvedQuery
from catalog_service.models.tree import TableRef
from catalog_service.models.user import ANONYMOUS
from catalog_service.models.walk import walk
from catalog_service.planner import surroundings
from catalog_service.planner.batches import BatchLimits
from catalog_service.services.attention import Attention
from catalog_service.services.batching import EngineTexts, texts_of
from catalog_service.services.catalogs import Published
from catalog_service.services.planning import planned
from tests.generated.queries import Generated, generate
from tests.generated.sky import Sky, make_sky

pytestmark = pytest.mark.slow

QUERIES = int(os.environ.get("GENERATED_QUERIES", "2000"))
FIRST = int(os.environ.get("GENERATED_FIRST", "0"))
SHARE = 125
"""Queries of one test."""
MOST = 1_000_000

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    return make_sky(tmp_path_factory.mktemp("generated"))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("LOAD parquet; SET parquet_metadata_cache = true")  # the same small files again and again
        yield connection


ATTENTION = Attention()


@dataclass(frozen=True)
class Way:
    """One way to store the tables and to ask."""

    store: str
    limits: BatchLimits = field(default_factory=BatchLimits)
    repeated: int = 0
    """Rows of a table of tiles that every batch may read whole."""


WAYS = (
    Way("coarse"),
    Way("fine"),
    Way("fine", BatchLimits(files=4)),
    Way("fine"),
    Way("fine", BatchLimits(files=6), 10**6),
)


@lru_cache(maxsize=2)
def _parsed(query: Generated) -> ParsedQuery:
    return parse(QueryText(query.text, Language.QSERV if query.is_qserv else Language.ADQL))


@dataclass(frozen=True)
class Answers:
    """Runs a query in every way."""

    sky: Sky
    runner: asyncio.Runner
    engine: duckdb.DuckDBPyConnection

    def resolved(self, query: Generated, published: Published) -> ResolvedQuery:
        return resolve(_parsed(query), published.visible(ANONYMOUS))

    def plain(self, query: Generated) -> Rows:
        """Return the rows from one file a table, all pairs compared where positions are joined."""
        tree = self.resolved(query, self.sky.coarse)
        scans = {node.source: self.sky.plain_scan(node.table) for node in walk(tree.tree) if isinstance(node, TableRef)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(emit_near, "_MAX_RADIUS_DEG", -1.0)
            sql = emit(tree, scans, max_rows=MOST)
        assert "unnest" not in sql
        return self.engine.execute(sql).fetchall()

    def stored(self, query: Generated, published: Published, limits: BatchLimits) -> tuple[Rows, bool]:
        """Return the rows from tiles, as the service asks for them; and whether that was in batches."""
        work = planned(self.resolved(query, published), published, ANONYMOUS, ATTENTION)
        tree, scan = self.runner.run(work)
        texts = texts_of(tree, scan, published.lookup, limits, max_rows=MOST)
        return self.run(texts), bool(texts.batches)

    def run(self, texts: EngineTexts) -> Rows:
        if not texts.batches:
            return self.engine.execute(texts.sql).fetchall()
        if not texts.sql:
            rows = [row for text in texts.batches for row in self.engine.execute(text).fetchall()]
            return rows[: texts.most_rows]
        for number, text in enumerate(texts.batches):
            into = f"INSERT INTO {PARTIAL_ROWS}" if number else f"CREATE OR REPLACE TEMP TABLE {PARTIAL_ROWS} AS"
            self.engine.execute(f"{into} {text}")
        return self.engine.execute(texts.sql).fetchall()


@pytest.fixture(scope="module")
def answers(sky: Sky, runner: asyncio.Runner, engine: duckdb.DuckDBPyConnection) -> Answers:
    return Answers(sky, runner, engine)


def same(one: Rows, other: Rows, *, is_ordered: bool) -> bool:
    return one == other if is_ordered else Counter(one) == Counter(other)


@pytest.mark.parametrize("first", range(FIRST, FIRST + QUERIES, SHARE))
def test_one_answer(answers: Answers, first: int) -> None:
    """Of single rows just the same; numbers are such that their sums are exact in any order."""
    empty, cut, shared = 0, 0, min(SHARE, FIRST + QUERIES - first)
    for seed in range(first, first + shared):
        query, way = generate(seed), WAYS[seed % len(WAYS)]
        expected = answers.plain(query)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surroundings, "MOST_REPEATED_ROWS", way.repeated)
            found, in_batches = answers.stored(query, getattr(answers.sky, way.store), way.limits)
        cut += in_batches
        assert same(expected, found, is_ordered=query.is_ordered), f"{seed}, {way}: {query.text}"
        empty += not expected
    assert empty < shared * 2 // 3 or shared < SHARE, "the queries find too little to show anything"
    assert cut or shared < SHARE, "no query was cut into batches"


def test_queries_are_many_and_differ() -> None:
    texts = {generate(seed).text for seed in range(QUERIES)}
    assert len(texts) > 0.99 * QUERIES
    for word in (
        "JOIN",
        "LEFT",
        "EXISTS",
        "GROUP BY",
        "UNION",
        "CASE",
        "CONTAINS",
        "DISTANCE",
        "areaspec",
        "WITH",
        "TOP",
    ):
        assert sum(word in text for text in texts) > QUERIES / 200, word
