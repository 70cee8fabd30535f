"""WHERE to ON: the separation that WHERE demands of the two sides of a join becomes the condition of that join.

``FROM a, b WHERE DISTANCE(a, b) < r`` is ``FROM a JOIN b ON DISTANCE(a, b) < r``, which is run by cells.

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import ColumnRef, CommonTableRef, Comparison, Distance, Point, RealLiteral
>>> column = Column(name="ra", datatype=DataType.DOUBLE)
>>> points = [Point(ColumnRef(i, column), ColumnRef(i, column)) for i in range(2)]
>>> near = Comparison("<", Distance(*points), RealLiteral(0.1))
>>> sides = [CommonTableRef(i, "w", "w", ()) for i in range(2)]
>>> moved = join_near(Select((), Join(JoinKind.CROSS, *sides), near))
>>> moved.source.kind.name, moved.source.on == near, moved.where
('INNER', True, None)
"""

from dataclasses import replace

from ...models.near import near_condition
from ...models.tree import And, Expr, FromItem, Join, JoinKind, Select
from ...models.walk import conjuncts, from_sources

__all__ = ["join_near"]


def join_near(select: Select) -> Select:
    """Return `select` with separations that WHERE demands moved into the joins of the two sources.

    A condition stays where it is if the join is an outer one, or one of its sides is made NULL by an outer join
    around it.
    """
    if not isinstance(select.source, Join):
        return select
    source: FromItem = select.source
    kept: list[Expr] = []
    for part in conjuncts(select.where):
        near = near_condition(part)
        moved = None if near is None else _moved(source, part, frozenset(near.sources))
        if moved is None:
            kept.append(part)
        else:
            source = moved
    return select if source is select.source else replace(select, source=source, where=_conjunction(kept))


def _moved(item: FromItem, condition: Expr, sources: frozenset[int]) -> FromItem | None:
    """Return `item` with a condition on two of its sources in ON of the join between them; None if there is none."""
    if not isinstance(item, Join):
        return None
    if sources <= from_sources(item.left):
        kept = item.kind in {JoinKind.INNER, JoinKind.CROSS, JoinKind.LEFT}
        left = _moved(item.left, condition, sources) if kept else None
        return None if left is None else replace(item, left=left)
    if sources <= from_sources(item.right):
        kept = item.kind in {JoinKind.INNER, JoinKind.CROSS, JoinKind.RIGHT}
        right = _moved(item.right, condition, sources) if kept else None
        return None if right is None else replace(item, right=right)
    if item.kind not in {JoinKind.INNER, JoinKind.CROSS} or not sources <= from_sources(item):
        return None
    return replace(item, kind=JoinKind.INNER, on=_conjunction([*conjuncts(item.on), condition]))


def _conjunction(parts: list[Expr]) -> Expr | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts), span=parts[0].span)
