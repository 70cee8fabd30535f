"""NATURAL and USING: the columns that a join shares become a condition, and one column each (SQL-92 section 7.5).

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import TableName
>>> from ..scope import Source
>>> columns = [Column(name="visit", datatype=DataType.INT)]
>>> left, right = (Scope((Source(i, name, columns, {"visit": columns[0]}),)) for i, name in enumerate("ab"))
>>> sides = [TableName((Identifier(name),)) for name in "ab"]
>>> condition, scope = expand_join(Join(JoinKind.LEFT, *sides, natural=True), left, right, None)
>>> condition.op, condition.left.source, condition.right.source
('=', 0, 1)
>>> [value.source for value in scope.star(Star())]
[0]
"""

from collections.abc import Iterator, Mapping

from ...exceptions import QueryNameError, QueryRefusedError
from ...models.tree import And, ColumnRef, Comparison, Expr, FunctionCall, Identifier, Join, JoinKind, Name, Star
from ..errors import error_at
from ..scope import Scope

__all__ = ["expand_join"]

Merged = Mapping[str, tuple[Expr, frozenset[int]]]


def expand_join(join: Join, left: Scope, right: Scope, parent: Scope | None) -> tuple[Expr | None, Scope]:
    """Return the condition of a join, and the scope of what it gives.

    Parameters
    ----------
    join
        The join; an ON of it is returned as it is.
    left, right
        Scopes of its two sides.
    parent
        Scope of the enclosing query.

    Raises
    ------
    QueryNameError
        If a shared column is missing or ambiguous on one side, or an outer join has nothing to join on.
    QueryRefusedError
        If it would merge columns of one name twice.
    """
    _refuse_same_names(left, right, join)
    # what a side does not have must not be found in an enclosing query
    left, right = Scope(left.sources, left.merged), Scope(right.sources, right.merged)
    pairs = {name.text.lower(): _pair(name, left, right) for name in _shared(join, left, right)}
    if not pairs and join.natural and join.kind is not JoinKind.INNER:
        raise error_at(QueryNameError, "the two sides of this join have no column in common.", join.span)
    twice = (left.merged.keys() & right.merged.keys()) - pairs.keys()
    if twice:
        message = f"both sides of this join have a merged column '{min(twice)}'."
        raise error_at(QueryRefusedError, message, join.span, remedy="Use ON instead of USING or NATURAL.")
    merged: Merged = {
        folded: (_value(join.kind, *pair), _covered(folded, left) | _covered(folded, right))
        for folded, pair in pairs.items()
    }
    scope = Scope(left.sources + right.sources, {**merged, **_rest(left, merged), **_rest(right, merged)}, parent)
    return join.on if join.on is not None else _condition(list(pairs.values())), scope


def _refuse_same_names(left: Scope, right: Scope, join: Join) -> None:
    """Refuse two FROM items that no name can tell apart."""
    for one in left.sources:
        for other in right.sources:
            tables = (one.table, other.table)
            qualified = None not in tables and not (one.renamed or other.renamed)
            same_table = tables[0] is tables[1] if qualified else True
            if one.alias.lower() == other.alias.lower() and same_table:
                message = f"two items of FROM are called '{other.alias}'."
                raise error_at(QueryNameError, message, join.right.span, remedy="Give them different aliases.")


def _shared(join: Join, left: Scope, right: Scope) -> tuple[Identifier, ...]:
    if not join.natural:
        return join.using
    others = {name.lower() for name in _visible_names(right)}
    common = dict.fromkeys(name for name in _visible_names(left) if name.lower() in others)
    return tuple(Identifier(name, span=join.span) for name in common)


def _visible_names(scope: Scope) -> Iterator[str]:
    merged = {id(value): name for name, (value, _) in scope.merged.items()}
    for value in scope.star(Star()):
        yield value.column.name if isinstance(value, ColumnRef) else merged[id(value)]


def _pair(name: Identifier, left: Scope, right: Scope) -> tuple[Expr, Expr]:
    whole = Name((name,), span=name.span)
    return left.resolve(whole), right.resolve(whole)


def _value(kind: JoinKind, left: Expr, right: Expr) -> Expr:
    """Return what the merged column is: the side that is never NULL, or either."""
    if kind is JoinKind.FULL:
        return FunctionCall("coalesce", (left, right))
    return right if kind is JoinKind.RIGHT else left


def _covered(folded: str, scope: Scope) -> frozenset[int]:
    """Return the sources whose column of that name is merged."""
    if folded in scope.merged:
        return scope.merged[folded][1]
    return frozenset(source.number for source in scope.sources if folded in source.by_folded_name)


def _rest(scope: Scope, merged: Merged) -> Merged:
    return {folded: entry for folded, entry in scope.merged.items() if folded not in merged}


def _condition(pairs: list[tuple[Expr, Expr]]) -> Expr | None:
    equal = tuple(Comparison("=", left, right, span=left.span) for left, right in pairs)
    if not equal:
        return None
    return equal[0] if len(equal) == 1 else And(equal, span=equal[0].span)
