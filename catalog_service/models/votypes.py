"""How types are spelled in VOTable, TAP_SCHEMA and VOSI tables (VOTable 1.4 section 2.1, DALI 1.1 section 3)."""

from dataclasses import dataclass

from .schema import Column, DataType

__all__ = ["VOType", "vo_type"]


@dataclass(frozen=True, slots=True)
class VOType:
    """A VOTable type."""

    datatype: str
    arraysize: str | None = None
    xtype: str | None = None


def vo_type(column: Column) -> VOType:
    """Return the VOTable type of a column."""
    match column.datatype:
        case DataType.TEXT | DataType.NULL:
            return VOType("char", "*")
        case DataType.TIMESTAMP:
            return VOType("char", "*", "timestamp")
        case DataType.BINARY:
            return VOType("unsignedByte", "*")
        case DataType.POINT:
            return VOType("double", "2", "point")
        case DataType.CIRCLE:
            return VOType("double", "3", "circle")
        case DataType.POLYGON:
            return VOType("double", "*", "polygon")
        case _:
            return VOType(column.datatype.value, "*" if column.is_array else None)
