"""Whose turn it is: taking turns and caps, whatever happens to queries."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from catalog_service.engines.turns import Claim, Turns, Waiter

OWNERS = "abc"
WORKERS = 4
MOST_RUNNING = 3


def order(turns: Turns[int], running: list[Claim]) -> list[str]:
    """Return owners in the order in which one worker, free again and again, takes them."""
    taken = []
    while waiter := turns.next(running):
        taken.append(waiter.claim.owner)
    return taken


def run_turns(*claims: Claim, running: tuple[Claim, ...] = ()) -> list[str]:
    async def scenario() -> list[str]:
        turns: Turns[int] = Turns()
        for claim in claims:
            turns.join(claim)
        return order(turns, list(running))

    return asyncio.run(scenario())


def test_owners_take_turns_however_many_queries_each_has_lined_up() -> None:
    claims = [Claim(owner=owner) for owner in "aaaaabbc"]
    assert run_turns(*claims) == list("abcabaaa")


def test_the_owner_with_the_fewest_running_queries_comes_first() -> None:
    running = (Claim(owner="a"), Claim(owner="a"), Claim(owner="b"))
    assert run_turns(*(Claim(owner=owner) for owner in "abc"), running=running) == ["c", "b", "a"]


def test_an_owner_at_the_cap_waits_for_his_own_queries() -> None:
    capped = Claim(owner="a", most_running=1)
    assert run_turns(capped, Claim(owner="b"), running=(capped,)) == ["b"]


STEPS = st.lists(st.tuples(st.sampled_from(["join", "end", "leave"]), st.sampled_from(OWNERS)))


@given(STEPS)
def test_no_worker_idles_while_somebody_may_run_and_no_cap_is_passed(steps: list[tuple[str, str]]) -> None:
    """Whatever joins, ends and gives up, in any order: the counts follow from what is there."""

    async def scenario() -> None:
        turns: Turns[int] = Turns()
        running: list[Claim] = []
        waiting: list[Waiter[int]] = []
        for what, owner in steps:
            if what == "join":
                claim = Claim(owner=owner, most_running=MOST_RUNNING)
                waiting.append(turns.join(claim))
            elif what == "end" and running:
                running.remove(next((claim for claim in running if claim.owner == owner), running[0]))
            elif what == "leave" and waiting:
                turns.leave(waiting.pop(0))
            while len(running) < WORKERS and (waiter := turns.next(running)):
                waiting.remove(waiter)
                running.append(waiter.claim)
            check(turns, running, waiting)

    asyncio.run(scenario())


def check(turns: Turns[int], running: list[Claim], waiting: list[Waiter[int]]) -> None:
    of_owner = Counter(claim.owner for claim in running)
    assert max(of_owner.values(), default=0) <= MOST_RUNNING
    assert len(turns) == len(waiting)
    assert {owner: turns.of_owner(owner) for owner in OWNERS} == {
        owner: sum(waiter.claim.owner == owner for waiter in waiting) for owner in OWNERS
    }
    if len(running) < WORKERS:
        held_back = [w for w in waiting if of_owner[w.claim.owner] < MOST_RUNNING]
        assert not held_back
        assert not turns.waits_for_worker(running)
