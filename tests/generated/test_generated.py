"""Generated queries have one answer, however the tables are stored: in few tiles, in many, in batches, in one file.

Each query is asked of one file for each table, where pairs of near positions are found among all pairs, and of one of
the ways to store them. ``GENERATED_QUERIES`` sets how many are asked (2,000), ``GENERATED_FIRST`` the number of the
first: a nightly run takes other ones each time.
"""

import os
from dataclasses import dataclass, field

import pytest

from catalog_service.planner import surroundings
from catalog_service.planner.batches import BatchLimits
from tests.generated.answers import Answers, same
from tests.generated.queries import generate

pytestmark = pytest.mark.slow

QUERIES = int(os.environ.get("GENERATED_QUERIES", "2000"))
FIRST = int(os.environ.get("GENERATED_FIRST", "0"))
SHARE = 125
"""Queries of one test."""


@dataclass(frozen=True)
class Way:
    """One way to store the tables and to ask."""

    store: str
    limits: BatchLimits = field(default_factory=BatchLimits)
    repeated: int = 0
    """Rows of a table of tiles that every batch may read whole."""


WAYS = (
    Way("coarse"),
    Way("fine"),
    Way("fine", BatchLimits(files=4)),
    Way("fine"),
    Way("fine", BatchLimits(files=6), 10**6),
)


@pytest.mark.parametrize("first", range(FIRST, FIRST + QUERIES, SHARE))
def test_one_answer(answers: Answers, first: int) -> None:
    """Of single rows just the same; numbers are such that their sums are exact in any order."""
    empty, cut, shared = 0, 0, min(SHARE, FIRST + QUERIES - first)
    for seed in range(first, first + shared):
        query, way = generate(seed), WAYS[seed % len(WAYS)]
        expected = answers.plain(query)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surroundings, "MOST_REPEATED_ROWS", way.repeated)
            found, in_batches = answers.stored(query, getattr(answers.sky, way.store), way.limits)
        cut += in_batches
        assert same(expected, found, is_ordered=query.is_ordered), f"{seed}, {way}: {query.text}"
        empty += not expected
    assert empty < shared * 2 // 3 or shared < SHARE, "the queries find too little to show anything"
    assert cut or shared < SHARE, "no query was cut into batches"


def test_queries_are_many_and_differ() -> None:
    texts = {generate(seed).text for seed in range(QUERIES)}
    assert len(texts) > 0.99 * QUERIES
    for word in (
        "JOIN",
        "LEFT",
        "EXISTS",
        "GROUP BY",
        "UNION",
        "CASE",
        "CONTAINS",
        "DISTANCE",
        "areaspec",
        "WITH",
        "TOP",
    ):
        assert sum(word in text for text in texts) > QUERIES / 200, word
