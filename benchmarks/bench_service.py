"""A service under load: many users beside scans, a ramp of connections, workers killed at random, a soak.

``python -m benchmarks.bench_service --rows 3000000 --kills 60 --json -``; with ``--soak 600`` the soak alone. Each user
has an address of its own on the loopback network, since limits count by address.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import Awaitable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil

from benchmarks.load import Answer, Tally, Target, address, during, repeat
from benchmarks.serving import build_catalog, emit, running_server, synthetic_sky
from benchmarks.soak import soaked

SCAN = "SELECT AVG(g_mag - r_mag) AS colour, COUNT(*) AS n FROM bench.sky WHERE u_mag + z_mag + pm_ra > {:.6f}"
USERS, SCANS, THINK_S = 100, 10, 1.0
METADATA = ("/tap/availability", "/tap/tables?detail=min", "/livez")
RAMP = (50, 100, 200, 300, 400, 500)


def users(target: Target, tally: Tally, count: int, think_s: float) -> list[Awaitable[None]]:
    """Return users that ask short queries."""
    return [repeat(tally, partial(target.ask_short, address(number)), think_s=think_s) for number in range(count)]


async def beside_scans(target: Target, seconds: float) -> dict[str, Any]:
    """Let users ask short queries, alone and then while scans are queued."""
    alone, short, scans = Tally(), Tally(), Tally()
    await during(seconds / 2, *users(target, alone, USERS, THINK_S))
    job = (await target.ask(f"/tap/async?{urlencode({'LANG': 'ADQL', 'QUERY': 'SELECT 1'})}", method="POST")).location
    metadata: dict[str, Tally] = {}

    def scan(number: int) -> Awaitable[None]:
        def ask() -> Awaitable[Answer]:
            words = {"LANG": "ADQL", "QUERY": SCAN.format(random.uniform(30, 50))}
            return target.ask(f"/tap/sync?{urlencode(words)}", address(400 + number))

        return repeat(scans, ask, think_s=0)

    await during(
        seconds,
        *users(target, short, USERS, THINK_S),
        *map(scan, range(SCANS)),
        _described(target, seconds - 2, (*METADATA, urlsplit(job).path), metadata),
    )
    figures = {"short_alone": alone, "short_beside_scans": short, "scans": scans}
    answers = {path.partition("async")[1] or path: tally.figures() for path, tally in metadata.items()}
    return {name: tally.figures() for name, tally in figures.items()} | {"metadata_beside_scans": answers}


async def _described(target: Target, seconds: float, paths: Sequence[str], tallies: dict[str, Tally]) -> None:
    """Ask for descriptions, from another process."""
    words = (sys.executable, "-m", "benchmarks.ask_often", target.host, str(target.port), str(seconds), *paths)
    asking = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    told, _ = await asking.communicate()
    for path, answers in json.loads(told).items():
        tallies[path] = Tally([Answer(status, retry_after=False, seconds=took) for status, took in answers])
    await asyncio.Event().wait()


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
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of everything at once; nothing else is done")
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
        server = psutil.Process(pid)
        work = soaked(target, server, asked.soak) if asked.soak else measure(target, server, asked.seconds, asked.kills)
        figures = asyncio.run(work)
    emit({"rows": asked.rows, "scan_mb": asked.scan_mb, **built, **figures}, asked.json)


if __name__ == "__main__":
    main()
