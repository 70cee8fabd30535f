"""Edges of HEALPix pixels as curves on the sphere, and exact distances to them.

The edge of a pixel is no great circle. It is a line of constant x or y in the square of its base pixel, and along such
a line the curve is smooth: the border between polar caps and equatorial belt is a diagonal of the square and meets
the lines of the lattice at their crossings only. So a distance is found by sampling an edge and solving in between.

Source: Gorski et al. 2005, ApJ 622, 759, section 5: the projection; Calabretta & Roukema 2007, MNRAS 381, 865.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .separation import unit_vectors

__all__ = ["Edges", "border_distance_deg", "edge_points", "nested_number", "nested_xy", "pixel_edges"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RING_OF_FACE: Final = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
"""Ring coordinate of the southern corner of each base pixel: 0 at the north pole, 4 at the south pole."""

_LONGITUDE_OF_FACE: Final = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
"""Longitude of the centre of each base pixel, in units of 45 degrees."""

_SEGMENTS: Final = 16
"""Segments of an edge. Each bends by a few hundredths of its length, so that few need to be looked at closely."""

_FINE: Final = 8
"""Steps of a segment from which the solving starts: where two nearest points merge, at the centre of curvature, it
tells them apart down to 1e-10 of the edge's length."""

_NEWTON_STEPS: Final = 4
"""From within 1/128 of the edge this reaches rounding; each step squares the error."""

_CHUNK: Final = 4096
"""Points at a time: their distances to all samples fit the cache."""

_MASKS: Final = (
    0x5555555555555555,
    0x3333333333333333,
    0x0F0F0F0F0F0F0F0F,
    0x00FF00FF00FF00FF,
    0x0000FFFF0000FFFF,
    0x00000000FFFFFFFF,
)
"""Bits that stay when the bits of a number are moved apart in groups of 1, 2, 4, 8, 16 and 32."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Curves in ring coordinates of their base pixel, linear in a parameter t in [0, 1]; arrays of one shape."""

    zone: Floats
    """1 in the northern polar cap, -1 in the southern, 0 in the equatorial belt."""
    centre: Floats
    """Longitude of the base pixel's centre, in units of 45 degrees."""
    ring: Floats
    """At t = 0 the distance to the cap's pole in rings of base pixels; in the belt to the north pole."""
    ring_rate: Floats
    """Change of `ring` from t = 0 to t = 1."""
    across: Floats
    """x - y at t = 0: longitude from the centre times `ring`, in the belt times 1; in units of 45 degrees."""
    across_rate: Floats
    """Change of `across` from t = 0 to t = 1."""

    def take(self, at: Any) -> "Edges":
        """Return the chosen edges, as indexing an array does."""
        return Edges(*(getattr(self, field.name)[at] for field in fields(self)))


def nested_xy(numbers: Ints, order: ArrayLike) -> tuple[Ints, Ints, Ints]:
    """Return base pixel, x (north-east) and y (north-west) of NESTED pixels."""
    shift = 2 * np.asarray(order, dtype=np.int64)
    face = numbers >> shift
    inner = numbers - (face << shift)
    return face, _gathered(inner), _gathered(inner >> 1)


def nested_number(x: Ints, y: Ints) -> Ints:
    """Return the number inside its base pixel of the pixel at column `x` and row `y`."""
    return _spread(x) | (_spread(y) << 1)


def pixel_edges(orders: ArrayLike, numbers: ArrayLike) -> Edges:
    """Return the edges of NESTED pixels, arrays of shape ``(N, 4)``: south-east, north-west, south-west, north-east.

    Parameters
    ----------
    orders, numbers
        Order and number of each pixel, shape ``(N,)``.
    """
    order = np.asarray(orders, dtype=np.int64)
    face, column, row = nested_xy(np.asarray(numbers, dtype=np.int64), order)
    side = np.ldexp(1.0, -order)[:, None]
    x = (column[:, None] + np.array([0, 0, 0, 1])) * side
    y = (row[:, None] + np.array([0, 1, 0, 0])) * side
    # all of this is exact: coordinates are multiples of 2**-29 below 5
    north = _RING_OF_FACE[face][:, None] - x - y
    middle = north - side / 2
    zone = np.where(middle < 1, 1.0, np.where(middle > 3, -1.0, 0.0))
    return Edges(
        zone=zone,
        centre=np.broadcast_to(_LONGITUDE_OF_FACE[face][:, None].astype(np.float64), zone.shape),
        ring=np.where(zone < 0, 4 - north, north),
        ring_rate=np.where(zone < 0, side, -side),
        across=x - y,
        across_rate=side * np.array([1.0, 1.0, -1.0, -1.0]),
    )


