"""What a bound of one position says of others: those of rows joined by a separation, or by a parent's key."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from ..models.near import near_conditions
from ..models.schema import SkyPosition
from ..models.tree import Expr
from .regions import own_position

__all__ = ["Link", "links", "reaches"]


@dataclass(frozen=True, slots=True)
class Link:
    """Two sources whose own positions, in rows joined, are at most `within_deg` apart."""

    sources: frozenset[int]
    within_deg: float


def links(condition: Expr | None, positions: Mapping[int, SkyPosition]) -> Iterator[Link]:
    """Yield the separations of own positions that a condition demands."""
    for near in near_conditions(condition):
        ends = [own_position(point, positions) for point in (near.first, near.second)]
        if None not in ends:
            yield Link(frozenset(near.sources), near.radius_deg)


def reaches(source: int, between: Iterable[Link]) -> dict[int, float]:
    """Return how far from the position of `source` that of every source may be to which links lead, in degrees.

    >>> reaches(1, [Link(frozenset({1, 2}), 0.5), Link(frozenset({2, 3}), 0.25), Link(frozenset({4, 5}), 1.0)])
    {1: 0.0, 2: 0.5, 3: 0.75}
    """
    known = tuple(between)
    reach = {source: 0.0}
    for _ in known:  # each round goes one link farther
        for link in known:
            nearest = min(reach.get(end, inf) for end in link.sources) + link.within_deg
            reach.update({end: nearest for end in link.sources if nearest < reach.get(end, inf)})
    return reach
