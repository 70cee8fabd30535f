"""Expressions to SQL, typed and in parentheses.

Integers are computed as 64-bit integers, everything else as doubles, stored 32-bit floats included. A comparison means
what it says about the stored numbers: a FLOAT column is compared with a decimal literal as doubles, as in PostgreSQL,
MySQL and Qserv, so ``mag < 18.1`` does not hold for the float next to 18.1, which is larger. Comparisons with constants
are written in the column's own type, with the constant rounded to the side that keeps the answer, because then the
statistics of files and row groups apply.
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

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
    RowsFrame,
    ScalarQuery,
    StringLiteral,
    Unary,
    WindowCall,
)
from .emit_from import PositionColumns
from .emit_geometry import distance_test, geometry_value
from .emit_relations import relation
from .function import Kind
from .functions import AGGREGATES, FUNCTIONS
from .ivo import STORED_INDEX
from .rewrite import LITERALS
from .sqltext import bound, double, quoted, text
from .types import SQL_TYPES, common_type, is_array, numeric_type, query_columns, type_of
from .windows import ROW_FUNCTIONS, order_sql, rows_sql

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
    positions
        Columns that hold positions, and what is known of their values.
    keys
        What the SELECT is grouped by: such an expression must be written alike everywhere, or DuckDB would not know it
        again inside another.
    """

    def __init__(
        self, write_query: Callable[[Query], str], positions: PositionColumns, keys: Collection[Expr] = ()
    ) -> None:
        self._write_query = write_query
        self._positions = positions
        self._keys = keys
        self._writers = self._writers_by_class()

    def value(self, expr: Expr) -> str:
        """Return SQL for `expr`; its DuckDB type is that of `type_of`."""
        return self._writers[type(expr)](expr)

    def position(self, point: Point) -> tuple[str, str]:
        """Return RA and declination of a point: DOUBLEs in degrees, NULL where they are not finite."""
        return self._degrees(point.ra), self._degrees(point.dec)

    def _writers_by_class(self) -> Mapping[type[Node], Callable[[Any], str]]:
        geometry = dict.fromkeys(
            (Point, Circle, PolygonShape, Distance, Coordinate, Area),
            lambda expr: geometry_value(expr, self._degrees),
        )
        return geometry | {
            IntegerLiteral: lambda expr: _integer(expr.value),
            RealLiteral: lambda expr: double(expr.value),
            StringLiteral: lambda expr: text(expr.value),
            BooleanLiteral: lambda expr: "true" if expr.value else "false",
            NullLiteral: lambda _: "NULL",
            ColumnRef: self._column,
            Unary: self._arithmetic,
            Binary: self._arithmetic,
            FunctionCall: self._function,
            Aggregate: self._aggregate,
            WindowCall: self._window,
            Cast: self._cast,
            InUnit: lambda expr: f"({self._computed(expr.operand, DataType.DOUBLE)} * {double(expr.factor)})",
            Case: self._case,
            ScalarQuery: lambda expr: f"({self._write_query(expr.query)})",
            Contains: lambda expr: f"CAST({relation(expr, self._degrees, self.value)} AS INTEGER)",
            Intersects: lambda expr: f"CAST({relation(expr, self._degrees, self.value)} AS INTEGER)",
            And: lambda expr: f"({' AND '.join(self.value(operand) for operand in expr.operands)})",
            Or: lambda expr: f"({' OR '.join(self.value(operand) for operand in expr.operands)})",
            Not: lambda expr: f"(NOT {self.value(expr.operand)})",
            Comparison: lambda expr: self._comparison(expr.op, expr.left, expr.right),
            Between: self._between,
            InList: self._in_list,
            InQuery: self._in_query,
            Like: self._like,
            IsNull: lambda expr: f"({self._tested(expr.operand)} IS {'NOT ' if expr.negated else ''}NULL)",
            Exists: lambda expr: f"EXISTS ({self._write_query(expr.query)})",
        }

    def _column(self, reference: ColumnRef) -> str:
        return f'"t{reference.source}".{quoted(reference.column.name)}'

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
        """Return a coordinate: a DOUBLE, NULL where it is not finite, or no declination."""
        sql = self._computed(expr, DataType.DOUBLE)
        key = (expr.source, expr.column.name) if isinstance(expr, ColumnRef) else None
        if key in self._positions.loose_dec:
            return bound("CASE WHEN {0} BETWEEN -90e0 AND 90e0 THEN {0} END", sql)
        if key in self._positions.finite or type_of(expr).is_integer or isinstance(expr, LITERALS):
            return sql
        return bound("CASE WHEN isfinite({0}) THEN {0} END", sql)

    # --- values ---

    def _arithmetic(self, expr: Unary | Binary) -> str:
        """Return a value of arithmetic: NULL instead of NaN, which would compare as the largest number."""
        plain = self._plain(expr)
        return f"({bound('CASE WHEN NOT isnan({0}) THEN {0} END', plain)})" if _may_be_nan(expr) else plain

    def _plain(self, expr: Unary | Binary) -> str:
        """Return a value of arithmetic that is NaN where infinities met."""
        kind = type_of(expr)
        if isinstance(expr, Unary):
            return f"({'-' if expr.op == '-' else ''}{self._operand(expr.operand, kind)})"
        left, right = self._operand(expr.left, kind), self._operand(expr.right, kind)
        if expr.op != "/":
            return f"({left} {expr.op} {right})"
        if kind is DataType.LONG:
            unguarded = isinstance(expr.right, IntegerLiteral) and expr.right.value != 0
            return f"({bound('{0} // {1}' if unguarded else _WHOLE_QUOTIENT, left, right)})"
        return f"({bound(_FINITE_QUOTIENT, left, right)})"

    def _operand(self, expr: Expr, kind: DataType) -> str:
        """Return an operand of arithmetic; NaN may pass through to the outermost operation."""
        if isinstance(expr, IntegerLiteral) and kind is DataType.LONG:
            return self.value(expr)
        if isinstance(expr, Unary | Binary) and type_of(expr) is kind and expr not in self._keys:
            return self._plain(expr)
        return self._computed(expr, kind)

    def _function(self, call: FunctionCall) -> str:
        function = FUNCTIONS[call.name]
        if call.name == "coordsys":
            return geometry_value(call, self._degrees)
        index = self._positions.indexes.get(call)
        if index is not None:
            return f"({bound(STORED_INDEX, self._computed(call.args[0], DataType.LONG), self.value(index))})"
        kind = type_of(call)
        if function.is_common:
            listed = ", ".join(self._tested(arg, kind) for arg in call.args)
            return function.templates[0].format(args=listed)
        number = numeric_type(call.args)
        exact = function.integer_template is not None and number is DataType.LONG
        args = [self._argument(arg, function.kind(index), number) for index, arg in enumerate(call.args)]
        template = function.integer_template if exact else function.templates[len(args)]
        assert template is not None
        return f"({bound(template, *args)})"

    def _argument(self, arg: Expr, kind: Kind, number: DataType) -> str:
        match kind:
            case Kind.NUMBER:
                return self._computed(arg, DataType.DOUBLE)
            case Kind.EXACT:
                return self._computed(arg, number)
            case Kind.BITS | Kind.DIGITS:
                return f"CAST({self.value(arg)} AS {'BIGINT' if kind is Kind.BITS else 'INTEGER'})"
            case Kind.WHOLE:
                return self._computed(arg, DataType.LONG)
            case Kind.PERCENT:
                return double((_number(arg) or 0.0) / 100)
            case Kind.FRACTION:
                return double(_number(arg) or 0.0)
            case Kind.MOMENT:
                is_text = type_of(arg) is DataType.TEXT  # one that says no time is NULL
                return (
                    f"TRY_CAST({self.value(arg)} AS TIMESTAMP)" if is_text else self._computed(arg, DataType.TIMESTAMP)
                )
            case Kind.KEY if type_of(arg).is_integer:
                return f"CAST({self.value(arg)} AS VARCHAR)"
            case Kind.TEXT | Kind.ANY | Kind.QUOTED | Kind.KEY:
                return self._computed(arg, DataType.TEXT)

    def _window(self, call: WindowCall) -> str:
        parts = [f"PARTITION BY {', '.join(map(self.value, call.partition_by))}"] if call.partition_by else []
        far = call.rows if call.rows is not None and call.rows.needs_number else None
        order = order_sql(call.order_by, lambda key: self.value(key) if far is None else self._far(key, far))
        over = f" OVER ({' '.join([*parts, *order, *rows_sql(call.rows)])})"
        if call.name in ROW_FUNCTIONS:
            return f"{call.name}({', '.join(map(self.value, call.args))}){over}"
        return self._aggregate(Aggregate(call.name, call.args, call.distinct), over)

    def _far(self, expr: Expr, rows: RowsFrame) -> str:
        """Return the number that a window is sorted by in a type that can be moved by the distances of its frame."""
        exact = type_of(expr).is_integer and not any(isinstance(one, float) for one in (rows.start, rows.stop))
        return f"CAST({self.value(expr)} AS {'HUGEINT' if exact else 'DOUBLE'})"

    def _aggregate(self, call: Aggregate, over: str = "") -> str:
        distinct = "DISTINCT " if call.distinct else ""
        if not call.args:
            return f"count(*){over}"
        aggregation = AGGREGATES[call.name]
        if aggregation.template:
            args = [
                self.value(arg) if kind is Kind.ANY else self._argument(arg, kind, DataType.DOUBLE)
                for kind, arg in zip(aggregation.params, call.args, strict=True)
            ]
            return f"({aggregation.template.format(*args, distinct=distinct, over=over)})"
        arg = call.args[0]
        match call.name:
            case "sum" if type_of(call) is DataType.LONG:
                return f"CAST(sum({distinct}{self.value(arg)}){over} AS BIGINT)"
            case "sum" | "avg" if not type_of(arg).is_integer:
                plain = f"{call.name}({distinct}{self._computed(arg, DataType.DOUBLE)}){over}"
                return f"(CASE WHEN NOT isnan({plain}) THEN {plain} END)"
            case "any_value":
                return f"min({self.value(arg)}){over}"
            case name:
                return f"{name}({distinct}{self.value(arg)}){over}"

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
        if op == "<=>":
            return self._same(left, right)
        if number is not None and left not in self._keys:
            if isinstance(left, Contains | Intersects) and number in {0, 1} and op in {"=", "<>"}:
                inside = relation(left, self._degrees, self.value)
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

    def _same(self, left: Expr, right: Expr) -> str:
        """Return whether two values are equal, or both NULL."""
        kind = common_type([type_of(left), type_of(right)])
        typed = None if kind is None or kind.is_integer else kind
        return f"({self._tested(left, typed)} IS NOT DISTINCT FROM {self._tested(right, typed)})"

    def _tested(self, expr: Expr, kind: DataType | None = None) -> str:
        """Return a value, of type `kind` if that is given, where NULL counts."""
        sql = self.value(expr) if kind is None else self._typed(expr, kind)
        if type_of(expr) not in {DataType.TEXT, DataType.BINARY} or isinstance(expr, LITERALS) or is_array(expr):
            return sql
        return f"({bound(_GIVEN, sql)})"

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

    def _like(self, expr: Like) -> str:
        word = "ILIKE" if expr.ignore_case else "LIKE"
        escape = "" if expr.escape is None else f" ESCAPE {text(expr.escape)}"
        return _negated(f"({self.value(expr.operand)} {word} {self.value(expr.pattern)}{escape})", expr.negated)

    def _between(self, expr: Between) -> str:
        low, high = expr.low, expr.high
        if isinstance(expr.operand, (ColumnRef, Distance, *LITERALS)):
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


_WHOLE_QUOTIENT: Final = "CASE WHEN {1} <> 0 THEN {0} // {1} END"
_GIVEN: Final = "CASE WHEN {0} IS NOT NULL THEN {0} END"
"""The text itself, hidden from DuckDB's scans: where a row group has one value besides NULLs, and no dictionary,
version 2.0 finds NULL in all of its rows."""

_FINITE_QUOTIENT: Final = "CASE WHEN isfinite({0} / {1}) THEN {0} / {1} END"


def _may_be_nan(expr: Expr) -> bool:
    """Return whether arithmetic of doubles can make a NaN of infinite operands: inf - inf, 0 * inf."""
    match expr:
        case Unary(operand=operand):
            return _may_be_nan(operand)
        case Binary(op="+" | "-" | "*" as op, left=left, right=right) if type_of(expr) is DataType.DOUBLE:
            literals = [side for side in (left, right) if isinstance(side, LITERALS)]
            harmless = literals and (op != "*" or all(_number(literal) != 0 for literal in literals))
            return not harmless or _may_be_nan(left) or _may_be_nan(right)
        case _:
            return False


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
