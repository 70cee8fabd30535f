"""``qserv_areaspec_...``: a part of the sky for every partitioned table of FROM, by its partition's position.

That of a child table is its parent's position. Tables that an outer join may fill with NULLs are not limited, since
they follow the tables that are; nor are tables that others look up, such as that of visits, which Qserv has whole on
every node, unless they stand alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from ...exceptions import QueryError, QueryRefusedError, QuerySyntaxError, QueryTypeError
from ...models.tree import (
    And,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Expr,
    FromItem,
    FunctionCall,
    IntegerLiteral,
    Join,
    JoinKind,
    Point,
    PolygonShape,
    RealLiteral,
    Span,
    TableRef,
    Unary,
)
from ..build_mysql import AREAS
from ..errors import error_at
from ..rewrite import map_children

__all__ = ["limit_area", "refuse_area"]

_MOST_VERTICES: Final = 20

_WIDEST_ARCSEC: Final = 36000
"""Longest semi-major axis of an ellipse, as in Qserv."""


def limit_area(condition: Expr, source: FromItem | None) -> Expr:
    """Return a WHERE condition with each area written out for the tables of FROM.

    Raises
    ------
    QueryError
        If an area has arguments that do not fit, or no table of FROM is partitioned.
    """
    match condition:
        case FunctionCall(name=name) if name in AREAS:
            return _inside(condition, source)
        case Comparison(op="=", left=FunctionCall(name=name) as call, right=IntegerLiteral(value=1)) if name in AREAS:
            return _inside(call, source)
        case Comparison(op="=", left=IntegerLiteral(value=1), right=FunctionCall(name=name) as call) if name in AREAS:
            return _inside(call, source)
        case _:
            return map_children(condition, lambda child: limit_area(child, source))


def refuse_area(call: FunctionCall) -> QueryError:
    """Return the error for an area that stands outside WHERE."""
    return error_at(QuerySyntaxError, f"{call.name} stands in WHERE only.", call.span)


def _inside(call: FunctionCall, source: FromItem | None) -> Expr:
    numbers = [_number(arg, call) for arg in call.args]
    if not _FITS[call.name](len(numbers)):
        message = f"{call.name} does not take {len(numbers)} arguments."
        raise error_at(QuerySyntaxError, message, call.span, remedy=f"Write {AREAS[call.name]}.")
    problem = _PROBLEMS[call.name](numbers)
    if problem is not None:
        raise error_at(QueryTypeError, f"{call.name}: {problem}.", call.span)
    tables = list(_partitioned(source))
    limited = [one for one in tables if not one.table.is_looked_up] or tables
    tests = [_MAKERS[call.name](_partition_point(one, call.span), call) for one in limited]
    if not tests:
        message = f"{call.name} limits partitioned tables of FROM that no outer join fills with NULLs; it has none."
        raise error_at(QueryRefusedError, message, call.span)
    return tests[0] if len(tests) == 1 else And(tuple(tests), span=call.span)


def _number(arg: Expr, call: FunctionCall) -> float:
    match arg:
        case IntegerLiteral(value=value) | RealLiteral(value=value):
            return float(value)
        case Unary(op=op, operand=IntegerLiteral(value=value) | RealLiteral(value=value)):
            return float(-value if op == "-" else value)
        case _:
            message = f"{call.name} takes plain numbers."
            raise error_at(QueryTypeError, message, arg.span, remedy="Use scisql_s2PtIn... with columns.")


def _partition_point(reference: TableRef, span: Span) -> Point:
    """Return the position by which a partitioned table is placed."""
    assert reference.table.partition_position is not None
    ra, dec = (ColumnRef(reference.source, column, span=span) for column in reference.table.partition_position)
    return Point(ra, dec, span=span)


def _partitioned(item: FromItem | None) -> Iterator[TableRef]:
    """Yield the partitioned tables of FROM, from left to right."""
    match item:
        case TableRef(table=table) if table.partition_position is not None:
            yield item
        case Join(kind=kind, left=left, right=right):
            if kind not in {JoinKind.RIGHT, JoinKind.FULL}:
                yield from _partitioned(left)
            if kind not in {JoinKind.LEFT, JoinKind.FULL}:
                yield from _partitioned(right)
        case _:
            return


def _is_one(test: Expr, span: Span) -> Expr:
    return Comparison("=", test, IntegerLiteral(1, span=span), span=span)


def _in_function(name: str) -> Callable[[Point, FunctionCall], Expr]:
    def make(point: Point, call: FunctionCall) -> Expr:
        return _is_one(replace(call, name=name, args=(point.ra, point.dec, *call.args)), call.span)

    return make


def _in_circle(point: Point, call: FunctionCall) -> Expr:
    ra, dec, radius = call.args
    shape = Circle(Point(ra, dec, span=call.span), radius, span=call.span)
    return _is_one(Contains(point, shape, span=call.span), call.span)


def _in_polygon(point: Point, call: FunctionCall) -> Expr:
    pairs = zip(call.args[::2], call.args[1::2], strict=True)
    shape = PolygonShape(tuple(Point(ra, dec, span=call.span) for ra, dec in pairs), span=call.span)
    return _is_one(Contains(point, shape, span=call.span), call.span)


_MAKERS: Final[Mapping[str, Callable[[Point, FunctionCall], Expr]]] = {
    "qserv_areaspec_box": _in_function("scisql_s2ptinbox"),
    "qserv_areaspec_circle": _in_circle,
    "qserv_areaspec_ellipse": _in_function("scisql_s2ptinellipse"),
    "qserv_areaspec_poly": _in_polygon,
}

_FITS: Final[Mapping[str, Callable[[int], bool]]] = {
    "qserv_areaspec_box": lambda count: count == 4,
    "qserv_areaspec_circle": lambda count: count == 3,
    "qserv_areaspec_ellipse": lambda count: count == 5,
    "qserv_areaspec_poly": lambda count: count % 2 == 0 and 3 <= count // 2 <= _MOST_VERTICES,
}


def _box_problem(numbers: list[float]) -> str | None:
    lon_min, lat_min, lon_max, lat_max = numbers
    if lat_min > lat_max:
        return "latMin is larger than latMax"
    if lon_max < lon_min and not (lon_max >= 0 and lon_min <= 360):
        return "lonMin may be larger than lonMax within 0 and 360 only"
    return _latitude_problem([lat_min, lat_max])


def _circle_problem(numbers: list[float]) -> str | None:
    if not 0 <= numbers[2] <= 180:
        return "the radius is outside of 0 and 180 degrees"
    return _latitude_problem([numbers[1]])


def _ellipse_problem(numbers: list[float]) -> str | None:
    if not 0 <= numbers[3] <= numbers[2] <= _WIDEST_ARCSEC:
        return f"the semi-axes are in arcseconds, the larger one first, at most {_WIDEST_ARCSEC}"
    return _latitude_problem([numbers[1]])


def _latitude_problem(latitudes: list[float]) -> str | None:
    wrong = [latitude for latitude in latitudes if abs(latitude) > 90]
    return f"the latitude {wrong[0]} is outside of -90 and 90 degrees" if wrong else None


_PROBLEMS: Final[Mapping[str, Callable[[list[float]], str | None]]] = {
    "qserv_areaspec_box": _box_problem,
    "qserv_areaspec_circle": _circle_problem,
    "qserv_areaspec_ellipse": _ellipse_problem,
    "qserv_areaspec_poly": lambda numbers: _latitude_problem(numbers[1::2]),
}
