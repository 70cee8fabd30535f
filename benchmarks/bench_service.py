"""A service under load: many users beside scans, a ramp of connections, workers killed at random.

``python -m benchmarks.bench_service --rows 3000000 --kills 60 --json -``. Each user has an address of its own on the
loopback network, since limits count by address.
"""

import argparse
import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil

from benchmarks.serving import build_catalog, emit, percentiles_ms, running_server, synthetic_sky

SCAN = "SELECT AVG(g_mag - r_mag) AS colour, COUNT(*) AS n FROM bench.sky WHERE u_mag + z_mag + pm_ra > {:.6f}"
USERS, SCANS, THINK_S = 100, 10, 1.0
METADATA = ("/tap/availability", "/tap/tables?detail=min", "/livez")
RAMP = (50, 100, 200, 300, 400, 500)


@dataclass(frozen=True)
class Answer:
    """What came back, and how long that took."""

    status: int
    retry_after: bool
    seconds: float
    location: str = ""


@dataclass
class Tally:
    """Answers to one kind of request."""

    answers: list[Answer] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return counts by status, and times of what was answered."""
        good = [one.seconds for one in self.answers if one.status == 200]
        statuses = Counter(str(one.status) for one in self.answers)
        unannounced = sum(one.status == 503 and not one.retry_after for one in self.answers)
        figures: dict[str, Any] = {"statuses": dict(statuses), "503_without_retry_after": unannounced}
        if good:
            figures |= percentiles_ms(good)
            figures["p99_ms"] = round(float(np.percentile(good, 99)) * 1000, 2)
        return figures


@dataclass(frozen=True)
class Target:
    """The service."""

    host: str
    port: int
    rows: int

    async def ask(self, path: str, source: str = "127.0.0.1", *, method: str = "GET") -> Answer:
        """Ask once, by a connection of its own; status 0 if the connection broke."""
        started = time.perf_counter()
        writer = None
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(source, 0))
            request = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            content = await reader.read(-1)
        except OSError:
            return Answer(0, retry_after=False, seconds=time.perf_counter() - started)
        finally:
            if writer is not None:
                writer.close()
        return _answer(content, time.perf_counter() - started)

    async def ask_short(self, source: str) -> Answer:
        """Ask a short query."""
        return await self.ask(self.short_query(), source)

    def short_query(self) -> str:
        """Return the path of a cone of at most 60 arcsec, or of a look-up by id."""
        if random.random() < 0.5:
            query = f"SELECT * FROM bench.sky WHERE id = {random.randrange(self.rows)}"
            return f"/tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': query})}"
        place = {"RA": random.uniform(0, 360), "DEC": random.uniform(-80, 80), "SR": random.uniform(1, 60) / 3600}
        return f"/cone/bench.sky?{urlencode(place)}"


def _answer(content: bytes, seconds: float) -> Answer:
    head = content.partition(b"\r\n\r\n")[0].decode("latin-1")
    lines = head.split("\r\n")
    status = int(lines[0].split()[1]) if lines[0] else 0
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines[1:])}
    return Answer(status, "retry-after" in headers, seconds, headers.get("location", ""))


def address(number: int) -> str:
    """Return the address of a user."""
    return f"127.0.{1 + number // 200}.{1 + number % 200}"


async def repeat(tally: Tally, ask: Callable[[], Awaitable[Answer]], *, think_s: float) -> None:
    """Ask again and again, until cancelled."""
    await asyncio.sleep(random.uniform(0, think_s))
    while True:
        tally.answers.append(await ask())
        await asyncio.sleep(random.uniform(0.5, 1.5) * think_s)


async def during(seconds: float, *work: Awaitable[None]) -> None:
    """Let all work go on for so long."""
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def users(target: Target, tally: Tally, count: int, think_s: float) -> list[Awaitable[None]]:
    """Return users that ask short queries."""
    return [repeat(tally, partial(target.ask_short, address(number)), think_s=think_s) for number in range(count)]


async def beside_scans(target: Target, seconds: float) -> dict[str, Any]:
    """Let users ask short queries, alone and then while scans are queued."""
    alone, short, scans = Tally(), Tally(), Tally()
    await during(seconds / 2, *users(target, alone, USERS, THINK_S))
    job = (await target.ask(f"/tap/async?{urlencode({'LANG': 'ADQL', 'QUERY': 'SELECT 1'})}", method="POST")).location
    paths = (*METADATA, urlsplit(job).path)
    metadata = {path: Tally() for path in paths}

    def scan(number: int) -> Awaitable[None]:
        def ask() -> Awaitable[Answer]:
            words = {"LANG": "ADQL", "QUERY": SCAN.format(random.uniform(30, 50))}
            return target.ask(f"/tap/sync?{urlencode(words)}", address(400 + number))

        return repeat(scans, ask, think_s=0)

    await during(
        seconds,
        *users(target, short, USERS, THINK_S),
        *map(scan, range(SCANS)),
        *(repeat(tally, partial(target.ask, path), think_s=0.1) for path, tally in metadata.items()),
    )
    figures = {"short_alone": alone, "short_beside_scans": short, "scans": scans}
    answers = {path.partition("async")[1] or path: tally.figures() for path, tally in metadata.items()}
    return {name: tally.figures() for name, tally in figures.items()} | {"metadata_beside_scans": answers}


async def ramp(target: Target) -> dict[str, Any]:
    """Open more and more connections at once, one query each."""
    steps = {}
    for connections in RAMP:
        answers = await asyncio.gather(*(target.ask_short(address(n)) for n in range(connections)))
        steps[str(connections)] = Tally(list(answers)).figures()
    return steps


async def killed(target: Target, server: psutil.Process, seconds: float) -> dict[str, Any]:
    """Kill a random worker every two seconds while users ask."""
    tally, kills = Tally(), 0

    async def kill() -> None:
        nonlocal kills
        while True:
            await asyncio.sleep(random.uniform(1, 3))
            with contextlib.suppress(psutil.Error, IndexError):
                random.choice(server.children()).kill()
                kills += 1

    await during(seconds, kill(), *users(target, tally, 20, 0.2))
    good = sum(one.status == 200 for one in tally.answers)
    return {"kills": kills, "availability": round(good / max(1, len(tally.answers)), 5), **tally.figures()}


def held(server: psutil.Process) -> dict[str, float]:
    """Return what the service itself holds."""
    return {"rss_mb": round(server.memory_info().rss / 1e6, 1), "descriptors": server.num_fds()}


async def measure(target: Target, server: psutil.Process, seconds: float, kill_s: float) -> dict[str, Any]:
    """Return all figures."""
    for _ in range(20):
        await target.ask(target.short_query())
    figures: dict[str, Any] = {"load_before": os.getloadavg(), "held_before": held(server)}
    figures |= await beside_scans(target, seconds)
    figures["ramp"] = await ramp(target)
    if kill_s:
        figures["kills"] = await killed(target, server, kill_s)
    await asyncio.sleep(3)
    return figures | {"held_after": held(server), "load_after": os.getloadavg()}


def main() -> None:
    """Build the catalog if needed, run the service, ask it."""
    parser = argparse.ArgumentParser(description="Put a service under load.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--directory", type=Path, default=Path("/tmp/bench_service"))
    parser.add_argument("--seconds", type=float, default=30.0, help="of the users beside scans")
    parser.add_argument("--kills", type=float, default=0.0, help="seconds during which workers are killed")
    parser.add_argument("--scan-mb", type=int, default=50, help="size beyond which a query is large")
    parser.add_argument("--json", default="-")
    asked = parser.parse_args()
    directory = asked.directory / str(asked.rows)
    if not (directory / "input").is_dir():
        synthetic_sky(directory / "input", asked.rows)
    built = build_catalog(directory, "sky", directory / "input", ident="id")
    with running_server(directory, extra=f"scan_mb = {asked.scan_mb}\n") as (url, pid):
        address_of = urlsplit(url)
        target = Target(str(address_of.hostname), int(address_of.port or 0), asked.rows)
        figures = asyncio.run(measure(target, psutil.Process(pid), asked.seconds, asked.kills))
    emit({"rows": asked.rows, "scan_mb": asked.scan_mb, **built, **figures}, asked.json)


if __name__ == "__main__":
    main()
