"""The IVOA's catalogue of user-defined functions (endorsed note "Catalogue of ADQL User Defined Functions" 1.0).

Functions that give a POINT become points of two hidden functions, one for each coordinate, so that all of geometry
takes them. ``ivo_string_agg`` is a set function (`statistics`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from partitioning.sky.healpix import ORDER

from ..exceptions import QuerySyntaxError, QueryTypeError
from ..models.schema import DataType
from ..models.tree import Coordinate, Expr, FunctionCall, IntegerLiteral, Point, Span
from .errors import error_at
from .function import Function, Kind, declared_form
from .healpix_sql import CENTRE_DEC, CENTRE_RA, INDEX

__all__ = ["HEALPIX_INDEX", "IVO", "IVO_CALLS", "IVO_FORMS", "STORED_INDEX", "ivo_call"]

HEALPIX_INDEX: Final = "ivo_healpix_index"
STORED_INDEX: Final = f"CASE WHEN {{0}} BETWEEN 0 AND {ORDER} THEN {{1}} >> (2 * ({ORDER} - {{0}})) END"
"""The same of an order and an index of order 29."""

_CENTRE: Final = "ivo_healpix_center"
_EPOCH: Final = "ivo_epoch_prop_pos"

IVO_FORMS: Final = (
    "ivo_healpix_index(hpxOrder INTEGER, ra DOUBLE PRECISION, dec DOUBLE PRECISION) -> BIGINT",
    "ivo_healpix_index(hpxOrder INTEGER, p POINT) -> BIGINT",
    "ivo_healpix_center(hpxOrder INTEGER, hpxIndex BIGINT) -> POINT",
    declared_form("ivo_epoch_prop_pos(ra, dec, parallax, pmra, pmdec, radial_velocity, ref_epoch, out_epoch)", "POINT"),
)
"""Forms of the functions below as TAP capabilities declare them."""

# --- motion -----------------------------------------------------------------------------------------------------------

_MAS: Final = "4.84813681109536e-9"
"""Radians in a milliarcsecond."""

_KM_PER_AU: Final = "4.740470463533349e0"
"""km/s in an astronomical unit per Julian year."""

_YEARS: Final = "({7} - {6})"
_EAST: Final = f"(coalesce({{3}}, 0e0) * {_MAS} * {_YEARS})"
_NORTH: Final = f"(coalesce({{4}}, 0e0) * {_MAS} * {_YEARS})"
_AWAY: Final = f"(1e0 + coalesce({{5}} * {{2}}, 0e0) * {_MAS} / {_KM_PER_AU} * {_YEARS})"
_OUTWARD: Final = f"({_AWAY} * cos(radians({{1}})) - {_NORTH} * sin(radians({{1}})))"
"""Where the star is, in units of its first distance: in the first meridian's plane, away from the axis."""
_UP: Final = f"({_AWAY} * sin(radians({{1}})) + {_NORTH} * cos(radians({{1}})))"
_KNOWN: Final = f"isfinite({{0}}) AND {{1}} BETWEEN -90e0 AND 90e0 AND isfinite({_OUTWARD}) AND isfinite({_EAST})"
_MOVED_RA: Final = (
    f"CASE WHEN {_KNOWN} THEN (({{0}} + degrees(atan2({_EAST}, {_OUTWARD}))) % 360e0 + 360e0) % 360e0 END"
)
_MOVED_DEC: Final = (
    f"CASE WHEN {_KNOWN} THEN degrees(atan2({_UP}, sqrt({_OUTWARD} * {_OUTWARD} + {_EAST} * {_EAST}))) END"
)

# --- texts ------------------------------------------------------------------------------------------------------------

_WORDS: Final = "regexp_extract_all(lower({}), '[\\pL\\pN]+')"
_HAS_WORDS: Final = f"CAST(list_has_all({_WORDS.format('{0}')}, {_WORDS.format('{1}')}) AS INTEGER)"
_IN_HASHLIST: Final = (
    "CAST(NOT contains({1}, '#') AND list_contains(string_split(lower({0}), '#'), lower({1})) AS INTEGER)"
)


def _hidden(name: str, params: tuple[Kind, ...], template: str, result: DataType = DataType.DOUBLE) -> Function:
    return Function(name, params, result, {len(params): template}, hidden=True)


