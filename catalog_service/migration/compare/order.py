"""The order of rows where a query asks for one, and what it leaves open: rows of equal rank."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from .cells import equal, quoted
from .columns import ColumnPair
from .keys import is_key, key_candidates
from .rules import Difference, DifferenceKind, Rule, Shape
from .workspace import SIDES, Workspace

__all__ = ["Ordered", "compare_order", "excuse_ties", "is_ambiguous", "order_pairs"]

_HIDDEN = "The answers do not hold all columns of ORDER BY: rows of equal rank cannot be told from wrong order."


@dataclass(frozen=True)
class Ordered:
    """What a comparison of the order found."""

    rules: Counter[Rule] = field(default_factory=Counter)
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


def order_pairs(pairs: Sequence[ColumnPair], shape: Shape) -> list[int] | None:
    """Return the numbers of the pairs that a query orders by; None if the answers do not tell them all."""
    if is_ambiguous(pairs, shape):
        return None
    found = []
    for names in shape.order:
        number = next((k for k, pair in enumerate(pairs) for name in names if _is(pair, name)), None)
        if number is None:
            return None
        found.append(number)
    return found


def is_ambiguous(pairs: Sequence[ColumnPair], shape: Shape) -> bool:
    """Tell whether a query orders by a name that several columns of the answers have."""
    names = {pair.name.casefold() for pair in pairs}
    return any(not one or any(f"{name.casefold()} (2)" in names for name in one) for one in shape.order)


def _is(pair: ColumnPair, name: str) -> bool:
    return pair.left == int(name) - 1 if name.isdigit() else pair.name.casefold() == name.casefold()


def excuse_ties(space: Workspace, pairs: Sequence[ColumnPair], order: list[int] | None, shape: Shape) -> Counter[Rule]:
    """Take rows out of ``left_over`` and ``right_over`` of the rank of the last row, or of the first after OFFSET.

    Only if LIMIT was reached on both sides, if as many rows are taken out on either side, and if columns that are
    compared exactly tell that they are other rows, and not the same one with another value.
    """
    if not order or shape.limit is None or not all(_left_over(space)):
        return Counter()
    key = next((one for one in key_candidates(space, pairs) if is_key(space, one, "rows")), None)
    if key is None:
        return Counter()
    ends = [f"SELECT max(n) FROM {{side}}_cells HAVING count(*) >= {shape.limit}"]
    ends += ["SELECT 0"] if shape.offset else []
    excused = sum(_excuse_one_end(space, pairs, order, key, end) for end in ends)
    return Counter({Rule.TIES_AT_LIMIT: excused}) if excused else Counter()


def _left_over(space: Workspace) -> list[int]:
    return [space.number(f"SELECT count(*) FROM {side}_over") for side in SIDES]


def _excuse_one_end(
    space: Workspace, pairs: Sequence[ColumnPair], order: list[int], key: tuple[int, ...], end: str
) -> int:
    """Take rows out whose rank is that of the other side's row at one end, and whose key is not left over there."""
    rank = " AND ".join(equal(_rounded(pairs[k]), k) for k in order)
    same = " AND ".join(f"l.v{k} IS NOT DISTINCT FROM r.v{k}" for k in key)
    for side, other in (SIDES, SIDES[::-1]):
        mine, theirs = side[0], other[0]
        edge = f"{other}_rows AS {theirs} WHERE {theirs}.n = ({end.format(side=other)})"
        twins = f"{other}_rows AS {theirs} JOIN {other}_over USING (n) WHERE {same}"
        space.run(
            f"CREATE OR REPLACE TABLE {side}_tied AS "
            f"SELECT {mine}.n FROM {side}_rows AS {mine} JOIN {side}_over USING (n) "
            f"WHERE EXISTS (SELECT 1 FROM {edge} AND {rank}) AND NOT EXISTS (SELECT 1 FROM {twins})"
        )
    counts = [space.number(f"SELECT count(*) FROM {side}_tied") for side in SIDES]
    if counts[0] != counts[1]:
        return 0
    for side in SIDES:
        space.run(f"DELETE FROM {side}_over WHERE n IN (SELECT n FROM {side}_tied)")
    return counts[0]


