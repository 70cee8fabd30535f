"""HEALPix in SQL: NESTED indices of positions, and centres of cells.

The projection is that of Gorski et al. 2005 (ApJ 622, 759, section 5) as HEALPix's own library computes it, step by
step in doubles, so that an index agrees with the stored one. An index is computed at order 29 and cut to the order
wanted, since cells are nested.
"""

from typing import Final

from partitioning.sky.healpix import ORDER

from .sqltext import let

__all__ = ["CENTRE_DEC", "CENTRE_RA", "INDEX"]

_LAST: Final = (1 << ORDER) - 1
"""Largest coordinate inside a base cell."""

_SIDE: Final = f"{1 << ORDER}e0"

_STEPS: Final = (
    (16, 0x0000_0000_FFFF_0000),
    (8, 0x0000_FF00_0000_FF00),
    (4, 0x00F0_00F0_00F0_00F0),
    (2, 0x0C0C_0C0C_0C0C_0C0C),
    (1, 0x2222_2222_2222_2222),
)
"""Exchange of the middle quarters of 64, 32, ... bits: the lower of the two quarters, and its distance to the other."""


def _shuffled(word: str, steps: tuple[tuple[int, int], ...]) -> str:
    """Return the word of 64 bits with its bits exchanged.

    In the order of `_STEPS`, bit k of the lower half goes to bit 2k, that of the upper half to bit 2k + 1; in the
    opposite order the other way round.
    """
    for shift, lower in steps:
        upper = lower << shift
        rest = (1 << 63) - 1 & ~(lower | upper)
        word = let(f"(w.w & {rest}) | ((w.w & {lower}) << {shift}) | ((w.w & {upper}) >> {shift})", "w", w=word)
    return word


def _index() -> str:
    eq = "abs(c.z) <= 0.6666666666666666e0"
    steep = f"{_SIDE} * sin(b.theta) / sqrt((1e0 + abs(b.z)) / 3e0)"
    radius = (
        f"CASE WHEN abs(b.z) >= 0.99e0 AND (b.theta < 0.01e0 OR b.theta > 3.13159e0) THEN {steep} "
        f"ELSE {_SIDE} * sqrt(3e0 * (1e0 - abs(b.z))) END"
    )
    rise, fall = (
        f"CASE WHEN {eq} THEN {_SIDE} * (0.5e0 + c.turn) {sign} {_SIDE} * (c.z * 0.75e0) "
        f"ELSE least({part} * c.radius, {_LAST}e0) END"
        for sign, part in (("-", "(c.turn - c.quarter)"), ("+", "(1e0 - (c.turn - c.quarter))"))
    )
    eq = eq.replace("c.", "d.")
    north, south = f"{_LAST} - d.{{0}}", "d.{0}"
    face = (
        f"CASE WHEN {eq} THEN CASE WHEN d.p >> {ORDER} = d.m >> {ORDER} THEN (d.p >> {ORDER}) | 4 "
        f"WHEN d.p < d.m THEN d.p >> {ORDER} ELSE (d.m >> {ORDER}) + 8 END "
        "WHEN d.z > 0e0 THEN d.quarter ELSE d.quarter + 8 END"
    )
    x = f"CASE WHEN {eq} THEN d.m & {_LAST} WHEN d.z > 0e0 THEN {north.format('m')} ELSE {south.format('p')} END"
    y = f"CASE WHEN {eq} THEN {_LAST} - (d.p & {_LAST}) WHEN d.z > 0e0 THEN {north.format('p')} ELSE d.m END"
    sql = let(f"(e.face << {2 * ORDER}) | {_shuffled('e.x | (e.y << 32)', _STEPS)}", "e", face=face, x=x, y=y)
    whole = "CAST(floor({}) AS BIGINT)"
    sql = let(sql, "d", z="c.z", quarter=whole.format("c.quarter"), p=whole.format(rise), m=whole.format(fall))
    sql = let(sql, "c", z="b.z", turn="b.turn", quarter="least(floor(b.turn), 3e0)", radius=radius)
    sql = let(sql, "b", z="cos(a.theta)", theta="a.theta", turn="a.turn")
    # what is left of 360 degrees after folding would be a turn too much
    turn = "radians(CASE WHEN p.ra < 359.999999999999e0 THEN p.ra ELSE 0e0 END) * 0.6366197723675814e0"
    sql = let(sql, "a", theta="1.5707963267948966e0 - radians(p.dec)", turn=turn)
    known = f"p.hpxorder BETWEEN 0 AND {ORDER} AND isfinite(p.ra) AND p.dec BETWEEN -90e0 AND 90e0"
    cut = f"CASE WHEN {known} THEN {sql} >> (2 * ({ORDER} - p.hpxorder)) END"
    folded = let(
        "CASE WHEN r.ra >= 0e0 AND r.ra < 360e0 THEN r.ra ELSE (r.ra % 360e0 + 360e0) % 360e0 END", "r", ra="{1}"
    )
    return let(cut, "p", hpxorder="{0}", ra=folded, dec="{2}")


