"""Releases published while queries run: an answer is wholly of one release, and what is broken changes nothing."""

import csv
import io
import json
import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pyarrow as pa
import pytest

from catalog_service.client import CatalogClient
from tests.harness import RunningServer, build_table, start_server, stop_server

ROWS = 3000
OPTIONS = 'ra = "ra"\ndec = "dec"\nid = ["id"]\ntarget_rows = 500'


def release(root: Path, number: int) -> None:
    """Publish release `number`: every mark tells the release, and so does the number of rows."""
    rng = np.random.default_rng(number)
    rows = ROWS + number
    columns = {
        "id": np.arange(rows),
        "ra": rng.uniform(0, 360, rows),
        "dec": rng.uniform(-90, 90, rows),
        "mark": np.full(rows, number),
    }
    build_table(root, "stars", [pa.table(columns)], options=OPTIONS)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[Path, RunningServer]]:
    root = tmp_path / "catalogs"
    release(root, 1)
    server = start_server(root, tmp_path, extra_config="poll_s = 0.1\nworkers = 2\n")
    yield root, server
    stop_server(server)


def ask(server: RunningServer, query: str) -> list[list[str]]:
    parameters = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"})
    try:
        with urllib.request.urlopen(f"{server.url}/tap/sync?{parameters}", timeout=30) as response:
            return list(csv.reader(io.StringIO(response.read().decode())))[1:]
    except HTTPError as error:
        return [["error", error.read().decode()]]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def published(server: RunningServer) -> str:
    return ask(server, "SELECT MAX(mark) AS v FROM test.stars")[0][0]


def test_answers_are_of_one_release(serving: tuple[Path, RunningServer]) -> None:
    root, server = serving
    seen: list[tuple[str, ...]] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            rows = ask(server, "SELECT mark FROM test.stars")
            seen.append((*sorted({row[-1] for row in rows}), str(len(rows))))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for number in (2, 3):
            release(root, number)
            wait_until(lambda number=number: published(server) == str(number))  # type: ignore[misc]
            for page in ("/tap/tables", "/tap/tables/test.stars", "/api/v1/catalogs/test.stars", "/"):
                with urllib.request.urlopen(server.url + page, timeout=30) as response:
                    assert re.search(rf"\b{ROWS + number}\b", response.read().decode().replace(",", "")), page
    finally:
        done.set()
        asking.join()
    assert set(seen) <= {(str(number), str(ROWS + number)) for number in (1, 2, 3)}
    assert len(set(seen)) > 1


PAIRS = 500
HELD = f"SELECT a.mark AS m, b.mark AS n FROM test.stars AS a, test.stars AS b WHERE b.id < {PAIRS}"
"""More rows than all buffers on the way hold, so that it runs until somebody reads it."""
JOB = (
    "SELECT MIN(a.mark) AS m, MAX(b.mark) AS n, COUNT(*) AS k FROM test.stars AS a, test.stars AS b, test.stars AS c "
    "WHERE c.id < 20 AND a.ra + b.ra + c.ra < 2000"
)


def test_no_query_is_dropped(serving: tuple[Path, RunningServer]) -> None:
    """Of each door, clients that never pause; and a result and a job that are on their way over the change."""
    root, server = serving
    failures: list[str] = []
    answered = dict.fromkeys(
        (
            "/cone/test.stars?RA=10&DEC=0&SR=20&VERB=3&RESPONSEFORMAT=csv",
            "/api/v1/cone?table=test.stars&ra=10&dec=0&radius_deg=20&format=csv&columns=*",
            "/tap/sync?LANG=ADQL&RESPONSEFORMAT=csv&QUERY=SELECT+mark+FROM+test.stars+WHERE+id+=+7",
            "/tap/tables",
        ),
        0,
    )
    done = threading.Event()

    def keep_asking(path: str) -> None:
        while not done.is_set():
            try:
                with urllib.request.urlopen(server.url + path, timeout=30) as response:
                    response.read()
                answered[path] += 1
            except OSError as error:
                failures.append(f"{path}: {error}")

    clients = [threading.Thread(target=keep_asking, args=(path,)) for path in answered]
    with CatalogClient(server.url) as client, client.stream(HELD, maxrec=10_000_000) as held:
        for one in clients:
            one.start()
        try:
            for number in (2, 3):
                job = client.submit(JOB)
                before = dict(answered)
                release(root, number)
                wait_until(lambda number=number: published(server) == str(number))  # type: ignore[misc]
                wait_until(lambda before=before: all(answered[path] > before[path] for path in answered))  # type: ignore[misc]
                (row,) = job.wait(60).result().to_arrow().to_pylist()
                assert row["m"] == row["n"]
                assert row["k"] == (ROWS + row["m"]) ** 2 * 20
        finally:
            done.set()
            for one in clients:
                one.join()
        marks = [mark for batch in held for mark in zip(batch["m"].to_pylist(), batch["n"].to_pylist(), strict=True)]
    assert failures == []
    assert set(marks) == {(1, 1)}
    assert len(marks) == (ROWS + 1) * PAIRS
    ends = [json.loads(line)["status"] for line in server.log.read_text().splitlines() if '"event": "query"' in line]
    assert set(ends) == {"ok"}


def test_a_broken_description_holds_back_what_is_new_until_it_is_mended(serving: tuple[Path, RunningServer]) -> None:
    root, server = serving
    description = root / "test" / "schema.yaml"
    description.write_text("name: test\ntables:\n- {name: stars, tap:table_index: first}\n")
    release(root, 2)
    wait_until(lambda: "previous one stays in use" in server.log.read_text())
    assert published(server) == "1"
    description.write_text("name: test\ntables:\n- {name: stars, description: Bright ones}\n")
    wait_until(lambda: published(server) == "2")
    assert ask(server, "SELECT description FROM tap_schema.tables WHERE table_name = 'test.stars'") == [["Bright ones"]]
    assert server.log.read_text().count("previous one stays in use") <= 2  # the new file, and the new release