def _rounded(pair: ColumnPair) -> ColumnPair:
    """Return a pair that allows for the rounding of equal values alone, a quarter of the tolerance: six digits."""
    return replace(pair, how=replace(pair.how, tolerance=pair.how.tolerance / 4))


def compare_order(  # noqa: PLR0913 - the answers, what was asked, and what was found
    space: Workspace,
    pairs: Sequence[ColumnPair],
    order: list[int] | None,
    moved: int,
    *,
    descending: frozenset[int],
    shown: int,
) -> Ordered:
    """Compare the order of two answers whose rows are paired.

    Parameters
    ----------
    space, pairs
        The answers.
    order
        Pairs that the query orders by, empty if it asks for no order, None if the answers do not hold them.
    moved
        Rows that stand at another place than their partner.
    descending
        Places in `order` that are DESC.
    shown
        Most examples.
    """
    if order == []:
        return Ordered(Counter({Rule.ORDER: moved}) if moved else Counter())
    if not moved:
        return Ordered()
    ranks = range(len(pairs)) if order is None else order
    wrong = " OR ".join(f"NOT {equal(pairs[k], k)}" for k in ranks)
    joined = f"left_rows AS l JOIN right_rows AS r USING (n) WHERE {wrong}"
    count = space.number(f"SELECT count(*) FROM {joined}")
    if not count:
        wrong = _out_of_own_order(space, pairs, order or [], descending)
        joined = f"left_rows AS l JOIN right_rows AS r USING (n) WHERE {wrong}"
        count = space.number(f"SELECT count(*) FROM {joined}")
    if not count:
        return Ordered(Counter({Rule.TIES: moved}))
    named = ((pairs[k], side) for k in ranks for side in SIDES)
    cells = [f"{side[0]}.c{getattr(pair, side)} AS {quoted(f'{side} {pair.name}')}" for pair, side in named]
    examples = space.records(f"SELECT n AS position, {', '.join(cells)} FROM {joined} ORDER BY n LIMIT {shown}")
    difference = Difference(DifferenceKind.ORDER, count, examples=tuple(examples))
    return Ordered(differences=(difference,), notes=(_HIDDEN,) if order is None else ())


def _out_of_own_order(
    space: Workspace, pairs: Sequence[ColumnPair], order: list[int], descending: frozenset[int]
) -> str:
    """Return the condition that a row ``n`` is out of the order that its own side's numbers say.

    Ranks that are equal within a tolerance may be ties, or rows in wrong order; numbers of one answer among themselves
    are exact, and rounding keeps their order. If both sides or none seem to be in disorder, nothing is known.
    """
    keys = list(_comparable(pairs, order))
    found = []
    for side in SIDES:
        values = ", ".join(f"v{k}, lead(v{k}) OVER (ORDER BY n) AS w{k}" for k in keys)
        cases = " ".join(
            f"WHEN v{k} IS DISTINCT FROM w{k} THEN {_goes(pairs[k], k, '<' if at in descending else '>')}"
            for at, k in enumerate(keys)
        )
        if keys:
            found.append(f"SELECT n FROM (SELECT n, {values} FROM {side}_rows) WHERE CASE {cases} ELSE false END")
    wrong = [one for one in found if space.number(f"SELECT count(*) FROM ({one})")]
    return f"n IN ({wrong[0]})" if len(wrong) == 1 else "false"


def _comparable(pairs: Sequence[ColumnPair], order: list[int]) -> Iterator[int]:
    """Yield the pairs that tell a row's own rank, up to one that may be printed with too few digits."""
    for k in order:
        yield k
        if pairs[k].is_float:
            return


def _goes(pair: ColumnPair, k: int, sign: str) -> str:
    """Return the condition that a number is on the wrong side of the next one; NULL, NaN and texts are on none."""
    if pair.how.values not in {"whole", "huge", "float", "single"}:
        return "false"
    are_finite = f"isfinite(v{k}) AND isfinite(w{k}) AND " if pair.is_float else ""
    return f"coalesce({are_finite}v{k} {sign} w{k}, false)"
