"""IN_UNIT: one constant factor, found when the query is resolved (ADQL 2.1 section 4.6.1).

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import ColumnRef
>>> convert_units(InUnit(ColumnRef(0, Column(name="dec", datatype=DataType.DOUBLE, unit="deg")), "arcsec")).factor
3600.0
"""

from dataclasses import replace
from typing import Any

from ...exceptions import QueryTypeError
from ...models.tree import Expr, InUnit, Span
from ..errors import error_at
from ..rewrite import map_children
from ..types import type_of
from .describe import unit_of

__all__ = ["convert_units"]


def convert_units(expr: Expr) -> Expr:
    """Return `expr` with the factor of each IN_UNIT filled in.

    Raises
    ------
    QueryTypeError
        If the operand has no unit, or a unit is unknown, or one cannot be converted to the other by a factor.
    """
    mapped = map_children(expr, convert_units)
    if not isinstance(mapped, InUnit):
        return mapped
    if not type_of(mapped.operand).is_numeric:
        raise error_at(QueryTypeError, "IN_UNIT needs a number.", mapped.operand.span)
    source = unit_of(mapped.operand)
    if source is None:
        message = "the first argument of IN_UNIT has no unit."
        raise error_at(QueryTypeError, message, mapped.operand.span, remedy="It takes a column that has one.")
    return replace(mapped, factor=_factor(source, mapped.unit, mapped.span))


def _factor(source: str, target: str, span: Span) -> float:
    from astropy import units  # noqa: PLC0415  # heavy, and few queries need it

    try:
        return float(_unit(units, source).to(_unit(units, target)))
    except (ValueError, TypeError, units.UnitConversionError):
        message = f"IN_UNIT cannot convert '{source}' to '{target}'."
        raise error_at(QueryTypeError, message, span) from None


def _unit(units: Any, name: str) -> Any:
    """Return a unit written as VOUnit says, or in another way that astropy knows."""
    try:
        return units.Unit(name, format="vounit")
    except ValueError:
        return units.Unit(name)
