"""A soak: everything that clients do, well or badly, at once and for long, while memory and files are looked at."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil

from benchmarks.load import Answer, Tally, Target, address, during, repeat

__all__ = ["Look", "is_flat", "soaked"]

EVERY_S: Final = 10.0
"""Seconds between two looks."""
WARM: Final = 0.25
"""Part of the soak in which caches fill."""
GROWTH_MB, GROWTH_FILES = 20.0, 5
"""More than this, from the second quarter to the last one, is not flat."""

ALL = {"LANG": "ADQL", "QUERY": "SELECT * FROM bench.sky", "MAXREC": "2000000"}
SCAN = {"LANG": "ADQL", "QUERY": "SELECT AVG(u_mag - z_mag) FROM bench.sky WHERE pm_ra + pm_dec + g_mag > 1"}
METADATA = (
    "/tap/availability",
    "/tap/capabilities",
    "/tap/tables",
    "/tap/tables/bench.sky",
    "/tap/examples",
    "/metrics",
    f"/tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': 'SELECT * FROM TAP_SCHEMA.columns'})}",
    f"/tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': 'SELECT nonsense FROM bench.sky'})}",
)


@dataclass(frozen=True, slots=True)
class Look:
    """What the processes of a service hold at one time."""

    seconds: float
    rss_mb: float
    descriptors: int
    workers: int
    worker_rss_mb: float
    """Of the largest worker."""
    worker_descriptors: int
    """Of the worker with the most."""


def look(server: psutil.Process, seconds: float) -> Look:
    """Look at a service and its workers."""
    rss, files = [0.0], [0]
    for worker in server.children():
        with contextlib.suppress(psutil.Error):
            rss.append(worker.memory_info().rss / 1e6)
            files.append(worker.num_fds())
    own = server.memory_info().rss / 1e6
    return Look(round(seconds), round(own, 1), server.num_fds(), len(rss) - 1, round(max(rss), 1), max(files))


def is_flat(values: Sequence[float], most: float) -> bool:
    """Whether values of a soak grow by at most `most` once it is warm: medians of its second and its last quarter."""
    warm = values[int(len(values) * WARM) :]
    third = max(1, len(warm) // 3)
    return float(np.median(warm[-third:]) - np.median(warm[:third])) <= most


async def soaked(target: Target, server: psutil.Process, seconds: float) -> dict[str, Any]:
    """Return what a service holds while all kinds of clients ask for so long, and what they were answered."""
    tallies = {kind: Tally() for kind in ("short", "metadata", "jobs", "aborts", "uploads", "large")}
    looks: list[Look] = []
    before = os.getloadavg()
    await during(seconds, _watched(server, looks), *_clients(target, tallies))
    await asyncio.sleep(5)
    after = look(server, seconds + 5)
    return {
        "load_before": before,
        "load_after": os.getloadavg(),
        "flat": _judged(looks),
        "answers": {kind: tally.figures() for kind, tally in tallies.items()},
        "looks": [asdict(one) for one in (*looks, after)],
    }


def _judged(looks: Sequence[Look]) -> dict[str, bool]:
    most = {"rss_mb": GROWTH_MB, "descriptors": GROWTH_FILES, "worker_descriptors": GROWTH_FILES}
    return {name: is_flat([getattr(one, name) for one in looks], growth) for name, growth in most.items()}


async def _watched(server: psutil.Process, looks: list[Look]) -> None:
    began = time.monotonic()
    while True:
        looks.append(look(server, time.monotonic() - began))
        await asyncio.sleep(EVERY_S)


def _clients(target: Target, tallies: dict[str, Tally]) -> list[Awaitable[None]]:
    """Return some of each kind, each with an address of its own."""
    kinds: list[tuple[int, float, Tally, Callable[[str], Awaitable[Answer]]]] = [
        (20, 0.5, tallies["short"], target.ask_short),
        (4, 0.5, tallies["metadata"], lambda source: target.ask(random.choice(METADATA), source)),
        (3, 1.0, tallies["jobs"], partial(_job, target)),
        (2, 1.0, tallies["aborts"], partial(_aborted, target)),
        (2, 2.0, tallies["uploads"], partial(_upload, target)),
        (1, 5.0, tallies["large"], lambda source: target.ask(f"/tap/sync?{urlencode(ALL)}", source)),
        (3, 1.0, Tally(), partial(_gone, target)),
        (2, 1.0, Tally(), partial(_slow, target)),
        (2, 1.0, Tally(), partial(_dead, target)),
    ]
    clients, number = list[Awaitable[None]](), 0
    for count, think_s, tally, ask in kinds:
        for _ in range(count):
            clients.append(repeat(tally, partial(ask, address(number)), think_s=think_s))
            number += 1
    return clients


async def _job(target: Target, source: str) -> Answer:
    """Run a short query as a job; return the answer with its result."""
    query = f"SELECT * FROM bench.sky WHERE id < {random.randrange(20_000)}"
    job = await _created(target, source, {"LANG": "ADQL", "QUERY": query, "PHASE": "RUN"})
    for phase in ("QUEUED", "EXECUTING"):
        await target.ask(f"{job}?{urlencode({'WAIT': 30, 'PHASE': phase})}", source)
    answer = await target.ask(f"{job}/results/result", source)
    await target.ask(job, source, method="DELETE")
    return answer


async def _aborted(target: Target, source: str) -> Answer:
    """Stop a scan that runs, or waits, as a job."""
    job = await _created(target, source, {**SCAN, "PHASE": "RUN"})
    await asyncio.sleep(random.uniform(0, 1))
    await target.ask(f"{job}/phase?PHASE=ABORT", source, method="POST")
    answer = await target.ask(job, source)
    await target.ask(job, source, method="DELETE")
    return answer


async def _created(target: Target, source: str, words: dict[str, str]) -> str:
    return urlsplit((await target.ask(f"/tap/async?{urlencode(words)}", source, method="POST")).location).path


async def _upload(target: Target, source: str) -> Answer:
    """Match 2,000 positions."""
    rng = np.random.default_rng()
    places = zip(rng.uniform(0, 360, 2000), rng.uniform(-80, 80, 2000), strict=True)
    table = "ra,dec\n" + "".join(f"{ra:.6f},{dec:.6f}\n" for ra, dec in places)
    path = f"/api/v1/cones?{urlencode({'table': 'bench.sky', 'radius_deg': 2 / 3600})}"
    return await target.ask(path, source, method="POST", kind="text/csv", body=table.encode())


async def _gone(target: Target, source: str) -> Answer:
    """Ask for much, and go away."""
    async with _asked(target, source, random.choice((SCAN, ALL))):
        await asyncio.sleep(random.uniform(0, 1))
    return Answer(0, retry_after=False, seconds=0)


async def _slow(target: Target, source: str) -> Answer:
    """Ask for much, and read it by the spoonful."""
    async with _asked(target, source, ALL) as reader:
        for _ in range(100):
            await reader.read(20_000)
            await asyncio.sleep(0.2)
    return Answer(0, retry_after=False, seconds=0)


async def _dead(target: Target, source: str) -> Answer:
    """Ask for much, or half a question, and do nothing more."""
    async with _asked(target, source, ALL, half=random.random() < 0.5):
        await asyncio.sleep(random.uniform(5, 40))
    return Answer(0, retry_after=False, seconds=0)


@asynccontextmanager
async def _asked(
    target: Target, source: str, words: dict[str, str], *, half: bool = False
) -> AsyncIterator[asyncio.StreamReader]:
    """Ask, and hang up at the end whatever has come."""
    reader, writer = await asyncio.open_connection(target.host, target.port, local_addr=(source, 0), limit=4096)
    request = target.request(f"/tap/sync?{urlencode(words)}")
    try:
        writer.write(request[: len(request) // 2] if half else request)
        yield reader
    finally:
        writer.transport.abort()
