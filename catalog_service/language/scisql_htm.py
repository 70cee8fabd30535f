"""scisql's numbers of the Hierarchical Triangular Mesh, and the angle between two vectors.

HTM halves the edges of eight triangles, whose numbers are 8 to 15, again and again (Kunszt, Szalay & Thakar 2001,
"The Hierarchical Triangular Mesh"). A position is kept as its weights a, b, c in a sum of the triangle's corners, with
the cosines of the edges: whether it lies in the child at a corner is then whether that weight outweighs the others, and
no number grows small as triangles do.
"""

from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from .function import Function, Kind

__all__ = ["POLYGON_BYTES", "SCISQL_HTM", "VECTOR_SEPARATION"]

_X, _Y, _Z = "cos(radians({1})) * cos(radians({0}))", "cos(radians({1})) * sin(radians({0}))", "sin(radians({1}))"

_ROOT: Final = (
    f"CASE WHEN {_Z} < 0e0 THEN CASE WHEN {_Y} > 0e0 THEN CASE WHEN {_X} > 0e0 THEN 8 ELSE 9 END"
    f" WHEN {_Y} = 0e0 THEN CASE WHEN {_X} >= 0e0 THEN 8 ELSE 10 END"
    f" ELSE CASE WHEN {_X} < 0e0 THEN 10 ELSE 11 END END"
    f" ELSE CASE WHEN {_Y} > 0e0 THEN CASE WHEN {_X} > 0e0 THEN 15 ELSE 14 END"
    f" WHEN {_Y} = 0e0 THEN CASE WHEN {_X} >= 0e0 THEN 15 ELSE 13 END"
    f" ELSE CASE WHEN {_X} < 0e0 THEN 13 ELSE 12 END END END"
)
"""The triangle of level 0."""


def _state(number: str, weights: tuple[str, str, str], cosines: tuple[str, str, str]) -> str:
    """Return a step of the descent: `cosines` of the edges between corners 0 and 1, 1 and 2, 2 and 0."""
    fields = zip("iabcpqr", (number, *weights, *cosines), strict=True)
    return f"struct_pack({', '.join(f'{name} := {sql}' for name, sql in fields)})"


def _start() -> str:
    """Return the state in the root: its corners lie on the axes, in even roots that of x first."""
    first, last = f"abs({_X})", f"abs({_Y})"
    root = f"CAST({_ROOT} AS BIGINT)"
    a = f"CASE WHEN {root} % 2 = 0 THEN {first} ELSE {last} END"
    c = f"CASE WHEN {root} % 2 = 0 THEN {last} ELSE {first} END"
    return _state(root, (a, f"abs({_Z})", c), ("0e0", "0e0", "0e0"))


_ALL_EDGES: Final = "(1e0 + s['p'] + s['q'] + s['r'])"


def _length(cosine: str) -> str:
    """Return the length of the sum of two corners."""
    return f"sqrt(2e0 + 2e0 * s['{cosine}'])"


def _corner(child: int, weights: tuple[str, str, str], cosines: tuple[str, str, str]) -> str:
    """Return the state in the child at the first of the corners whose weights are named."""
    (a, b, c), (ab, _, ca) = weights, cosines
    inner = f"{_ALL_EDGES} / ({_length(ab)} * {_length(ca)})"
    moved = f"s['{a}'] - s['{b}'] - s['{c}']", f"s['{b}'] * {_length(ab)}", f"s['{c}'] * {_length(ca)}"
    return _state(f"4 * s['i'] + {child}", moved, (f"{_length(ab)} / 2e0", inner, f"{_length(ca)} / 2e0"))


def _middle() -> str:
    """Return the state in the child between the middles of the edges."""
    p, q, r = map(_length, "pqr")
    moved = (
        f"{q} * (s['b'] + s['c'] - s['a']) / 2e0",
        f"{r} * (s['a'] + s['c'] - s['b']) / 2e0",
        f"{p} * (s['a'] + s['b'] - s['c']) / 2e0",
    )
    cosines = tuple(f"{_ALL_EDGES} / ({one} * {other})" for one, other in ((q, r), (r, p), (p, q)))
    return _state("4 * s['i'] + 3", moved, (cosines[0], cosines[1], cosines[2]))


_STEP: Final = (
    f"CASE WHEN s['a'] >= s['b'] + s['c'] THEN {_corner(0, ('a', 'b', 'c'), ('p', 'q', 'r'))}"
    f" WHEN s['b'] >= s['a'] + s['c'] THEN {_corner(1, ('b', 'c', 'a'), ('q', 'r', 'p'))}"
    f" WHEN s['c'] >= s['a'] + s['b'] THEN {_corner(2, ('c', 'a', 'b'), ('r', 'p', 'q'))} ELSE {_middle()} END"
)

_MOST_LEVELS: Final = 24

_ID: Final = Function(
    name="scisql_s2htmid",
    params=(Kind.NUMBER, Kind.NUMBER, Kind.WHOLE),
    result=DataType.LONG,
    templates={
        3: f"CASE WHEN isfinite({{0}}) AND abs({{1}}) <= 90e0 AND {{2}} BETWEEN 0 AND {_MOST_LEVELS}"
        f" THEN list_reduce(range(least({{2}}, {_MOST_LEVELS})), lambda s, n: {_STEP}, {_start()})['i'] END"
    },
    doc="number of the HTM triangle of a level (0 to 24) that holds a position; NULL where there is none",
    signature="scisql_s2HtmId(lon DOUBLE PRECISION, lat DOUBLE PRECISION, level INTEGER) -> BIGINT",
)

_BITS: Final = "length(bin({0}))"

_LEVEL: Final = Function(
    name="scisql_s2htmlevel",
    params=(Kind.WHOLE,),
    result=DataType.INT,
    templates={
        1: f"CASE WHEN {{0}} >= 8 AND {_BITS} % 2 = 0 AND {_BITS} <= {4 + 2 * _MOST_LEVELS}"
        f" THEN CAST(({_BITS} - 4) // 2 AS INTEGER) END"
    },
    doc="level of the HTM triangle of a number; NULL if it is none",
    signature="scisql_s2HtmLevel(id BIGINT) -> INTEGER",
)

_CROSS: Final = "sqrt({0} * {0} + {1} * {1} + {2} * {2})".format(
    "({1} * {5} - {2} * {4})", "({2} * {3} - {0} * {5})", "({0} * {4} - {1} * {3})"
)
_DOT: Final = "({0} * {3} + {1} * {4} + {2} * {5})"
_FINITE: Final = " AND ".join(f"isfinite({{{number}}})" for number in range(6))

_SEPARATION: Final = Function(
    name="scisql_angsep.vectors",
    params=(Kind.NUMBER,) * 6,
    result=DataType.DOUBLE,
    templates={6: f"CASE WHEN {_FINITE} THEN degrees(atan2({_CROSS}, {_DOT})) END"},
    doc="degrees between two vectors of any length",
    hidden=True,
)

VECTOR_SEPARATION: Final = _SEPARATION.name
"""What `scisql_angSep` of six numbers calls."""

_BYTES: Final = Function(
    name="scisql_s2cpolytobin",
    params=(Kind.NUMBER,),
    result=DataType.BINARY,
    templates={0: ""},
    variadic=True,
    hidden=True,
)

POLYGON_BYTES: Final = _BYTES.name
"""What stands for the corners of a polygon in a call of `scisql_s2PtInCPoly`, and nowhere else."""

SCISQL_HTM: Final[Mapping[str, Function]] = {one.name: one for one in (_ID, _LEVEL, _SEPARATION, _BYTES)}
"""Functions by canonical name."""
