"""Conditions and values to nodes. A method is named like its rule and takes the list of the rule's parts."""

import math
from collections.abc import Collection
from typing import Any, Final

from ..exceptions import QueryNameError, QuerySyntaxError, QueryTypeError
from ..models.schema import DataType
from ..models.tree import (
    Aggregate,
    And,
    Between,
    Binary,
    BooleanLiteral,
    Case,
    Cast,
    Comparison,
    Exists,
    Expr,
    FunctionCall,
    Identifier,
    InList,
    InQuery,
    IntegerLiteral,
    InUnit,
    IsNull,
    Like,
    Name,
    Not,
    NullLiteral,
    Or,
    RealLiteral,
    ScalarQuery,
    Span,
    StringLiteral,
    Unary,
)
from .build_base import Clause, condition, span_of
from .build_geometry import geometry_node
from .build_scisql import GEOMETRY_SIGNATURES, scisql_geometry
from .errors import did_you_mean, error_at
from .functions import AGGREGATES, FUNCTIONS
from .habits import function_advice
from .ivo import IVO_CALLS, ivo_call
from .lexer import GEOMETRY, LITERAL, Word, unquoted
from .statistics import STATISTICS, statistic
from .windows import ROW_FUNCTIONS

__all__ = ["ExpressionBuilder", "signed_literal"]

Parts = list[Any]

_INTEGER_LIMIT: Final = 2**63

_CAST_TYPES: Final = {
    "INTEGER": DataType.INT,
    "SMALLINT": DataType.SHORT,
    "BIGINT": DataType.LONG,
    "REAL": DataType.FLOAT,
    "DOUBLE": DataType.DOUBLE,
    "TIMESTAMP": DataType.TIMESTAMP,
    "CHAR": DataType.TEXT,
    "VARCHAR": DataType.TEXT,
    "POINT": DataType.POINT,
    "CIRCLE": DataType.CIRCLE,
    "POLYGON": DataType.POLYGON,
}


