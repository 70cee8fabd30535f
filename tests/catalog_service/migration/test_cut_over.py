"""One catalog after the other moves to the new service behind one address, while users query; and back again.

The proxy of this test does what the map of nginx in docs/how-to/leave-qserv.md says, and reads that map to do so.
"""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from tests.harness import RunningServer, SampleStore, free_port, start_server, stop_server
from tests.house.repository import ROOT

PAGE = ROOT / "docs" / "how-to" / "leave-qserv.md"
QUERIES = {
    "stars": "SELECT COUNT(*) AS n, MIN(ra) AS a FROM stars_dr1.stars WHERE dec > 20",
    "survey": "SELECT COUNT(*) AS n, MAX(objectId) AS a FROM dp_one.Object WHERE coord_dec > -37",
}


def rules(page: str, moved: set[str]) -> list[tuple[re.Pattern[str], str]]:
    """Return (pattern, name of the service) of the map on the page, with the lines of catalogs that are moved."""
    text = re.search(r"map \$uri \$service \{\n(.*?)\n\}", page, re.DOTALL)
    assert text is not None
    found = []
    for line in text[1].splitlines():
        pattern, service = line.split("#")[0].strip().rstrip(";").split()
        if pattern == "default":
            found.append((re.compile(""), service))
        elif "async" in pattern:
            found.append((re.compile(pattern.removeprefix("~").strip('"')), service))
        else:  # the page shows the line of one catalog
            found += [(re.compile(pattern.removeprefix("~").replace("dp02", name)), service) for name in moved]
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
        backend = self.front.services[self.front.service_of(urlsplit(self.path).path)]
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
    sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Two services that know both catalogs by the names that users have always written."""
    names = '[schemas.tycho2]\naliases = ["stars_dr1"]\n[schemas.survey]\naliases = ["dp_one"]\n'
    names += "[schemas.DEFAULT]\n" if False else ""
    running = []
    for name in ("old", "new"):
        directory = tmp_path_factory.mktemp(name)
        running.append(start_server(sample_store.root, directory, extra_config=f"workers = 1\n{names}"))
    yield running[0], running[1]
    for one in running:
        stop_server(one)


@pytest.fixture
def front(services: tuple[RunningServer, RunningServer]) -> Iterator[tuple[Front, str]]:
    made = Front({"old": services[0].url, "new": services[1].url})
    port = free_port()
    server = ThreadingHTTPServer(("127.0.0.1", port), type("_Handler", (Handler,), {"front": made}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made, f"http://127.0.0.1:{port}"
    server.shutdown()
    server.server_close()


def asked(server: RunningServer, schema: str) -> int:
    """Return how many queries of a schema a service has answered."""
    return sum(schema in line and '"event": "query"' in line for line in server.log.read_text().splitlines())


def test_a_catalog_moves_and_comes_back_while_users_query(
    front: tuple[Front, str], services: tuple[RunningServer, RunningServer]
) -> None:
    proxy, url = front
    stop = threading.Event()
    answers: dict[str, set[tuple[int, bytes]]] = {name: set() for name in QUERIES}

    def user(catalog: str) -> None:
        pool = urllib3.PoolManager(retries=False)
        while not stop.is_set():
            fields = {"LANG": "ADQL", "QUERY": QUERIES[catalog], "FORMAT": "csv"}
            got = pool.request("POST", f"{url}/{catalog}/tap/sync", fields=fields, encode_multipart=False)
            answers[catalog].add((got.status, got.data))

    users = [threading.Thread(target=user, args=(name,)) for name in QUERIES]
    for one in users:
        one.start()
    old, new = services
    seen = []
    for moved in (set[str](), {"survey"}, set[str]()):
        proxy.moved = moved
        time.sleep(0.2)  # what was under way ends where it began
        before = {(one.url, name): asked(one, name) for one in services for name in ("stars_dr1", "dp_one")}
        waited = time.monotonic() + 20
        while not all(grown(services, before, moved)) and time.monotonic() < waited:
            time.sleep(0.05)
        seen.append(
            {
                (one.url, name): asked(one, name) - before[one.url, name]
                for one in services
                for name in ("stars_dr1", "dp_one")
            }
        )
    stop.set()
    for one in users:
        one.join()
    assert {name: len(found) for name, found in answers.items()} == {"stars": 1, "survey": 1}, answers
    assert all(status == 200 for found in answers.values() for status, _ in found)
    for number, count in enumerate(seen):
        assert (count[new.url, "dp_one"] > 0) == (number == 1)
        assert (count[old.url, "dp_one"] > 0) == (number != 1)
        assert count[old.url, "stars_dr1"] > 0
        assert count[new.url, "stars_dr1"] == 0


def grown(
    services: tuple[RunningServer, RunningServer], before: dict[tuple[str, str], int], moved: set[str]
) -> Iterator[bool]:
    old, new = services
    yield asked(old, "stars_dr1") > before[old.url, "stars_dr1"]
    place = new if moved else old
    yield asked(place, "dp_one") > before[place.url, "dp_one"]


def test_jobs_stay_with_the_service_that_made_them(
    front: tuple[Front, str], services: tuple[RunningServer, RunningServer]
) -> None:
    """The ids of our jobs are 32 hexadecimal digits: the map sends them to the new service, before and after."""
    proxy, url = front
    assert proxy.service_of("/dp02/tap/async/0123456789abcdef0123456789abcdef/results/result") == "new"
    assert proxy.service_of("/dp02/tap/async/k7x2m9/phase") == "old"
    proxy.moved = {"survey"}
    assert proxy.service_of("/survey/tap/async/k7x2m9/phase") == "old"
    assert proxy.service_of("/survey/tap/async") == "new"
    pool = urllib3.PoolManager(retries=False)
    fields = {"LANG": "ADQL", "QUERY": QUERIES["survey"], "FORMAT": "csv", "PHASE": "RUN"}
    made = pool.request("POST", f"{url}/survey/tap/async", fields=fields, encode_multipart=False, redirect=False)
    job = re.sub(r".*/tap/async/", f"{url}/survey/tap/async/", made.headers["location"])
    proxy.moved = set()
    deadline = time.monotonic() + 20
    while pool.request("GET", f"{job}/phase").data != b"COMPLETED" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pool.request("GET", f"{job}/results/result").data.count(b"\n") == 2
