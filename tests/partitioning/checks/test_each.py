"""Results of many checks, in order, some of them ahead of a slow one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from partitioning.checks.each import ahead


def test_only_so_many_results_wait_for_a_slow_one() -> None:
    begun, go = list[int](), threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            assert go.wait(60)
        return number

    with ThreadPoolExecutor(4) as pool:
        results = ahead(pool, work, range(100), 10)
        first = threading.Thread(target=lambda: begun.append(-1 - next(results)))
        first.start()
        while len(begun) < 11:
            time.sleep(0.01)
        first.join(0.2)
        assert sorted(begun) == list(range(11))
        go.set()
        first.join()
        assert list(results)[-1] == 99


def test_what_waits_is_given_up_with_the_first_error() -> None:
    begun = list[int]()

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            msg = "the second"
            raise ValueError(msg)
        return number

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="the second"):
        list(ahead(pool, work, range(1000), 5))
    assert len(begun) < 20