class ExpressionBuilder:
    """Builds expressions.

    Parameters
    ----------
    functions
        Names, in lower case, of functions that queries may call besides those of the allow-list.
    """

    def __init__(self, functions: Collection[str] = ()) -> None:
        self._functions = frozenset(functions)

    # --- conditions ---

    def condition(self, node: Expr) -> Expr:
        """Return `node`, which stands where a condition must stand; raise if it can be none."""
        return condition(node)

    def or_(self, parts: Parts) -> Expr:
        """Build ``a OR b [OR ...]``."""
        return Or(self._operands(parts, Or), span=span_of(parts))

    def and_(self, parts: Parts) -> Expr:
        """Build ``a AND b [AND ...]``."""
        return And(self._operands(parts, And), span=span_of(parts))

    def _operands(self, parts: Parts, kind: type[And] | type[Or]) -> tuple[Expr, ...]:
        """Return the operands, those of an inner AND of AND (or OR of OR) among them."""
        operands: list[Expr] = []
        for part in parts[::2]:
            operands += part.operands if isinstance(part, kind) else (self.condition(part),)
        return tuple(operands)

    def not_(self, parts: Parts) -> Expr:
        """Build ``NOT a``."""
        return Not(self.condition(parts[1]), span=span_of(parts))

    def comparison(self, parts: Parts) -> Expr:
        """Build ``a < b``."""
        op = parts[1].value
        return Comparison("<>" if op == "!=" else op, parts[0], parts[2], span=span_of(parts))

    def between(self, parts: Parts) -> Expr:
        """Build ``a [NOT] BETWEEN b AND c``."""
        return Between(parts[0], parts[-3], parts[-1], negated=_negated(parts), span=span_of(parts))

    def in_list(self, parts: Parts) -> Expr:
        """Build ``a [NOT] IN (b, c)``; a lone subquery in more parentheses is still a subquery."""
        negated = _negated(parts)
        items = tuple(parts[3:] if negated else parts[2:])
        if len(items) == 1 and isinstance(items[0], ScalarQuery):
            return InQuery(parts[0], items[0].query, negated=negated, span=span_of(parts))
        return InList(parts[0], items, negated=negated, span=span_of(parts))

    def in_literals(self, parts: Parts) -> Expr:
        """Build ``a [NOT] IN (1, 2)``, its list read as one word."""
        word: Word = parts[-1]
        items = tuple(signed_literal(text, word.span) for text in LITERAL.findall(word.value))
        return InList(parts[0], items, negated=_negated(parts), span=span_of(parts))

    def in_query(self, parts: Parts) -> Expr:
        """Build ``a [NOT] IN (SELECT ...)``."""
        return InQuery(parts[0], parts[-1], negated=_negated(parts), span=span_of(parts))

    def like(self, parts: Parts) -> Expr:
        """Build ``a [NOT] LIKE b``."""
        ignore_case = parts[-2].type == "ILIKE"
        return Like(parts[0], parts[-1], negated=_negated(parts), ignore_case=ignore_case, span=span_of(parts))

    def is_null(self, parts: Parts) -> Expr:
        """Build ``a IS [NOT] NULL``."""
        return IsNull(parts[0], negated=parts[2].type == "NOT", span=span_of(parts))

    def exists(self, parts: Parts) -> Expr:
        """Build ``EXISTS (SELECT ...)``."""
        return Exists(parts[1], span=span_of(parts))

    # --- values ---

    def binary(self, parts: Parts) -> Expr:
        """Build ``a + b`` and its like."""
        return Binary(parts[1].value, parts[0], parts[2], span=span_of(parts))

    def signed(self, parts: Parts) -> Expr:
        """Build ``-a``."""
        return Unary(parts[0].value, parts[1], span=span_of(parts))

    def integer(self, parts: Parts) -> Expr:
        """Build an unsigned integer."""
        return _integer(parts[0].value, parts[0].span)

    def real(self, parts: Parts) -> Expr:
        """Build an unsigned decimal number."""
        return _real(parts[0].value, parts[0].span)

    def string(self, parts: Parts) -> Expr:
        """Build a text."""
        return StringLiteral(unquoted(parts[0].value), span=parts[0].span)

    def null(self, parts: Parts) -> Expr:
        """Build NULL."""
        return NullLiteral(span=parts[0].span)

    def boolean(self, parts: Parts) -> Expr:
        """Build TRUE or FALSE."""
        return BooleanLiteral(parts[0].type == "TRUE", span=parts[0].span)

    def identifier(self, parts: Parts) -> Identifier:
        """Build One part of a name."""
        word: Word = parts[0]
        delimited = word.type == "DELIMITED"
        return Identifier(unquoted(word.value) if delimited else word.value, delimited=delimited, span=word.span)

    def name(self, parts: Parts) -> Expr:
        """Build a column's name."""
        return Name(tuple(parts), span=span_of(parts))

    def function(self, parts: Parts) -> Expr:
        """Build a call of a scalar function."""
        word, args = parts[0], tuple(part for part in parts[1:] if not isinstance(part, Word))
        name = word.value.lower()
        if name in STATISTICS:
            return statistic(word, args, distinct=_is_distinct(parts), span=span_of(parts))
        if len(parts) > len(args) + 1:
            message = f"only set functions take {parts[1].type}, which {name.upper()} is not."
            raise error_at(QuerySyntaxError, message, parts[1].span)
        if name in GEOMETRY_SIGNATURES:
            return scisql_geometry(name, args, span_of(parts))
        if name in IVO_CALLS:
            return ivo_call(name, args, span_of(parts))
        function = FUNCTIONS.get(name)
        if function is None or function.hidden or name == "coordsys":
            if name not in self._functions:
                raise _unknown_function(word)
        elif not function.takes(len(args)):
            message = f"{name.upper()} takes {function.arities}, not {len(args)}."
            raise error_at(QuerySyntaxError, message, word.span)
        return FunctionCall(name, args, span=span_of(parts))

    def geometry(self, parts: Parts) -> Expr:
        """Build a call of a geometry function."""
        return geometry_node(parts[0].value.upper(), parts[1:], span_of(parts))

    def count_all(self, parts: Parts) -> Expr:
        """Build ``COUNT(*)``."""
        name = parts[0].value.lower()
        if name != "count":
            raise error_at(QuerySyntaxError, f"only COUNT takes *; {name.upper()} needs a value.", parts[1].span)
        return Aggregate("count", (), span=span_of(parts))

    def aggregate(self, parts: Parts) -> Expr:
        """Build ``SUM([DISTINCT] a)``."""
        return Aggregate(parts[0].value.lower(), (parts[-1],), distinct=_is_distinct(parts), span=span_of(parts))

    def filtered(self, parts: Parts) -> Expr:
        """Build ``SUM(a) FILTER (WHERE c)``: the sum of what is `a` where c holds, and else NULL."""
        word, kept = parts[0], parts[-1].value
        name, inside = word.value.lower(), parts[1:-1]
        if name not in AGGREGATES or AGGREGATES[name].hidden:
            raise error_at(QueryNameError, f"{word.value} is no set function, which FILTER goes with.", word.span)
        if any(isinstance(part, Word) and part.type == "STAR" for part in inside):
            if name != "count":
                raise error_at(QuerySyntaxError, f"only COUNT takes *; {name.upper()} needs a value.", word.span)
            inside = [IntegerLiteral(1, span=word.span)]
        values = [part for part in inside if not isinstance(part, Word)]
        if not values:
            raise error_at(QuerySyntaxError, f"{name.upper()} needs a value.", word.span)
        chosen = Case(None, ((kept, values[0]),), None, span=span_of(parts))
        call = [word, *(part for part in inside if isinstance(part, Word)), chosen, *values[1:]]
        return self.aggregate(call) if word.type == "AGGREGATE" else self.function(call)

    def filter(self, parts: Parts) -> Clause:
        """Build ``FILTER (WHERE c)``."""
        return Clause("filter", self.condition(parts[-1]), span_of(parts))

    def cast(self, parts: Parts) -> Expr:
        """Build ``CAST(a AS type)``."""
        target, length = parts[3].value
        return Cast(parts[1], target, length, span=span_of(parts))

    def type_name(self, parts: Parts) -> Clause:
        """Build a type of CAST."""
        name = parts[0].value.upper()
        if name in GEOMETRY and name not in _CAST_TYPES:
            raise error_at(QuerySyntaxError, f"{name} is no type that CAST can make.", parts[0].span)
        counted = len(parts) > 1 and parts[1].type == "UINT"
        length = min(int(parts[1].value[:18]), 2**31 - 1) if counted else None
        return Clause("type", (_CAST_TYPES[name], length), span_of(parts))

    def in_unit(self, parts: Parts) -> Expr:
        """Build ``IN_UNIT(a, 'unit')``."""
        return InUnit(parts[1], unquoted(parts[2].value), span=span_of(parts))

    def case(self, parts: Parts) -> Expr:
        """Build ``CASE [a] WHEN b THEN c ... END``."""
        whens = [part for part in parts if isinstance(part, Clause) and part.tag == "when"]
        defaults = [part.value for part in parts if isinstance(part, Clause) and part.tag == "default"]
        operand = None if isinstance(parts[1], Clause) else parts[1]
        branches = tuple(
            (when if operand is not None else self.condition(when), then)
            for when, then in (part.value for part in whens)
        )
        return Case(operand, branches, defaults[0] if defaults else None, span=span_of(parts))

    def when(self, parts: Parts) -> Clause:
        """Build ``WHEN b THEN c``."""
        return Clause("when", (parts[1], parts[3]), span_of(parts))

    def default(self, parts: Parts) -> Clause:
        """Build ``ELSE c``."""
        return Clause("default", parts[1], span_of(parts))

    def scalar_query(self, parts: Parts) -> Expr:
        """Build ``(SELECT ...)`` as a value."""
        return ScalarQuery(parts[0], span=parts[0].span)


