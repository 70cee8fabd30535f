"""Which queries run tile by tile: named shapes, in batches of two files, against one file a table and all pairs.

No table of tiles may be read whole by every batch here, unless the shape says so: what a batch leaves out of the tables
around is then put to the test.
"""

import pytest

from catalog_service.models.user import ANONYMOUS
from catalog_service.planner import surroundings
from catalog_service.planner.batches import BatchLimits
from catalog_service.services.batching import pieces_of
from catalog_service.services.planning import planned
from tests.generated.answers import ATTENTION, Answers, same
from tests.generated.queries import Generated

pytestmark = pytest.mark.slow

LIMITS = BatchLimits(files=2)
APART = "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec))"
NEAR = f"{APART} < 6.0 AND a.id <> b.id"
PAIRS = f"FROM sky.Object AS a JOIN sky.Object AS b ON {NEAR}"
RANKED = f"SELECT a.id, b.id AS o, ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY {APART}, b.id) AS place {PAIRS}"
COUNTED = f"SELECT a.id, COUNT(*) AS n, MIN({APART}) AS d {PAIRS} GROUP BY a.id"
EPOCHS = "FROM sky.Object AS a JOIN sky.Source AS s ON s.id = a.id"

CLOSE = NEAR.replace("6.0", "0.3")
BRIGHTEST = (
    "SELECT p.id, p.ra, p.dec FROM sky.Source AS p WHERE NOT EXISTS (SELECT 1 FROM sky.Source AS q WHERE "
    "DISTANCE(p.ra, p.dec, q.ra, q.dec) < 0.5 AND q.flux > p.flux)"
)

IN_BATCHES = dict(
    line.split(": ", 1)
    for line in f"""
nearest by a window: SELECT q.id, q.o FROM ({RANKED}) AS q WHERE q.place = 1
two nearest, counted: SELECT COUNT(*) AS n FROM ({RANKED}) AS q WHERE q.place <= 2
nearest in a common table: WITH q AS ({RANKED}) SELECT q.id, q.o FROM q WHERE q.place = 1
through two common tables: WITH p AS ({RANKED}), q AS (SELECT id AS k, place FROM p WHERE place < 3) \
SELECT q.k, MAX(q.place) AS m FROM q GROUP BY q.k
a window at the top: SELECT a.id, b.id AS o, RANK() OVER (PARTITION BY a.id ORDER BY b.id) AS r {PAIRS}
nearest by groups: {COUNTED}
groups inside: SELECT q.n, COUNT(*) AS k FROM ({COUNTED}) AS q GROUP BY q.n
nearest joined again: SELECT m.id, b.id AS o FROM (SELECT a.id, a.ra, a.dec, MIN({APART}) AS d {PAIRS} \
GROUP BY a.id, a.ra, a.dec) AS m JOIN sky.Object AS b ON {NEAR.replace("a.", "m.")} \
AND {APART.replace("a.", "m.")} = m.d
the row of an id: SELECT o.mag, m.n FROM ({COUNTED}) AS m JOIN sky.Object AS o ON o.id = m.id
children of an id: SELECT s.sid, m.n FROM ({COUNTED}) AS m JOIN sky.Source AS s ON s.id = m.id
no neighbour: SELECT a.id FROM sky.Object AS a WHERE NOT EXISTS (SELECT 1 FROM sky.Object AS b WHERE {NEAR})
none is nearer: SELECT a.id, b.id AS o {PAIRS.replace("6.0", "0.3")} WHERE NOT EXISTS (SELECT 1 FROM sky.Object AS c \
WHERE {CLOSE.replace("b.", "c.")} AND {APART.replace("b.", "c.")} < {APART})
least separation: SELECT a.id, (SELECT MIN({APART}) FROM sky.Object AS b WHERE {NEAR}) AS d FROM sky.Object AS a
some child: SELECT a.id FROM sky.Object AS a WHERE EXISTS (SELECT 1 FROM sky.Source AS s WHERE s.id = a.id \
AND s.flux > 20)
both sides derived: SELECT a.id, b.id AS o FROM (SELECT id, ra, dec FROM sky.Object WHERE mag < 24) AS a \
LEFT JOIN (SELECT id, ra, dec FROM sky.Object WHERE n > 0) AS b ON {NEAR}
a subquery in a derived side: SELECT a.id, b.id AS o FROM sky.Object AS a LEFT JOIN ({BRIGHTEST}) AS b ON {NEAR}
medians of an id: SELECT a.id, MEDIAN(s.flux) AS f, COUNT(DISTINCT s.band) AS b {EPOCHS} GROUP BY a.id
medians inside: SELECT COUNT(*) AS n, SUM(q.f) AS s FROM (SELECT a.id, MEDIAN(s.flux) AS f {EPOCHS} GROUP BY a.id \
HAVING COUNT(*) > 1) AS q
three tables, the parent last: SELECT s.sid, t.sid AS u FROM sky.Source AS s, sky.Source AS t, sky.Object AS o \
WHERE o.id = s.id AND o.id = t.id
few different values: SELECT n, COUNT(DISTINCT m) AS k, COUNT(*) AS c, AVG(DISTINCT m) AS a FROM sky.Object GROUP BY n
a table without tiles inside: SELECT id FROM sky.Object WHERE n IN (SELECT visit FROM sky.Visit WHERE band = 'r')
""".strip().splitlines()
)

