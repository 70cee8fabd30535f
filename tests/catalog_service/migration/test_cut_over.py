"""One catalog after the other moves to the new service behind one address, while users query; and back again.

The proxy of this test does what the map of nginx in docs/how-to/leave-qserv.md says, and reads that map to do so.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from tests.harness import RunningServer, SampleStore, free_port, require, start_server, stop_server
from tests.house.repository import ROOT

PAGE = ROOT / "docs" / "how-to" / "leave-qserv.md"
QUERIES = {
    "stars": "SELECT COUNT(*) AS n, MIN(ra) AS a FROM tycho2.stars WHERE dec > 20",
    "survey": "SELECT COUNT(*) AS n, MAX(objectId) AS a FROM survey.Object WHERE coord_dec > -37",
}


def rules(page: str, moved: set[str]) -> list[tuple[re.Pattern[str], str]]:
    """Return (pattern, name of the service) of the map on the page, with the lines of catalogs that are moved."""
    text = re.search(r"map \$request_uri \$service \{\n(.*?)\n\}", page, re.DOTALL)
    assert text is not None
    found = []
    for line in text[1].splitlines():
        pattern, service = line.split("#")[0].strip().rstrip(";").split()
        pattern = pattern.strip('"').removeprefix("~")
        if pattern == "default":
            found.append((re.compile(""), service))
        elif "async" in pattern:
            found.append((re.compile(pattern), service))
        else:  # the page shows the line of one catalog
            found += [(re.compile(pattern.replace("dp02", name)), service) for name in moved]
    return found


@dataclass
class Front:
    """The address that users know."""

    services: dict[str, str]
    moved: set[str] = field(default_factory=set)
    page: str = field(default_factory=PAGE.read_text)

    def service_of(self, path: str) -> str:
        return next(service for pattern, service in rules(self.page, self.moved) if pattern.search(path))


class Handler(BaseHTTPRequestHandler):
    front: Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        backend = self.front.services[self.front.service_of(self.path)]
        connection = http.client.HTTPConnection(urlsplit(backend).netloc, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        # as `rewrite` on the page: the name of the catalog goes
        connection.request(self.command, re.sub(r"^/[^/]+", "", self.path, count=1), body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def services(
    server: RunningServer, sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, RunningServer]]:
    """The old service and the new one: both know the same schemas and tables by the same names."""
    new = start_server(sample_store.root, tmp_path_factory.mktemp("new"), extra_config="workers = 1\n")
    yield server, new
    stop_server(new)


@contextmanager
def small_proxy(services: dict[str, str], _directory: Path) -> Iterator[tuple[Callable[[set[str]], None], str]]:
    front = Front(services)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (Handler,), {"front": front}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield lambda moved: setattr(front, "moved", moved), f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextmanager
def nginx(services: dict[str, str], directory: Path) -> Iterator[tuple[Callable[[set[str]], None], str]]:
    """Run nginx with what the page shows."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # where Debian has it, for root alone
    require(program, "nginx is not installed (apt-get install nginx-light); the small proxy reads the same map")
    assert program is not None
    port, config = free_port(), directory / "nginx.conf"

    def move(moved: set[str]) -> None:
        config.write_text(nginx_config(services, directory, port, moved))

    move(set())
    command = [program, "-p", str(directory), "-c", str(config), "-g", f"daemon off; pid {directory}/pid;"]
    with subprocess.Popen(command) as process:

        def reload(moved: set[str]) -> None:
            move(moved)
            process.send_signal(signal.SIGHUP)

        yield reload, f"http://127.0.0.1:{port}"
        process.terminate()


