"""Cones around many targets at once: a join of an uploaded table of positions with a table of the catalog.

The catalog's table is source 0 of the query, the targets are source 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Final

from ..exceptions import ParameterError
from ..language.passes.describe import unique_names
from ..models.query import ResolvedQuery, UploadSource
from ..models.schema import Column, DataType, Table
from ..models.tree import (
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Distance,
    Expr,
    Identifier,
    IntegerLiteral,
    Join,
    JoinKind,
    OrderItem,
    Point,
    RealLiteral,
    Select,
    SelectItem,
    SubqueryRef,
    TableRef,
    WindowCall,
)
from ..models.upload import ROW_NUMBER
from ..models.user import Identity
from ..planner.uploads import recognised_position
from .catalogs import Published
from .cone_columns import chosen_columns
from .deliveries import Delivery, ResultOptions
from .query import QueryService

__all__ = ["TARGETS", "Cones", "ConesService", "Match"]

TARGETS: Final = "targets"
"""Name of the uploaded table."""

_TARGET: Final = Column(
    name="_target",
    datatype=DataType.LONG,
    description="Row of the target in the table that was sent, from 0.",
)
_DISTANCE: Final = Column(
    name="_r",
    datatype=DataType.DOUBLE,
    unit="deg",
    ucd="pos.angDistance",
    description="Distance from the target, computed.",
)
_PLACE: Final = Column(name="_place", datatype=DataType.LONG)
_MAIN_ID: Final = "meta.id;meta.main"
_DEGREES: Final = frozenset({"", "deg", "degree", "degrees"})


class Match(Enum):
    """Which rows around a target are given."""

    ALL = "all"
    NEAREST = "nearest"
    """The nearest one; of several at one distance, the first by the table's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cones:
    """Cones of one table around the rows of another."""

    table: str
    """``schema.table``, ignoring case."""
    radius_deg: float | None = None
    """Radius of all cones, degrees; None: that of `radius_column`."""
    radius_column: str | None = None
    """Column of the targets that holds the radius of each cone, degrees."""
    ra_column: str | None = None
    """Columns of the targets' positions, degrees ICRS; None: those that UCDs or names tell."""
    dec_column: str | None = None
    id_column: str | None = None
    """Column of the targets that the result repeats; None: the main identifier, or ``id``, or else the row's number."""
    columns: tuple[str, ...] | None = None
    """As in `ConeSearch`."""
    match: Match = Match.ALL

    def __post_init__(self) -> None:
        if (self.radius_deg is None) == (self.radius_column is None):
            raise ParameterError("give one radius: radius_deg, or radius_column, which names a column of the targets")
        if self.radius_deg is not None and not 0 <= self.radius_deg <= 180:
            raise ParameterError(f"the radius {self.radius_deg} is outside [0, 180] degrees")
        if (self.ra_column is None) != (self.dec_column is None):
            raise ParameterError("give the names of both columns of the positions, ra and dec, or of neither")


class ConesService:
    """Answers cone searches of many targets."""

    def __init__(self, queries: QueryService) -> None:
        self._queries = queries

    async def run(self, cones: Cones, targets: UploadSource, identity: Identity, options: ResultOptions) -> Delivery:
        """Search around every target; return when the first bytes are there.

        Raises
        ------
        NotFoundError
            If the caller can see no such table.
        ParameterError
            If the table has no positions or lacks a named column, or so do the targets.
        UploadError
            If the targets cannot be read.
        """
        text = f"cones {cones.table} {cones.radius_deg or cones.radius_column} {cones.match.value}"

        def build(published: Published) -> ResolvedQuery:
            return cones_query(published.visible(identity).table(cones.table), published.uploads[0], cones)

        return await self._queries.run_built((targets,), build, text, identity, options)


def cones_query(table: Table, targets: Table, cones: Cones) -> ResolvedQuery:
    """Return the query for cones of `table` around the rows of `targets`."""
    if table.position is None:
        raise ParameterError(f"table {table.full_name} has no positions; a cone search needs them")
    by_name = table.columns_by_folded_name
    point = Point(*(ColumnRef(0, by_name[name.lower()]) for name in (table.position.ra, table.position.dec)))
    ra, dec = _position(targets, cones)
    centre = Point(ColumnRef(1, ra), ColumnRef(1, dec))
    within = Contains(point, Circle(centre=centre, radius=_radius(targets, cones)))
    source = Join(
        JoinKind.INNER,
        TableRef(0, table, table.name),
        TableRef(1, targets, TARGETS),
        on=Comparison("=", within, IntegerLiteral(1)),
    )
    distance = Distance(point, centre)
    items = _items(chosen_columns(table, table.position, cones.columns), _identifier(targets, cones), distance)
    if cones.match is Match.ALL:
        return ResolvedQuery(Select(items, source), _columns(items))
    return _nearest(table, items, source, distance)


