"""Cone searches: the same path as a query, entered with a tree instead of a text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..exceptions import NotFoundError, ParameterError
from ..models.query import ResolvedQuery
from ..models.schema import Column, SkyPosition, Table
from ..models.tree import (
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    IntegerLiteral,
    Point,
    RealLiteral,
    Select,
    SelectItem,
    TableRef,
)
from ..models.user import Identity
from .catalogs import Catalogs
from .query import Delivery, QueryService, ResultOptions

__all__ = ["ConeSearch", "ConeService", "chosen_columns"]


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

    def __post_init__(self) -> None:
        if not math.isfinite(self.ra_deg):
            raise ParameterError(f"RA={self.ra_deg} is not a finite number")
        if not -90 <= self.dec_deg <= 90:
            raise ParameterError(f"DEC={self.dec_deg} is outside [-90, 90] degrees")
        if not 0 <= self.radius_deg <= 180:
            raise ParameterError(f"the radius {self.radius_deg} is outside [0, 180] degrees")


class ConeService:
    """Answers cone searches."""

    def __init__(self, catalogs: Catalogs, queries: QueryService) -> None:
        self._catalogs = catalogs
        self._queries = queries

    async def run(self, cone: ConeSearch, identity: Identity, options: ResultOptions) -> Delivery:
        """Run a cone search; return when its first bytes are there.

        Raises
        ------
        NotFoundError
            If the caller can see no such table.
        ParameterError
            If the table has no positions or lacks a named column.
        """
        table = self._table(cone.table, identity)
        text = f"cone {table.full_name} {cone.ra_deg} {cone.dec_deg} {cone.radius_deg}"
        return await self._queries.run_resolved(_cone_query(table, cone), text, identity, options)

    def _table(self, name: str, identity: Identity) -> Table:
        visible = self._catalogs.published.visible(identity)
        table = visible.find_full_name(name)
        if table is None:
            close = get_close_matches(name, visible.table_names(), n=1)
            raise NotFoundError(f"no table {name!r} here.", remedy=f"Did you mean {close[0]}?" if close else None)
        return table


def _cone_query(table: Table, cone: ConeSearch) -> ResolvedQuery:
    position = table.position
    if position is None:
        raise ParameterError(f"table {table.full_name} has no positions; a cone search needs them")
    columns = chosen_columns(table, position, cone.columns)
    by_name = table.columns_by_folded_name
    ra, dec = (ColumnRef(0, by_name[name.lower()]) for name in (position.ra, position.dec))
    circle = Circle(centre=_point(cone.ra_deg, cone.dec_deg), radius=RealLiteral(cone.radius_deg))
    select = Select(
        items=tuple(SelectItem(ColumnRef(0, column), column=column) for column in columns),
        source=TableRef(0, table, table.name),
        where=Comparison("=", Contains(Point(ra, dec), circle), IntegerLiteral(1)),
    )
    return ResolvedQuery(select, columns)


def _point(ra_deg: float, dec_deg: float) -> Point:
    return Point(RealLiteral(ra_deg), RealLiteral(dec_deg))


def chosen_columns(table: Table, position: SkyPosition, names: Sequence[str] | None) -> tuple[Column, ...]:
    """Return the columns to deliver; id and position come with the principal ones."""
    needed = {position.ra, position.dec, *table.primary_key}
    if names is None and any(column.principal for column in table.columns):
        return tuple(column for column in table.columns if column.principal or column.name in needed)
    if names is None or tuple(names) == ("*",):
        return table.columns
    if not names:
        return tuple(column for column in table.columns if column.name in needed)
    return tuple(_column(table, name) for name in names)


def _column(table: Table, name: str) -> Column:
    column = table.columns_by_folded_name.get(name.strip().strip('"').lower())
    if column is None:
        close = get_close_matches(name, [c.name for c in table.columns], n=1)
        hint = f"Did you mean {close[0]}?" if close else None
        raise ParameterError(f"table {table.full_name} has no column {name!r}.", remedy=hint)
    return column
