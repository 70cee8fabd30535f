"""Putting a service under load over plain sockets: requests, answers, and repeating them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks.serving import percentiles_ms

__all__ = ["Answer", "Tally", "Target", "address", "during", "repeat"]


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

    def request(self, path: str, *, method: str = "GET", kind: str = "", body: bytes = b"") -> bytes:
        """Return a request that ends its connection; `kind` is the media type of the body."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {kind}\r\n" if kind else ""
        return f"{head}Connection: close\r\n\r\n".encode() + body

    async def ask(
        self, path: str, source: str = "127.0.0.1", *, method: str = "GET", kind: str = "", body: bytes = b""
    ) -> Answer:
        """Ask once, by a connection of its own; status 0 if the connection broke."""
        started = time.perf_counter()
        writer = None
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(source, 0))
            writer.write(self.request(path, method=method, kind=kind, body=body))
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
