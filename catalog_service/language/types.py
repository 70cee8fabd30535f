"""Types of resolved expressions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from ..models.schema import Column, DataType
from ..models.tree import (
    Aggregate,
    And,
    Area,
    Between,
    Binary,
    BooleanLiteral,
    BoxShape,
    Case,
    Cast,
    Centroid,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Coordinate,
    Distance,
    Exists,
    Expr,
    FunctionCall,
    InList,
    InQuery,
    IntegerLiteral,
    Intersects,
    InUnit,
    IsNull,
    Like,
    Node,
    Not,
    NullLiteral,
    Or,
    Point,
    PolygonShape,
    Query,
    RealLiteral,
    RegionColumn,
    RegionLiteral,
    ScalarQuery,
    Select,
    SetOperation,
    StringLiteral,
    Unary,
    WindowCall,
)
from .functions import AGGREGATES, FUNCTIONS
from .windows import ROW_FUNCTIONS

__all__ = [
    "GEOMETRIES",
    "SQL_TYPES",
    "common_type",
    "is_array",
    "numeric_type",
    "query_columns",
    "type_of",
    "type_word",
]

GEOMETRIES: Final = frozenset({DataType.POINT, DataType.CIRCLE, DataType.POLYGON})

SQL_TYPES: Final = {
    DataType.BOOLEAN: "BOOLEAN",
    DataType.BYTE: "UTINYINT",
    DataType.SHORT: "SMALLINT",
    DataType.INT: "INTEGER",
    DataType.LONG: "BIGINT",
    DataType.FLOAT: "FLOAT",
    DataType.DOUBLE: "DOUBLE",
    DataType.TEXT: "VARCHAR",
    DataType.TIMESTAMP: "TIMESTAMP",
    DataType.BINARY: "BLOB",
    DataType.POINT: "DOUBLE[2]",
    DataType.CIRCLE: "DOUBLE[3]",
    DataType.POLYGON: "DOUBLE[]",
    DataType.NULL: "VARCHAR",
}
"""DuckDB's spelling of each type."""

_WORDS: Final = {
    DataType.BOOLEAN: "a BOOLEAN",
    DataType.TEXT: "a text",
    DataType.TIMESTAMP: "a timestamp",
    DataType.BINARY: "binary data",
    DataType.POINT: "a point",
    DataType.CIRCLE: "a circle",
    DataType.POLYGON: "a polygon",
    DataType.NULL: "NULL",
}

_RANKS: Final = (DataType.BYTE, DataType.SHORT, DataType.INT, DataType.LONG)


def type_word(datatype: DataType) -> str:
    """Return a type in the words of messages."""
    return _WORDS.get(datatype, "a number")


_FIXED: Final[Mapping[type[Node], DataType]] = {
    RealLiteral: DataType.DOUBLE,
    StringLiteral: DataType.TEXT,
    BooleanLiteral: DataType.BOOLEAN,
    NullLiteral: DataType.NULL,
    InUnit: DataType.DOUBLE,
    Distance: DataType.DOUBLE,
    Coordinate: DataType.DOUBLE,
    Area: DataType.DOUBLE,
    Contains: DataType.INT,
    Intersects: DataType.INT,
    Point: DataType.POINT,
    Centroid: DataType.POINT,
    Circle: DataType.CIRCLE,
    PolygonShape: DataType.POLYGON,
    BoxShape: DataType.POLYGON,
    RegionLiteral: DataType.POLYGON,
    RegionColumn: DataType.POLYGON,
    And: DataType.BOOLEAN,
    Or: DataType.BOOLEAN,
    Not: DataType.BOOLEAN,
    Comparison: DataType.BOOLEAN,
    Between: DataType.BOOLEAN,
    InList: DataType.BOOLEAN,
    InQuery: DataType.BOOLEAN,
    Like: DataType.BOOLEAN,
    IsNull: DataType.BOOLEAN,
    Exists: DataType.BOOLEAN,
}
"""Types of nodes that have one whatever their operands are."""


