"""Queries to begin with, on the tables that the caller may see (DALI 1.1 section 2.3).

They are made from what the catalogs' metadata tells, and each has rows: a position where a row lies is known from the
partition map, an identifier from the statistics of the manifest. None reads more than a few tiles. They keep to what
ADQL 2.0 knows, since the parsers of many clients know no more.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from ..models.schema import ForeignKey, Schema, SkyPosition, Table
from ..models.stored import StoredTable
from ..models.words import delimited_if_needed
from .spots import Spot, spot_of
from .visibility import VisibleCatalogs

__all__ = ["Example", "examples_of"]

_FEW_ROWS: Final = 20
_SOME_ROWS: Final = 500
_MANY_ROWS: Final = 20_000
_CELLS: Final = 30
_SHOWN: Final = 6
"""Columns of a table in a select list."""
_NEIGHBOUR_DEG: Final = 0.000278
"""1 arcsec."""


@dataclass(frozen=True, slots=True)
class Example:
    """One query, and what it is for."""

    kind: str
    """One word, fit for an XML identifier."""
    name: str
    query: str
    tables: tuple[str, ...]
    """Full names of the tables that it reads."""


Lookup = Callable[[Table], StoredTable]


def examples_of(visible: VisibleCatalogs, lookup: Lookup) -> tuple[Example, ...]:
    """Return examples for each visible schema, and one of TAP_SCHEMA."""
    found: list[Example] = []
    for schema in visible.schemas:
        if schema.name != "TAP_SCHEMA":
            found += _of_schema(schema, lookup)
    return (*found, _positions_in_tap_schema())


def _of_schema(schema: Schema, lookup: Lookup) -> Iterator[Example]:
    for make in (_cone, _cells, _joined, _light_curve, _neighbours):
        example = next(make(schema, lookup), None)
        if example is not None:
            yield example


def _cone(schema: Schema, lookup: Lookup) -> Iterator[Example]:
    for table, position, spot in _on_the_sky(schema, lookup):
        lines = (f"SELECT {_select_list(table)}", f"FROM {_name(table)}", f"WHERE {_inside(position, spot, _FEW_ROWS)}")
        yield _example("cone", f"{table.full_name}: rows in a circle", lines, table)


def _cells(schema: Schema, lookup: Lookup) -> Iterator[Example]:
    for table, position, spot in _on_the_sky(schema, lookup):
        order = spot.cell_order(_MANY_ROWS, _CELLS)
        lines = (
            "SELECT cell, COUNT(*) AS n",
            f"FROM (SELECT ivo_healpix_index({order}, {_coordinates(position)}) AS cell",
            f"  FROM {_name(table)}",
            f"  WHERE {_inside(position, spot, _MANY_ROWS)}) AS cells",
            "GROUP BY cell",
            "ORDER BY n DESC",
        )
        yield _example("density", f"{table.full_name}: rows in each HEALPix cell of order {order}", lines, table)


def _joined(schema: Schema, lookup: Lookup) -> Iterator[Example]:
    """Yield joins of children with their parents in a circle; a child with a map lies where its parents do."""
    for child, key, parent in _keys(schema):
        around = spot_of(lookup(parent))
        spot = spot_of(lookup(child)) or around
        if parent.position is None or around is None or spot is None:
            continue
        there = replace(around, ra_deg=spot.ra_deg, dec_deg=spot.dec_deg)
        lines = (
            f"SELECT {_select_list(parent, 'p', 3)}, {_select_list(child, 'c', 4)}",
            f"FROM {_name(parent)} AS p",
            f"JOIN {_name(child)} AS c ON {_on(key)}",
            f"WHERE {_inside(parent.position, there, _FEW_ROWS, 'p')}",
        )
        yield _example("join", f"{parent.full_name} joined with its {child.name}", lines, parent, child)


def _light_curve(schema: Schema, lookup: Lookup) -> Iterator[Example]:
    for child, key, parent in _keys(schema):
        stored, ((here, _), *others) = lookup(child), key.column_pairs
        # the largest identifier, since the smallest often means that there is none
        largest = stored.columns[here].maximum if here in stored.columns else None
        time = next((c.name for c in child.columns if (c.ucd or "").startswith("time.epoch")), None)
        if time is None or others or here not in stored.indexes or not isinstance(largest, int):
            continue
        lines = (
            f"SELECT {_select_list(child, first=(here, time))}",
            f"FROM {_name(child)}",
            f"WHERE {delimited_if_needed(here)} = {largest}",
            f"ORDER BY {delimited_if_needed(time)}",
        )
        yield _example("light-curve", f"{child.full_name}: all of one {parent.name} in order of time", lines, child)


def _neighbours(schema: Schema, lookup: Lookup) -> Iterator[Example]:
    """Yield matches by position of two tables that no key relates."""
    related = {frozenset((key.from_table, key.target_table)) for _, key, _ in _keys(schema)}
    for (one, first, spot), (two, second, _) in combinations(list(_on_the_sky(schema, lookup)), 2):
        if frozenset((one.full_name, two.full_name)) in related:
            continue
        distance = f"DISTANCE({_point(first, 'a')}, {_point(second, 'b')})"
        lines = (
            f"SELECT {_select_list(one, 'a', 3)}, {_select_list(two, 'b', 3)},",
            f"  3600 * {distance} AS separation_arcsec",
            f"FROM {_name(one)} AS a",
            f"JOIN {_name(two)} AS b ON {distance} < {_NEIGHBOUR_DEG}",
            f"WHERE {_inside(first, spot, _SOME_ROWS, 'a')}",
        )
        yield _example("neighbours", f"{one.full_name} and {two.full_name}: pairs within 1 arcsec", lines, one, two)


def _positions_in_tap_schema() -> Example:
    lines = (
        "SELECT t.table_name, c.column_name, c.unit, c.ucd",
        "FROM TAP_SCHEMA.tables AS t",
        "JOIN TAP_SCHEMA.columns AS c ON c.table_name = t.table_name",
        "WHERE c.ucd LIKE 'pos.eq.%meta.main'",
        "ORDER BY column_name",
    )
    tables = ("TAP_SCHEMA.tables", "TAP_SCHEMA.columns")
    return Example("columns", "TAP_SCHEMA: columns that hold positions", "\n".join(lines), tables)


# --- parts of queries ---


def _on_the_sky(schema: Schema, lookup: Lookup) -> Iterator[tuple[Table, SkyPosition, Spot]]:
    """Yield the tables with positions of their own that have rows."""
    for table in schema.tables:
        spot = None if table.position is None else spot_of(lookup(table))
        if table.position is not None and spot is not None:
            yield table, table.position, spot


def _keys(schema: Schema) -> Iterator[tuple[Table, ForeignKey, Table]]:
    """Yield (child, key, parent) of the keys within a schema."""
    by_name = {table.full_name: table for table in schema.tables}
    for child in schema.tables:
        for key in child.foreign_keys:
            if key.target_table in by_name:
                yield child, key, by_name[key.target_table]


def _example(kind: str, name: str, lines: Iterable[str], *tables: Table) -> Example:
    return Example(kind, name, "\n".join(lines), tuple(table.full_name for table in tables))


def _select_list(
    table: Table, alias: str | None = None, most: int = _SHOWN, *, first: tuple[str, ...] | None = None
) -> str:
    """Return `most` columns: those named `first`, by default of the primary key; then the principal ones."""
    wanted = table.primary_key if first is None else first
    begin = [column for column in table.columns if column.name in wanted]
    others = [column for column in table.columns if column not in begin]
    principal = [column for column in others if column.principal]
    return ", ".join(_column(column.name, alias) for column in [*begin, *(principal or others)][:most])


def _column(name: str, alias: str | None) -> str:
    written = delimited_if_needed(name)
    return written if alias is None else f"{alias}.{written}"


def _name(table: Table) -> str:
    return f"{delimited_if_needed(table.schema_name)}.{delimited_if_needed(table.name)}"


def _coordinates(position: SkyPosition, alias: str | None = None) -> str:
    return f"{_column(position.ra, alias)}, {_column(position.dec, alias)}"


def _point(position: SkyPosition, alias: str | None = None) -> str:
    return f"POINT('ICRS', {_coordinates(position, alias)})"


def _inside(position: SkyPosition, spot: Spot, rows: int, alias: str | None = None) -> str:
    """Return the condition of a circle with about so many rows."""
    circle = f"CIRCLE('ICRS', {spot.ra_deg:.6f}, {spot.dec_deg:.6f}, {spot.radius_deg(rows):.10f}".rstrip("0")
    return f"1 = CONTAINS({_point(position, alias)}, {circle.rstrip('.')}))"


def _on(key: ForeignKey) -> str:
    pairs = ((delimited_if_needed(here), delimited_if_needed(there)) for here, there in key.column_pairs)
    return " AND ".join(f"c.{here} = p.{there}" for here, there in pairs)
