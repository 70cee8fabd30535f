"""What a bound of one position says of others: those of rows joined by a separation, or by a parent's key."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from ..models.near import near_conditions
from ..models.schema import SkyPosition
from ..models.tree import Expr
from .regions import own_position

__all__ = ["Link", "links", "reaches", "spread"]

End = TypeVar("End", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Link(Generic[End]):
    """Two positions that, in rows joined, are at most `within_deg` apart: the own ones of sources, or others."""

    sources: frozenset[End]
    within_deg: float


def links(condition: Expr | None, positions: Mapping[int, SkyPosition]) -> Iterator[Link[int]]:
    """Yield the separations of own positions that a condition demands."""
    for near in near_conditions(condition):
        ends = [own_position(point, positions) for point in (near.first, near.second)]
        if None not in ends:
            yield Link(frozenset(near.sources), near.radius_deg)


def reaches(source: int, between: Iterable[Link[int]]) -> dict[int, float]:
    """Return how far from the position of `source` that of every source may be to which links lead, in degrees.

    >>> reaches(1, [Link(frozenset({1, 2}), 0.5), Link(frozenset({2, 3}), 0.25), Link(frozenset({4, 5}), 1.0)])
    {1: 0.0, 2: 0.5, 3: 0.75}
    """
    return spread({source: 0.0}, between)


def spread(near: Mapping[End, float], between: Iterable[Link[End]]) -> dict[End, float]:
    """Return how far from some place positions may be, in degrees: those that `near` tells, and all linked with them.

    >>> spread({"a": 0.5, "c": 9.0}, [Link(frozenset("ab"), 0.25), Link(frozenset("bc"), 1.0)])
    {'a': 0.5, 'c': 1.75, 'b': 0.75}
    """
    known, reach = tuple(between), dict(near)
    for _ in known:  # each round goes one link farther
        for link in known:
            nearest = min(reach.get(end, inf) for end in link.sources) + link.within_deg
            reach.update({end: nearest for end in link.sources if nearest < reach.get(end, inf)})
    return reach
