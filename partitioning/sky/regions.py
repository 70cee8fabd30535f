"""Regions of the sky: frozen values with exact membership tests.

Boundaries count as inside (ADQL 2.1 section 4.2.7). Positions are ICRS degrees; RA of any turn is
accepted and folded into [0, 360).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import RegionError
from .separation import EDGE_TOLERANCE_DEG, separation_deg, unit_vectors

__all__ = ["Box", "Cone", "ConvexPolygon", "Polygon", "Region", "bounding_cone"]

_MOST_STEPS: Final = 1000
"""Steps that find the hemisphere of any polygon within 88 degrees of some centre."""


def _folded_ra(ra_deg: float) -> float:
    folded = math.fmod(ra_deg, 360.0)
    return folded + 360.0 if folded < 0 else folded


def _check_position(ra_deg: float, dec_deg: float, what: str) -> None:
    if not (math.isfinite(ra_deg) and math.isfinite(dec_deg)):
        msg = f"{what} ({ra_deg}, {dec_deg}) is not a finite position"
        raise RegionError(msg)
    if abs(dec_deg) > 90:
        msg = f"{what} has declination {dec_deg}, outside [-90, 90] degrees"
        raise RegionError(msg)


@dataclass(frozen=True)
class Cone:
    """All positions within `radius_deg` of a centre."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def __post_init__(self) -> None:
        _check_position(self.ra_deg, self.dec_deg, "the cone's centre")
        if not (math.isfinite(self.radius_deg) and 0 <= self.radius_deg <= 180):
            msg = f"the cone's radius is {self.radius_deg}; it must lie in [0, 180] degrees"
            raise RegionError(msg)
        object.__setattr__(self, "ra_deg", _folded_ra(self.ra_deg))

    def contains(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Return which positions (degrees, shape ``(N,)``) lie inside; NaN is outside."""
        inside: NDArray[np.bool_] = (
            separation_deg(self.ra_deg, self.dec_deg, ra_deg, dec_deg) <= self.radius_deg + EDGE_TOLERANCE_DEG
        )
        return inside


@dataclass(frozen=True)
class Box:
    """A range of RA and Dec: sides are meridians and parallels (not ADQL's BOX, a polygon).

    ``ra_min_deg > ra_max_deg`` wraps over RA 0; a span of 360 or more means every RA.
    """

    ra_min_deg: float
    ra_max_deg: float
    dec_min_deg: float
    dec_max_deg: float

    def __post_init__(self) -> None:
        _check_position(self.ra_min_deg, self.dec_min_deg, "the box's lower corner")
        _check_position(self.ra_max_deg, self.dec_max_deg, "the box's upper corner")
        if self.dec_min_deg > self.dec_max_deg:
            msg = f"the box's declination range {self.dec_min_deg}..{self.dec_max_deg} is reversed"
            raise RegionError(msg)

    @property
    def all_ra(self) -> bool:
        """Whether the box spans every right ascension."""
        return self.ra_max_deg - self.ra_min_deg >= 360

    def contains(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Return which positions (degrees, shape ``(N,)``) lie inside; NaN is outside."""
        ra, dec = np.asarray(ra_deg, np.float64) % 360.0, np.asarray(dec_deg, np.float64)
        ra = np.where(ra == 360.0, 0.0, ra)  # what tiny negative numbers are folded to
        in_dec = (dec >= self.dec_min_deg) & (dec <= self.dec_max_deg)
        if self.all_ra:
            return in_dec & np.isfinite(ra)
        low, high = _folded_ra(self.ra_min_deg), _folded_ra(self.ra_max_deg)
        in_ra = ((ra >= low) & (ra <= high)) if low <= high else ((ra >= low) | (ra <= high))
        result: NDArray[np.bool_] = in_dec & in_ra
        return result


@dataclass(frozen=True)
class ConvexPolygon:
    """A convex spherical polygon inside a hemisphere, as an intersection of half-spaces.

    `normals` has one inward unit normal per edge, shape ``(n, 3)`` as nested tuples; a unit vector
    ``p`` is inside when ``n . p >= 0`` for all of them. `vertices` are its corners in degrees.
    """

    vertices: tuple[tuple[float, float], ...]
    normals: tuple[tuple[float, float, float], ...]

    def contains(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Return which positions (degrees, shape ``(N,)``) lie inside; NaN is outside."""
        heights = unit_vectors(ra_deg, dec_deg) @ np.asarray(self.normals).T
        inside: NDArray[np.bool_] = (heights >= -math.radians(EDGE_TOLERANCE_DEG)).all(axis=-1)
        return inside


@dataclass(frozen=True)
class Polygon:
    """A simple spherical polygon whose sides are great circles; it must fit in a hemisphere.

    Vertices in either winding, the first not repeated, convex or not. The inside is the side
    of the smaller area (the hemisphere that holds the vertices).
    """

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        for ra, dec in self.vertices:
            _check_position(ra, dec, "a polygon vertex")
        if len(self.vertices) < 3:
            msg = f"a polygon needs at least 3 vertices, this one has {len(self.vertices)}"
            raise RegionError(msg)
        _ = self.pieces  # refuses what cannot be decomposed

    @cached_property
    def pieces(self) -> tuple[ConvexPolygon, ...]:
        """The polygon as convex pieces that cover it exactly: itself, or triangles."""
        return _convex_pieces(np.array(self.vertices, dtype=np.float64))

    def contains(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Return which positions (degrees, shape ``(N,)``) lie inside; NaN is outside."""
        inside: NDArray[np.bool_] = np.any([piece.contains(ra_deg, dec_deg) for piece in self.pieces], axis=0)
        return inside


Region = Cone | Box | Polygon | ConvexPolygon


def bounding_cone(vertices: ArrayLike) -> Cone:
    """Return a cone around polygon `vertices` (degrees, shape ``(n, 2)``) that holds the polygon.

    Its radius is 180 degrees if the corners are not all within a hemisphere of their mean.
    """
    corners = unit_vectors(*np.asarray(vertices, dtype=np.float64).T)
    x, y, z = corners.mean(axis=0).tolist()
    ra, dec = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    radius = float(separation_deg(ra, dec, *np.asarray(vertices, dtype=np.float64).T).max()) + 1e-9
    return Cone(ra, dec, radius if radius < 90 else 180.0)


def _hemisphere_centre(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a unit vector with every corner strictly within 90 degrees of it (perceptron algorithm)."""
    centre: NDArray[np.float64] = corners.mean(axis=0)
    for _ in range(_MOST_STEPS):
        heights = corners @ centre
        if heights.min() > 1e-6 * np.linalg.norm(centre):
            return centre / np.linalg.norm(centre)
        centre = centre + corners[int(np.argmin(heights))]  # lean towards the corner that is farthest behind
    msg = "the polygon does not fit into a hemisphere; split it into smaller ones"
    raise RegionError(msg)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cross(a, b)


def _tangent_plane(corners: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project corners gnomonically about `centre`: great circles become straight lines."""
    helper = np.eye(3)[int(np.argmin(np.abs(centre)))]
    east = _cross(helper, centre)
    east /= np.linalg.norm(east)
    north = _cross(centre, east)
    return np.stack([corners @ east, corners @ north], axis=1) / (corners @ centre)[:, None]


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return twice the signed area of the triangles ``a b c``: positive for a turn to the left at `b`."""
    ab, ac = b - a, c - a
    turn: NDArray[np.float64] = ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]
    return turn


def _convex_pieces(vertices: NDArray[np.float64]) -> tuple[ConvexPolygon, ...]:
    corners = unit_vectors(vertices[:, 0], vertices[:, 1])
    keep = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1) > 1e-14
    vertices, corners = vertices[keep], corners[keep]
    if len(corners) < 3:
        msg = "the polygon has fewer than 3 distinct vertices"
        raise RegionError(msg)
    plane = _tangent_plane(corners, _hemisphere_centre(corners))
    following = np.roll(plane, -1, axis=0)
    area = float((plane[:, 0] * following[:, 1] - plane[:, 1] * following[:, 0]).sum())
    if area < 0:
        vertices, corners, plane = vertices[::-1], corners[::-1], plane[::-1]
    _refuse_crossing_sides(plane)
    turns = _turn(np.roll(plane, 1, axis=0), plane, np.roll(plane, -1, axis=0))
    scale = float(np.abs(plane - plane.mean(axis=0)).max()) ** 2
    if scale == 0 or abs(area) <= 1e-13 * scale:
        msg = "the polygon's vertices lie on one great circle; it has no area"
        raise RegionError(msg)
    flat = 1e-14 * scale
    groups = [list(range(len(plane)))] if turns.min() >= -flat else _ears(plane, flat)
    return tuple(_convex(vertices[group], corners[group]) for group in groups)


def _convex(vertices: NDArray[np.float64], corners: NDArray[np.float64]) -> ConvexPolygon:
    # not corner x next corner: for short sides that would lose all digits
    normals = _cross(corners, np.roll(corners, -1, axis=0) - corners)
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    return ConvexPolygon(
        tuple((float(ra), float(dec)) for ra, dec in vertices),
        tuple((float(x), float(y), float(z)) for x, y, z in normals),
    )


def _refuse_crossing_sides(plane: NDArray[np.float64]) -> None:
    """Raise `RegionError` if two sides that share no vertex cross each other."""
    ends = np.roll(plane, -1, axis=0)
    for i, (a, b) in enumerate(zip(plane, ends, strict=True)):
        others = slice(i + 2, len(plane) - (1 if i == 0 else 0))
        c, d = plane[others], ends[others]
        crossed = (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)
        if crossed.any():
            j = i + 2 + int(np.argmax(crossed))
            msg = f"the polygon crosses itself (sides {i + 1} and {j + 1}); list its vertices in order"
            raise RegionError(msg)


def _ears(plane: NDArray[np.float64], flat: float) -> list[list[int]]:
    """Split a simple counter-clockwise polygon of the plane into triangles (ear clipping).

    Corners that turn by less than `flat` are left out.
    """
    rest, triangles = list(range(len(plane))), []
    while len(rest) > 3:
        corners = plane[rest]
        turns = _turn(np.roll(corners, 1, axis=0), corners, np.roll(corners, -1, axis=0))
        k = next((int(k) for k in np.argsort(-turns) if turns[k] > flat and _is_empty_ear(corners, int(k))), None)
        if k is not None:
            triangles.append([rest[k - 1], rest[k], rest[(k + 1) % len(rest)]])
        elif abs(turns).min() <= flat:
            k = int(np.argmin(abs(turns)))
        else:
            msg = "the polygon touches itself; give its parts as separate polygons"
            raise RegionError(msg)
        del rest[k]
    return [*triangles, rest]


def _is_empty_ear(corners: NDArray[np.float64], k: int) -> bool:
    """Return whether no other corner lies in the triangle of corner `k` and its neighbours, nor on its border."""
    a, b, c = corners[k - 1], corners[k], corners[(k + 1) % len(corners)]
    others = np.delete(corners, [(k - 1) % len(corners), k, (k + 1) % len(corners)], axis=0)
    inside = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    return not inside.any()
