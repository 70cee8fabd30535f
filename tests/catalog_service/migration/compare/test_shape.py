import pytest

from catalog_service.migration.compare import Shape
from catalog_service.migration.compare.shape import shape_of

CASES = {
    "SELECT * FROM Object": Shape(),
    "SELECT COUNT(*) AS n, chunkId FROM t GROUP BY t.`chunkId`, b HAVING n > 1 ORDER BY n": Shape(
        (("n",),), groups=("chunkid", "b")
    ),
    "SELECT ROUND(AVG (ra), 2) AS a FROM t LIMIT 1": Shape(limit=1, is_one_row=True),
    "SELECT COUNT(*) OVER (PARTITION BY a) AS n FROM t LIMIT 1": Shape(limit=1),
    "SELECT ra FROM Object ORDER BY ra LIMIT 3": Shape((("ra",),), 3),
    "SELECT ra FROM Object order  by `Object`.`ra` desc -- LIMIT 4": Shape((("ra",),), descending=frozenset({0})),
    "SELECT DISTINCT TOP 7 ra FROM Object ORDER BY 1 OFFSET 2": Shape((("1",),), 7, 2, groups=("ra",)),
    "SELECT chunkId AS c, FLOOR(subChunkId / 100) s FROM t GROUP BY c, 2": Shape(
        groups=("c", "chunkid", "floor(subchunkid/100)")
    ),
    "SELECT 'ORDER BY x LIMIT 1' AS t FROM Object LIMIT 5 OFFSET 6": Shape((), 5, 6),
    "SELECT a FROM t WHERE b IN (SELECT b FROM u ORDER BY b LIMIT 2)": Shape(),
    "SELECT RANK() OVER (ORDER BY a) AS r FROM t": Shape(),
    "SELECT (a + 1) AS k, o.mag AS m FROM t AS o ORDER BY (a+1), o.mag DESC, ABS(z)": Shape(
        (("(a+1)", "k"), ("mag", "m"), ("abs(z)",)), descending=frozenset({1})
    ),
    "SELECT a FROM t UNION SELECT a FROM u ORDER BY a NULLS FIRST;": Shape((("a",),)),
    "SELECT objectId /* LIMIT 1 */ FROM t WHERE name = 'it''s' # LIMIT 2\nORDER BY objectId LIMIT 10, 20": Shape(
        (("objectid",),), 20, 10
    ),
    "SELECT a --\nFROM t ORDER BY a -- LIMIT 1": Shape((("a",),)),
    "SELECT a, b--1 AS c FROM t ORDER BY a": Shape((("a",),)),
    "((SELECT a FROM t ORDER BY a LIMIT 3));": Shape((("a",),), 3),
    "SELECT o.id, s.id FROM o JOIN s ORDER BY s.id": Shape((("2",),)),
    "SELECT o.id, s.id FROM o JOIN s ORDER BY id": Shape(((),)),
    "SELECT o.*, o.id, s.id FROM o JOIN s ORDER BY s.id": Shape(((),)),
    "SELECT b AS c, a AS b FROM t ORDER BY b": Shape((("b",),)),
    "SELECT a AS b, t.b AS c FROM t ORDER BY t.b": Shape((("c",),)),
    "SELECT DISTINCT t.a m, a DIV b FROM t ORDER BY t.a": Shape((("a", "m"),), groups=("a", "adivb")),
    "SELECT a FROM t AS u WHERE u.`chunkId` = 7 AND subChunkId IN (1, 2)": Shape(groups=("chunkid", "subchunkid")),
    "SELECT a FROM t, u WHERE t.chunkId = u.chunkId AND b = 7": Shape(),
    "SELECT TOP 1 COUNT(*) n FROM t": Shape((), 1, is_one_row=True),
    "SELECT COUNT(*) AS n FROM t LIMIT 1": Shape((), 1, is_one_row=True),
}


@pytest.mark.parametrize("query", CASES)
def test_order_and_limit(query: str) -> None:
    assert shape_of(query) == CASES[query]


def test_comments_and_texts_of_adql() -> None:
    assert shape_of("SELECT a --x, b FROM t\n, b FROM t WHERE s = 'x\\' ORDER BY a", "ADQL") == Shape((("a",),))


def test_a_long_name_takes_no_longer() -> None:
    """Texts are of others: a pattern that tries all ways to divide a name would take hours for this one."""
    assert shape_of(f"SELECT {'a' * 60}(b) FROM t").unnamed == {0}
    assert shape_of(f"SELECT t.{'a' * 60} FROM t").unnamed == frozenset()
