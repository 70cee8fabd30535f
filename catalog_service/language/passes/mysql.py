"""What texts of the MySQL dialect mean, where it depends on types.

Numbers are conditions and conditions numbers; texts are compared without regard to case and trailing blanks; a number
in quotes beside a number is that number; LIKE takes numbers as their digits.

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import ColumnRef, Comparison, StringLiteral
>>> band = ColumnRef(0, Column(name="band", datatype=DataType.TEXT))
>>> mysql_meaning(Comparison("=", band, StringLiteral("r")))
... # doctest: +ELLIPSIS
Comparison(op='=', left=FunctionCall(name='mysql_fold', args=(ColumnRef(...),)), right=StringLiteral(value='R'))
>>> mysql_meaning(Comparison("=", band, StringLiteral("42"))).left is band
True
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import UnionType
from typing import Any, Final

from ...exceptions import QueryRefusedError, QueryTypeError
from ...models.schema import DataType
from ...models.tree import (
    Aggregate,
    And,
    Between,
    BooleanLiteral,
    Case,
    Cast,
    ColumnRef,
    Comparison,
    Contains,
    Expr,
    FunctionCall,
    Identifier,
    InList,
    InQuery,
    IntegerLiteral,
    Intersects,
    IsNull,
    Like,
    Node,
    Not,
    NullLiteral,
    Or,
    OrderItem,
    Query,
    RealLiteral,
    Select,
    SelectItem,
    SetOperation,
    StringLiteral,
    WindowCall,
)
from ..build_base import CONDITIONS
from ..errors import error_at
from ..function import Kind
from ..functions import FUNCTIONS
from ..rewrite import LITERALS, map_children, walk_expression
from ..types import is_array, type_of, type_word
from .coerce import as_timestamp

__all__ = ["as_condition", "as_value", "collate", "mysql_meaning"]

_MOST_TEXTS: Final = 8
"""Arguments of GREATEST and LEAST, each of which is compared with each other one."""

_BITS: Final = frozenset(
    {"mysql_and", "mysql_or", "mysql_xor", "mysql_invert", "mysql_shift_left", "mysql_shift_right"}
)


def mysql_meaning(expr: Expr) -> Expr:
    """Return `expr` with MySQL's rules of types written out.

    Raises
    ------
    QueryTypeError
        If a text stands where a number or condition must be, and is none.
    """
    return _unsigned(_meaning(expr))


def _meaning(expr: Expr) -> Expr:
    if isinstance(expr, FunctionCall) and expr.name in _BITS:  # the signs of inner bits do not matter
        return map_children(expr, lambda arg: _argument(_meaning(arg), Kind.BITS))
    mapped = map_children(expr, lambda child: _unsigned(_meaning(child)))
    change = _MEANINGS.get(type(mapped))
    return mapped if change is None else change(mapped)


def _logical(expr: And | Or) -> Expr:
    return replace(expr, operands=tuple(as_condition(operand) for operand in expr.operands))


def _case(expr: Case) -> Expr:
    operand, tests = expr.operand, [when for when, _ in expr.branches]
    if operand is None:
        tests = [as_condition(test) for test in tests]
    else:
        operand, *tests = _comparable([_operand(operand), *map(_operand, tests)])
    results = [then for _, then in expr.branches] + ([] if expr.default is None else [expr.default])
    thens = _alike(results)
    default = None if expr.default is None else thens[-1]
    return replace(expr, operand=operand, branches=tuple(zip(tests, thens, strict=False)), default=default)


def _alike(values: Sequence[Expr]) -> list[Expr]:
    """Return values of which one is taken: truth beside numbers is 1 or 0, a text in quotes beside times is one."""
    operands = [_operand(value) for value in values]
    kinds = {type_of(value) for value in operands} - {DataType.NULL}
    if DataType.TIMESTAMP in kinds:
        return [as_timestamp(value) if isinstance(value, StringLiteral) else value for value in operands]
    if DataType.BOOLEAN not in kinds or len(kinds) == 1:
        return operands
    return [_number_of(value) for value in operands]


def _number_of(expr: Expr) -> Expr:
    return Cast(expr, DataType.INT, span=expr.span) if type_of(expr) is DataType.BOOLEAN else expr


def _comparison(expr: Comparison) -> Expr:
    left, right = _comparable([_operand(expr.left), _operand(expr.right)], exact=expr.op in {"=", "<>", "<=>"})
    return replace(expr, left=left, right=right)


def _between(expr: Between) -> Expr:
    parts = [_operand(expr.operand), _operand(expr.low), _operand(expr.high)]
    operand, low, high = _comparable(parts, exact=False)
    return replace(expr, operand=operand, low=low, high=high)


def _in_list(expr: InList) -> Expr:
    operand, *items = _comparable([_operand(expr.operand), *expr.items])
    return replace(expr, operand=operand, items=tuple(items))


def _function(expr: FunctionCall) -> Expr:
    function = FUNCTIONS.get(expr.name)
    if function is None:
        return expr
    if expr.name in {"mysql_greatest", "mysql_least"} and any(type_of(arg) is DataType.TEXT for arg in expr.args):
        return _extreme_text(expr)
    if function.is_common:
        return replace(expr, args=tuple(_alike(expr.args)))
    if expr.name == "mysql_hex" and type_of(expr.args[0]) is DataType.TEXT:
        return replace(expr, name="mysql_hex_of_text")
    return replace(expr, args=tuple(_argument(arg, function.kind(at)) for at, arg in enumerate(expr.args)))


def _extreme_text(expr: FunctionCall) -> Expr:
    """Return GREATEST or LEAST of texts: the first one that no later one exceeds."""
    op = ">=" if expr.name == "mysql_greatest" else "<="
    texts = [_text(arg) for arg in expr.args]
    if len(texts) > _MOST_TEXTS:
        raise error_at(QueryRefusedError, f"GREATEST and LEAST take at most {_MOST_TEXTS} texts.", expr.span)
    branches = []
    for at, one in enumerate(texts[:-1], start=1):
        tests = tuple(Comparison(op, _folded(one), _folded(other), span=one.span) for other in texts[at:])
        branches.append((tests[0] if len(tests) == 1 else And(tests, span=one.span), one))
    return Case(None, tuple(branches), texts[-1], span=expr.span)


def _aggregate(expr: Aggregate) -> Expr:
    if expr.name == "count" and expr.distinct and type_of(expr.args[0]) is DataType.TEXT:
        return replace(expr, args=(_folded(expr.args[0]),))
    return replace(expr, name=_set_function(expr))


def _set_function(expr: Aggregate | WindowCall) -> str:
    """Return the name of a set function; MIN and MAX of texts compare them as MySQL does."""
    is_text = expr.name in {"min", "max"} and type_of(expr.args[0]) is DataType.TEXT
    return f"mysql_{expr.name}" if is_text and not _is_binary(expr.args[0]) else expr.name


def as_condition(expr: Expr) -> Expr:
    """Return the condition that a value is: a number is true unless it is 0."""
    kind = type_of(expr)
    if kind in {DataType.BOOLEAN, DataType.NULL} and not is_array(expr):
        return expr
    if not kind.is_numeric or is_array(expr):
        message = f"a condition is needed here, not {'an array' if is_array(expr) else type_word(kind)}."
        remedy = "|| is OR here: CONCAT(a, b) joins texts." if kind is DataType.TEXT else None
        raise error_at(QueryTypeError, message, expr.span, remedy=remedy)
    if _is_zero_or_one(expr):  # in the form that the planner knows
        return Comparison("=", expr, IntegerLiteral(1, span=expr.span), span=expr.span)
    return Comparison("<>", expr, IntegerLiteral(0, span=expr.span), span=expr.span)


def as_value(expr: Expr) -> Expr:
    """Return the value that a condition of the select list is: 1, 0 or NULL; BOOLEAN columns stay as they are."""
    if isinstance(expr, (*CONDITIONS, BooleanLiteral, Case)) and type_of(expr) is DataType.BOOLEAN:
        return Cast(expr, DataType.INT, span=expr.span)
    return expr


def _operand(expr: Expr) -> Expr:
    return Cast(expr, DataType.INT, span=expr.span) if isinstance(expr, CONDITIONS) else expr


def _is_zero_or_one(expr: Expr) -> bool:
    match expr:
        case Contains() | Intersects() | FunctionCall(name="coalesce", args=(Contains(), IntegerLiteral(value=0))):
            return True
        case FunctionCall(name=name):
            return name.startswith("scisql_s2ptin")
        case _:
            return False


def _unsigned(expr: Expr) -> Expr:
    """Return the number that bits are, unless none of them can be the sign."""
    if not isinstance(expr, FunctionCall) or expr.name not in _BITS or _is_small(expr):
        return expr
    return FunctionCall("mysql_unsigned", (expr,), span=expr.span)


def _is_small(expr: Expr) -> bool:
    """Return whether the 64th bit cannot be set: a bitwise AND with a literal, as flags are tested."""
    if isinstance(expr, IntegerLiteral):
        return expr.value >= 0
    return isinstance(expr, FunctionCall) and expr.name == "mysql_and" and any(map(_is_small, expr.args))


# --- texts ---


def _argument(arg: Expr, kind: Kind) -> Expr:
    value = _operand(arg)
    match kind:
        case Kind.TEXT:
            return _text(value)
        case Kind.ANY | Kind.QUOTED:
            return value
        case Kind.MOMENT:
            return as_timestamp(value) if isinstance(value, StringLiteral) else value
        case _:
            return _number_of(_as_number(value) if isinstance(value, StringLiteral) else value)


def _text(expr: Expr) -> Expr:
    value = _number_of(_operand(expr))
    if isinstance(value, StringLiteral) or not type_of(value).is_numeric:
        return value
    return Cast(value, DataType.TEXT, span=expr.span)


def _comparable(exprs: list[Expr], *, exact: bool = True) -> list[Expr]:
    """Return expressions that are compared with each other: texts folded, literals in quotes typed after numbers.

    Only whether texts are equal, `exact`, does not depend on the fold where there are no letters.
    """
    kinds = {type_of(expr) for expr in exprs}
    if any(map(_is_binary, exprs)):
        return exprs
    if any(kind.is_numeric or kind is DataType.BOOLEAN for kind in kinds) and DataType.TEXT in kinds:
        return [_as_number(expr) if isinstance(expr, StringLiteral) else expr for expr in exprs]
    if kinds <= {DataType.TEXT, DataType.NULL} and DataType.TEXT in kinds:
        return exprs if exact and _without_case(exprs) else [_folded(expr) for expr in exprs]
    return exprs


_COMPARED_AS_THEY_ARE: Final = frozenset({"mysql_fold", "mysql_binary"})


def _is_binary(expr: Expr) -> bool:
    """Return whether a text tells upper from lower case by its own COLLATE, and so whatever it is compared with."""
    return isinstance(expr, FunctionCall) and expr.name == "mysql_binary"


def _without_case(exprs: list[Expr]) -> bool:
    """Return whether a text is compared with literals that have no letters: then the column's own index serves."""
    literals = [expr for expr in exprs if isinstance(expr, StringLiteral)]
    return len(literals) == len(exprs) - 1 and not any(
        character.isalpha() or character == " " for literal in literals for character in literal.value
    )