def _nearest(table: Table, items: tuple[SelectItem, ...], source: Join, distance: Distance) -> ResolvedQuery:
    """Return the query for the first row of each target by distance."""
    by_name = table.columns_by_folded_name
    key = tuple(ColumnRef(0, by_name[name.lower()]) for name in table.primary_key if name.lower() in by_name)
    keys: tuple[Expr, ...] = (distance, *key)
    place = WindowCall(
        "row_number",
        (),
        partition_by=(ColumnRef(1, ROW_NUMBER),),
        order_by=tuple(OrderItem(expr, nulls_first=False) for expr in keys),
    )
    placed = _named((*items, SelectItem(place, column=_PLACE)))
    inner = Select(placed, source)
    columns = _columns(placed)
    outer = tuple(SelectItem(ColumnRef(2, column), column=column) for column in columns[:-1])
    first = Comparison("=", ColumnRef(2, columns[-1]), IntegerLiteral(1))
    ranked = SubqueryRef(inner, Identifier("ranked"), 2, columns)
    return ResolvedQuery(Select(outer, ranked, where=first), columns[:-1])


def _items(columns: Sequence[Column], identifier: Column, distance: Distance) -> tuple[SelectItem, ...]:
    """Return the select list: the target, the distance, and the columns of the table."""
    target = _TARGET if identifier is ROW_NUMBER else _described(identifier)
    items = [SelectItem(ColumnRef(1, identifier), column=target), SelectItem(distance, column=_DISTANCE)]
    items += [SelectItem(ColumnRef(0, column), column=column) for column in columns]
    return _named(tuple(items))


def _named(items: tuple[SelectItem, ...]) -> tuple[SelectItem, ...]:
    """Return select items whose result columns have different names."""
    columns = _columns(items)
    names = unique_names([column.name for column in columns])
    return tuple(
        replace(item, column=replace(column, name=name))
        for item, column, name in zip(items, columns, names, strict=True)
    )


def _columns(items: Sequence[SelectItem]) -> tuple[Column, ...]:
    return tuple(item.column for item in items if item.column is not None)


def _described(identifier: Column) -> Column:
    return replace(identifier, name=_TARGET.name, ucd=None, most=None, description="The target's own identifier.")


# --- columns of the targets -----------------------------------------------------------------------


def _position(targets: Table, cones: Cones) -> tuple[Column, Column]:
    if cones.ra_column is not None and cones.dec_column is not None:
        return _angle(targets, cones.ra_column), _angle(targets, cones.dec_column)
    found = recognised_position(targets)
    if found is None:
        names = ", ".join(column.name for column in targets.columns[:20])
        raise ParameterError(
            f"which columns of the targets are their positions is not clear from {names[:200]}",
            remedy="Call them ra and dec, or name them in the parameters ra and dec.",
        )
    return _angle(targets, found[0].name), _angle(targets, found[1].name)


def _radius(targets: Table, cones: Cones) -> Expr:
    if cones.radius_column is None:
        assert cones.radius_deg is not None
        return RealLiteral(cones.radius_deg)
    return ColumnRef(1, _angle(targets, cones.radius_column))


def _identifier(targets: Table, cones: Cones) -> Column:
    if cones.id_column is not None:
        return _column(targets, cones.id_column)
    main = [c for c in targets.columns if (c.ucd or "").replace(" ", "").lower() == _MAIN_ID]
    if len(main) == 1:
        return main[0]
    return targets.columns_by_folded_name.get("id", ROW_NUMBER)


def _angle(targets: Table, name: str) -> Column:
    column = _column(targets, name)
    if not column.datatype.is_numeric or column.is_array:
        raise ParameterError(f"column {column.name!r} of the targets holds no numbers", remedy="Give decimal degrees.")
    if (column.unit or "").lower() not in _DEGREES:
        raise ParameterError(
            f"column {column.name!r} of the targets is in {(column.unit or '')[:40]!r}", remedy="Give decimal degrees."
        )
    return column


def _column(targets: Table, name: str) -> Column:
    column = targets.columns_by_folded_name.get(name.lower())
    if column is None:
        close = get_close_matches(name, [c.name for c in targets.columns], n=1)
        hint = f"Did you mean {close[0]}?" if close else None
        raise ParameterError(f"the targets have no column {name[:60]!r}.", remedy=hint)
    return column
