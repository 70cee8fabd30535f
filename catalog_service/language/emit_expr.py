"""Expressions to SQL, typed and in parentheses.

Integers are computed as 64-bit integers, everything else as doubles, stored 32-bit floats included. A comparison means
what it says about the stored numbers: a FLOAT column is compared with a decimal literal as doubles, as in PostgreSQL,
MySQL and Qserv, so ``mag < 18.1`` does not hold for the float next to 18.1, which is larger. Comparisons with constants
are written in the column's own type, with the constant rounded to the side that keeps the answer, because then the
statistics of files and row groups apply.
"""

import math
from collections.abc import Callable, Collection
from typing import Final

import numpy as np

from ..models.schema import DataType
from ..models.tree import (
    Aggregate,
    And,
    Area,
    Between,
    Binary,
    BooleanLiteral,
    Case,
    Cast,
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
    IsNull,
    Like,
    Not,
    NullLiteral,
    Or,
    Point,
    PolygonShape,
    Query,
    RealLiteral,
    ScalarQuery,
    StringLiteral,
    Unary,
)
from .emit_geometry import contains, distance_test, geometry_value
from .functions import FUNCTIONS, Kind
from .rewrite import LITERALS
from .sqltext import bound, double, quoted, text
from .types import SQL_TYPES, common_type, query_columns, type_of

__all__ = ["ExpressionWriter"]

_FLOAT_MAX: Final = float(np.finfo(np.float32).max)
_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1