def edge_points(edges: Edges, t: Floats) -> Floats:
    """Return unit vectors of shape ``(..., 3)`` of the edges' points at parameters `t`, which broadcast together."""
    ring = edges.ring + edges.ring_rate * t
    longitude = _longitude(edges, ring, edges.across + edges.across_rate * t)
    radius, height = _profile(edges.zone, ring)
    return np.stack([radius * np.cos(longitude), radius * np.sin(longitude), height], axis=-1)


def border_distance_deg(ra_deg: ArrayLike, dec_deg: ArrayLike, orders: Ints, numbers: Ints) -> Floats:
    """Return the angular distance of each point to the border of its pixel, exact to about 1e-13 degrees.

    Parameters
    ----------
    ra_deg, dec_deg
        Points in degrees, shape ``(N,)``.
    orders, numbers
        NESTED pixel of each point, shape ``(N,)``; the point may lie anywhere.
    """
    points = unit_vectors(ra_deg, dec_deg)
    # order and number in one integer, below 2**62
    _, first, which = np.unique(numbers + (np.int64(4) << (2 * orders)), return_index=True, return_inverse=True)
    edges = pixel_edges(orders[first], numbers[first])
    distances = np.empty(len(points))
    by_pixel = np.argsort(which, kind="stable")
    for start in range(0, len(points), _CHUNK):
        rows = by_pixel[start : start + _CHUNK]
        low, high = which[rows[0]], which[rows[-1]] + 1
        chunk_edges = edges.take(np.arange(low, high))
        distances[rows] = _chunk_distances(points[rows], which[rows] - low, chunk_edges)
    return distances


def _chunk_distances(points: Floats, which: Ints, edges: Edges) -> Floats:
    """Return the distance (degrees) of each point to the nearest of the four edges of its pixel."""
    point, edge, segment = _near_segments(points, which, edges)
    chosen = edges.take((which[point], edge))
    squared = _segment_distances(points[point], chosen, segment / _SEGMENTS)
    nearest = np.minimum.reduceat(squared, np.flatnonzero(np.diff(point, prepend=-1)))
    degrees: Floats = np.degrees(2 * np.arcsin(np.minimum(np.sqrt(nearest) / 2, 1.0)))
    return degrees


def _near_segments(points: Floats, which: Ints, edges: Edges) -> tuple[Ints, Ints, Ints]:
    """Return point, edge and segment of all pairs that may hold the point's nearest point of its pixel's border.

    A curve leaves the chord of a segment by no more than its bend, so a segment is out if its chord lies farther
    away than the nearest chord by both bends.
    """
    samples = edge_points(edges.take((..., None)), np.linspace(0, 1, 2 * _SEGMENTS + 1))
    nodes, middles = samples[:, :, ::2], samples[:, :, 1::2]
    lengths = _squares(np.diff(nodes, axis=2))
    bends = 2 * np.sqrt(_squares(middles - (nodes[:, :, 1:] + nodes[:, :, :-1]) / 2)) + 1e-6 * np.sqrt(lengths) + 1e-15
    away = _squares(nodes[which] - points[:, None, None, :])
    square = lengths[which]
    along = (away[..., :-1] - away[..., 1:] + square) / 2
    part = np.clip(along / square, 0.0, 1.0)
    chord = np.sqrt(np.maximum(away[..., :-1] + part * (part * square - 2 * along), 0.0))
    bend = bends[which]
    reach = (chord + bend).min(axis=(1, 2))
    point, edge, segment = np.nonzero(chord - bend <= reach[:, None, None])
    return point, edge, segment


def _segment_distances(points: Floats, edges: Edges, start: Floats) -> Floats:
    """Return the squared chord from each point to its edge between parameters `start` and one segment on."""
    step = 1 / (_SEGMENTS * _FINE)
    grid = start[:, None] + step * np.arange(_FINE + 1)
    squares = _squares(edge_points(edges.take((..., None)), grid) - points[:, None, :])
    best = squares.argmin(axis=1)
    t = start + step * best
    low, high = np.maximum(t - step, start), np.minimum(t + step, start + _FINE * step)
    for _ in range(_NEWTON_STEPS):
        t = np.clip(t + _newton_step(points, edges, t), low, high)
    least: Floats = np.minimum(squares.min(axis=1), _squares(edge_points(edges, t) - points))
    return least


