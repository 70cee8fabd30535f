"""Results that are read slowly: nothing lost, little in memory, everything given back."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from catalog_service.exceptions import QueryTimeoutError
from catalog_service.services import spools as module
from catalog_service.services.spools import ReadAhead, Spools

PIECE = 1 << 16
Scenario = Callable[[], Awaitable[None]]


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spools]:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.02)
    made = Spools(tmp_path, 64 << 20, 60)
    yield made
    assert made.used_bytes == 0, "all room is given back"
    assert made._memory_bytes == 0
    assert not made._readers
    assert list(tmp_path.iterdir()) == []
    made.close()


class Source:
    """Pieces that are told apart, and how many of them were taken."""

    def __init__(self, count: int, failure: Exception | None = None) -> None:
        self.count, self.failure, self.taken = count, failure, 0

    async def pieces(self) -> AsyncIterator[bytes]:
        for number in range(self.count):
            self.taken += 1
            yield number.to_bytes(8, "big") * (PIECE // 8)
        if self.failure is not None:
            raise self.failure

    @property
    def whole(self) -> bytes:
        return b"".join(number.to_bytes(8, "big") * (PIECE // 8) for number in range(self.count))


async def settled(source: Source) -> int:
    """Return how many pieces were taken once no more are."""
    before = -1
    while before != source.taken:
        before = source.taken
        await asyncio.sleep(0.25)
    return before


async def rest_of(ahead: ReadAhead, pauses: Iterator[float] | None = None) -> bytes:
    content = bytearray()
    async for piece in ahead:
        content += piece
        await asyncio.sleep(0 if pauses is None else next(pauses))
    return bytes(content)


def test_a_reader_who_does_not_read_holds_no_worker_and_no_memory(spools: Spools) -> None:
    async def scenario() -> None:
        source = Source(200)
        ahead = ReadAhead(source.pieces(), spools, "ada")
        assert await settled(source) == 200
        assert ahead._memory_bytes <= (1 << 20) + PIECE
        assert spools.used_bytes == 200 * PIECE - ahead._memory_bytes
        assert await rest_of(ahead) == source.whole
        await ahead.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(3))
def test_readers_of_changing_speed_get_everything_in_order(spools: Spools, seed: int) -> None:
    rng = random.Random(seed)

    async def scenario() -> None:
        source = Source(300)
        ahead = ReadAhead(source.pieces(), spools, "ada")
        pauses = (0.05 if rng.random() < 0.05 else 0 for _ in range(10_000))
        assert await rest_of(ahead, pauses) == source.whole
        await ahead.close()

    asyncio.run(scenario())


def test_a_reader_who_keeps_up_needs_no_disk(spools: Spools) -> None:
    async def scenario() -> None:
        source = Source(300)
        ahead = ReadAhead(source.pieces(), spools, "ada")
        assert await rest_of(ahead) == source.whole
        assert ahead._file is None
        await ahead.close()

    asyncio.run(scenario())


def test_one_caller_takes_a_quarter_and_then_holds_up_its_own_worker(spools: Spools) -> None:
    async def scenario() -> None:
        greedy, modest = Source(1000), Source(200)
        first = ReadAhead(greedy.pieces(), spools, "ada")
        assert await settled(greedy) < 300
        assert spools.used_bytes <= 16 << 20
        second = ReadAhead(modest.pieces(), spools, "bob")
        assert await settled(modest) == 200
        assert await rest_of(first) == greedy.whole, "it goes on when it is read"
        await first.close()
        await second.close()

    asyncio.run(scenario())


def test_a_full_disk(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a write fails, everything in memory is taken: the worker must learn of it all the same."""
    writing = threading.Event()

    def full(*_: object) -> int:
        writing.set()
        time.sleep(0.2)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)

    async def scenario() -> None:
        source = Source(100)
        ahead = ReadAhead(source.pieces(), spools, "ada")
        await asyncio.to_thread(writing.wait)
        assert source.taken < 30
        async with asyncio.timeout(10):
            assert await rest_of(ahead) == source.whole
        await ahead.close()

    asyncio.run(scenario())


def test_an_error_comes_after_all_that_was_made_before(spools: Spools) -> None:
    async def scenario() -> None:
        source = Source(100, QueryTimeoutError("late"))
        ahead = ReadAhead(source.pieces(), spools, "ada")
        await settled(source)
        content = b"".join([await anext(ahead) for _ in range(16)])
        while len(content) < len(source.whole):
            content += await anext(ahead)
        assert content == source.whole
        with pytest.raises(QueryTimeoutError, match="late"):
            await anext(ahead)
        await ahead.close()

    asyncio.run(scenario())


def test_what_is_cut_ends_with_its_error_and_not_as_if_it_were_whole(spools: Spools) -> None:
    async def scenario() -> None:
        source = Source(200)
        ahead = ReadAhead(source.pieces(), spools, "ada")
        assert await settled(source) == 200
        await anext(ahead)
        ahead.cut(QueryTimeoutError("stopped"))
        with pytest.raises(QueryTimeoutError, match="stopped"):
            await rest_of(ahead)
        await ahead.close()

    asyncio.run(scenario())


def test_the_last_space_of_a_disk_is_left_to_others(tmp_path: Path) -> None:
    full = Spools(tmp_path, 64 << 20, 60, free_bytes=1 << 60)
    assert not full.take("ada", 1)
    assert full.used_bytes == 0
    full.close()


def test_many_readers_have_little_memory_together(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL_IN_MEMORY_BYTES", 3 << 20)

    async def scenario() -> None:
        sources = [Source(40) for _ in range(20)]
        aheads = [ReadAhead(source.pieces(), spools, f"caller {number}") for number, source in enumerate(sources)]
        assert await asyncio.gather(*map(settled, sources)) == [40] * 20
        assert spools._memory_bytes <= (3 << 20) + 20 * PIECE
        for ahead, source in zip(aheads, sources, strict=True):
            assert await rest_of(ahead) == source.whole
            await ahead.close()

    asyncio.run(scenario())


def test_one_caller_has_so_many_readers_and_no_more(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_READERS", 3)

    async def scenario() -> None:
        sources = [Source(40) for _ in range(4)]
        aheads = [ReadAhead(source.pieces(), spools, "ada") for source in sources]
        assert await asyncio.gather(*map(settled, sources)) == [40, 40, 40, 17], "the last one's worker waits"
        await aheads[0].close()
        assert await rest_of(aheads[3]) == sources[3].whole
        for ahead in aheads:
            await ahead.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("after", [0, 3, 40])
def test_closing_at_any_time(spools: Spools, after: int) -> None:
    async def scenario() -> None:
        source = Source(10_000)
        ahead = ReadAhead(source.pieces(), spools, "ada")
        for _ in range(after):
            await anext(ahead)
        await asyncio.sleep(0.05)
        await ahead.close()
        taken = source.taken
        await asyncio.sleep(0.05)
        assert source.taken == taken
        await ahead.close()

    asyncio.run(scenario())


def test_a_worker_that_may_be_held_waits_for_its_reader_until_it_may_no_more(spools: Spools) -> None:
    """So that compression in the worker sees how slow the line is."""

    async def scenario() -> None:
        source, nobody_waits = Source(200), True
        ahead = ReadAhead(source.pieces(), spools, "ada", lambda: nobody_waits)
        assert await settled(source) < 30
        assert spools.used_bytes == 0
        nobody_waits = False
        await asyncio.sleep(0.5)
        assert await settled(source) == 200
        assert await rest_of(ahead) == source.whole
        await ahead.close()

    asyncio.run(scenario())