def _folded(expr: Expr) -> Expr:
    """Return a text as it is compared: in upper case, without trailing blanks."""
    if isinstance(expr, StringLiteral) and expr.value.isascii():
        return replace(expr, value=expr.value.rstrip(" ").upper())
    if type_of(expr) is not DataType.TEXT or (isinstance(expr, FunctionCall) and expr.name in _COMPARED_AS_THEY_ARE):
        return expr
    return FunctionCall("mysql_fold", (expr,), span=expr.span)


def _as_number(literal: StringLiteral) -> Expr:
    """Return the number that a text in quotes says.

    Raises
    ------
    QueryTypeError
        If it says none: MySQL would take its first digits, or 0.
    """
    written = literal.value.strip()
    if _INTEGER.fullmatch(written) and abs(int(written)) < 2**63:
        return IntegerLiteral(int(written), span=literal.span)
    if _NUMBER.fullmatch(written):
        return RealLiteral(float(written), span=literal.span)
    message = f"the text '{written[:40]}' stands beside a number, and is none."
    raise error_at(QueryTypeError, message, literal.span, remedy="Write the number itself.")


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def _like(expr: Like) -> Expr:
    exact = _is_binary(expr.operand) or _is_binary(expr.pattern)
    return replace(expr, operand=_text(expr.operand), pattern=_text(expr.pattern), ignore_case=not exact)


