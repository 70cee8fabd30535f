"""Conditions and calls of forms that only MySQL has, to nodes of ADQL's tree."""

from datetime import UTC, datetime
from typing import Any, Final

from ..exceptions import QueryRefusedError, QuerySyntaxError, QueryTypeError
from ..models.schema import DataType
from ..models.tree import (
    Aggregate,
    And,
    Binary,
    Cast,
    Comparison,
    Expr,
    FromItem,
    FunctionCall,
    InQuery,
    Join,
    JoinKind,
    Name,
    Not,
    Or,
    OrderItem,
    Span,
    StringLiteral,
    Unary,
)
from .build_base import Clause, span_of
from .errors import error_at
from .lexer import Word
from .mysql_dates import UNITS, strftime_format
from .mysql_texts import pattern_fault

__all__ = ["FORMS", "MySqlForms", "moment_now", "unit_call"]

Parts = list[Any]

_BOUNDARY: Final = {"[[:<:]]": r"\b", "[[:>:]]": r"\b"}
_SEPARATOR: Final = "\x1f"
"""Between the values of one row, which are compared as one text."""

FORMS: Final = {"trim both": "mysql_trim_both", "trim leading": "mysql_trim_head", "trim trailing": "mysql_trim_tail"}
"""Functions of names that no text can write: the lexer makes them of TRIM(LEADING 'x' FROM a) and the like."""


class MySqlForms:
    """Builds what has no rule in ADQL's grammar. A method is named like its rule and takes the list of its parts."""

    def regexp(self, parts: Parts) -> Expr:
        """Build ``a [NOT] REGEXP 'pattern'``: case is ignored."""
        span, pattern = span_of(parts), parts[-1]
        if not isinstance(pattern, StringLiteral):
            raise error_at(QueryRefusedError, "REGEXP takes a pattern in quotes here.", pattern.span)
        written = pattern.value
        for old, new in _BOUNDARY.items():
            written = written.replace(old, new)
        fault = pattern_fault(written)
        if fault is not None:
            message = f"this pattern of REGEXP is not understood: {fault}."
            raise error_at(QueryTypeError, message, pattern.span, remedy="Patterns are those of RE2.")
        call = FunctionCall("mysql_regexp", (parts[0], StringLiteral(written, span=pattern.span)), span=span)
        return Not(call, span=span) if parts[1].type == "NOT" else call

    def quantified(self, parts: Parts) -> Expr:
        """Build ``a = ANY (SELECT ...)`` and ``a <> ALL (SELECT ...)``."""
        operand, comparison, word = parts[:3]
        is_any, op = word.value != "ALL", comparison.value.replace("!=", "<>")
        if (is_any, op) not in {(True, "="), (False, "<>")}:
            message = f"{comparison.value} {word.value} (SELECT ...) is not supported."
            extreme = "MIN" if (op[0] == ">") == is_any else "MAX"
            remedy = f"Compare with one value: {comparison.value} (SELECT {extreme}(...) FROM ...)."  # noqa: S608  # words
            raise error_at(QueryRefusedError, message, word.span, remedy=remedy)
        return InQuery(operand, parts[-1], negated=not is_any, span=span_of(parts))

    def row(self, parts: Parts) -> Clause:
        """Build ``(a, b)``, several values that are compared together."""
        return Clause("row", tuple(parts), span_of(parts))

    def row_comparison(self, parts: Parts) -> Expr:
        """Build ``(a, b) = (c, d)``."""
        left, word, right = parts
        op = word.value.replace("!=", "<>")
        if op not in {"=", "<>", "<=>"}:
            message = f"rows of values are not compared by {op}."
            raise error_at(QueryRefusedError, message, word.span, remedy="Compare value by value, with AND and OR.")
        equal = _rows_equal(left, right, "<=>" if op == "<=>" else "=")
        return Not(equal, span=span_of(parts)) if op == "<>" else equal

    def in_rows(self, parts: Parts) -> Expr:
        """Build ``(a, b) [NOT] IN ((c, d), (e, f))``."""
        rows, span = [part for part in parts if isinstance(part, Clause)], span_of(parts)
        tests = tuple(_rows_equal(rows[0], row, "=") for row in rows[1:])
        found = tests[0] if len(tests) == 1 else Or(tests, span=span)
        return found if len(parts) == len(rows) + 1 else Not(found, span=span)

    def collated(self, parts: Parts) -> Expr:
        """Build ``a COLLATE name``: a binary one tells upper from lower case, all others are the usual one."""
        if not parts[-1].value.lower().endswith(("_bin", "binary", "_cs")):
            operand: Expr = parts[0]
            return operand
        return FunctionCall("mysql_binary", (parts[0],), span=span_of(parts))

    # --- dates ---

    def interval(self, parts: Parts) -> Clause:
        """Build ``INTERVAL 3 DAY``: the number, and the name of the unit."""
        return Clause("interval", (parts[1], _unit(parts[2].value, parts[2].span)), span_of(parts))

    def shifted(self, parts: Parts) -> Expr:
        """Build ``t + INTERVAL 3 DAY``."""
        return _plus(parts[0], parts[2], span_of(parts), backwards=parts[1].type == "MINUS")

    def shifted_call(self, parts: Parts) -> Expr:
        """Build ``DATE_ADD(t, INTERVAL 3 DAY)``."""
        word: Word = parts[0]
        name = word.value.upper()
        if name not in _SHIFTS:
            raise error_at(QuerySyntaxError, f"{name} takes no INTERVAL.", word.span, remedy="DATE_ADD does.")
        return _plus(parts[1], parts[2], span_of(parts), backwards=_SHIFTS[name])

    # --- set functions ---

    def joined_texts(self, parts: Parts) -> Expr:
        """Build ``GROUP_CONCAT([DISTINCT] a [ORDER BY b] [SEPARATOR ','])``."""
        words = [part for part in parts[1:] if isinstance(part, Word)]
        orders = [item for part in parts if isinstance(part, Clause) for item in part.value]
        values = [part for part in parts[1:] if not isinstance(part, Word | Clause)]
        separator = next((word for word in words if word.type == "STRING"), None)
        joined = self.string([separator]) if separator is not None else StringLiteral(",")
        text, span = _joined(values, ""), span_of(parts)
        distinct = any(word.type == "DISTINCT" for word in words)
        if not orders or (distinct and orders[0].expr == values[0] and not orders[0].descending):
            return Aggregate("ivo_string_agg", (text, joined), distinct=distinct, span=span)
        if len(orders) > 1 or distinct:
            message = "GROUP_CONCAT is ordered by one key here, and DISTINCT by the value itself."
            raise error_at(QueryRefusedError, message, orders[-1].span)
        return _ordered(text, joined, orders[0], span)

    def string(self, parts: Parts) -> Expr:
        """Build a text."""
        raise NotImplementedError

    def count_distinct(self, parts: Parts) -> Expr:
        """Build ``COUNT(DISTINCT a, b)``: of rows without NULLs."""
        word, values = parts[0], parts[2:]
        if word.value.upper() != "COUNT":
            raise error_at(QuerySyntaxError, f"{word.value.upper()} takes 1 argument, not {len(values)}.", word.span)
        return Aggregate("count", (_joined(values, _SEPARATOR),), distinct=True, span=span_of(parts))

    # --- FROM ---

    def table_list(self, parts: Parts) -> FromItem:
        """Build ``(a, b)``: commas are cross joins."""
        item: FromItem = parts[0]
        for right in parts[1:]:
            item = Join(JoinKind.CROSS, item, right, span=right.span)
        return item


