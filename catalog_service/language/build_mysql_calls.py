"""Functions of MySQL that are written as other nodes: of times, and of texts."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ..exceptions import QueryRefusedError
from ..models.schema import DataType
from ..models.tree import Case, Cast, Comparison, Expr, FunctionCall, IntegerLiteral, Span, StringLiteral, Unary
from .build_mysql_forms import format_call, moment_now, unit_call
from .errors import error_at

__all__ = ["CALLS", "Build"]

Build = Callable[[tuple[Expr, ...], Span], Expr | None]
"""Makes a node of arguments and the place of the call; None if it does not take so many."""


def _now(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return moment_now(span) if len(args) <= 1 else None


def _today(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return None if args else FunctionCall("mysql_date", (moment_now(span),), span=span)


def _time_now(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("mysql_time", (moment_now(span),), span=span) if len(args) <= 1 else None


def _unix_time(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("mysql_unix_timestamp", args or (moment_now(span),), span=span) if len(args) <= 1 else None


def _days_after(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("mysql_plus_day", args, span=span) if len(args) == 2 else None


def _days_before(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return _days_after((args[0], Unary("-", args[1], span=args[1].span)), span) if len(args) == 2 else None


def _week(args: tuple[Expr, ...], span: Span) -> Expr | None:
    if len(args) == 2:
        modes = {0: "mysql_week", 3: "mysql_weekofyear"}
        mode = args[1].value if isinstance(args[1], IntegerLiteral) else None
        if mode not in modes:
            message = "WEEK counts weeks in the modes 0 and 3 only."
            raise error_at(QueryRefusedError, message, args[1].span, remedy="Mode 3 is the week of ISO 8601.")
        return FunctionCall(modes[mode], args[:1], span=span)
    return FunctionCall("mysql_week", args, span=span) if len(args) == 1 else None


# --- texts ---


def _as_texts(args: tuple[Expr, ...]) -> tuple[Expr, ...]:
    return tuple(Cast(arg, DataType.TEXT, span=arg.span) for arg in args)


def _concat_ws(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("mysql_concat_ws", _as_texts(args), span=span) if len(args) >= 2 else None


def _nth(args: tuple[Expr, ...], span: Span) -> Expr | None:
    """Return the node of ``ELT(n, a, b)``."""
    branches = tuple((IntegerLiteral(at, span=span), arg) for at, arg in enumerate(args[1:], start=1))
    return Case(args[0], branches, None, span=span) if branches else None


def _field(args: tuple[Expr, ...], span: Span) -> Expr | None:
    """Return the node of ``FIELD(x, a, b)``: the place of x among the others, 0 if it is none of them."""
    branches = tuple((arg, IntegerLiteral(at, span=span)) for at, arg in enumerate(args[1:], start=1))
    return Case(args[0], branches, IntegerLiteral(0, span=span), span=span) if branches else None


def _compared(args: tuple[Expr, ...], span: Span) -> Expr | None:
    """Return the node of ``STRCMP(a, b)``."""
    if len(args) != 2:
        return None
    signs = {"<": -1, "=": 0, ">": 1}
    tests = [(Comparison(op, *args, span=span), IntegerLiteral(sign, span=span)) for op, sign in signs.items()]
    return Case(None, tuple(tests), None, span=span)


def _position(args: tuple[Expr, ...], span: Span) -> Expr | None:
    """Return the node of ``LOCATE(part, text [, from])``."""
    match args:
        case part, text:
            return FunctionCall("mysql_instr", (text, part), span=span)
        case part, text, start:
            return FunctionCall("mysql_locate_from", (text, part, start), span=span)
        case _:
            return None


def _space(args: tuple[Expr, ...], span: Span) -> Expr | None:
    return FunctionCall("mysql_repeat", (StringLiteral(" ", span=span), *args), span=span) if len(args) == 1 else None


_NOW: Final = ("now", "current_timestamp", "localtime", "localtimestamp", "sysdate", "utc_timestamp")

CALLS: Final[Mapping[str, Build]] = {
    **dict.fromkeys(_NOW, _now),
    **dict.fromkeys(("curdate", "current_date", "utc_date"), _today),
    **dict.fromkeys(("curtime", "current_time", "utc_time"), _time_now),
    **{name: partial(unit_call, name) for name in ("extract", "timestampadd", "timestampdiff")},
    **{name: partial(format_call, name) for name in ("date_format", "str_to_date")},
    "unix_timestamp": _unix_time,
    "adddate": _days_after,
    "subdate": _days_before,
    "week": _week,
    "concat_ws": _concat_ws,
    "elt": _nth,
    "field": _field,
    "strcmp": _compared,
    "locate": _position,
    "position": _position,
    "space": _space,
}
"""Builders by the names that users write."""