def _newton_step(points: Floats, edges: Edges, t: Floats) -> Floats:
    """Return the step of t towards the root of the squared distance's derivative.

    In cylindrical coordinates, with the point's components along the radial and tangential direction at t.
    """
    ring = edges.ring + edges.ring_rate * t
    longitude = _longitude(edges, ring, edges.across + edges.across_rate * t)
    (s, z), (s1, z1), (s2, z2) = _derivatives(edges, ring)
    turn, turn2 = _turning(edges, ring)
    cos, sin = np.cos(longitude), np.sin(longitude)
    outwards = s - points[:, 0] * cos - points[:, 1] * sin
    sideways = points[:, 0] * sin - points[:, 1] * cos
    upwards = z - points[:, 2]
    speed = s1**2 + (s * turn) ** 2 + z1**2
    slope = outwards * s1 + sideways * s * turn + upwards * z1
    bend = outwards * (s2 - s * turn**2) + sideways * (2 * s1 * turn + s * turn2) + upwards * z2
    # at the centre of curvature the second derivative vanishes
    return -slope / np.maximum(speed + bend, 0.1 * speed)


def _longitude(edges: Edges, ring: Floats, across: Floats) -> Floats:
    """Return the longitude in radians; at a pole, which only meridians reach, that of the meridian."""
    slope = np.broadcast_to(edges.across_rate / edges.ring_rate, ring.shape)
    polar = np.divide(across, ring, out=slope.copy(), where=ring > 0)
    return np.pi / 4 * (edges.centre + np.where(edges.zone == 0, across, polar))


def _turning(edges: Edges, ring: Floats) -> tuple[Floats, Floats]:
    """Return first and second derivative of the longitude (radians) by t."""
    moment = edges.across_rate * edges.ring - edges.across * edges.ring_rate
    safe = np.where(ring > 0, ring, 1.0)
    polar = np.pi / 4 * moment / safe**2
    belt = edges.zone == 0
    first = np.where(belt, np.pi / 4 * edges.across_rate, polar)
    return first, np.where(belt, 0.0, -2 * edges.ring_rate / safe * polar)


def _profile(zone: Floats, ring: Floats) -> tuple[Floats, Floats]:
    """Return distance from the axis and height: cos and sin of the latitude."""
    belt = zone == 0
    height = np.where(belt, (2 - ring) * (2 / 3), zone * (1 - ring**2 / 3))
    radius = np.where(belt, np.sqrt(np.where(belt, 1 - height**2, 1.0)), ring * np.sqrt(np.abs(6 - ring**2)) / 3)
    return radius, height


def _derivatives(edges: Edges, ring: Floats) -> tuple[tuple[Floats, Floats], ...]:
    """Return radius and height, and their first and second derivatives by t."""
    belt, rate = edges.zone == 0, edges.ring_rate
    s, z = _profile(edges.zone, ring)
    root = np.sqrt(np.where(belt, 1.0, 6 - ring**2))
    safe = np.where(belt, s, 1.0)
    z1 = np.where(belt, -2 / 3, -edges.zone * ring * (2 / 3))
    z2 = np.where(belt, 0.0, -edges.zone * (2 / 3))
    s1 = np.where(belt, -z * z1 / safe, (6 - 2 * ring**2) / (3 * root))
    s2 = np.where(belt, -(z1**2) / safe**3, -2 * ring * (9 - ring**2) / (3 * root**3))
    return (s, z), (s1 * rate, z1 * rate), (s2 * rate**2, z2 * rate**2)


def _squares(vectors: Floats) -> Floats:
    squares: Floats = np.einsum("...i,...i->...", vectors, vectors)
    return squares


def _spread(values: Ints) -> Ints:
    """Return numbers below 2**30 with a zero above each of their bits."""
    for level in reversed(range(5)):
        values = (values | (values << (1 << level))) & _MASKS[level]
    return values


def _gathered(values: Ints) -> Ints:
    """Return every second bit of the numbers: the inverse of `_spread`."""
    values = values & _MASKS[0]
    for level in range(5):
        values = (values | (values >> (1 << level))) & _MASKS[level + 1]
    return values
