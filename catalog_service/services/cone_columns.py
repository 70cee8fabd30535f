"""The columns of a cone search's result: which, in what order, and how they are labelled (SCS 1.03 section 2.2)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from enum import Enum
from typing import Final

from ..exceptions import ParameterError
from ..models.schema import Column, DataType, SkyPosition, Table
from ..models.tree import Cast, ColumnRef, Distance, Expr, SelectItem

__all__ = ["Labels", "chosen_columns", "cone_items"]


class Labels(Enum):
    """How the columns of a result are labelled."""

    TABLE = "table"
    """As the table describes them."""
    UCD1PLUS = "UCD1+"
    """Exactly one main identifier, right ascension and declination, in today's words."""
    UCD1 = "UCD1"
    """The same in the words of 1999, which SCS 1.03 asks for literally, the identifier as text."""


_ID, _RA, _DEC = "meta.id;meta.main", "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
_SEPARATION: Final = "pos.angDistance"
_UCD1: Final = {
    _ID: "ID_MAIN",
    _RA: "POS_EQ_RA_MAIN",
    _DEC: "POS_EQ_DEC_MAIN",
    _SEPARATION: "POS_ANG_DIST_GENERAL",
}
_DISTANCE: Final = Column(
    name="_r",
    datatype=DataType.DOUBLE,
    unit="deg",
    ucd=_SEPARATION,
    description="Distance from the centre of the search, computed.",
)


def cone_items(
    table: Table, position: SkyPosition, names: Sequence[str] | None, *, labels: Labels, distance: Distance | None
) -> tuple[SelectItem, ...]:
    """Return the select list of a cone search.

    Parameters
    ----------
    table
        The table, source 0 of the query.
    position
        Its position columns.
    names
        Of columns, ``("*",)`` for all, ``()`` for identifier and position, None for the principal columns.
    labels
        With any but `Labels.TABLE`, identifier and position are always there, first if they were not asked for.
    distance
        What to deliver as the column ``_r``, first; None: no such column.

    Raises
    ------
    ParameterError
        If the table lacks a named column.
    """
    columns = chosen_columns(table, position, names)
    if labels is Labels.TABLE:
        items = [_item(column) for column in columns]
    else:
        main = _main_ucds(table, position)
        added = [column for column in table.columns if column.name in main and column not in columns]
        items = [_labelled(column, main.get(column.name), labels) for column in (*added, *columns)]
    if distance is not None:
        items.insert(0, SelectItem(distance, column=_distance_column(columns, labels)))
    return tuple(items)


def chosen_columns(table: Table, position: SkyPosition, names: Sequence[str] | None) -> tuple[Column, ...]:
    """Return the columns to deliver; id and position come with the principal ones.

    Parameters
    ----------
    table, position
        The table and its columns of the position.
    names
        Of columns; ``("*",)``: all, ``()``: id and position, None: the principal columns.

    Raises
    ------
    ParameterError
        If the table lacks a named column.
    """
    needed = {position.ra, position.dec, *table.primary_key}
    if names is None and any(column.principal for column in table.columns):
        return tuple(column for column in table.columns if column.principal or column.name in needed)
    if names is None or tuple(names) == ("*",):
        return table.columns
    if not names:
        return tuple(column for column in table.columns if column.name in needed)
    return tuple(dict.fromkeys(_column(table, name) for name in names))


def _column(table: Table, name: str) -> Column:
    folded = name.strip().strip('"').lower()
    column = table.columns_by_folded_name.get(folded)
    if column is None:
        for unserved, kind in table.unserved:
            if unserved.lower() == folded:
                raise ParameterError(f"column {unserved!r} of {table.full_name} has type {kind}, which is not served.")
        close = get_close_matches(name, [c.name for c in table.columns], n=1)
        hint = f"Did you mean {close[0]}?" if close else None
        raise ParameterError(f"table {table.full_name} has no column {name!r}.", remedy=hint)
    return column


def _main_ucds(table: Table, position: SkyPosition) -> Mapping[str, str]:
    """Return the columns that must be there, and the UCD that each of them alone has."""
    identifier = next(_identifiers(table, position), None)
    named = {} if identifier is None else {identifier: _ID}
    return named | {position.ra: _RA, position.dec: _DEC}


def _identifiers(table: Table, position: SkyPosition) -> Iterator[str]:
    """Yield the columns that may serve as identifier, the best first: declared, of the primary key, indexed."""
    marked = [column.name for column in table.columns if _folded(column.ucd) == _ID]
    yield from (name for name in marked if name in table.primary_key)
    yield from marked
    yield from table.primary_key
    yield from (c.name for c in table.columns if c.indexed and c.name not in {position.ra, position.dec})


def _labelled(column: Column, ucd: str | None, labels: Labels) -> SelectItem:
    """Return a column with the UCD `ucd`; with none, it must not look like one of the main ones."""
    item = _item(column)
    expr: Expr = item.expr
    if ucd is None:
        is_main = _folded(column.ucd) in _UCD1 and _folded(column.ucd) != _SEPARATION
        return replace(item, column=replace(column, ucd=(column.ucd or "").rpartition(";")[0])) if is_main else item
    if ucd != _ID and column.datatype not in {DataType.FLOAT, DataType.DOUBLE}:
        column = replace(column, datatype=DataType.DOUBLE)  # a position is a floating-point number
        expr = Cast(expr, DataType.DOUBLE)
    if ucd == _ID and labels is Labels.UCD1 and column.datatype is not DataType.TEXT:
        column = replace(column, datatype=DataType.TEXT)
        expr = Cast(expr, DataType.TEXT)
    return SelectItem(expr, column=replace(column, ucd=_UCD1[ucd] if labels is Labels.UCD1 else ucd))


def _item(column: Column) -> SelectItem:
    return SelectItem(ColumnRef(0, column), column=column)


def _distance_column(others: Sequence[Column], labels: Labels) -> Column:
    """Return the column of distances, under a name that no other column has."""
    taken = {column.name.lower() for column in others}
    name = _DISTANCE.name
    while name in taken:
        name += "_"
    return replace(_DISTANCE, name=name, ucd=_UCD1[_SEPARATION] if labels is Labels.UCD1 else _SEPARATION)


def _folded(ucd: str | None) -> str:
    return (ucd or "").replace(" ", "").lower()
