"""Callers told apart, crashes remembered, stalled receivers told from slow ones."""

from dataclasses import replace

import pytest

from catalog_service.exceptions import UnavailableError
from catalog_service.models.excerpt import Excerpt
from catalog_service.models.query import EngineQuery, ResultFormat
from catalog_service.models.user import ANONYMOUS, Identity
from catalog_service.services.admission import Admission
from catalog_service.services.quarantine import Quarantine
from catalog_service.services.stalls import ReceiverWatch

ADMISSION = Admission(per_user=12, per_address=8, queued=50)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def owner_at(address: str) -> str:
    return ADMISSION.claim(Identity("anonymous", address=address)).owner


def test_anonymous_callers_are_told_apart_by_their_address() -> None:
    assert owner_at("192.0.2.1") != owner_at("192.0.2.2")
    assert owner_at("192.0.2.1") == owner_at("::ffff:192.0.2.1")
    assert owner_at("2001:db8::1") == owner_at("2001:db8::ffff:2"), "one caller has a whole network"
    assert owner_at("2001:db8::1") != owner_at("2001:db8:0:1::1")
    assert owner_at("testclient") != owner_at("")


def test_users_are_known_by_name_wherever_they_are() -> None:
    here, there = Identity("ann", address="192.0.2.1"), Identity("ann", address="192.0.2.2")
    assert here == there
    assert ADMISSION.claim(here) == ADMISSION.claim(there)
    assert ADMISSION.claim(here).most_running == 12
    assert ADMISSION.claim(ANONYMOUS).most_running == 8


def query(sql: str) -> EngineQuery:
    return EngineQuery(query_id="q", sql=sql, columns=(), format=ResultFormat.CSV, max_rows=1, timeout_s=1)


def test_a_query_is_refused_after_two_crashes_until_they_are_forgotten() -> None:
    clock = Clock()
    quarantine = Quarantine(600, clock)
    quarantine.note(query("a"))
    quarantine.check(query("a"))
    clock.now += 500
    quarantine.note(query("a"))
    clock.now += 400.5
    with pytest.raises(UnavailableError, match=r"2 times.*600 s.*quarantine_s") as caught:
        quarantine.check(query("a"))
    assert caught.value.retry_after_s == 200
    quarantine.check(query("b"))
    quarantine.check(replace(query(""), excerpt=Excerpt(("f",), ("a",), "i", (), 1)))
    clock.now += 200
    quarantine.check(query("a"))
    quarantine.note(query("a"))
    quarantine.check(query("a"))


def test_crashes_of_many_queries_take_little_room() -> None:
    quarantine = Quarantine(600, Clock())
    for number in range(1500):
        quarantine.note(query(str(number)))
    assert len(quarantine._crashes) == 1000


def test_a_receiver_stalls_only_when_nothing_is_taken_for_long() -> None:
    clock = Clock()
    watch = ReceiverWatch(10, clock)

    def stalled_after(seconds: float, unsent: int) -> bool:
        clock.now += seconds
        return watch.has_stalled(unsent)

    assert not stalled_after(0, 100)
    assert not stalled_after(9, 100)
    assert not stalled_after(2, 99), "one byte was taken"
    assert not stalled_after(9, 99)
    assert stalled_after(2, 99)
    assert not stalled_after(60, 0), "there is nothing to take"


def test_excerpts_are_told_apart_by_what_they_ask_for() -> None:
    quarantine = Quarantine(600, Clock())
    excerpts = [replace(query(""), excerpt=Excerpt(("f",), (name,), "i", (), 1)) for name in "ab"]
    for _ in range(2):
        quarantine.note(excerpts[0])
    quarantine.check(excerpts[1])
    with pytest.raises(UnavailableError):
        quarantine.check(excerpts[0])