def _centre(coordinate: str) -> str:
    """Return a coordinate of a cell's centre; `coordinate` is made of ring ``c.ring``, column ``c.spoke`` and sides."""
    ring = "CASE WHEN b.row < b.side THEN b.row WHEN b.row > 3 * b.side THEN 4 * b.side - b.row ELSE b.side END"
    sql = let(coordinate, "c", side="CAST(b.side AS DOUBLE)", row="b.row", ring=ring, slope="b.slope", spoke="b.spoke")
    slope = "a.x - a.y"
    row = "((a.face // 4) + 2) * a.side - a.x - a.y - 1"
    spoke = "CASE WHEN a.face // 4 = 1 THEN 2 * (a.face % 4) ELSE 2 * (a.face % 4) + 1 END"
    sql = let(sql, "b", side="a.side", row=row, slope=slope, spoke=spoke)
    low = (1 << 32) - 1
    sql = let(sql, "a", face="w.face", side="w.side", x=f"w.word & {low}", y="w.word >> 32")
    word = _shuffled("p.hpxindex & ((p.side << p.hpxorder) - 1)", _STEPS[::-1])
    sql = let(sql, "w", face="p.hpxindex >> (2 * p.hpxorder)", side="p.side", word=word)
    sql = let(sql, "p", hpxorder="q.hpxorder", hpxindex="q.hpxindex", side="CAST(1 AS BIGINT) << q.hpxorder")
    known = (
        f"q.hpxorder BETWEEN 0 AND {ORDER} AND q.hpxindex BETWEEN 0 AND (CAST(12 AS BIGINT) << (2 * q.hpxorder)) - 1"
    )
    return let(f"CASE WHEN {known} THEN {sql} END", "q", hpxorder="{0}", hpxindex="{1}")


_DROP: Final = "c.ring * c.ring / (3e0 * c.side * c.side)"
"""By how much a ring around a pole lies below it, in units of the sphere's radius."""

_CAP: Final = f"atan2({{}}(1e0 - {_DROP}), c.ring / c.side * sqrt((2e0 - {_DROP}) / 3e0))"

INDEX: Final = _index()
"""``{0}`` order, ``{1}`` RA, ``{2}`` Dec in degrees to the index; NULL where any is NULL or outside its range."""

CENTRE_RA: Final = _centre("((45e0 * (c.spoke * c.ring + c.slope) / c.ring) % 360e0 + 360e0) % 360e0")
"""``{0}`` order, ``{1}`` index to a right ascension in degrees; NULL where there is no such cell."""

CENTRE_DEC: Final = _centre(
    f"degrees(CASE WHEN c.row < c.side THEN {_CAP.format('')} WHEN c.row > 3e0 * c.side THEN {_CAP.format('-')} "
    "ELSE asin((2e0 * c.side - c.row) * 2e0 / (3e0 * c.side)) END)"
)
"""``{0}`` order, ``{1}`` index to a declination in degrees."""
