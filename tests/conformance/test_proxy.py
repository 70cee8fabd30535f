"""Behind a reverse proxy at a path of its own, every address that the service gives leads back through the proxy."""

import http.client
import re
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import pyvo
from playwright.sync_api import expect, sync_playwright

from tests.harness import SampleStore, start_server, stop_server

PREFIX = "/vo/catalogs"


class Proxy(ThreadingHTTPServer):
    """Passes on what lies below PREFIX, with that path or without, and refuses the rest."""

    daemon_threads = True
    backend: str
    cuts: bool
    """Whether the backend is asked without PREFIX."""


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self.path.startswith(PREFIX):
            self.send_error(418, "not below the prefix")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(urlsplit(self.server.backend).netloc, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        path = self.path[len(PREFIX) :] if self.server.cuts else self.path
        connection.request(self.command, path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", 0), Handler) as running:
        address = f"http://127.0.0.1:{running.server_port}{PREFIX}"
        config = f'public_url = "{address}"\nworkers = 1\n'
        server = start_server(sample_store.root, tmp_path_factory.mktemp("proxied"), extra_config=config)
        running.backend = server.url
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()
        stop_server(server)


@pytest.fixture(params=[True, False], ids=["cuts", "keeps"])
def public_url(proxy: Proxy, request: pytest.FixtureRequest) -> str:
    proxy.cuts = request.param
    return f"http://127.0.0.1:{proxy.server_port}{PREFIX}"


def get(url: str) -> tuple[Any, str]:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.headers, response.read().decode(errors="replace")


@pytest.mark.parametrize("document", ["tap/capabilities", "tap/examples", "", "docs"])
def test_every_address_in_a_document_can_be_followed(public_url: str, document: str) -> None:
    _, text = get(f"{public_url}/{document}")
    found = re.findall(r"""(?:>|href="|src="|url: ["'])((?:https?:/)?/[^<"'\s]+)""", text)
    here = [url for url in (urljoin(public_url, one) for one in found) if "127.0.0.1" in url]
    assert len(here) >= 2
    for url in here:
        assert url.startswith(public_url)
        if not url.endswith(("/tap", "/tap/sync", "/tap/async")):
            assert get(url)


def test_static_files_and_unknown_addresses(public_url: str) -> None:
    assert get(f"{public_url}/static/home.css")[0]["Cache-Control"] == "no-cache"
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"{public_url}/tap/nothing")
    assert refused.value.code == 404
    assert "QUERY_STATUS" in refused.value.read().decode()


def test_pyvo_through_the_proxy(public_url: str) -> None:
    service = pyvo.dal.TAPService(f"{public_url}/tap")
    assert len(service.examples[0].execute()) > 0
    assert "tycho2.stars" in service.tables
    cones = pyvo.dal.SCSService(f"{public_url}/cone/tycho2.stars?")
    assert len(cones.search(pos=(56.75, 24.12), radius=1.0)) == 65


def test_the_api_pages_know_the_prefix(public_url: str) -> None:
    assert f"{PREFIX}/openapi.json" in get(f"{public_url}/docs")[1]
    assert f'"url":"{PREFIX}"' in get(f"{public_url}/openapi.json")[1]


@pytest.mark.slow
def test_the_home_page_searches_through_the_proxy(public_url: str, chromium: str) -> None:
    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=chromium, headless=True, args=arguments)
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{public_url}/#table=tycho2.stars&ra=56.75&dec=24.12&radius_deg=1")
        expect(page.locator("#status")).to_contain_text("65 rows")
        page.locator("details[data-table='tycho2.stars'] summary").click()
        expect(page.locator("details[data-table='tycho2.stars'] tbody tr")).to_have_count(4)
        with page.expect_response("**/api/v1/query"):
            page.get_by_role("button", name="Example position").click()
        browser.close()
    assert len(asked) >= 5
    assert all(url.startswith((public_url, "data:")) for url in asked)


def test_jobs_are_redirected_through_the_proxy(public_url: str) -> None:
    service = pyvo.dal.TAPService(f"{public_url}/tap")
    job = service.submit_job("SELECT TOP 3 * FROM tycho2.stars")
    assert job.url.startswith(f"{public_url}/tap/async/")
    assert len(job.run().wait(timeout=60).fetch_result()) == 3
    assert job.result_uri.startswith(f"{public_url}/tap/async/")
    job.delete()
