"""Tables that nothing links multiply their rows; those that a key or a position links do not."""

import pytest

from catalog_service.language.pipeline import parse, resolve
from catalog_service.models.query import QueryText
from catalog_service.models.schema import Schema
from catalog_service.models.tree import TableRef
from catalog_service.models.user import ANONYMOUS
from catalog_service.models.walk import walk
from catalog_service.services.pairs import most_pairs
from catalog_service.services.visibility import VisibleCatalogs
from tests.catalog_service.planner.worlds import make_table

ROWS = {"A": 100, "B": 30, "C": 7}
TABLES = tuple(make_table(name, "id", "other") for name in ROWS)
VISIBLE = VisibleCatalogs((Schema("sky", TABLES, access="public"),), ANONYMOUS)


def pairs(text: str) -> int:
    tree = resolve(parse(QueryText(text)), VISIBLE).tree
    rows = {node.source: ROWS[node.table.name] for node in walk(tree) if isinstance(node, TableRef)}
    return most_pairs(tree, rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM sky.A", 100),
        ("SELECT * FROM sky.A AS a, sky.B AS b", 3000),
        ("SELECT * FROM sky.A AS a, sky.B AS b, sky.C AS c WHERE a.ra + b.ra + c.ra > 7", 21_000),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE a.id = b.id", 100),
        ("SELECT * FROM sky.A AS a JOIN sky.B AS b ON a.id = b.other AND a.ra > b.ra", 100),
        ("SELECT * FROM sky.A AS a JOIN sky.B AS b USING (id)", 100),
        ("SELECT * FROM sky.A AS a JOIN sky.B AS b ON a.ra > b.ra", 3000),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE a.id = 5 AND b.id = 5", 3000),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE a.id + b.id = 5", 3000),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE a.id + b.id = b.other", 3000),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE a.id = b.id OR a.ra = 1", 3000),
        ("SELECT * FROM sky.A AS a JOIN sky.B AS b ON a.id = b.id, sky.C AS c", 700),
        ("SELECT * FROM sky.A AS a, sky.B AS b, sky.C AS c WHERE a.id = b.id AND b.other = c.id", 100),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < 0.1", 100),
        ("SELECT * FROM sky.A AS a, sky.B AS b WHERE 1 = CONTAINS(POINT(a.ra, a.dec), CIRCLE(b.ra, b.dec, 1))", 100),
        ("SELECT id FROM sky.A UNION ALL SELECT id FROM sky.B", 100),
        ("SELECT * FROM sky.C WHERE id IN (SELECT a.id FROM sky.A AS a, sky.B AS b)", 3000),
        ("SELECT * FROM (SELECT a.id FROM sky.A AS a, sky.B AS b) AS t", 3000),
    ],
)
def test_most_pairs(text: str, expected: int) -> None:
    assert pairs(text) == expected