class ExpressionWriter:
    """Writes resolved expressions.

    Parameters
    ----------
    write_query
        Writes a subquery.
    finite
        Columns, as (source, name), that are known to hold neither NULL nor infinities.
    """

    def __init__(self, write_query: Callable[[Query], str], finite: Collection[tuple[int, str]]) -> None:
        self._write_query = write_query
        self._finite = finite

    def value(self, expr: Expr) -> str:
        """Return SQL for `expr`; its DuckDB type is that of `type_of`."""
        match expr:
            case IntegerLiteral(value=value):
                return _integer(value)
            case RealLiteral(value=value):
                return double(value)
            case StringLiteral(value=value):
                return text(value)
            case BooleanLiteral(value=value):
                return "true" if value else "false"
            case NullLiteral():
                return "NULL"
            case ColumnRef(source=source, column=column):
                return f'"t{source}".{quoted(column.name)}'
            case Unary(operand=operand):
                sign = "-" if expr.op == "-" else ""
                return f"({sign}{self._computed(operand, type_of(expr))})"
            case Binary():
                return self._binary(expr)
            case FunctionCall():
                return self._function(expr)
            case Aggregate():
                return self._aggregate(expr)
            case Cast():
                return self._cast(expr)
            case Case():
                return self._case(expr)
            case ScalarQuery(query=query):
                return f"({self._write_query(query)})"
            case Contains():
                return f"CAST({contains(expr, self._degrees)} AS INTEGER)"
            case Point() | Circle() | PolygonShape() | Distance() | Coordinate() | Area():
                return geometry_value(expr, self._degrees)
            case _:
                return self._condition(expr)

    def _condition(self, expr: Expr) -> str:
        match expr:
            case And(operands=operands):
                return f"({' AND '.join(self.value(operand) for operand in operands)})"
            case Or(operands=operands):
                return f"({' OR '.join(self.value(operand) for operand in operands)})"
            case Not(operand=operand):
                return f"(NOT {self.value(operand)})"
            case Comparison(op=op, left=left, right=right):
                return self._comparison(op, left, right)
            case Between():
                return self._between(expr)
            case InList():
                return self._in_list(expr)
            case InQuery():
                return self._in_query(expr)
            case Like(operand=operand, pattern=pattern):
                word = "ILIKE" if expr.ignore_case else "LIKE"
                return _negated(f"({self.value(operand)} {word} {self.value(pattern)})", expr.negated)
            case IsNull(operand=operand, negated=negated):
                return f"({self.value(operand)} IS {'NOT ' if negated else ''}NULL)"
            case Exists(query=query):
                return f"EXISTS ({self._write_query(query)})"
            case _:
                raise TypeError(expr)

    # --- types ---

    def _typed(self, expr: Expr, kind: DataType) -> str:
        """Return SQL for `expr` as a value of type `kind`."""
        if type_of(expr) in {kind, DataType.NULL}:
            return self.value(expr)
        if kind is DataType.DOUBLE and isinstance(expr, IntegerLiteral):
            return double(float(expr.value))
        return f"CAST({self.value(expr)} AS {SQL_TYPES[kind]})"

    def _computed(self, expr: Expr, kind: DataType) -> str:
        """Return SQL for an operand of arithmetic done in `kind`: stored integers may be narrower than they say."""
        if kind is DataType.LONG and isinstance(expr, ColumnRef | IntegerLiteral | NullLiteral):
            return f"CAST({self.value(expr)} AS BIGINT)"
        if isinstance(expr, NullLiteral):
            return f"CAST(NULL AS {SQL_TYPES[kind]})"
        return self._typed(expr, kind)

    def _degrees(self, expr: Expr) -> str:
        """Return a coordinate: a DOUBLE, NULL where it is not finite."""
        sql = self._computed(expr, DataType.DOUBLE)
        known = isinstance(expr, ColumnRef) and (expr.source, expr.column.name) in self._finite
        if known or type_of(expr).is_integer or isinstance(expr, LITERALS):
            return sql
        return bound("CASE WHEN isfinite({0}) THEN {0} END", sql)

    # --- values ---

    def _binary(self, expr: Binary) -> str:
        kind = type_of(expr)
        left, right = (self._computed(operand, kind) for operand in (expr.left, expr.right))
        if expr.op == "||":
            return f"({left} || {right})"
        if expr.op == "/":
            template = "CASE WHEN {1} <> 0 THEN {0} // {1} END"
            return f"({bound(template if kind is DataType.LONG else _FINITE_QUOTIENT, left, right)})"
        plain = f"{{0}} {expr.op} {{1}}"
        literal = isinstance(expr.left, LITERALS) or isinstance(expr.right, LITERALS)
        if kind is DataType.LONG or (literal and expr.op != "*"):
            return f"({left} {expr.op} {right})"
        # infinities of both sides may meet in a NaN, which would compare as the largest number
        return f"({bound(f'CASE WHEN NOT isnan({plain}) THEN {plain} END', left, right)})"

    def _function(self, call: FunctionCall) -> str:
        function = FUNCTIONS[call.name]
        if call.name == "coordsys":
            return geometry_value(call, self._degrees)
        kind = type_of(call)
        if call.name == "coalesce":
            return f"coalesce({', '.join(self._typed(arg, kind) for arg in call.args)})"
        args = [self._argument(arg, function.kind(index), kind) for index, arg in enumerate(call.args)]
        exact = function.integer_template is not None and kind is DataType.LONG
        template = function.integer_template if exact else function.templates[len(args)]
        assert template is not None
        return f"({bound(template, *args)})"

    def _argument(self, arg: Expr, kind: Kind, result: DataType) -> str:
        match kind:
            case Kind.NUMBER:
                return self._computed(arg, DataType.DOUBLE)
            case Kind.EXACT:
                return self._computed(arg, result)
            case Kind.DIGITS:
                return f"CAST({self.value(arg)} AS INTEGER)"
            case Kind.TEXT | Kind.ANY:
                return self._computed(arg, DataType.TEXT)

    def _aggregate(self, call: Aggregate) -> str:
        distinct = "DISTINCT " if call.distinct else ""
        if not call.args:
            return "count(*)"
        arg = call.args[0]
        match call.name:
            case "sum" if type_of(call) is DataType.LONG:
                return f"CAST(sum({distinct}{self.value(arg)}) AS BIGINT)"
            case "sum" | "avg" if not type_of(arg).is_integer:
                plain = f"{call.name}({distinct}{self._computed(arg, DataType.DOUBLE)})"
                return f"(CASE WHEN NOT isnan({plain}) THEN {plain} END)"
            case "any_value":
                return f"min({self.value(arg)})"
            case name:
                return f"{name}({distinct}{self.value(arg)})"

    def _cast(self, cast: Cast) -> str:
        operand = self.value(cast.operand)
        if cast.target is not DataType.TEXT:
            return f"CAST({operand} AS {SQL_TYPES[cast.target]})"
        written = f"CAST({operand} AS VARCHAR)"
        if type_of(cast.operand) is DataType.TIMESTAMP:
            written = f"replace({written}, ' ', 'T')"
        return written if cast.length is None else f"left({written}, {cast.length})"

    def _case(self, case: Case) -> str:
        kind = type_of(case)
        # DuckDB repeats the operand in each branch; it is a column, or the tree would have been refused
        if case.operand is None:
            whens = [self.value(when) for when, _ in case.branches]
        else:
            whens = [self._comparison("=", case.operand, when) for when, _ in case.branches]
        thens = [self._typed(then, kind) for _, then in case.branches]
        parts = [f"WHEN {when} THEN {then}" for when, then in zip(whens, thens, strict=True)]
        default = [] if case.default is None else [f"ELSE {self._typed(case.default, kind)}"]
        return f"(CASE {' '.join(parts + default)} END)"

    # --- conditions ---

    def _comparison(self, op: str, left: Expr, right: Expr) -> str:
        number = _number(right)
        if number is not None:
            if isinstance(left, Contains) and number in {0, 1} and op in {"=", "<>"}:
                inside = contains(left, self._degrees)
                return inside if (number == 1) == (op == "=") else f"(NOT {inside})"
            if isinstance(left, Distance):
                return distance_test(op, left, float(number), self._degrees)
            exact = self._with_constant(op, left, number)
            if exact is not None:
                return exact
        kind = common_type([type_of(left), type_of(right)])
        if kind is not None and not kind.is_integer:
            return f"({self._typed(left, kind)} {op} {self._typed(right, kind)})"
        return f"({self.value(left)} {op} {self.value(right)})"

    def _with_constant(self, op: str, left: Expr, number: float) -> str | None:
        """Return a comparison with a constant in the type of `left`, None where doubles compare exactly anyway."""
        kind = type_of(left)
        if kind is DataType.FLOAT:
            rounded = _float_bound(op, float(number))
            return None if rounded is None else f"({self.value(left)} {rounded})"
        if kind.is_integer and isinstance(number, float):
            rounded = _integer_bound(op, number)
            return None if rounded is None else f"({self.value(left)} {rounded})"
        return None

    def _between(self, expr: Between) -> str:
        low, high = expr.low, expr.high
        simple = isinstance(expr.operand, ColumnRef) or isinstance(expr.operand, LITERALS)
        if simple or isinstance(expr.operand, Distance):
            both = [self._comparison(op, expr.operand, limit) for op, limit in ((">=", low), ("<=", high))]
            return _negated(f"({both[0]} AND {both[1]})", expr.negated)
        kind = common_type([type_of(expr.operand), type_of(low), type_of(high)])
        assert kind is not None
        value, least, most = (self._typed(part, kind) for part in (expr.operand, low, high))
        return _negated(f"({value} BETWEEN {least} AND {most})", expr.negated)

    def _in_list(self, expr: InList) -> str:
        kind = common_type([type_of(expr.operand), *map(type_of, expr.items)])
        assert kind is not None
        items = expr.items
        if type_of(expr.operand).is_integer and not kind.is_integer:
            whole = _whole_numbers(items)
            if whole is not None:
                kind, items = DataType.LONG, whole
        if kind.is_numeric and not kind.is_integer:
            kind = DataType.DOUBLE
        operand = self.value(expr.operand) if kind.is_integer else self._typed(expr.operand, kind)
        if kind.is_integer:
            listed = ", ".join(self.value(item) for item in items)
        else:
            listed = ", ".join(self._typed(item, kind) for item in items)
        return _negated(f"({operand} IN ({listed}))", expr.negated)

    def _in_query(self, expr: InQuery) -> str:
        kind = common_type([type_of(expr.operand), query_columns(expr.query)[0].datatype])
        assert kind is not None
        operand = self.value(expr.operand) if kind.is_integer else self._typed(expr.operand, kind)
        return _negated(f"({operand} IN ({self._write_query(expr.query)}))", expr.negated)