def _in_query(expr: InQuery) -> Expr:
    operand = _operand(expr.operand)
    if type_of(operand) is not DataType.TEXT:
        return replace(expr, operand=operand)
    return replace(expr, operand=_folded(operand), query=_folded_query(expr.query))


def _folded_query(query: Query) -> Query:
    """Return a subquery with its texts as they are compared."""
    match query:
        case Select(items=items):
            return replace(query, items=tuple(replace(item, expr=_folded(item.expr)) for item in items))
        case SetOperation(left=left, right=right):
            return replace(query, left=_folded_query(left), right=_folded_query(right))
        case _:
            return query


def _window(expr: WindowCall) -> Expr:
    return replace(
        expr,
        name=_set_function(expr),
        partition_by=tuple(map(_folded, expr.partition_by)),
        order_by=tuple(replace(item, expr=_folded(item.expr)) for item in expr.order_by),
    )


_MEANINGS: Final[Mapping[type[Node], Callable[[Any], Expr]]] = {
    And: _logical,
    Or: _logical,
    Not: lambda expr: replace(expr, operand=as_condition(expr.operand)),
    Case: _case,
    Cast: lambda expr: replace(expr, operand=_number_of(_operand(expr.operand))),
    Comparison: _comparison,
    Between: _between,
    InList: _in_list,
    InQuery: _in_query,
    Like: _like,
    FunctionCall: _function,
    Aggregate: _aggregate,
    WindowCall: _window,
}
"""What is done with each kind of node once what is below it is done."""


