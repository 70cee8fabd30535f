"""What callers have read within a sliding window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_service.exceptions import UnavailableError
from catalog_service.models.user import ANONYMOUS, Identity
from catalog_service.services.admission import payer_of
from catalog_service.services.budgets import ScanBudget

WINDOW_S = 60.0
STEP_S = 1.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 50)), max_size=60))
def test_a_caller_is_let_in_while_anything_is_left(reads: list[tuple[float, int]]) -> None:
    clock = Clock()
    budget = ScanBudget(100, WINDOW_S, clock)
    taken: list[tuple[float, int]] = []
    for pause_s, size in reads:
        clock.now += pause_s
        surely = sum(read for at, read in taken if clock.now - at < WINDOW_S)
        perhaps = sum(read for at, read in taken if clock.now - at < WINDOW_S + STEP_S)
        try:
            budget.take("ann", size)
            assert surely < 100
            taken.append((clock.now, size))
        except UnavailableError as error:
            assert perhaps >= 100
            clock.now += error.retry_after_s
            budget.take("ann", size)
            taken.append((clock.now, size))


def test_the_error_names_limit_and_value_and_others_are_let_in() -> None:
    clock = Clock()
    budget = ScanBudget(2_000_000, 3600, clock)
    budget.take("ann", 5_000_000)
    clock.now += 1000
    with pytest.raises(UnavailableError, match=r"5 MB.*last 3600 s; the limit is 2 MB \(scan_budget_mb\)") as caught:
        budget.take("ann", 1)
    assert 2600 <= caught.value.retry_after_s <= 2660
    assert budget.exhausted() == 1
    budget.take("bob", 1)
    budget.take("ann", 0)


def test_what_was_not_read_after_all_does_not_count() -> None:
    budget = ScanBudget(100, WINDOW_S, Clock())
    budget.take("ann", 100)
    budget.note("ann", -100)
    budget.take("ann", 1)


def test_without_a_limit_nothing_is_remembered() -> None:
    budget = ScanBudget(0, WINDOW_S, Clock())
    for _ in range(3):
        budget.take("ann", 10**15)
    assert budget.exhausted() == 0
    assert not budget._read


def test_callers_who_have_read_nothing_lately_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog_service.services.budgets._MOST_REMEMBERED", 10)
    clock = Clock()
    budget = ScanBudget(100, WINDOW_S, clock)
    for number in range(100):
        clock.now += 20
        budget.take(f"caller {number}", 100)
    assert len(budget._read) <= 10


def test_users_pay_wherever_they_are_and_others_by_address() -> None:
    assert payer_of(Identity("ann", address="192.0.2.1")) == payer_of(Identity("ann")) == "ann"
    assert payer_of(Identity("anonymous", address="192.0.2.1")) != payer_of(Identity("anonymous", address="192.0.2.2"))
    assert payer_of(ANONYMOUS) == "anonymous", "as the jobs of all of them"
