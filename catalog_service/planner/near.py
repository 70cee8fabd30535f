"""How far apart positions of joined rows may be, and the bounds that one table's position gives another.

Rows of a result lie near each other by three kinds of links: a join on DISTANCE ties own positions within its radius, a
join on a parent's key ties the positions that place rows, and a row's own position lies away from the one that places
it by no more than the manifest says. A chain of links is as long as their sum.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from partitioning.sky.coverage import Coverage, enlarged

from ..models.conditions import demanded_nearness
from ..models.schema import SkyPosition
from ..models.tree import Expr
from .prune import Bound
from .regions import own_position

__all__ = ["Links", "near_pairs"]

_FARTHEST_DEG: Final = 45.0
"""Bounds that are enlarged by more say next to nothing."""

Place = tuple[int, bool]
"""A source, and whether its own position is meant or the one that places its rows."""


def near_pairs(
    conditions: Sequence[Expr], positions: Mapping[int, SkyPosition]
) -> Iterator[tuple[frozenset[int], float]]:
    """Yield two sources and the radius in degrees within which `conditions` demand their own positions to be."""
    for condition in conditions:
        near = demanded_nearness(condition)
        if near is not None:
            first, second = own_position(near.first, positions), own_position(near.second, positions)
            if first is not None and second is not None and first != second:
                yield frozenset({first, second}), near.radius_deg


class Links:
    """What ties the positions of the tables of one SELECT.

    Parameters
    ----------
    near
        Pairs of sources whose own positions lie within a radius in degrees.
    together
        Pairs of sources whose rows are placed by the same position.
    separations_deg
        By source: how far a row's own position may lie from the one that places it.
    """

    def __init__(
        self,
        near: Sequence[tuple[frozenset[int], float]],
        together: Sequence[frozenset[int]],
        separations_deg: Mapping[int, float],
    ) -> None:
        self._separations_deg = separations_deg
        links: list[tuple[Place, Place, float]] = [
            ((source, True), (source, False), deg) for source, deg in separations_deg.items()
        ]
        for pair, radius_deg in near:
            first, second = pair
            links.append(((first, True), (second, True), radius_deg))
        for first, second in map(tuple, together):
            links.append(((first, False), (second, False), 0.0))
        self._links = links + [(second, first, deg) for first, second, deg in links]

    def _reach(self, start: Place) -> Mapping[Place, float]:
        """Return the length in degrees of the shortest chain to each place."""
        reach = {start: 0.0}
        for _ in range(2 * len(self._separations_deg)):
            for first, second, deg in self._links:
                farther = reach.get(first, math.inf) + deg
                if farther < reach.get(second, _FARTHEST_DEG):
                    reach[second] = farther
        return reach

    def carried(self, source: int, bound: Bound, at: Place) -> tuple[Bound | None, Bound | None]:
        """Return what a bound of another place says of a source's own position, and of the one that places its rows.

        One of them, the better one; None where no chain leads there.
        """
        reach = self._reach(at)
        own, placing = (reach.get((source, is_own)) for is_own in (True, False))
        if own is not None and (placing is None or placing >= own + self._separations_deg[source]):
            return Bound(bound.region, bound.pad_deg + own), None
        return None, None if placing is None else Bound(bound.region, bound.pad_deg + placing)

    def carried_coverage(self, source: int, coverage: Coverage, at: int) -> Coverage | None:
        """Return where the rows of a source are placed if those of another one are in a coverage, or None."""
        deg = self._reach((at, False)).get((source, False))
        return None if deg is None else enlarged(coverage, deg)
