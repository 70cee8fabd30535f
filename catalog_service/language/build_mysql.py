"""Queries of the MySQL dialect to the nodes of ADQL's tree: what differs is written out where it is built.

``7 / 2`` divides doubles, ``||`` is OR (the lexer says so), NULLs sort first, ``"a"`` is a text, and a result column
without an alias is called as it is written. What depends on types is done after resolution (passes/mysql.py).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ..exceptions import QueryNameError, QueryRefusedError, QuerySyntaxError
from ..models.schema import DataType
from ..models.tree import (
    Aggregate,
    And,
    Binary,
    BooleanLiteral,
    Case,
    Cast,
    Comparison,
    Expr,
    FunctionCall,
    Identifier,
    InList,
    IntegerLiteral,
    IsNull,
    Like,
    Name,
    Not,
    NullLiteral,
    Or,
    OrderItem,
    Query,
    RealLiteral,
    SelectItem,
    Span,
    Star,
    StringLiteral,
    Unary,
)
from .build import Parts, TreeBuilder, count_of
from .build_base import Clause, span_of
from .build_expr import signed_literal
from .build_mysql_calls import CALLS
from .build_mysql_forms import FORMS, MySqlForms
from .build_scisql import GEOMETRY_SIGNATURES
from .errors import did_you_mean, error_at
from .functions import AGGREGATES, FUNCTIONS
from .habits import qserv_function_advice
from .ivo import IVO_CALLS
from .lexer import Word
from .mysql_dates import UNITS
from .mysql_lexer import LITERAL, name_of, unescaped
from .statistics import STATISTICS

__all__ = ["AREAS", "MySqlBuilder"]

AREAS: Final = {
    "qserv_areaspec_box": "qserv_areaspec_box(lonMin, latMin, lonMax, latMax)",
    "qserv_areaspec_circle": "qserv_areaspec_circle(lon, lat, radius)",
    "qserv_areaspec_ellipse": "qserv_areaspec_ellipse(lon, lat, semiMajorArcsec, semiMinorArcsec, positionAngle)",
    "qserv_areaspec_poly": "qserv_areaspec_poly(lon1, lat1, lon2, lat2, lon3, lat3, ...)",
}
"""Restrictions of a query to a part of the sky, and how they are written; degrees."""

_CAST_TYPES: Final[Mapping[str, DataType | str]] = {
    "SIGNED": DataType.LONG,
    "INT": DataType.LONG,
    "INTEGER": DataType.LONG,
    "CHAR": DataType.TEXT,
    "VARCHAR": DataType.TEXT,
    "DOUBLE": DataType.DOUBLE,
    "REAL": DataType.DOUBLE,
    "FLOAT": DataType.FLOAT,
    "DECIMAL": "round",
    "UNSIGNED": "mysql_unsigned",
    "DATE": "mysql_date",
    "DATETIME": "mysql_moment",
    "TIME": "mysql_time",
    "BINARY": "mysql_binary",
}
"""Types of CAST, or the functions that make them."""

_BIT_AGGREGATES: Final = frozenset({"bit_and", "bit_or", "bit_xor"})


class MySqlBuilder(TreeBuilder, MySqlForms):
    """Builds query trees of names from texts of the MySQL dialect."""

    def condition(self, node: Expr) -> Expr:
        """Return `node`: every number is a condition; types tell after resolution."""
        return node

    # --- conditions ---

    def xor(self, parts: Parts) -> Expr:
        """Build ``a XOR b``."""
        left, right, span = parts[0], parts[2], span_of(parts)
        return And((Or((left, right), span=span), Not(And((left, right), span=span), span=span)), span=span)

    def like(self, parts: Parts) -> Expr:
        """Build ``a [NOT] LIKE b [ESCAPE 'c']``: case is ignored, a backslash escapes."""
        negated = isinstance(parts[1], Word) and parts[1].type == "NOT"
        escape = unescaped(parts[-1].value) if isinstance(parts[-1], Word) else "\\"
        if len(escape) > 1:
            raise error_at(QuerySyntaxError, "ESCAPE takes one character.", parts[-1].span)
        pattern = parts[3 if negated else 2]
        if not isinstance(pattern, StringLiteral) or escape not in pattern.value:
            return Like(parts[0], pattern, negated=negated, ignore_case=True, span=span_of(parts))
        if _ends_in_escape(pattern.value, escape):
            pattern = replace(pattern, value=pattern.value + escape)
        return Like(parts[0], pattern, negated=negated, ignore_case=True, escape=escape, span=span_of(parts))

    def sounds_like(self, parts: Parts) -> Expr:
        """Build ``a SOUNDS LIKE b``."""
        left, right = (FunctionCall("mysql_soundex", (part,), span=part.span) for part in (parts[0], parts[-1]))
        return Comparison("=", left, right, span=span_of(parts))

    def is_truth(self, parts: Parts) -> Expr:
        """Build ``a IS [NOT] TRUE`` or ``FALSE``: never NULL."""
        operand, span = parts[0], span_of(parts)
        no, yes = BooleanLiteral(False, span=span), BooleanLiteral(True, span=span)  # noqa: FBT003
        if parts[-1].type == "TRUE":
            test: Expr = Case(None, ((operand, yes),), no, span=span)
        else:
            test = Case(None, ((operand, no), (IsNull(operand, span=span), no)), yes, span=span)
        return Not(test, span=span) if parts[2].type == "NOT" else test

    # --- values ---

    def binary(self, parts: Parts) -> Expr:
        """Build ``a DIV b`` and its like."""
        left, word, right = parts
        span = span_of(parts)
        if word.type in {"PLUS", "MINUS", "STAR"}:
            return Binary(word.value, left, right, span=span)
        if word.type == "SLASH":
            return Binary("/", _as_double(left), right, span=span)
        name = _OPERATORS.get(word.type) or _OPERATORS[word.value]
        return FunctionCall(name, (left, right), span=span)

    def signed(self, parts: Parts) -> Expr:
        """Build ``-a``, ``~a`` and ``!a``."""
        word, operand = parts
        match word.type:
            case "TILDE":
                return FunctionCall("mysql_invert", (operand,), span=span_of(parts))
            case "BANG":
                return Not(operand, span=span_of(parts))
            case "BINARY":
                return FunctionCall("mysql_binary", (operand,), span=span_of(parts))
            case _:
                return Unary(word.value, operand, span=span_of(parts))

    def string(self, parts: Parts) -> Expr:
        """Build a text."""
        return StringLiteral(unescaped(parts[0].value), span=parts[0].span)

    def in_literals(self, parts: Parts) -> Expr:
        """Build ``a [NOT] IN (1, 2)``, its list read as one word."""
        word: Word = parts[-1]
        items = tuple(
            StringLiteral(unescaped(text), span=word.span) if text[0] in "'\"" else signed_literal(text, word.span)
            for text in LITERAL.findall(word.value)
        )
        negated = isinstance(parts[1], Word) and parts[1].type == "NOT"
        return InList(parts[0], items, negated=negated, span=span_of(parts))

    def identifier(self, parts: Parts) -> Identifier:
        """Build one part of a name; in backticks or not, case is ignored."""
        word: Word = parts[0]
        return Identifier(name_of(word), span=word.span)

    def function(self, parts: Parts) -> Expr:
        """Build a call of a function."""
        word, args, span = parts[0], tuple(part for part in parts[1:] if not isinstance(part, Word)), span_of(parts)
        name = _SYNONYMS.get(word.value.lower(), word.value.lower())
        if name in STATISTICS or name in GEOMETRY_SIGNATURES or name in IVO_CALLS or len(parts) > len(args) + 1:
            return super().function([replace(word, value=name), *parts[1:]])
        if name in AREAS or name in FORMS:
            return FunctionCall(FORMS.get(name, name), args, span=span)
        if name in _BIT_AGGREGATES and len(args) == 1:
            return Aggregate(f"mysql_{name}", args, span=span)
        if name in _BUILDERS:
            node = _BUILDERS[name](args, span)
            if node is None:
                raise error_at(QuerySyntaxError, f"{name.upper()} does not take {len(args)} arguments.", word.span)
            return node
        function = FUNCTIONS.get(f"mysql_{name}") or FUNCTIONS.get(name)
        called = function is not None and function.hidden == function.name.startswith("mysql_")
        if function is None or not called or word.value.lower() in _INTERNAL:
            raise _unknown_function(word)
        if not function.takes(len(args)):
            message = f"{name.upper()} takes {function.arities}, not {len(args)}."
            raise error_at(QuerySyntaxError, message, word.span)
        return FunctionCall(function.name, args, span=span)

    def window_call(self, parts: Parts) -> Expr:
        """Build ``f(a) OVER (...)``."""
        word: Word = parts[0]
        name = _SYNONYMS.get(word.value.lower(), word.value.lower())
        return super().window_call([replace(word, value=name), *parts[1:]])

    def cast_type(self, parts: Parts) -> Clause:
        """Build a type of CAST."""
        word: Word = parts[0]
        kind = _CAST_TYPES.get(word.value.upper())
        if kind is None:
            message = f"CAST to {word.value.upper()} is not supported."
            raise error_at(QueryRefusedError, message, word.span, remedy=f"Use {', '.join(_CAST_TYPES)}.")
        lengths = [part for part in parts[1:] if part.type == "UINT"]
        if kind == "round":  # to the second number of DECIMAL(10, 2)
            lengths = lengths[1:]
        return Clause("type", (kind, int(lengths[0].value[:9]) if lengths else None), span_of(parts))

    def cast(self, parts: Parts) -> Expr:
        """Build ``CAST(a AS type)``."""
        kind, length = parts[-1].value
        if isinstance(kind, DataType):
            return Cast(parts[1], kind, length if kind is DataType.TEXT else None, span=span_of(parts))
        more = (IntegerLiteral(length or 0, span=parts[-1].span),) if kind == "round" else ()
        return FunctionCall(kind, (parts[1], *more), span=span_of(parts))

    # --- clauses ---

    def select_item(self, parts: Parts) -> SelectItem:
        """Build ``a [[AS] b]``; without an alias the result column has the text of `a` as its name."""
        if len(parts) > 1 or isinstance(parts[0], Name | Star):
            return super().select_item(parts)
        return SelectItem(parts[0], Identifier(_written(parts[0].span)), span=parts[0].span)

    def group_by(self, parts: Parts) -> Clause:
        """Build ``GROUP BY a, b [WITH ROLLUP]``."""
        if isinstance(parts[-1], Word) and parts[-1].type == "ROLLUP":
            return Clause("rollup", tuple(parts[2:-2]), span_of(parts))
        return super().group_by(parts)

    def order_item(self, parts: Parts) -> OrderItem:
        """Build ``a [ASC | DESC]``: NULLs are less than everything."""
        item = super().order_item(parts)
        return replace(item, nulls_first=not item.descending)

    def offset_limit(self, parts: Parts) -> Clause:
        """Build ``LIMIT offset, count``."""
        return Clause("offset_limit", (parts[1], parts[2]), span_of(parts))

    def body(self, parts: Parts) -> Query:
        """Build a query with what sorts and cuts it."""
        plain: Parts = []
        for part in parts:
            if isinstance(part, Clause) and part.tag == "offset_limit":
                plain += [Clause(tag, count_of(word), part.span) for tag, word in zip(_LIMITS, part.value, strict=True)]
            else:
                plain.append(part)
        return super().body(plain)


_LIMITS: Final = ("offset", "limit")

_OPERATORS: Final = {
    "PERCENT": "mod",
    "MOD": "mod",
    "DIV": "mysql_div",
    "AMPERSAND": "mysql_and",
    "BAR": "mysql_or",
    "CARET": "mysql_xor",
    "<<": "mysql_shift_left",
    ">>": "mysql_shift_right",
}
"""Functions of operators, by terminal or sign; they are not called by name."""

_SYNONYMS: Final = {
    "ceil": "ceiling",
    "pow": "power",
    "ln": "log",
    "lcase": "lower",
    "ucase": "upper",
    "substr": "substring",
    "mid": "substring",
    "octet_length": "length",
    "character_length": "char_length",
    "ord": "ascii",
    "sha": "sha1",
    "dayofmonth": "day",
    "timestamp": "moment",
    "std": "stddev_pop",
    "stddev": "stddev_pop",
    "variance": "var_pop",
}

_INTERNAL: Final = frozenset(
    {"fold", "unsigned", "round_to", "invert", "coordsys", "moment", "binary", "regexp", "hex_of_text", "locate_from"}
    | {name.removeprefix("mysql_") for name in FORMS.values()}
    | {f"{kind}_{unit}" for kind in ("plus", "count") for unit in UNITS}
    | {name.removeprefix("mysql_") for name in _OPERATORS.values() if name.startswith("mysql_")}
)
"""Functions that no text of this dialect calls by that name."""


def _log(args: tuple[Expr, ...], span: Span) -> Expr | None:
    logs = [FunctionCall("log", (arg,), span=span) for arg in args]
    return None if not 1 <= len(logs) <= 2 else logs[0] if len(logs) == 1 else Binary("/", logs[1], logs[0], span=span)


def _atan(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("atan" if len(args) == 1 else "atan2", args, span=span) if 1 <= len(args) <= 2 else None


def _round(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return (
        FunctionCall(f"mysql_round{'_to' if len(args) == 2 else ''}", args, span=span) if 1 <= len(args) <= 2 else None
    )


def _if(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return Case(None, ((args[0], args[1]),), args[2], span=span) if len(args) == 3 else None


def _if_null(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("coalesce", args, span=span) if len(args) == 2 else None


def _null_if(args: tuple[Expr, ...], span: Span) -> Expr | None:
    if len(args) != 2:
        return None
    return Case(None, ((Comparison("=", *args, span=span), NullLiteral(span=span)),), args[0], span=span)


def _is_null(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return IsNull(args[0], span=span) if len(args) == 1 else None


def _extreme(name: str) -> Callable[[tuple[Expr, ...], Span], Expr | None]:
    """Return what builds GREATEST or LEAST: NULL if any argument is."""

    def build(args: tuple[Expr, ...], span: Span) -> Expr | None:
        if len(args) < 2:
            return None
        nulls = Or(tuple(IsNull(arg, span=span) for arg in args), span=span)
        call = FunctionCall(f"mysql_{name}", args, span=span)
        return Case(None, ((nulls, NullLiteral(span=span)),), call, span=span)

    return build


def _concat(args: tuple[Expr, ...], span: Span) -> Expr | None:
    if not args:
        return None
    joined: Expr = Cast(args[0], DataType.TEXT, span=span)
    for arg in args[1:]:
        joined = Binary("||", joined, Cast(arg, DataType.TEXT, span=arg.span), span=span)
    return joined


def _rand(args: tuple[Expr, ...], span: Span) -> Expr | None:
    if args:
        message = "RAND(seed) is not repeatable here, so it takes no seed."
        raise error_at(QueryRefusedError, message, span, remedy="Write RAND().")
    return FunctionCall("rand", (), span=span)


def _version(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return None if args else StringLiteral("catalog-service", span=span)


def _no_database(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return None if args else Cast(NullLiteral(span=span), DataType.TEXT, span=span)


_BUILDERS: Final[Mapping[str, Callable[[tuple[Expr, ...], Span], Expr | None]]] = {
    "log": _log,
    "atan": _atan,
    "round": _round,
    "if": _if,
    "ifnull": _if_null,
    "nullif": _null_if,
    "isnull": _is_null,
    "greatest": _extreme("greatest"),
    "least": _extreme("least"),
    "concat": _concat,
    "rand": _rand,
    "database": _no_database,
    "schema": _no_database,
    "scisql_getversion": _version,
    **CALLS,
}
"""Functions that are no node of their own."""


def _as_double(expr: Expr) -> Expr:
    if isinstance(expr, IntegerLiteral):
        return RealLiteral(float(expr.value), span=expr.span)
    return expr if isinstance(expr, RealLiteral) else Cast(expr, DataType.DOUBLE, span=expr.span)


def _ends_in_escape(pattern: str, escape: str) -> bool:
    tail = len(pattern) - len(pattern.rstrip(escape))
    return tail % 2 == 1


_CLOSING: Final = re.compile(r"\s*\)")
_EMPTY: Final = re.compile(r"\s*\(\s*\)")
_OPENING: Final = re.compile(r"\(\s*\Z")


def _written(span: Span) -> str:
    """Return the text of an expression with its outer brackets, which are no part of spans."""
    start, stop, text = span.start, span.stop, span.text
    empty = _EMPTY.match(text, stop)
    if empty is not None:  # a call without arguments
        return text[start : empty.end()]
    unclosed = text.count("(", start, stop) - text.count(")", start, stop)
    for _ in range(unclosed):
        found = _CLOSING.match(text, stop)
        stop = stop if found is None else found.end()
    for _ in range(-unclosed):
        found = _OPENING.search(text[:start])
        start = start if found is None else found.start()
    return text[start:stop]


def _unknown_function(word: Word) -> QueryNameError:
    names = {name.removeprefix("mysql_") for name in FUNCTIONS} | {*_BUILDERS, *_SYNONYMS, *AREAS}
    names |= GEOMETRY_SIGNATURES.keys() | {name for name, found in AGGREGATES.items() if not found.hidden}
    names = {name for name in names - _INTERNAL if "." not in name}
    hint = qserv_function_advice(word.value) or did_you_mean(word.value, [name.upper() for name in names])
    return error_at(QueryNameError, f"there is no function {word.value}.", word.span, remedy=hint)
