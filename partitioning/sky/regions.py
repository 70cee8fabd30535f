"""Regions of the sky: frozen values with exact membership tests.

Boundaries count as inside (ADQL 2.1 section 4.2.7). Positions are ICRS degrees; RA of any turn is
accepted and folded into [0, 360).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import RegionError
from .separation import EDGE_TOLERANCE_DEG, separation_deg, unit_vectors

__all__ = ["Box", "Cone", "ConvexPolygon", "Polygon", "Region", "bounding_cone"]


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
    """Return a cone around polygon `vertices` (degrees, shape ``(n, 2)``) that holds the polygon."""
    corners = np.asarray(vertices, dtype=np.float64)
    centre = _hemisphere_centre(unit_vectors(corners[:, 0], corners[:, 1]))
    ra, dec = math.degrees(math.atan2(centre[1], centre[0])), math.degrees(math.asin(float(np.clip(centre[2], -1, 1))))
    radius = float(separation_deg(ra, dec, corners[:, 0], corners[:, 1]).max())
    return Cone(ra, dec, min(180.0, radius + 1e-9))


def _hemisphere_centre(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a unit vector with every corner strictly within 90 degrees of it."""
    centre: NDArray[np.float64] = corners.mean(axis=0)
    for _ in range(200):
        norm = float(np.linalg.norm(centre))
        if norm > 1e-12:
            heights = corners @ (centre / norm)
            if heights.min() > 1e-6:
                return centre / norm
            centre = centre / norm
        # perceptron step: lean towards the corner that is farthest behind
        centre = centre + 0.5 * corners[int(np.argmin(corners @ centre))]
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


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _convex_pieces(vertices: NDArray[np.float64]) -> tuple[ConvexPolygon, ...]:
    corners = unit_vectors(vertices[:, 0], vertices[:, 1])
    keep = [i for i in range(len(corners)) if np.linalg.norm(corners[i] - corners[i - 1]) > 1e-14]
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
    indices = list(range(len(plane)))
    turns = [_turn(plane[i - 1], plane[i], plane[(i + 1) % len(plane)]) for i in indices]
    scale = float(np.abs(plane - plane.mean(axis=0)).max()) ** 2
    if scale == 0 or abs(area) <= 1e-13 * scale:
        msg = "the polygon's vertices lie on one great circle; it has no area"
        raise RegionError(msg)
    groups = [indices] if min(turns) >= -1e-14 * scale else _ears(plane)
    return tuple(_convex(vertices[group], corners[group]) for group in groups)


def _convex(vertices: NDArray[np.float64], corners: NDArray[np.float64]) -> ConvexPolygon:
    normals = _cross(corners, np.roll(corners, -1, axis=0))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    return ConvexPolygon(
        tuple((float(ra), float(dec)) for ra, dec in vertices),
        tuple((float(x), float(y), float(z)) for x, y, z in normals),
    )


def _refuse_crossing_sides(plane: NDArray[np.float64]) -> None:
    """Raise `RegionError` if two sides that share no vertex cross each other."""
    sides = list(pairwise([*plane, plane[0]]))
    for i, (a, b) in enumerate(sides):
        for j in range(i + 2, len(sides) - (1 if i == 0 else 0)):
            c, d = sides[j]
            if _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0:
                msg = f"the polygon crosses itself (sides {i + 1} and {j + 1}); list its vertices in order"
                raise RegionError(msg)


def _ears(plane: NDArray[np.float64]) -> list[list[int]]:
    """Split a simple counter-clockwise polygon of the plane into triangles (ear clipping)."""
    rest, triangles = list(range(len(plane))), []
    while len(rest) > 3:
        for k in range(len(rest)):
            a, b, c = rest[k - 1], rest[k], rest[(k + 1) % len(rest)]
            if _turn(plane[a], plane[b], plane[c]) > 0 and not _any_inside(plane, rest, (a, b, c)):
                triangles.append([a, b, c])
                del rest[k]
                break
        else:  # only flat corners are left
            flat = min(
                range(len(rest)), key=lambda k: abs(_turn(*(plane[rest[(k + d) % len(rest)]] for d in (-1, 0, 1))))
            )
            del rest[flat]
    triangles.append(rest)
    return [t for t in triangles if _turn(*(plane[i] for i in t)) > 0]


def _any_inside(plane: NDArray[np.float64], rest: list[int], ear: tuple[int, int, int]) -> bool:
    a, b, c = (plane[i] for i in ear)
    for i in rest:
        if i in ear:
            continue
        p = plane[i]
        if _turn(a, b, p) >= 0 and _turn(b, c, p) >= 0 and _turn(c, a, p) >= 0:
            return True
    return False