def _of_texts(form: str, template: str, doc: str) -> Function:
    name, _, parameters = form.removesuffix(")").partition("(")
    typed = ", ".join(f"{parameter} VARCHAR" for parameter in parameters.split(", "))
    signature = f"{name}({typed}) -> INTEGER"
    return Function(name, (Kind.TEXT, Kind.TEXT), DataType.INT, {2: template}, doc=doc, signature=signature)


_CELL: Final = (Kind.WHOLE, Kind.WHOLE)
_MOTION: Final = (Kind.NUMBER,) * 8

_ALL: Final = (
    _hidden(HEALPIX_INDEX, (Kind.WHOLE, Kind.NUMBER, Kind.NUMBER), INDEX, DataType.LONG),
    _hidden(f"{_CENTRE}.ra", _CELL, CENTRE_RA),
    _hidden(f"{_CENTRE}.dec", _CELL, CENTRE_DEC),
    _hidden(f"{_EPOCH}.ra", _MOTION, _MOVED_RA),
    _hidden(f"{_EPOCH}.dec", _MOTION, _MOVED_DEC),
    Function(
        "ivo_interval_overlaps",
        (Kind.EXACT,) * 4,
        DataType.INT,
        {4: "CAST({0} <= {1} AND {2} <= {3} AND {0} <= {3} AND {2} <= {1} AS INTEGER)"},
        doc="1 if the intervals from the first to the second and from the third to the fourth number overlap, else 0",
        signature="ivo_interval_overlaps(l1 NUMERIC, h1 NUMERIC, l2 NUMERIC, h2 NUMERIC) -> INTEGER",
    ),
    _of_texts("ivo_hasword(haystack, needle)", _HAS_WORDS, "1 if the first text has all words of the second, else 0"),
    _of_texts(
        "ivo_hashlist_has(hashlist, item)",
        _IN_HASHLIST,
        "1 if the second text is among the words of the first, which are separated by `#`, ignoring case; else 0",
    ),
    _of_texts(
        "ivo_nocasematch(value, pattern)",
        "CAST({0} ILIKE {1} AS INTEGER)",
        "1 if `value ILIKE pattern`, else 0",
    ),
)

IVO: Final[Mapping[str, Function]] = {function.name: function for function in _ALL}
"""Functions by canonical name, those included that only rewrites make."""

# --- calls ------------------------------------------------------------------------------------------------------------

Arguments = Sequence[Expr]


def ivo_call(name: str, args: Arguments, span: Span) -> Expr:
    """Return the node of a call of one of `IVO_CALLS`.

    Raises
    ------
    QuerySyntaxError
        If the number of arguments is wrong.
    QueryTypeError
        If the order of a HEALPix cell is none.
    """
    node = IVO_CALLS[name](args, span)
    if node is None:
        forms = " or ".join(form for form in IVO_FORMS if form.startswith(name))
        raise error_at(
            QuerySyntaxError,
            f"{name.upper()} does not take {len(args)} arguments.",
            span,
            remedy=f"Its form is {forms}.",
        )
    return node


def _check_order(order: Expr) -> None:
    if isinstance(order, IntegerLiteral) and order.value > ORDER:
        message = f"{order.value} is no order of HEALPix cells; they are 0 to {ORDER}."
        raise error_at(QueryTypeError, message, order.span)


def _healpix_index(args: Arguments, span: Span) -> Expr | None:
    match args:
        case [order, Point(ra=ra, dec=dec, frame=None)] | [order, ra, dec]:
            pass
        case [order, point]:
            ra, dec = (Coordinate(axis, point, span=point.span) for axis in (1, 2))
        case _:
            return None
    _check_order(order)
    return FunctionCall(HEALPIX_INDEX, (order, ra, dec), span=span)


def _healpix_center(args: Arguments, span: Span) -> Expr | None:
    if len(args) != 2:
        return None
    _check_order(args[0])
    return _point(_CENTRE, args, span)


def _epoch_prop_pos(args: Arguments, span: Span) -> Expr | None:
    return _point(_EPOCH, args, span) if len(args) == 8 else None


def _point(name: str, args: Arguments, span: Span) -> Point:
    ra, dec = (FunctionCall(f"{name}.{coordinate}", tuple(args), span=span) for coordinate in ("ra", "dec"))
    return Point(ra, dec, span=span)


IVO_CALLS: Final[Mapping[str, Callable[[Arguments, Span], Expr | None]]] = {
    HEALPIX_INDEX: _healpix_index,
    _CENTRE: _healpix_center,
    _EPOCH: _epoch_prop_pos,
}
"""Functions whose calls become other nodes, by canonical name."""