_FINITE_QUOTIENT: Final = "CASE WHEN isfinite({0} / {1}) THEN {0} / {1} END"


def _integer(value: int) -> str:
    return f"CAST({value} AS BIGINT)" if value == _LONG_MIN else f"({value})" if value < 0 else str(value)


def _number(expr: Expr) -> float | None:
    return expr.value if isinstance(expr, IntegerLiteral | RealLiteral) else None


def _negated(sql: str, negated: bool) -> str:  # noqa: FBT001
    return f"(NOT {sql})" if negated else sql


def _float_bound(op: str, number: float) -> str | None:
    """Return the comparison of 32-bit floats that holds exactly where that with the double `number` does.

    >>> _float_bound("<", 0.5), _float_bound("<", 18.1)
    ('< CAST(0.5e0 AS FLOAT)', '<= CAST(18.099998474121094e0 AS FLOAT)')
    """
    if op in {"=", "<>"}:
        exact = abs(number) <= _FLOAT_MAX and float(np.float32(number)) == number
        return f"{op} {_float(number)}" if exact else None
    with np.errstate(over="ignore"):
        nearest = np.float32(number)
    if float(nearest) == number:
        return f"{op} {_float(number)}"
    below = op in {"<", "<="}
    beyond = float(nearest) > number if below else float(nearest) < number
    if beyond:
        nearest = np.nextafter(nearest, np.float32(-math.inf if below else math.inf))
    return f"{'<=' if below else '>='} {_float(float(nearest))}"