def type_of(expr: Expr) -> DataType:
    """Return the type of a resolved expression; `NULL` for the bare literal."""
    fixed = _FIXED.get(type(expr))
    if fixed is not None:
        return fixed
    match expr:
        case ColumnRef():
            return expr.column.datatype
        case IntegerLiteral():
            return DataType.INT if -(2**31) <= expr.value < 2**31 else DataType.LONG
        case Unary() | Binary():
            return _arithmetic_type(expr)
        case FunctionCall():
            return _function_type(expr)
        case Aggregate() | WindowCall():
            return _aggregate_type(expr)
        case Cast():
            return expr.target
        case Case():
            return _case_type(expr)
        case ScalarQuery():
            return query_columns(expr.query)[0].datatype
        case _:
            message = f"{type(expr).__name__} has no type before resolution"
            raise TypeError(message)


def is_array(expr: Expr) -> bool:
    """Return whether a value of `expr` is a list."""
    return isinstance(expr, ColumnRef) and expr.column.is_array


def numeric_type(exprs: Iterable[Expr]) -> DataType:
    """Return the type of arithmetic: 64-bit integer if all operands are integers, else double."""
    kinds = [type_of(expr) for expr in exprs]
    integers = all(kind.is_integer or kind is DataType.NULL for kind in kinds)
    return DataType.LONG if integers and not all(kind is DataType.NULL for kind in kinds) else DataType.DOUBLE


def common_type(types: Iterable[DataType]) -> DataType | None:
    """Return the type that all values of `types` can have, NULL fitting any; None if there is none.

    >>> common_type([DataType.INT, DataType.LONG]), common_type([DataType.LONG, DataType.FLOAT])
    (<DataType.LONG: 'long'>, <DataType.DOUBLE: 'double'>)
    """
    kinds = {kind for kind in types if kind is not DataType.NULL}
    if len(kinds) <= 1:
        return kinds.pop() if kinds else DataType.NULL
    if all(kind.is_integer for kind in kinds):
        return max(kinds, key=_RANKS.index)
    return DataType.DOUBLE if all(kind.is_numeric for kind in kinds) else None


def query_columns(query: Query) -> tuple[Column, ...]:
    """Return the result columns of a resolved query."""
    is_mixed = False
    while not isinstance(query, Select):
        is_mixed = is_mixed or isinstance(query, SetOperation)
        query = query.left if isinstance(query, SetOperation) else query.body
    columns = tuple(item.column for item in query.items if item.column is not None)
    if not is_mixed:
        return columns
    # a bound of the left operand's values is none of the other's
    return tuple(column if column.most is None else replace(column, most=None) for column in columns)


def _arithmetic_type(expr: Unary | Binary) -> DataType:
    if isinstance(expr, Unary):
        return numeric_type([expr.operand])
    return DataType.TEXT if expr.op == "||" else numeric_type([expr.left, expr.right])


def _case_type(expr: Case) -> DataType:
    values = [then for _, then in expr.branches] + ([] if expr.default is None else [expr.default])
    return common_type(map(type_of, values)) or DataType.NULL


def _function_type(call: FunctionCall) -> DataType:
    result = FUNCTIONS[call.name].result
    if result is not None:
        return result
    if FUNCTIONS[call.name].is_common:
        return common_type(map(type_of, call.args)) or DataType.NULL
    return numeric_type(call.args)


def _aggregate_type(call: Aggregate | WindowCall) -> DataType:
    if call.name in ROW_FUNCTIONS:
        return type_of(call.args[0]) if ROW_FUNCTIONS[call.name].gives_value else DataType.LONG
    result = AGGREGATES[call.name].result
    if result is not None:
        return result
    match call.name:
        case "count":
            return DataType.LONG
        case "avg":
            return DataType.DOUBLE
        case "sum":
            return numeric_type(call.args)
        case _:
            return type_of(call.args[0])
