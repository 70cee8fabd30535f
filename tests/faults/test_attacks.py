"""Hundreds of texts that would do harm if they reached the engine, through the real door of a server of ours.

Probes that name every dangerous statement, function and place, each in several disguises. Nothing of them may run:
no file appears, no secret is told, no worker ends; what is answered all the same is one SELECT of our own making.
"""

import itertools
import json
import re
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from tests.catalog_service.language.test_refusals import ATTACKS
from tests.harness import RunningServer, SampleStore, start_server, stop_server

TABLE = "tycho2.stars"
SECRET = "canary-3141592653"

HERE = [  # {place} is a directory that workers can read, {secret} a file in it
    "COPY (SELECT 1) TO '{place}/stolen.csv'",
    f"COPY {TABLE} TO '{{place}}/stolen.parquet' (FORMAT parquet)",
    "ATTACH '{place}/stolen.db' AS x",
    "EXPORT DATABASE '{place}/stolen'",
    "SELECT * FROM '{secret}'",
    'SELECT * FROM "{secret}"',
    "SELECT content FROM read_text('{secret}')",
    "SELECT * FROM read_csv_auto('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM glob('{place}/*')",
    "SELECT * FROM parquet_file_metadata('{place}/*')",
    "SELECT * FROM query_table('{secret}')",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_temporary_files()",
    f"SELECT getvariable('x') FROM {TABLE}",
    f"SELECT lpad('x', 2000000000, 'x') FROM {TABLE}",
    f"SELECT len(range(200000000)) FROM {TABLE}",
    f"SELECT array_agg(tyc_row) FROM {TABLE}",
    f"SELECT sleep_ms(5000) FROM {TABLE}",
]

DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "other case": str.swapcase,
    "comments": lambda text: text.replace(" ", "/**/"),
    "line comments": lambda text: text.replace(" ", " --\n"),
    "tabs and lines": lambda text: text.replace(" ", "\t\r\n"),
    "behind a query": lambda text: f"SELECT TOP 1 ra FROM {TABLE}; {text}",
    "before a query": lambda text: f"{text}; SELECT TOP 1 ra FROM {TABLE}",
    "a derived table": lambda text: f"SELECT TOP 1 * FROM ({text}) AS x",
    "a scalar": lambda text: f"SELECT TOP 1 ({text}) FROM {TABLE}",
    "a union": lambda text: f"SELECT ra FROM {TABLE} UNION ALL {text}",
    "out of a string": lambda text: f"SELECT TOP 1 ra FROM {TABLE} WHERE 'x' = ''; {text} --'",
    "out of a name": lambda text: f'SELECT TOP 1 ra AS "x" ; {text} --" FROM {TABLE}',
    "backslash": lambda text: f"SELECT TOP 1 ra FROM {TABLE} WHERE 'x\\'; {text} --' = 'x'",
    "wide letters": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() and c.isascii() else c for c in text),
    "wide spaces": lambda text: text.replace(" ", "\u00a0\u3000"),
    "joiners": lambda text: text.replace("E", "E\u200d"),
    "wide quotes": lambda text: text.replace("'", "\u02bc").replace(";", "\u037e"),
    "byte order mark": lambda text: "\ufeff" + text,
    "nul": lambda text: text + "\0" + text,
    "dollar quotes": lambda text: f"SELECT TOP 1 $${text}$$ FROM {TABLE}",
    "executable comment": lambda text: f"SELECT TOP 1 ra FROM {TABLE} /*! ; {text} */",
    "a WITH": lambda text: f"WITH x AS ({text}) SELECT * FROM x",
}
PER_PROBE = 6

DANGEROUS = re.compile(
    r"read_(?!parquet)|glob|duckdb_|pragma|query|getenv|getvariable|setting|sleep|write_log|^range$|repeat|pad$|array_agg",
    re.IGNORECASE,
)
BOUNDED = {"lpad", "rpad", "repeat"}
"""MySQL's functions that make long texts: Qserv's SQL has them, with a bound on the length."""
PATHS = re.compile(r"(?<![\w:/<.])/(?:[\w.+-]+/)+[\w.+-]*")


def attacks(place: Path) -> list[tuple[str, str]]:
    """Return (language, text) of all attacks."""
    known = [re.sub(r"\bn\b", "ra", text.replace("sky.Object", TABLE)) for text, *_ in ATTACKS]
    here = [text.format(place=place, secret=place / "secret.csv") for text in HERE]
    turns = itertools.cycle(DISGUISES.values())
    return [
        ("QSERV" if number % 3 == 2 else "ADQL", next(turns)(probe))
        for probe in (*known, *here)
        for number in range(PER_PROBE)
    ]


@pytest.fixture(scope="module")
def server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    rules = f'[schemas.{TABLE.partition(".")[0]}]\naccess = "public"\ndirect_access = true\n'
    rules = f"queries_per_address = 1\nqueued_per_user = 0\n{rules}"
    running = start_server(sample_store.root, tmp_path_factory.mktemp("attacks"), extra_config=rules)
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def place(server: RunningServer) -> Path:
    """A directory that workers can read, with a secret."""
    [found] = (server.log.parent / "state" / "tap_schema").iterdir()
    (found / "secret.csv").write_text(f"a\n{SECRET}\n")
    return found