def nginx_config(services: dict[str, str], directory: Path, port: int, moved: set[str]) -> str:
    found = re.search(r"^```nginx\n(map .*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    line = next(one for one in found[1].splitlines() if "dp02" in one)
    text = found[1].replace(line, "\n".join(line.replace("dp02", name) for name in moved))
    text = text.replace("127.0.0.1:8080", urlsplit(services["old"]).netloc)
    text = text.replace("127.0.0.1:8000", urlsplit(services["new"]).netloc).replace(
        "127.0.0.1:80;", f"127.0.0.1:{port};"
    )
    places = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"events {{}}\nhttp {{ access_log off; {places}\n{text}\n}}"


@pytest.fixture(params=[small_proxy, nginx], ids=["small-proxy", "nginx"])
def front(
    request: pytest.FixtureRequest, services: tuple[RunningServer, RunningServer], tmp_path: Path
) -> Iterator[tuple[Callable[[set[str]], None], str]]:
    """Return what moves catalogs, and the address that users know."""
    with request.param({"old": services[0].url, "new": services[1].url}, tmp_path) as made:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", int(made[1].rpartition(":")[2])), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield made


def asked(server: RunningServer, schema: str) -> int:
    """Return how many queries of a schema a service has answered."""
    return sum(schema in line and '"event": "query"' in line for line in server.log.read_text().splitlines())


def test_a_catalog_moves_and_comes_back_while_users_query(
    front: tuple[Callable[[set[str]], None], str], services: tuple[RunningServer, RunningServer]
) -> None:
    move, url = front
    stop = threading.Event()
    answers: dict[str, set[tuple[int, bytes]]] = {name: set() for name in QUERIES}
    lost: list[str] = []

    def user(catalog: str) -> None:
        pool = urllib3.PoolManager(retries=False)  # keeps its connection as long as the proxy does
        while not stop.is_set():
            fields = {"LANG": "ADQL", "QUERY": QUERIES[catalog], "FORMAT": "csv"}
            try:
                got = pool.request("POST", f"{url}/{catalog}/tap/sync", fields=fields, encode_multipart=False)
            except urllib3.exceptions.HTTPError as error:
                lost.append(f"{catalog}: {error!r}")
            else:
                answers[catalog].add((got.status, got.data))

    users = [threading.Thread(target=user, args=(name,)) for name in QUERIES]
    for one in users:
        one.start()
    old, new = services
    seen = []
    for moved in (set[str](), {"survey"}, set[str]()):
        move(moved)
        time.sleep(0.3)  # what was under way ends where it began
        before = {(one.url, name): asked(one, name) for one in services for name in ("tycho2.stars", "survey.Object")}
        waited = time.monotonic() + 20
        while not all(grown(services, before, moved)) and time.monotonic() < waited:
            time.sleep(0.05)
        seen.append(
            {
                (one.url, name): asked(one, name) - before[one.url, name]
                for one in services
                for name in ("tycho2.stars", "survey.Object")
            }
        )
    stop.set()
    for one in users:
        one.join()
    assert lost == []
    assert {name: len(found) for name, found in answers.items()} == {"stars": 1, "survey": 1}, answers
    assert all(status == 200 for found in answers.values() for status, _ in found)
    for number, count in enumerate(seen):
        assert (count[new.url, "survey.Object"] > 0) == (number == 1)
        assert (count[old.url, "survey.Object"] > 0) == (number != 1)
        assert count[old.url, "tycho2.stars"] > 0
        assert count[new.url, "tycho2.stars"] == 0


def grown(
    services: tuple[RunningServer, RunningServer], before: dict[tuple[str, str], int], moved: set[str]
) -> Iterator[bool]:
    old, new = services
    yield asked(old, "tycho2.stars") > before[old.url, "tycho2.stars"]
    place = new if moved else old
    yield asked(place, "survey.Object") > before[place.url, "survey.Object"]


def test_jobs_stay_with_the_service_that_made_them(front: tuple[Callable[[set[str]], None], str]) -> None:
    """The ids of our jobs are 32 hexadecimal digits: the map sends them to the new service, before and after."""
    move, url = front
    move({"survey"})
    pool = urllib3.PoolManager(retries=False)
    time.sleep(0.3)
    fields = {"LANG": "ADQL", "QUERY": QUERIES["survey"], "FORMAT": "csv", "PHASE": "RUN"}
    made = pool.request("POST", f"{url}/survey/tap/async", fields=fields, encode_multipart=False, redirect=False)
    job = re.sub(r".*/tap/async/", f"{url}/survey/tap/async/", made.headers["location"])
    move(set())
    time.sleep(0.3)
    deadline = time.monotonic() + 20
    while pool.request("GET", f"{job}/phase").data != b"COMPLETED" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pool.request("GET", f"{job}/results/result").data.count(b"\n") == 2


def test_jobs_of_the_old_service_stay_there() -> None:
    front = Front({}, {"survey"})
    assert front.service_of("/survey/tap/async/k7x2m9/phase") == "old"
    assert front.service_of("/survey/tap/async?PHASE=RUN") == "new"
    assert front.service_of("/dp02/tap/sync") == "old"