AS_A_WHOLE = dict(
    line.split(": ", 1)
    for line in f"""
groups of an id that is of many rows: SELECT s.id, MEDIAN(s.flux) AS f FROM sky.Source AS s GROUP BY s.id
a side without a tie: SELECT COUNT(*) AS n FROM sky.Object AS a WHERE a.n IN (SELECT s.visit FROM sky.Source AS s)
groups on the other side: SELECT a.id, b.m FROM sky.Object AS a JOIN (SELECT ra, dec, MAX(n) AS m FROM sky.Object \
GROUP BY ra, dec) AS b ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.5
the kept side is another: SELECT v.visit, q.id FROM sky.Visit AS v LEFT JOIN ({COUNTED}) AS q ON q.n = v.visit
a common table used twice: WITH q AS ({COUNTED}) SELECT COUNT(*) AS n FROM q JOIN q AS r ON q.id = r.id
""".strip().splitlines()
)


@pytest.mark.parametrize("name", [*IN_BATCHES, *AS_A_WHOLE])
def test_shape(answers: Answers, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(surroundings, "MOST_REPEATED_ROWS", 0)
    query = Generated((IN_BATCHES | AS_A_WHOLE)[name], is_qserv=False, is_ordered=False)
    expected = answers.plain(query)
    found, in_batches = answers.stored(query, answers.sky.fine, LIMITS)
    assert in_batches == (name in IN_BATCHES)
    assert expected
    assert same(expected, found, is_ordered=False)


def test_batches_read_what_is_around_alone(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch reads its tiles and those around, of every table."""
    monkeypatch.setattr(surroundings, "MOST_REPEATED_ROWS", 0)
    for name in ("nearest by a window", "no neighbour", "both sides derived", "children of an id"):
        tree = answers.resolved(Generated(IN_BATCHES[name], is_qserv=False, is_ordered=False), answers.sky.fine)
        tree, scan = answers.runner.run(planned(tree, answers.sky.fine, ANONYMOUS, ATTENTION))
        pieces = pieces_of(tree, scan, answers.sky.fine.lookup, LIMITS)
        assert not isinstance(pieces, str), pieces
        read = sum(one.rows for piece in pieces[1] for one in piece.values())
        assert read < 0.8 * len(pieces[1]) * scan.rows, name


def test_small_tables_of_tiles_may_be_read_by_every_batch(answers: Answers) -> None:
    query = Generated(AS_A_WHOLE["a side without a tie"], is_qserv=False, is_ordered=False)
    found, in_batches = answers.stored(query, answers.sky.fine, LIMITS)
    assert in_batches
    assert same(answers.plain(query), found, is_ordered=False)