@pytest.fixture(scope="module")
def post(server: RunningServer) -> Iterator[Callable[..., tuple[int, bytes]]]:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=30)

    def post(path: str, **body: Any) -> tuple[int, bytes]:
        connection.request("POST", f"/api/v1/{path}", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    yield post
    connection.close()


def functions_in(sql: str) -> set[str]:
    """Return the names of all functions of a text, by DuckDB's own parser; fails unless it is one SELECT."""
    [statement] = duckdb.extract_statements(sql)
    assert statement.type == duckdb.StatementType.SELECT
    [row] = duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    tree = json.loads(row[0])
    assert not tree["error"], tree
    return set(names_in(tree))


def names_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "function_name" in node:
            yield node["function_name"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from names_in(child)


def test_no_attack_does_anything(server: RunningServer, place: Path, post: Callable[..., tuple[int, bytes]]) -> None:
    process = psutil.Process(server.process.pid)
    assert post("query", query=f"SELECT TOP 1 ra FROM {TABLE}", format="csv")[0] == 200
    workers = {child.pid for child in process.children()}
    files, memory = sorted(place.iterdir()), process.memory_info().rss
    asked = attacks(place)
    assert len(asked) >= 500
    answered = []
    for lang, text in asked:
        status, body = post("query", query=text, lang=lang, format="csv", maxrec=10)
        told = body.decode()
        assert SECRET not in told, text
        assert "root:" not in told, text
        if status == 200:
            answered.append((lang, text))
            continue
        if status == 404:  # KILL of a query that there is not
            assert lang == "QSERV", text
            continue
        assert status == 400, (text, told)
        message = json.loads(told)["error"]["message"]
        told_back = (text + text.swapcase()).__contains__  # excerpts end with dots
        secret_paths = [path for path in PATHS.findall(message) if not told_back(path.rstrip("."))]
        assert not secret_paths, (text, message)
        assert "duckdb" not in message.lower() or "duckdb" in text.lower(), (text, message)
        assert sys.prefix not in told
    assert sorted(place.iterdir()) == files, "no file appeared"
    assert {child.pid for child in process.children()} == workers, "no worker ended"
    assert process.memory_info().rss - memory < 60_000_000
    assert "Traceback" not in server.log.read_text()
    assert len(answered) < len(asked) / 20
    for lang, text in answered:
        status, body = post("plan", query=text, lang=lang)
        if status == 200:
            dangerous = {name for name in functions_in(json.loads(body)["sql"]) if DANGEROUS.search(name)}
            assert not dangerous - (BOUNDED if lang == "QSERV" else set()), text


def test_callers_cannot_choose_their_address(server: RunningServer) -> None:
    """Without `trusted_proxies`, nobody's word for it is taken; one query at a time is what this address may run."""
    slow = f"SELECT COUNT(*) AS n FROM {TABLE} AS a, {TABLE} AS b WHERE a.vt_mag + b.vt_mag > 100"
    path = "/tap/sync?" + urllib.parse.urlencode({"LANG": "ADQL", "QUERY": slow})
    with ExitStack() as stack:
        asked = []
        for number in range(2):
            connection = stack.enter_context(closing(HTTPConnection(server.url.removeprefix("http://"), timeout=30)))
            connection.request("GET", path, headers={"X-Forwarded-For": f"192.0.2.{number}", "X-Real-IP": "192.0.2.9"})
            asked.append(connection)
            time.sleep(0.5)
        response = asked[1].getresponse()
        assert response.status == 503
        assert b"queued_per_user" in response.read()


BOMBS = {
    "parentheses": "SELECT " + "(" * 50_000 + "1" + ")" * 50_000 + f" FROM {TABLE}",
    "nested queries": f"SELECT * FROM {'(SELECT * FROM ' * 3000}{TABLE}{') AS x' * 3000}",
    "a long list": f"SELECT ra FROM {TABLE} WHERE tyc_row IN ({','.join(map(str, range(40_000)))}, 'x', y)",
    "many ORs": f"SELECT ra FROM {TABLE} WHERE {' OR '.join(f'ra={i}' for i in range(20_000))} OR y",
    "many UNIONs": f"SELECT ra FROM {TABLE}" + f" UNION ALL SELECT ra FROM {TABLE}" * 5000,
    "many NOTs": f"SELECT ra FROM {TABLE} WHERE {'NOT ' * 50_000} ra = 1",
    "many minus signs": "SELECT " + "- " * 100_000 + f"1 FROM {TABLE}",
    "nested functions": "SELECT " + "abs(" * 20_000 + "1" + ")" * 20_000 + f" FROM {TABLE}",
    "nested CASEs": "SELECT " + "CASE WHEN 1=1 THEN " * 8000 + "1" + " END" * 8000 + f" FROM {TABLE}",
    "many joins": "SELECT 1 FROM " + " CROSS JOIN ".join(f"{TABLE} AS t{i}" for i in range(3000)),
    "many strings": f"SELECT ra FROM {TABLE} WHERE " + " OR ".join(f"'{i}' = ''" for i in range(14_000)) + " OR y",
    "an open comment": "/*" * 100_000,
    "an open string": "SELECT '" + "''" * 100_000,
}


def test_bombs_are_refused_and_hold_up_nobody(server: RunningServer, post: Callable[..., tuple[int, bytes]]) -> None:
    """Whatever takes long over a text, it does not do so on the event loop."""
    stop, waits = threading.Event(), list[float]()

    def look() -> None:
        while not stop.is_set():
            began = time.monotonic()
            with urllib.request.urlopen(f"{server.url}/livez", timeout=30) as response:
                assert response.status == 200
            waits.append(time.monotonic() - began)
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(look)
        try:
            for number, (name, text) in enumerate(BOMBS.items()):
                lang = "QSERV" if number % 2 else "ADQL"
                status, body = post("query", query=text, lang=lang, format="csv")
                assert status in {400, 413}, (name, body[:300])
                assert len(body) < 2000, name
        finally:
            stop.set()
        looking.result()
    assert len(waits) > 10
    assert sorted(waits)[len(waits) // 2] < 0.2
    assert max(waits) < 2, "on a machine that does other things, too"
