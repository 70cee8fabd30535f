"""Cone searches: the same path as a query, entered with a tree instead of a text."""

import math
from dataclasses import dataclass
from typing import Final

from ..exceptions import ParameterError
from ..models.query import ResolvedQuery
from ..models.schema import Table
from ..models.tree import (
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Distance,
    Expr,
    IntegerLiteral,
    OrderItem,
    Point,
    RealLiteral,
    Select,
    TableRef,
)
from ..models.user import Identity
from .catalogs import Published
from .cone_columns import Labels, cone_items
from .deliveries import Delivery, ResultOptions
from .query import QueryService

__all__ = ["ConeSearch", "ConeService"]

_NAME_CHARACTERS: Final = 200
"""Of a table that may not exist; so many are logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConeSearch:
    """One cone: degrees ICRS; RA of any turn."""

    table: str
    """``schema.table``, ignoring case."""
    ra_deg: float
    dec_deg: float
    radius_deg: float
    columns: tuple[str, ...] | None = None
    """Names, ``("*",)`` for all, ``()`` for id and position, None for the principal columns."""
    labels: Labels = Labels.TABLE
    """How the columns are labelled."""
    with_distance: bool = False
    """Whether the first column is ``_r``, the distance from the centre in degrees."""
    nearest_first: bool = False
    """Whether rows are sorted by distance; a cut result then has the nearest ones."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.ra_deg):
            raise ParameterError(f"RA={self.ra_deg} is not a finite number")
        if not -90 <= self.dec_deg <= 90:
            raise ParameterError(f"DEC={self.dec_deg} is outside [-90, 90] degrees")
        if not 0 <= self.radius_deg <= 180:
            raise ParameterError(f"the radius {self.radius_deg} is outside [0, 180] degrees")


class ConeService:
    """Answers cone searches.

    Parameters
    ----------
    queries
        Runs them.
    labels
        How results of the protocol are labelled for callers that do not choose.
    """

    def __init__(self, queries: QueryService, labels: Labels = Labels.UCD1PLUS) -> None:
        self._queries = queries
        self.labels = labels

    async def run(self, cone: ConeSearch, identity: Identity, options: ResultOptions) -> Delivery:
        """Run a cone search; return when its first bytes are there.

        Raises
        ------
        NotFoundError
            If the caller can see no such table.
        ParameterError
            If the table has no positions or lacks a named column.
        """
        text = f"cone {cone.table[:_NAME_CHARACTERS]} {cone.ra_deg} {cone.dec_deg} {cone.radius_deg}"

        def build(published: Published) -> ResolvedQuery:
            return _cone_query(published.visible(identity).table(cone.table), cone)

        return await self._queries.run_built((), build, text, identity, options)


def _cone_query(table: Table, cone: ConeSearch) -> ResolvedQuery:
    position = table.position
    if position is None:
        raise ParameterError(f"table {table.full_name} has no positions; a cone search needs them")
    by_name = table.columns_by_folded_name
    ra, dec = (ColumnRef(0, by_name[name.lower()]) for name in (position.ra, position.dec))
    point, centre = Point(ra, dec), _point(cone.ra_deg, cone.dec_deg)
    distance = Distance(point, centre)
    items = cone_items(
        table, position, cone.columns, labels=cone.labels, distance=distance if cone.with_distance else None
    )
    circle = Circle(centre=centre, radius=RealLiteral(cone.radius_deg))
    select = Select(
        items=items,
        source=TableRef(0, table, table.name),
        where=Comparison("=", Contains(point, circle), IntegerLiteral(1)),
        order_by=_by_distance(table, distance) if cone.nearest_first else (),
    )
    return ResolvedQuery(select, tuple(item.column for item in items if item.column is not None))


def _by_distance(table: Table, distance: Distance) -> tuple[OrderItem, ...]:
    """Return the sort keys of the nearest rows; equal distances are in the order of the table's key."""
    by_name = table.columns_by_folded_name
    key = (by_name[name.lower()] for name in table.primary_key if name.lower() in by_name)
    keys: tuple[Expr, ...] = (distance, *(ColumnRef(0, column) for column in key))
    return tuple(OrderItem(expr, nulls_first=False) for expr in keys)


def _point(ra_deg: float, dec_deg: float) -> Point:
    return Point(RealLiteral(ra_deg), RealLiteral(dec_deg))