def _joined(values: Parts, separator: str) -> Expr:
    """Return the text of several values; NULL if one of them is."""
    joined: Expr = Cast(values[0], DataType.TEXT, span=values[0].span)
    for value in values[1:]:
        if separator:
            joined = Binary("||", joined, StringLiteral(separator), span=value.span)
        joined = Binary("||", joined, Cast(value, DataType.TEXT, span=value.span), span=value.span)
    return joined


def _ordered(text: Expr, separator: Expr, order: OrderItem, span: Span) -> Expr:
    name = "mysql_joined_down" if order.descending else "mysql_joined_up"
    return Aggregate(name, (text, separator, order.expr), span=span)


def _rows_equal(left: Clause, right: Clause, op: str) -> Expr:
    """Return whether all values of two rows are equal."""
    if len(left.value) != len(right.value):
        message = f"a row of {len(left.value)} values is compared with one of {len(right.value)}."
        raise error_at(QuerySyntaxError, message, right.span)
    pairs = zip(left.value, right.value, strict=True)
    return And(tuple(Comparison(op, one, other, span=right.span) for one, other in pairs), span=right.span)


_SHIFTS: Final = {"DATE_ADD": False, "ADDDATE": False, "DATE_SUB": True, "SUBDATE": True}
"""Functions of intervals, and whether they go back in time."""


def _plus(moment: Expr, interval: Clause, span: Span, *, backwards: bool) -> Expr:
    number, unit = interval.value
    signed = Unary("-", number, span=interval.span) if backwards else number
    return FunctionCall(f"mysql_plus_{unit}", (moment, signed), span=span)


def _unit(written: str, span: Span) -> str:
    unit = written.lower()
    if unit not in UNITS:
        listed = ", ".join(map(str.upper, UNITS))
        raise error_at(QuerySyntaxError, f"{written} is no unit of time here.", span, remedy=f"Units are {listed}.")
    return unit


def unit_call(name: str, args: tuple[Expr, ...], span: Span) -> Expr | None:
    """Return the node of EXTRACT, TIMESTAMPADD or TIMESTAMPDIFF; None unless the first argument is a unit."""
    first = args[0] if args else None
    if not isinstance(first, Name) or len(first.parts) != 1 or len(args) != (2 if name == "extract" else 3):
        return None
    unit = _unit(first.parts[0].text, first.span)
    match name:
        case "extract" if unit == "week":
            return FunctionCall("mysql_week", args[1:], span=span)
        case "extract":
            return FunctionCall(f"mysql_{unit}", args[1:], span=span)
        case "timestampadd":
            return FunctionCall(f"mysql_plus_{unit}", (args[2], args[1]), span=span)
        case _:
            return FunctionCall(f"mysql_count_{unit}", args[1:], span=span)


def format_call(name: str, args: tuple[Expr, ...], span: Span) -> Expr | None:
    """Return the node of DATE_FORMAT or STR_TO_DATE, whose second argument is a format in quotes."""
    if len(args) != 2:
        return None
    written = args[1]
    spelled = strftime_format(written.value) if isinstance(written, StringLiteral) else None
    if spelled is None:
        message = f"{name.upper()} needs a format in quotes, without %D, %u, %V and %X."
        raise error_at(QueryRefusedError, message, written.span)
    return FunctionCall(f"mysql_{name}", (args[0], StringLiteral(spelled, span=written.span)), span=span)


def moment_now(span: Span) -> Expr:
    """Return the time of now in UTC, in whole seconds: one for the whole query."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    return Cast(StringLiteral(now.isoformat(), span=span), DataType.TIMESTAMP, span=span)
