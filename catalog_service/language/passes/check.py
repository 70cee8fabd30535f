"""Operand types: what does not fit is an error here, with its place, not one of the engine later.

>>> from ...models.tree import Binary, IntegerLiteral, StringLiteral
>>> check(Binary("+", IntegerLiteral(1), StringLiteral("a")))
Traceback (most recent call last):
...
catalog_service.exceptions.QueryTypeError: + needs numbers, not a text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ...exceptions import QueryRefusedError, QueryTypeError
from ...models.comparisons import constant
from ...models.schema import DataType
from ...models.tree import (
    Aggregate,
    And,
    Between,
    Binary,
    Case,
    Cast,
    Comparison,
    Contains,
    Expr,
    FunctionCall,
    InList,
    InQuery,
    IntegerLiteral,
    Intersects,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    ScalarQuery,
    StringLiteral,
    Unary,
    WindowCall,
)
from ..errors import error_at
from ..function import Kind
from ..functions import AGGREGATES, FUNCTIONS
from ..rewrite import LITERALS, walk_expression
from ..scisql_htm import POLYGON_BYTES
from ..types import GEOMETRIES, common_type, is_array, query_columns, type_of, type_word
from ..windows import ROW_FUNCTIONS

__all__ = ["check", "require_condition", "require_sortable"]

_MAX_INTEGER: Final = 2**63 - 1
_MOST_ROWS: Final = 2**31

_CASE_OPERAND_NODES: Final = 20
"""SQL repeats the operand of a simple CASE in each branch; nested long ones would grow without bounds."""

_UNORDERED: Final = GEOMETRIES | {DataType.BINARY}


def check(expr: Expr) -> Expr:
    """Return `expr` as it is.

    Raises
    ------
    QueryTypeError
        If a part of it has operands or arguments of types that do not fit.
    QueryRefusedError
        If a part of it is nothing that this service can do.
    """
    for part in walk_expression(expr):
        check_part = _CHECKS.get(type(part))
        if check_part is not None:
            check_part(part)
    return expr


def require_condition(expr: Expr) -> None:
    """Refuse a value where a condition is needed."""
    kind = type_of(expr)
    if kind in {DataType.BOOLEAN, DataType.NULL} and not is_array(expr):
        return
    if isinstance(expr, Contains | Intersects):
        name = type(expr).__name__.upper()
        message = f"{name} gives 1 or 0, not a condition."
        raise error_at(QueryTypeError, message, expr.span, remedy=f"Compare it: {name}(...) = 1.")
    remedy = "Compare it with a number, or write IS NOT NULL." if kind.is_numeric else None
    raise error_at(QueryTypeError, f"a condition is needed here, not {_kind_word(expr)}.", expr.span, remedy=remedy)


def require_sortable(expr: Expr, what: str) -> None:
    """Refuse what has no order: geometries, binary data and arrays."""
    if type_of(expr) in _UNORDERED or is_array(expr):
        raise error_at(QueryTypeError, f"{what} cannot use {_kind_word(expr)}.", expr.span)


def _kind_word(expr: Expr) -> str:
    return "an array" if is_array(expr) else type_word(type_of(expr))


def _numbers(what: str, exprs: Iterable[Expr]) -> None:
    for expr in exprs:
        if is_array(expr) or not (type_of(expr).is_numeric or type_of(expr) is DataType.NULL):
            raise error_at(QueryTypeError, f"{what} needs numbers, not {_kind_word(expr)}.", expr.span)


def _texts(what: str, exprs: Iterable[Expr]) -> None:
    for expr in exprs:
        if is_array(expr) or type_of(expr) not in {DataType.TEXT, DataType.NULL}:
            message = f"{what} needs texts, not {_kind_word(expr)}."
            raise error_at(QueryTypeError, message, expr.span, remedy="CAST(value AS VARCHAR) makes a text.")


def _comparable(what: str, exprs: Sequence[Expr]) -> None:
    for expr in exprs:
        if is_array(expr) or type_of(expr) in _UNORDERED:
            message = f"{what} cannot compare {_kind_word(expr)}."
            remedy = "Use CONTAINS, INTERSECTS or DISTANCE." if type_of(expr) in GEOMETRIES else None
            raise error_at(QueryTypeError, message, expr.span, remedy=remedy)
    first = exprs[0]
    for other in exprs[1:]:
        if common_type([type_of(first), type_of(other)]) is None:
            message = f"{what} cannot compare {_kind_word(first)} with {_kind_word(other)}."
            raise error_at(QueryTypeError, message, other.span, remedy=_comparison_remedy(first, other))


def _comparison_remedy(first: Expr, other: Expr) -> str:
    for text, value in ((first, other), (other, first)):
        if isinstance(text, StringLiteral) and type_of(value).is_numeric:
            return "Write numbers without quotes."
    if {type_of(first), type_of(other)} >= {DataType.TIMESTAMP} and any(
        type_of(one).is_numeric for one in (first, other)
    ):
        return "Write the time in quotes, like '2026-01-31T12:00:00'; an MJD is compared with a column of MJDs."
    return "CAST one of them to the type of the other."


def _in_query(expr: InQuery) -> None:
    columns = query_columns(expr.query)
    _single_column(columns, expr)
    kind = type_of(expr.operand)
    unfit = is_array(expr.operand) or columns[0].is_array or {kind, columns[0].datatype} & _UNORDERED
    if unfit or common_type([kind, columns[0].datatype]) is None:
        message = f"IN cannot compare {_kind_word(expr.operand)} with {type_word(columns[0].datatype)}."
        raise error_at(QueryTypeError, message, expr.operand.span)


def _single_column(columns: Sequence[object], expr: InQuery | ScalarQuery) -> None:
    if len(columns) != 1:
        message = f"this subquery must have one column; it has {len(columns)}."
        raise error_at(QueryTypeError, message, expr.query.span)


def _function(call: FunctionCall) -> None:
    function = FUNCTIONS[call.name]
    name = call.name.removeprefix("mysql_").partition(".")[0].upper()
    if name == "COORDSYS":
        return
    if call.name == POLYGON_BYTES:
        message = "scisql_s2CPolyToBin stands in calls of scisql_s2PtInCPoly only: its bytes are no result here."
        remedy = "Write scisql_s2PtInCPoly(lon, lat, scisql_s2CPolyToBin(...)), or keep the corners."
        raise error_at(QueryRefusedError, message, call.span, remedy=remedy)
    for index, arg in enumerate(call.args):
        _argument(name, function.kind(index), arg)
    if function.is_common and common_type(map(type_of, call.args)) is None:
        raise error_at(QueryTypeError, f"the arguments of {name} have no common type.", call.span)


def _argument(name: str, kind: Kind, arg: Expr) -> None:
    match kind:
        case Kind.NUMBER | Kind.EXACT | Kind.BITS:
            _numbers(name, [arg])
        case Kind.DIGITS | Kind.WHOLE:
            if not (type_of(arg).is_integer or type_of(arg) is DataType.NULL):
                message = f"{name} needs an integer here, not {_kind_word(arg)} of type {type_of(arg).value}."
                raise error_at(QueryTypeError, message, arg.span)
        case Kind.TEXT:
            _texts(name, [arg])
        case Kind.KEY | Kind.MOMENT:
            _identifies(name, kind, arg)
        case Kind.ANY:
            require_sortable(arg, name)
        case Kind.FRACTION | Kind.PERCENT | Kind.QUOTED:
            _constant(name, kind, arg)


def _identifies(name: str, kind: Kind, arg: Expr) -> None:
    """Refuse what is no id, or no time."""
    found, is_time = type_of(arg), kind is Kind.MOMENT
    fits = found is DataType.TIMESTAMP if is_time else found.is_integer
    if is_array(arg) or not (fits or found in _TEXT_LIKE):
        needed = "a timestamp" if is_time else "an integer or a text, such as an id"
        message = f"{name} needs {needed}, not {_kind_word(arg)}."
        raise error_at(QueryTypeError, message, arg.span, remedy=_MOMENT_REMEDY if is_time else None)


def _aggregate(call: Aggregate) -> None:
    name, aggregation = call.name.upper(), AGGREGATES[call.name]
    if call.distinct and len(call.args) > 1 and aggregation.params[1] is Kind.NUMBER:
        raise error_at(QueryTypeError, f"{name} takes pairs of values, which cannot be DISTINCT.", call.span)
    for kind, arg in zip(aggregation.params, call.args, strict=False):
        if kind in _CONSTANTS:
            _constant(name, kind, arg)
        elif kind is Kind.TEXT:
            _texts(name, [arg])
        elif aggregation.numeric:
            _numbers(name, [arg])
        elif name in {"MIN", "MAX"} or call.distinct:
            require_sortable(arg, name)
        elif type_of(arg) in GEOMETRIES and name == "COUNT":
            raise error_at(QueryTypeError, "COUNT takes a column or value, not a geometry.", arg.span)


def _window(call: WindowCall) -> None:
    name = call.name.upper()
    if call.name not in ROW_FUNCTIONS:
        _aggregate(Aggregate(call.name, call.args, call.distinct, span=call.span))
    else:
        for kind, arg in zip(ROW_FUNCTIONS[call.name].params, call.args, strict=False):
            if kind is Kind.DIGITS and not (isinstance(arg, IntegerLiteral) and 0 < arg.value < _MOST_ROWS):
                raise error_at(QueryTypeError, f"{name} needs a constant positive integer here.", arg.span)
            if kind is Kind.ANY:
                require_sortable(arg, name)
    if call.rows is not None and call.rows.needs_number:
        if len(call.order_by) != 1:
            message = "RANGE with a distance needs a window that is sorted by one number."
            raise error_at(QueryTypeError, message, call.span, remedy="ROWS counts rows.")
        _numbers("RANGE with a distance", [call.order_by[0].expr])
    for key in (*call.partition_by, *(item.expr for item in call.order_by)):
        if isinstance(key, LITERALS):
            message = "PARTITION BY and ORDER BY of a window take columns and expressions, no constants or positions."
            raise error_at(QueryTypeError, message, key.span)
        require_sortable(key, "a window")


_CONSTANTS: Final = {Kind.FRACTION: 1.0, Kind.PERCENT: 100.0, Kind.QUOTED: None}
"""Kinds of arguments that are constants, and how large they may be."""


def _constant(name: str, kind: Kind, arg: Expr) -> None:
    """Refuse what is not a constant of its kind."""
    most, number = _CONSTANTS[kind], constant(arg)
    if not (isinstance(arg, StringLiteral) if most is None else number is not None and 0 <= number <= most):
        raise error_at(QueryTypeError, f"{name} needs a {kind.value} here.", arg.span)


_MOMENT_REMEDY: Final = "Write it like '2026-01-31 12:00:00'. A date in days, such as an MJD, is a plain number."

_TEXT_LIKE: Final = frozenset({DataType.TEXT, DataType.NULL})


def _cast(cast: Cast) -> None:
    source = type_of(cast.operand)
    if is_array(cast.operand) or source in _UNORDERED:
        raise error_at(QueryTypeError, f"CAST cannot convert {_kind_word(cast.operand)}.", cast.operand.span)
    if cast.target in GEOMETRIES:
        message = f"CAST AS {cast.target.name} takes a text in quotes here."
        raise error_at(QueryRefusedError, message, cast.span)
    numeric = cast.target.is_numeric and (source.is_numeric or source is DataType.BOOLEAN)
    dated = cast.target is DataType.TIMESTAMP and source is DataType.TIMESTAMP
    if not (source in _TEXT_LIKE or cast.target is DataType.TEXT or numeric or dated):
        message = f"CAST cannot convert {_kind_word(cast.operand)} to {type_word(cast.target)}."
        raise error_at(QueryTypeError, message, cast.span)


def _case(case: Case) -> None:
    results = [then for _, then in case.branches] + ([] if case.default is None else [case.default])
    for result in results:
        require_sortable(result, "CASE")
    if common_type(map(type_of, results)) is None:
        raise error_at(QueryTypeError, "the results of CASE have no common type.", case.span)
    if case.operand is not None:
        if sum(1 for _ in walk_expression(case.operand)) > _CASE_OPERAND_NODES:
            message = "the operand after CASE is too long; it would be computed for each branch."
            raise error_at(QueryRefusedError, message, case.operand.span, remedy="Compute it in a subquery.")
        _comparable("CASE", [case.operand, *(when for when, _ in case.branches)])
        return
    for when, _ in case.branches:
        require_condition(when)


def _integer(literal: IntegerLiteral) -> None:
    if literal.value > _MAX_INTEGER:
        message = f"{literal.value} does not fit into a 64-bit integer."
        raise error_at(QueryTypeError, message, literal.span, remedy="Write it with a decimal point for a double.")


def _binary(expr: Binary) -> None:
    (_texts if expr.op == "||" else _numbers)(expr.op, [expr.left, expr.right])


def _logical(expr: And | Or) -> None:
    for operand in expr.operands:
        require_condition(operand)


def _is_null(expr: IsNull) -> None:
    if type_of(expr.operand) in GEOMETRIES:
        raise error_at(QueryTypeError, "IS NULL takes a column or value, not a geometry.", expr.operand.span)


_CHECKS: Final[Mapping[type[Node], Callable[[Any], None]]] = {
    IntegerLiteral: _integer,
    Unary: lambda expr: _numbers(expr.op, [expr.operand]),
    Binary: _binary,
    And: _logical,
    Or: _logical,
    Not: lambda expr: require_condition(expr.operand),
    Comparison: lambda expr: _comparable(expr.op, [expr.left, expr.right]),
    Between: lambda expr: _comparable("BETWEEN", [expr.operand, expr.low, expr.high]),
    InList: lambda expr: _comparable("IN", [expr.operand, *expr.items]),
    InQuery: _in_query,
    Like: lambda expr: _texts("ILIKE" if expr.ignore_case else "LIKE", [expr.operand, expr.pattern]),
    IsNull: _is_null,
    FunctionCall: _function,
    Aggregate: _aggregate,
    WindowCall: _window,
    Cast: _cast,
    Case: _case,
    ScalarQuery: lambda expr: _single_column(query_columns(expr.query), expr),
}
"""What is asked of each kind of node."""
