"""A query's rows: from one file for each table, and from tiles, as the service asks for them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from catalog_service.engines.excerpts import ExcerptReader
from catalog_service.language import emit_near
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.excerpt import Excerpt
from catalog_service.models.query import PARTIAL_ROWS, Language, ParsedQuery, QueryText, ResolvedQuery
from catalog_service.models.tree import TableRef
from catalog_service.models.user import ANONYMOUS
from catalog_service.models.walk import walk
from catalog_service.planner.batches import BatchLimits
from catalog_service.services.attention import Attention
from catalog_service.services.batching import EngineTexts, texts_of
from catalog_service.services.catalogs import Published
from catalog_service.services.planning import planned
from tests.generated.queries import Generated
from tests.generated.sky import Sky

__all__ = ["ATTENTION", "Answers", "same"]

ATTENTION = Attention()
MOST = 1_000_000

Rows = list[tuple[Any, ...]]


@lru_cache(maxsize=2)
def _parsed(query: Generated) -> ParsedQuery:
    return parse(QueryText(query.text, Language.QSERV if query.is_qserv else Language.ADQL))


@dataclass(frozen=True)
class Answers:
    """Runs a query in every way."""

    sky: Sky
    runner: asyncio.Runner
    engine: duckdb.DuckDBPyConnection
    excerpts: ExcerptReader = field(default_factory=lambda: ExcerptReader(1 << 20))

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
        if texts.excerpt is not None:
            texts = self._with_sql(texts.excerpt, emit(tree, scan.scans, max_rows=MOST))
        return self.run(texts), bool(texts.batches)

    def _with_sql(self, excerpt: Excerpt, sql: str) -> EngineTexts:
        """Return the SQL of an excerpt, whose rows must be the same."""
        found = self.excerpts.read(excerpt)
        if found is not None:
            schema, batches = found
            rows = list(zip(*(c.to_pylist() for c in pa.Table.from_batches(batches, schema).columns), strict=True))
            assert rows == self.engine.execute(sql).fetchall(), sql
        return EngineTexts(sql)

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


def same(one: Rows, other: Rows, *, is_ordered: bool) -> bool:
    return one == other if is_ordered else Counter(one) == Counter(other)
