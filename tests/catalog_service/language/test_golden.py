"""Texts and the SQL that becomes of them, word for word: a change of what is emitted shows as a diff of golden.sql.

golden_qserv.sql has those of Qserv's language. ``UPDATE_GOLDEN=1 pytest tests/catalog_service/language/test_golden.py``
rewrites both; read the diff.
"""

import os
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import Language, QueryText, RaDecBox, TableScan
from catalog_service.models.schema import Column, Table
from catalog_service.models.tree import TableRef
from tests.catalog_service.language.store import VIEW, View


def _position(table: Table) -> tuple[Column, Column] | None:
    found = table.position
    names = table.columns_by_folded_name
    return None if found is None else (names[found.ra.lower()], names[found.dec.lower()])


GOLDEN = {
    Language.ADQL: Path(__file__).parent / "golden.sql",
    Language.QSERV: Path(__file__).parent / "golden_qserv.sql",
}
PLACED = View(tuple(replace(table, partition_position=_position(table)) for table in VIEW.tables))
"""The tables with positions are partitioned by them, as areas and chunks ask for."""


def translated(text: str, language: Language = Language.ADQL) -> str:
    resolved = resolve(parse(QueryText(text, language)), VIEW if language is Language.ADQL else PLACED)
    scans = {}
    for node in walk(resolved.tree):
        if isinstance(node, TableRef):
            own = node.table.position is not None
            scans[node.source] = TableScan(
                node.table,
                (f"/data/{node.table.name}.parquet",),
                healpix_ranges=((0, 16), (32, 48)) if own and node.alias == "pruned" else (),
                box=RaDecBox(-1.0, 1.0, ((359.0, 360.0), (0.0, 1.0))) if own and node.alias == "pruned" else None,
            )
    return emit(resolved, scans, max_rows=1000)


def pairs(language: Language = Language.ADQL) -> list[tuple[str, str]]:
    """Return (text, SQL) of each block: comment lines hold the text, the others the SQL."""
    blocks = [block.splitlines() for block in GOLDEN[language].read_text().strip().split("\n\n")]
    return [
        (
            "\n".join(line[3:] for line in block if line.startswith("-- ")),
            "\n".join(line for line in block if not line.startswith("-- ")),
        )
        for block in blocks
    ]


def _update(language: Language) -> None:
    blocks = (
        "\n".join([*(f"-- {line}" for line in text.split("\n")), translated(text, language)])
        for text, _ in pairs(language)
    )
    GOLDEN[language].write_text("\n\n".join(blocks) + "\n")


if os.environ.get("UPDATE_GOLDEN"):
    for _language in GOLDEN:
        _update(_language)


def check(text: str, sql: str, language: Language) -> None:
    assert translated(text, language) == sql
    assert [one.type for one in duckdb.extract_statements(sql)] == [duckdb.StatementType.SELECT]
    assert "\n" not in sql


@pytest.mark.parametrize(("text", "sql"), pairs(Language.ADQL))
def test_pair(text: str, sql: str) -> None:
    check(text, sql, Language.ADQL)


@pytest.mark.parametrize(("text", "sql"), pairs(Language.QSERV))
def test_pair_of_qserv(text: str, sql: str) -> None:
    check(text, sql, Language.QSERV)
