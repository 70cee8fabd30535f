"""Which row of one answer is which of the other, by values alone, each row once.

Rows whose exact columns are the same form a group; within it rows are paired in the order of their numbers, which are
equal within a tolerance only. Most groups are one row on each side. Where that leaves rows without a partner, the group
is cut where numbers are farther apart than the tolerance, so that no two rows on different sides of a cut can be equal;
what is still tangled is matched exactly (`matching`). Every pair is checked by `cells.same_row`, so that a wrong guess
costs a partner and never hides a difference.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from .cells import same_row, uses
from .columns import ColumnPair
from .matching import match_blocks
from .rules import Rule, Rules
from .workspace import SIDES, Workspace

__all__ = ["MATCHED_ROWS", "RowPairs", "pair_rows"]

MATCHED_ROWS: Final = 200_000
"""Most tangled rows that are matched exactly; of more, those in the order of their numbers count."""


_OPEN: Final = "GROUP BY g HAVING NOT bool_and(same) AND count(*) > 1 AND count(ln) > 0 AND count(rn) > 0"
"""Groups in which other partners are possible: one row on each side has no choice."""


class RowPairs:
    """Pairs of equal rows in the table ``paired`` (``ln``, ``rn``); the rest is in ``left_over`` and ``right_over``."""

    def __init__(self, space: Workspace, pairs: Sequence[ColumnPair], rules: Rules) -> None:
        self._space = space
        self._pairs = pairs
        self._uses = uses(pairs, rules)
        self._floats = [k for k, pair in enumerate(pairs) if pair.is_float]
        self.is_exhaustive = True
        """Whether as many rows were paired as can be."""
        self.is_whole = False
        """Whether no row is left over."""
        self.moved = 0
        """Rows that stand at another place than their partner."""
        self.rules: Counter[Rule] = Counter()
        """How many cells needed which rule."""

    def run(self) -> None:
        """Pair the rows."""
        self._rank()
        self._space.run(f"CREATE TABLE paired AS {self._joined_groups()}")
        self._count()
        if not self.is_whole:
            self._pair_open()
            self._count()
            self.is_whole = not self._left_over()

    def _left_over(self) -> int:
        return sum(self._space.number(f"SELECT count(*) FROM {side}_over") for side in SIDES)

    def _count(self) -> None:
        sums = "".join(f", sum(u{number})" for number in range(len(self._uses)))
        alone, moved, *used = self._space.rows(
            f"SELECT count(*) FILTER (NOT same), count(*) FILTER (ln <> rn){sums} FROM paired"
        )[0]
        self.is_whole, self.moved = not alone, moved
        self.rules = Counter({rule: int(count) for rule, count in zip(self._uses, used, strict=True) if count})

    def _pair_open(self) -> None:
        self._space.run(f"CREATE TABLE open AS SELECT g FROM paired {_OPEN}")
        if self._floats and self._space.number("SELECT count(*) FROM open"):
            self._pair_blocks()
        self._space.run("DELETE FROM paired WHERE NOT same")
        for side, n in zip(SIDES, ("ln", "rn"), strict=True):
            alone = f"SELECT n FROM {side}_cells ANTI JOIN paired ON {side}_cells.n = paired.{n}"
            self._space.run(f"CREATE TABLE {side}_over AS {alone}")

    def _columns(self) -> str:
        counts = [f"{sql} AS u{number}" for number, sql in enumerate(self._uses.values())]
        return ", ".join(["l.n AS ln", "r.n AS rn", f"{same_row(self._pairs)} AS same", *counts])

    def _rank(self) -> None:
        """Make ``left_ranked`` and ``right_ranked``: numbers of the rows within groups of the same exact columns."""
        exact = ", ".join(f"v{k}" for k in range(len(self._pairs)) if k not in self._floats)
        group = f"hash({exact})" if exact else "0::UBIGINT"
        floats = "".join(f", v{k}" for k in self._floats)
        order = "".join(f"v{k}, " for k in self._floats) + "n"
        for side in SIDES:
            grouped = f"SELECT n, {group} AS g{floats} FROM {side}_rows"
            number = f"row_number() OVER (PARTITION BY g ORDER BY {order})"
            self._space.run(f"CREATE TABLE {side}_ranked AS SELECT n, g, {number} AS k FROM ({grouped})")

    def _joined_groups(self) -> str:
        sides = [f"(SELECT * FROM {side}_ranked JOIN {side}_rows USING (n))" for side in SIDES]
        joined = f"{sides[0]} AS l FULL JOIN {sides[1]} AS r ON l.g = r.g AND l.k = r.k"
        return f"SELECT coalesce(l.g, r.g) AS g, {self._columns()} FROM {joined}"

    def _pair_blocks(self) -> None:
        """Pair the rows of open groups anew, in blocks between gaps."""
        space = self._space
        values = ", ".join(f"v{k}" for k in self._floats)
        for side, n in zip(SIDES, ("ln", "rn"), strict=True):
            chosen = f"SELECT {n} AS n, g FROM paired SEMI JOIN open USING (g) WHERE {n} IS NOT NULL"
            space.run(
                f"CREATE TABLE {side}_open AS SELECT '{side}' AS side, n, g AS block, {values} "
                f"FROM ({chosen}) JOIN {side}_rows USING (n)"
            )
        space.run("DELETE FROM paired USING open WHERE paired.g = open.g")
        space.run("CREATE TABLE blocks AS FROM left_open UNION ALL FROM right_open")
        space.run("CREATE TABLE settled AS FROM blocks LIMIT 0")
        for k in self._narrow_first():
            space.run(f"CREATE TABLE narrower AS {_cut(self._pairs[k], k)}")
            space.run("DROP TABLE blocks; ALTER TABLE narrower RENAME TO blocks")
            if not self._unsettled():
                break
        space.run("INSERT INTO blocks FROM settled")
        self._pair_in_order(values)
        self._pair_tangled()

    def _unsettled(self) -> int:
        """Set blocks aside in which no row has a choice of partners; return how many rows are left."""
        count = "count(*) FILTER (side = '{}') < 2"
        free = f"SELECT block FROM blocks GROUP BY block HAVING {' AND '.join(map(count.format, SIDES))}"
        self._space.run(f"INSERT INTO settled FROM blocks WHERE block IN ({free})")
        self._space.run("DELETE FROM blocks WHERE block IN (SELECT block FROM settled)")
        return self._space.number("SELECT count(*) FROM blocks")

    def _narrow_first(self) -> list[int]:
        return sorted(self._floats, key=lambda k: (self._pairs[k].how.margin, self._pairs[k].how.tolerance))

    def _pair_in_order(self, values: str) -> None:
        ranked = f"SELECT *, row_number() OVER (PARTITION BY side, block ORDER BY {values}, n) AS k FROM blocks"
        self._space.run(f"CREATE TABLE ranked AS SELECT side, n, block, k FROM ({ranked})")
        for side in SIDES:  # stored, because the planning of one join of all would take its time
            rows = f"SELECT block, k, {side}_rows.* FROM {side}_rows JOIN ranked USING (n) WHERE side = '{side}'"
            self._space.run(f"CREATE TABLE {side}_blocks AS {rows}")
        joined = "left_blocks AS l FULL JOIN right_blocks AS r ON l.block = r.block AND l.k = r.k"
        in_order = f"SELECT coalesce(l.block, r.block) AS g, {self._columns()} FROM {joined}"
        self._space.run(f"CREATE TABLE in_order AS {in_order}")
        self._space.run(f"CREATE TABLE tangled AS SELECT g FROM in_order {_OPEN}")

    def _pair_tangled(self) -> None:
        """Match what is tangled; where that is too much, keep the pairs in order."""
        space = self._space
        tangled = "FROM blocks WHERE block IN (FROM tangled)"
        rows = space.number(f"SELECT count(*) {tangled}")
        kept = "in_order ANTI JOIN tangled USING (g)"
        if rows > MATCHED_ROWS:
            self.is_exhaustive = False
            kept, rows = "in_order", 0
        space.run(f"INSERT INTO paired BY NAME SELECT in_order.* FROM {kept}")
        if rows:
            values = ", ".join(f"v{k}" for k in self._floats)
            found = match_blocks(
                space.arrays(f"SELECT block, side = 'left' AS is_left, n, {values} {tangled} ORDER BY block, side, n"),
                [(f"v{k}", self._pairs[k].how) for k in self._floats],
            )
            self.is_exhaustive = found.is_exhaustive
            space.add("proposed", {"ln": found.left, "rn": found.right})
            joined = "proposed JOIN left_rows AS l ON l.n = proposed.ln JOIN right_rows AS r ON r.n = proposed.rn"
            space.run(f"INSERT INTO paired BY NAME SELECT 0::UBIGINT AS g, {self._columns()} FROM {joined}")


def _cut(pair: ColumnPair, k: int) -> str:
    """Return blocks cut where the values of a column are farther apart than its tolerance, and by what is no number.

    The sum of gaps is one of ranges, which gives rows of one value one number, in whatever order they stand.
    """
    v, before = f"v{k}", f"lag(v{k}) OVER (PARTITION BY block, form ORDER BY v{k})"
    allowed = f"{pair.how.margin!r}::DOUBLE + {pair.how.tolerance!r}::DOUBLE * greatest(abs({v}), abs(before))"
    form = f"CASE WHEN {v} IS NULL THEN 0 WHEN isnan({v}) THEN 1 WHEN isinf({v}) THEN 2 + ({v} > 0)::INTEGER ELSE 4 END"
    gaps = f"SELECT *, coalesce(form = 4 AND {v} - before > {allowed}, false)::INTEGER AS gap"
    return (
        f"SELECT * EXCLUDE (form, before, gap, cuts) REPLACE (hash(block, form, cuts) AS block) FROM ("
        f"SELECT *, sum(gap) OVER (PARTITION BY block, form ORDER BY {v}) AS cuts FROM ("
        f"{gaps} FROM (SELECT *, {before} AS before FROM (SELECT *, {form} AS form FROM blocks))))"
    )


def pair_rows(space: Workspace, pairs: Sequence[ColumnPair], rules: Rules) -> RowPairs:
    """Pair the rows of two answers; see the module."""
    found = RowPairs(space, pairs, rules)
    found.run()
    return found