def _float(value: float) -> str:
    return f"CAST({double(value).strip('()')} AS FLOAT)" if math.isfinite(value) else f"CAST('{value}' AS FLOAT)"


def _integer_bound(op: str, number: float) -> str | None:
    """Return the comparison of integers that holds exactly where that with the double `number` does.

    >>> _integer_bound("<", 2.5), _integer_bound(">=", 1e300), _integer_bound("=", 3.0)
    ('<= 2', '> 9223372036854775807', '= 3')
    """
    if number >= _LONG_MAX:  # as a double it is 2**63
        return f"{'<=' if op in {'<', '<=', '<>'} else '>'} {_LONG_MAX}"
    if number < _LONG_MIN:
        return f"{'>=' if op in {'>', '>=', '<>'} else '<'} {_integer(_LONG_MIN)}"
    if number.is_integer():
        return f"{op} {_integer(int(number))}"
    if op in {"=", "<>"}:
        return None
    return f"<= {_integer(math.floor(number))}" if op in {"<", "<="} else f">= {_integer(math.ceil(number))}"


def _whole_numbers(items: tuple[Expr, ...]) -> tuple[Expr, ...] | None:
    """Return a list of numbers as integers, None if one of them is no literal of a whole 64-bit number."""
    whole: list[Expr] = []
    for item in items:
        match item:
            case IntegerLiteral() | NullLiteral():
                whole.append(item)
            case RealLiteral(value=value) if value.is_integer() and _LONG_MIN <= value < _LONG_MAX:
                whole.append(IntegerLiteral(int(value), span=item.span))
            case _:
                return None
    return tuple(whole)