def _is_distinct(parts: Parts) -> bool:
    return len(parts) > 1 and isinstance(parts[1], Word) and parts[1].type == "DISTINCT"


def _negated(parts: Parts) -> bool:
    return isinstance(parts[1], Word) and parts[1].type == "NOT"


def _integer(digits: str, span: Span) -> IntegerLiteral:
    significant = digits.lstrip("0")
    if len(significant) > 19 or int(significant or "0") > _INTEGER_LIMIT:
        message = f"{_shortened(digits)} does not fit into a 64-bit integer."
        raise error_at(QueryTypeError, message, span, remedy="Write it with a decimal point for a double.")
    return IntegerLiteral(int(significant or "0"), span=span)


def _real(text: str, span: Span) -> RealLiteral:
    value = float(text)
    if math.isinf(value):
        raise error_at(QueryTypeError, f"{_shortened(text)} is beyond the range of a double.", span)
    return RealLiteral(value, span=span)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def signed_literal(text: str, span: Span) -> Expr:
    """Return the literal of a number with its sign, or of a text."""
    if text[0] == "'":
        return StringLiteral(unquoted(text), span=span)
    unsigned = text.lstrip("+-")
    literal = _integer(unsigned, span) if unsigned.isdigit() else _real(unsigned, span)
    if text[0] == "-":
        return (
            IntegerLiteral(-literal.value, span=span)
            if isinstance(literal, IntegerLiteral)
            else RealLiteral(-literal.value, span=span)
        )
    return literal


def _unknown_function(word: Word) -> QueryNameError:
    if word.value.lower() in ROW_FUNCTIONS:
        message = f"{word.value.upper()} is a function of windows."
        raise error_at(
            QueryNameError, message, word.span, remedy=f"Write {word.value.upper()}(...) OVER (ORDER BY ...)."
        )
    called = [function.name for function in FUNCTIONS.values() if not function.hidden]
    called += [aggregation.name for aggregation in AGGREGATES.values() if not aggregation.hidden]
    known = [*called, *GEOMETRY_SIGNATURES, *IVO_CALLS, *map(str.lower, GEOMETRY)]
    hint = function_advice(word.value) or did_you_mean(word.value, [name.upper() for name in known])
    return error_at(QueryNameError, f"there is no function {word.value}.", word.span, remedy=hint)
