"""Texts and the SQL that becomes of them, word for word: a change of what is emitted shows as a diff of golden.sql.

``UPDATE_GOLDEN=1 pytest tests/catalog_service/language/test_golden.py`` rewrites the file; read the diff.
"""

import os
from pathlib import Path

import duckdb
import pytest

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import QueryText, RaDecBox, TableScan
from catalog_service.models.tree import TableRef
from tests.catalog_service.language.store import VIEW

GOLDEN = Path(__file__).parent / "golden.sql"


def translated(text: str) -> str:
    resolved = resolve(parse(QueryText(text)), VIEW)
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


def pairs() -> list[tuple[str, str]]:
    """Return (text, SQL) of each block: comment lines hold the text, the others the SQL."""
    blocks = [block.splitlines() for block in GOLDEN.read_text().strip().split("\n\n")]
    return [
        (
            "\n".join(line[3:] for line in block if line.startswith("-- ")),
            "\n".join(line for line in block if not line.startswith("-- ")),
        )
        for block in blocks
    ]


if os.environ.get("UPDATE_GOLDEN"):
    GOLDEN.write_text(
        "\n\n".join("\n".join([*(f"-- {line}" for line in text.split("\n")), translated(text)]) for text, _ in pairs())
        + "\n"
    )


@pytest.mark.parametrize(("text", "sql"), pairs())
def test_pair(text: str, sql: str) -> None:
    assert translated(text) == sql
    assert [one.type for one in duckdb.extract_statements(sql)] == [duckdb.StatementType.SELECT]
    assert "\n" not in sql
