"""Rows without an equal one: which are the same row with other cells, and which are on one side only."""

from collections.abc import Sequence

from .cells import equal, null_against_nan, quoted
from .columns import ColumnPair
from .keys import is_key, key_candidates
from .rules import Difference, DifferenceKind, Rules
from .workspace import SIDES, Workspace

__all__ = ["explain_leftovers"]


def explain_leftovers(space: Workspace, pairs: Sequence[ColumnPair], rules: Rules) -> list[Difference]:
    """Return the differences of the rows in ``left_over`` and ``right_over``."""
    counts = [space.number(f"SELECT count(*) FROM {side}_over") for side in SIDES]
    if not any(counts):
        return []
    for side in SIDES:
        space.run(f"CREATE TABLE {side}_rest AS SELECT {side}_rows.* FROM {side}_rows JOIN {side}_over USING (n)")
    key = _key(space, pairs, rules) if all(counts) else None
    differences = _cells(space, pairs, key, rules) if all(counts) and (key or counts == [1, 1]) else []
    kinds = (DifferenceKind.ONLY_LEFT, DifferenceKind.ONLY_RIGHT)
    return differences + [
        one for side, kind in zip(SIDES, kinds, strict=True) for one in _only(space, side, kind, pairs, rules)
    ]


def _key(space: Workspace, pairs: Sequence[ColumnPair], rules: Rules) -> tuple[int, ...] | None:
    """Return the pairs of columns that tell the rest of the rows apart and are found on both sides most often."""
    asked = {name.casefold() for name in rules.key}
    given = tuple(k for k, pair in enumerate(pairs) if pair.name.casefold() in asked)
    if given and len(given) == len(asked) and is_key(space, given, "rest"):
        return given
    found = [(_common(space, key), key) for key in key_candidates(space, pairs) if is_key(space, key, "rest")]
    most, best = max(found, key=lambda one: one[0], default=(0, ()))
    return best if most else None


def _common(space: Workspace, key: tuple[int, ...]) -> int:
    return space.number(f"SELECT count(*) FROM left_rest AS l JOIN right_rest AS r ON {_on(key)}")


def _on(key: tuple[int, ...]) -> str:
    return " AND ".join(f"l.v{k} = r.v{k}" for k in key) or "true"


def _cells(
    space: Workspace, pairs: Sequence[ColumnPair], key: tuple[int, ...] | None, rules: Rules
) -> list[Difference]:
    """Return the cells that differ in rows of the same key, and take these rows out of the rest."""
    both = f"left_rest AS l JOIN right_rest AS r ON {_on(key or ())}"
    space.run(f"CREATE TABLE same_key AS SELECT l.n AS ln, r.n AS rn FROM {both}")
    joined = "same_key JOIN left_rest AS l ON l.n = ln JOIN right_rest AS r ON r.n = rn"
    row = ", ".join(f"{quoted(pairs[k].name)} := l.c{pairs[k].left}" for k in key or ()) or "position := l.n"
    label = f"struct_pack({row})"
    wrong = [one for k, pair in enumerate(pairs) for one in _wrong(pair, k)]
    counts = space.rows(f"SELECT {', '.join(f'count(*) FILTER ({where})' for _, _, where in wrong)} FROM {joined}")[0]
    found = []
    for (kind, pair, where), count in zip(wrong, counts, strict=True):
        if count:
            shown = f"{label} AS row, l.c{pair.left} AS left, r.c{pair.right} AS right"
            examples = space.records(f"SELECT {shown} FROM {joined} WHERE {where} ORDER BY l.n LIMIT {rules.shown}")
            found.append(Difference(kind, count, pair.name, tuple(examples)))
    for side, n in zip(SIDES, ("ln", "rn"), strict=True):
        space.run(f"DELETE FROM {side}_rest WHERE n IN (SELECT {n} FROM same_key)")
    return found


def _wrong(pair: ColumnPair, k: int) -> list[tuple[DifferenceKind, ColumnPair, str]]:
    """Return the conditions under which cells of a pair of columns differ, by the kind of difference."""
    differ = f"NOT {equal(pair, k)}"
    if not pair.is_float:
        return [(DifferenceKind.CELLS, pair, differ)]
    nan = null_against_nan(k)
    return [(DifferenceKind.NULL_NAN, pair, nan), (DifferenceKind.CELLS, pair, f"{differ} AND NOT {nan}")]


def _only(
    space: Workspace, side: str, kind: DifferenceKind, pairs: Sequence[ColumnPair], rules: Rules
) -> list[Difference]:
    count = space.number(f"SELECT count(*) FROM {side}_rest")
    if not count:
        return []
    shown = ", ".join(f"c{getattr(pair, side)} AS {quoted(pair.name)}" for pair in pairs)
    examples = space.records(f"SELECT {shown} FROM {side}_rest ORDER BY n LIMIT {rules.shown}")
    return [Difference(kind, count, examples=tuple(examples))]
