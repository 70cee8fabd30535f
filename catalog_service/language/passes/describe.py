"""Names, units and UCDs of result columns, followed through expressions as far as they keep their meaning.

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import Aggregate, ColumnRef
>>> ra = ColumnRef(0, Column(name="ra", datatype=DataType.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main"))
>>> mean = describe(Aggregate("avg", (ra,)), "mean_ra")
>>> mean.unit, mean.ucd, mean.datatype
('deg', None, <DataType.DOUBLE: 'double'>)
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from ...models.schema import Column
from ...models.tree import (
    Aggregate,
    Area,
    Binary,
    Case,
    Cast,
    Circle,
    ColumnRef,
    Contains,
    Coordinate,
    Distance,
    Expr,
    FunctionCall,
    Intersects,
    InUnit,
    Point,
    PolygonShape,
    ScalarQuery,
    Select,
    SelectItem,
    Unary,
    WindowCall,
)
from ..rewrite import LITERALS
from ..types import query_columns, type_of

__all__ = ["describe", "describe_items", "output_name", "repeated", "unique_names", "unit_of"]


def describe_items(select: Select) -> Select:
    """Return `select` with a description of the result column on each item; names are made unique."""
    names = unique_names([output_name(item, number) for number, item in enumerate(select.items, start=1)])
    items = tuple(
        SelectItem(item.expr, item.alias, describe(item.expr, name), span=item.span)
        for item, name in zip(select.items, names, strict=True)
    )
    return replace(select, items=items)


def output_name(item: SelectItem, number: int) -> str:
    """Return the name of item `number` (from 1): its alias, its column's name, its function's, or ``col3``."""
    if item.alias is not None:
        return item.alias.text
    match item.expr:
        case ColumnRef(column=column) | Aggregate(name="any_value", args=(ColumnRef(column=column),)):
            return column.name
        case FunctionCall(name="coalesce", args=(ColumnRef(column=column), *_), span=span) if not span.text:
            return column.name  # a column merged by FULL JOIN ... USING
        case FunctionCall(name=name) | Aggregate(name=name) | WindowCall(name=name):
            return name
        case Point(ra=FunctionCall(name=name)) if "." in name:
            return name.partition(".")[0]
        case Point() | Circle() | Distance() | Area() | Contains() | Intersects():
            return type(item.expr).__name__.lower()
        case PolygonShape():
            return "polygon"
        case Coordinate(axis=axis):
            return f"coord{axis}"
        case _:
            return f"col{number}"


def unique_names(names: Sequence[str]) -> list[str]:
    """Return `names`, those that repeat an earlier one, ignoring case, with a number added.

    >>> unique_names(["ra", "RA", "ra_2", "dec"])
    ['ra', 'RA_3', 'ra_2', 'dec']
    """
    wanted = {name.lower() for name in names}
    taken: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 2
        while unique.lower() in taken or (unique != name and unique.lower() in wanted):
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique.lower())
        result.append(unique)
    return result


def repeated(names: Iterable[str]) -> frozenset[str]:
    """Return the folded names that occur more than once."""
    seen: set[str] = set()
    twice: set[str] = set()
    for name in names:
        (twice if name.lower() in seen else seen).add(name.lower())
    return frozenset(twice)


def describe(expr: Expr, name: str) -> Column:
    """Return the description of a result column that holds `expr`."""
    match expr:
        case ColumnRef(column=column) | Aggregate(name="any_value", args=(ColumnRef(column=column),)):
            return column if column.name == name else replace(column, name=name)
        case ScalarQuery(query=query):
            return replace(query_columns(query)[0], name=name)
        case _:
            return Column(name=name, datatype=type_of(expr), unit=unit_of(expr), ucd=_ucd(expr))


_SAME_UNIT: Final = frozenset(
    {"abs", "ceiling", "floor", "round", "truncate", "min", "max", "avg", "sum", "any_value", "median", "quantile"}
    | {
        "lag",
        "lead",
        "first_value",
        "last_value",
        "stddev",
        "stddev_samp",
        "stddev_pop",
        "scisql_median",
        "scisql_percentile",
    }
)
"""Functions and aggregates whose value has the unit of the first argument."""

_SQUARED_UNIT: Final = frozenset({"variance", "var_samp", "var_pop"})

_FIXED_UNITS: Final = {"degrees": "deg", "radians": "rad", "acos": "rad", "asin": "rad", "atan": "rad", "atan2": "rad"}


def unit_of(expr: Expr) -> str | None:
    """Return the unit of a value, None if it has none or that is not known."""
    match expr:
        case ColumnRef(column=Column(unit=unit)) | InUnit(unit=unit):
            return unit
        case FunctionCall(name=name, args=args) | Aggregate(name=name, args=args) | WindowCall(name=name, args=args):
            return _call_unit(name, args)
        case Unary(operand=operand):
            return unit_of(operand)
        case Cast(operand=operand, target=target):
            return unit_of(operand) if target.is_numeric else None
        case Distance() | Coordinate() | Circle() | Point() | PolygonShape():
            return "deg"
        case Area():
            return "deg**2"
        case Binary(op=op, left=left, right=right):
            return _common_unit([left, right]) if op in {"+", "-"} else None
        case Case(branches=branches, default=default):
            return _common_unit([then for _, then in branches] + ([] if default is None else [default]))
        case _:
            return None


def _call_unit(name: str, args: Sequence[Expr]) -> str | None:
    if name == "coalesce":
        return _common_unit(args)
    if name in _SQUARED_UNIT:
        return _squared(unit_of(args[0]))
    return unit_of(args[0]) if name in _SAME_UNIT else _FIXED_UNITS.get(name)


def _squared(unit: str | None) -> str | None:
    """Return the square of a simple unit, as VOUnit writes it; None of a compound one."""
    return f"{unit}**2" if unit is not None and unit.isalpha() else None


def _common_unit(exprs: Iterable[Expr]) -> str | None:
    """Return the unit that all of `exprs` share, literals fitting any."""
    units = {unit_of(expr) for expr in exprs if not isinstance(expr, LITERALS)}
    return units.pop() if len(units) == 1 else None


def _ucd(expr: Expr) -> str | None:
    match expr:
        case Aggregate(name="min" | "max" | "any_value", args=(ColumnRef(column=column),)):
            return column.ucd
        case WindowCall(name="lag" | "lead" | "first_value" | "last_value", args=(ColumnRef(column=column), *_)):
            return column.ucd
        case Aggregate(name="count") | WindowCall(name="count"):
            return "meta.number"
        case Distance():
            return "pos.angDistance"
        case Coordinate(axis=axis):
            return "pos.eq.ra" if axis == 1 else "pos.eq.dec"
        case _:
            return None