# --- grouping and sorting ---


def collate(select: Select) -> Select:
    """Return `select` with texts grouped and sorted as MySQL compares them; of equal ones the smallest is shown."""
    select = _filtered(_distinct(select))
    texts_of_groups = {key for key in select.group_by if type_of(key) is DataType.TEXT}
    if select.rollup:
        select = _with_totals(select, texts_of_groups)
    items = tuple(_shown(item, texts_of_groups) for item in select.items)
    return replace(
        select,
        items=items,
        group_by=tuple(_folded(key) for key in select.group_by),
        order_by=tuple(_sorted(item, items) for item in select.order_by),
    )


def _distinct(select: Select) -> Select:
    """Return `select` with DISTINCT of texts as GROUP BY, which folds them."""
    texts = [item.expr for item in select.items if type_of(item.expr) is DataType.TEXT]
    if not select.distinct or not texts:
        return select
    if select.group_by or any(_has(item.expr, Aggregate | WindowCall) for item in select.items):
        message = "DISTINCT of texts beside groups and windows is not supported."
        raise error_at(QueryRefusedError, message, texts[0].span, remedy="Use DISTINCT around it: FROM (SELECT ...) t.")
    keys = tuple(dict.fromkeys(item.expr for item in select.items if not isinstance(item.expr, LITERALS)))
    return replace(select, distinct=False, group_by=keys) if keys else select


def _filtered(select: Select) -> Select:
    """Return `select` with HAVING of a query without groups as what it is in MySQL: a condition of rows."""
    others = [item.expr for item in select.items] + [item.expr for item in select.order_by]
    if select.having is None or select.group_by or any(_has(expr, Aggregate) for expr in (select.having, *others)):
        return select
    both = select.having if select.where is None else And((select.where, select.having), span=select.having.span)
    return replace(select, where=both, having=None)


def _has(expr: Expr, kinds: type | UnionType) -> bool:
    return any(isinstance(part, kinds) for part in walk_expression(expr))


def _shown(item: SelectItem, texts: set[Expr]) -> SelectItem:
    if item.expr not in texts:
        return item
    return replace(item, expr=Aggregate("any_value", (item.expr,), span=item.expr.span))


def _with_totals(select: Select, texts: set[Expr]) -> Select:
    """Return `select` with texts that are NULL where `rollup` adds up their groups."""
    kept = {key for key in select.group_by if key not in texts} | {_folded(key) for key in texts}
    items = tuple(replace(_named(item, texts), expr=_total(item.expr, texts, kept)) for item in select.items)
    having = None if select.having is None else _total(select.having, texts, kept)
    return replace(select, items=items, having=having)


def _named(item: SelectItem, texts: set[Expr]) -> SelectItem:
    """Return an item that keeps the name of its column whatever becomes of its text."""
    if item.alias is not None or item.expr not in texts or not isinstance(item.expr, ColumnRef):
        return item
    return replace(item, alias=Identifier(item.expr.column.name))


def _total(expr: Expr, texts: set[Expr], kept: set[Expr]) -> Expr:
    if expr in kept or isinstance(expr, Aggregate):
        return expr
    if expr not in texts:
        return map_children(expr, lambda child: _total(child, texts, kept))
    none = IsNull(_folded(expr), span=expr.span)
    shown = Aggregate("any_value", (expr,), span=expr.span)
    return Case(None, ((none, NullLiteral(span=expr.span)),), shown, span=expr.span)


def _sorted(item: OrderItem, items: tuple[SelectItem, ...]) -> OrderItem:
    key = items[item.expr.value - 1].expr if isinstance(item.expr, IntegerLiteral) else item.expr
    if type_of(key) is not DataType.TEXT or isinstance(key, StringLiteral):
        return item
    return replace(item, expr=_folded(key))
