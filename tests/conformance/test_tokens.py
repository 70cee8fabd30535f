"""Access tokens through every door of a real server: what is closed to a caller does not exist for it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pyvo
import requests
from typer.testing import CliRunner

from catalog_service.cli import app
from catalog_service.client import AuthenticationError, CatalogClient, NotFoundError, QueryNameError
from catalog_service.client.bearer import BearerSession
from tests.harness import RunningServer, SampleStore, start_server, stop_server

RULES = '[schemas.tycho2]\naccess = "public"\n[schemas.survey]\naccess = "group:lsst"\n'
ROWS = 20_029
CLOSED = "SELECT COUNT(*) AS n FROM survey.Object"


@dataclass(frozen=True)
class Site:
    server: RunningServer
    member: str
    """Token of a member of the group."""
    other: str
    """Token of somebody else."""

    @property
    def url(self) -> str:
        return self.server.url


def token_command(config: Path, *arguments: str) -> str:
    answer = CliRunner().invoke(app, ["token", *arguments, "--config", str(config)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout.strip()


@pytest.fixture(scope="module")
def site(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("tokens")
    running = start_server(sample_store.root, directory, access=None, extra_config=RULES)
    config = directory / "service.toml"
    member = token_command(config, "create", "ann", "--group", "lsst", "--group", "desc")
    other = token_command(config, "create", "bob", "--group", "desc")
    yield Site(running, member, other)
    stop_server(running)


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def get(site: Site, path: str, token: str | None = None, **options: Any) -> requests.Response:
    return requests.get(f"{site.url}{path}", headers=bearer(token), timeout=60, **options)


def sync(site: Site, query: str, token: str | None = None, **options: Any) -> requests.Response:
    data = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"}
    return requests.post(f"{site.url}/tap/sync", data=data, headers=bearer(token), timeout=60, **options)


def without_id(text: str) -> str:
    """Return an answer without the query's id, which is another one each time."""
    return re.sub("[0-9a-f]{16}", "ID", text)


DOORS = ["/tap/tables", "/tap/tables?detail=min", "/tap/examples", "/api/v1/catalogs", "/"]


@pytest.mark.parametrize("door", DOORS)
def test_metadata_names_what_the_caller_may_read(site: Site, door: str) -> None:
    assert "survey" in get(site, door, site.member).text
    for token in (None, site.other):
        answer = get(site, door, token)
        assert answer.status_code == 200
        assert "tycho2" in answer.text
        assert "survey" not in answer.text.lower()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tap/tables/survey.Object", 404),
        ("/api/v1/catalogs/survey.Object", 404),
        ("/api/v1/cone?table=survey.Object&ra=62&dec=-37&radius_deg=0.01", 404),
        ("/cone/survey.Object?RA=62&DEC=-37&SR=0.01", 200),
    ],
)
def test_a_closed_table_does_not_exist_for_others(site: Site, path: str, status: int) -> None:
    for token in (None, site.other):
        answer = get(site, path, token)
        assert answer.status_code == status
        assert "no table" in answer.text
        unknown = get(site, path.replace("survey.Object", "nowhere.Nothing"), token)
        assert without_id(unknown.text).replace("nowhere.Nothing", "survey.Object") == without_id(answer.text)
    mine = get(site, path, site.member)
    assert mine.status_code == 200
    assert "no table" not in mine.text


@pytest.mark.parametrize("name", ["survey.Object", "survey.Objekt", "Object", "surwey.Object"])
def test_errors_suggest_nothing_that_is_closed(site: Site, name: str) -> None:
    for door in ("sync", "explain", "plan"):
        for token in (None, site.other):
            if door == "sync":
                answer = sync(site, f"SELECT COUNT(*) AS n FROM {name}", token)
            else:
                body = {"query": f"SELECT COUNT(*) AS n FROM {name}"}
                answer = requests.post(f"{site.url}/api/v1/{door}", json=body, headers=bearer(token), timeout=60)
            assert answer.status_code == 400
            assert "survey" not in answer.text.replace(name, "").lower()


def test_tap_schema_shows_what_the_caller_may_read(site: Site) -> None:
    for table in ("schemas", "tables", "columns", "keys"):
        query = f"SELECT * FROM TAP_SCHEMA.{table}"
        assert "survey" in sync(site, query, site.member).text
        for token in (None, site.other):
            assert "survey" not in sync(site, query, token).text


def test_bearer_and_basic_open_the_same(site: Site) -> None:
    assert sync(site, CLOSED, site.member).text.split()[1] == str(ROWS)
    basic = sync(site, CLOSED, auth=("whoever", site.member))
    assert basic.text.split()[1] == str(ROWS)
    assert sync(site, CLOSED, site.other).status_code == 400


@pytest.mark.parametrize(
    "door",
    [
        "/tap/sync?LANG=ADQL&QUERY=SELECT+1",
        "/cone/tycho2.stars?RA=1&DEC=1&SR=0.1",
        "/api/v1/catalogs",
        "/tap/tables",
        "/tap/async",
        "/",
    ],
)
@pytest.mark.parametrize(
    "credentials",
    ["Bearer cst_wrong", "Bearer", "Basic !!!", "Basic YW5u", "Digest x", "Negotiate", "Bearer " + "x" * 5000],
)
def test_credentials_that_open_nothing_are_refused(site: Site, door: str, credentials: str) -> None:
    answer = requests.get(f"{site.url}{door}", headers={"Authorization": credentials}, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].count("realm=") == 2
    assert "Bearer realm" in answer.headers["WWW-Authenticate"]
    if door.startswith("/tap"):
        assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    elif door.startswith("/cone"):
        assert 'name="Error"' in answer.text
    else:
        assert answer.json()["error"]["code"] == "unauthorized"


def test_anonymous_callers_learn_that_credentials_are_taken(site: Site) -> None:
    for path in ("/tap/capabilities", "/tap/tables"):
        assert "Basic realm" in get(site, path).headers["WWW-Authenticate"]
        assert "WWW-Authenticate" not in get(site, path, site.member).headers


def test_programs_learn_whether_they_are_logged_in(site: Site) -> None:
    """As TOPCAT asks: by HEAD, whose body would be wasted."""
    url = f"{site.url}/tap/capabilities"
    anonymous = requests.head(url, timeout=30)
    assert (anonymous.status_code, "Basic" in anonymous.headers["WWW-Authenticate"]) == (200, True)
    assert "X-VO-Authenticated" not in anonymous.headers
    known = requests.head(url, auth=("whoever", site.member), timeout=30)
    assert (known.status_code, known.headers["X-VO-Authenticated"]) == (200, "ann")
    assert requests.head(url, auth=("whoever", "cst_wrong"), timeout=30).status_code == 401
    beyond_ascii = token_command(
        site.server.log.parent / "service.toml", "create", "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}"
    )
    assert requests.head(url, headers=bearer(beyond_ascii), timeout=30).headers["X-VO-Authenticated"] == "Zo%C3%AB"


def test_jobs_are_private(site: Site) -> None:
    address = f"{site.url}/tap/async"
    data = {"LANG": "ADQL", "QUERY": CLOSED, "PHASE": "RUN", "RESPONSEFORMAT": "csv"}
    created = requests.post(address, data=data, headers=bearer(site.member), allow_redirects=False, timeout=60)
    job = created.headers["Location"]
    mine = requests.get(job, params={"WAIT": 30}, headers=bearer(site.member), timeout=60)
    while "COMPLETED" not in mine.text:
        mine = requests.get(job, params={"WAIT": 30}, headers=bearer(site.member), timeout=60)
    assert "<uws:ownerId>ann</uws:ownerId>" in mine.text
    assert requests.get(f"{job}/results/result", headers=bearer(site.member), timeout=60).text.split() == [
        '"n"',
        str(ROWS),
    ]
    for token in (None, site.other):
        for child in ("", "/phase", "/results", "/results/result", "/parameters", "/error", "/owner"):
            assert requests.get(f"{job}{child}", headers=bearer(token), timeout=60).status_code == 404
        assert requests.delete(job, headers=bearer(token), timeout=60).status_code == 404
        assert requests.post(f"{job}/phase", {"PHASE": "ABORT"}, headers=bearer(token), timeout=60).status_code == 404
        assert job not in requests.get(address, headers=bearer(token), timeout=60).text
        api = f"{site.url}/api/v1/jobs/{job.rsplit('/', 1)[1]}"
        assert requests.get(api, headers=bearer(token), timeout=60).status_code == 404
    listed = requests.get(f"{address}?PHASE=COMPLETED&LAST=5", headers=bearer(site.member), timeout=60).text
    assert job in listed
    assert "<uws:ownerId>ann</uws:ownerId>" in listed
    assert job not in requests.get(f"{address}?PHASE=PENDING", headers=bearer(site.member), timeout=60).text
    failing = requests.post(address, data=data, headers=bearer(site.other), allow_redirects=False, timeout=60)
    other = failing.headers["Location"]
    while requests.get(f"{other}/phase", headers=bearer(site.other), timeout=60).text != "ERROR":
        time.sleep(0.05)
    assert "no table" in requests.get(f"{other}/error", headers=bearer(site.other), timeout=60).text


def test_pyvo_and_our_client_bear_a_token(site: Site) -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {site.member}"
    service = pyvo.dal.TAPService(f"{site.url}/tap", session=session)
    assert service.run_sync(CLOSED)["n"][0] == ROWS
    assert service.run_async(CLOSED)["n"][0] == ROWS
    assert "survey.Object" in service.tables
    with CatalogClient(site.url, site.member) as client:
        assert client.query(CLOSED).to_arrow()["n"].to_pylist() == [ROWS]
        assert client.tap().run_sync(CLOSED)["n"][0] == ROWS
        job = client.submit(CLOSED)
        assert job.wait(60).result().to_arrow()["n"].to_pylist() == [ROWS]
        assert job.job_id in {one.job_id for one in client.jobs()}
        assert site.member not in repr(client)
    with CatalogClient(site.url, site.other) as client:
        with pytest.raises(QueryNameError):
            client.query(CLOSED)
        with pytest.raises(NotFoundError):
            client.job(job.job_id)
    with CatalogClient(site.url, "cst_wrong") as client, pytest.raises(AuthenticationError, match="not known"):
        client.tables()


def test_a_token_is_revoked_and_expires(site: Site) -> None:
    config = site.server.log.parent / "service.toml"
    token = token_command(config, "create", "carl", "--group", "lsst")
    short = token_command(config, "create", "carl", "--days", "0.00001")
    assert sync(site, CLOSED, token).status_code == 200
    listed = json.loads(token_command(config, "list", "--json"))
    carl = [one for one in listed if one["name"] == "carl"]
    assert [one["groups"] for one in carl] == ["lsst", ""]
    token_command(config, "revoke", carl[0]["token_id"])
    time.sleep(2.1)
    for dead in (token, short):
        answer = sync(site, "SELECT 1 AS one", dead)
        assert answer.status_code == 401
        assert "expired or was revoked" in answer.text
    states = {one["token_id"]: one["state"] for one in json.loads(token_command(config, "list", "--json"))}
    assert [states[one["token_id"]] for one in carl] == ["revoked", "expired"]
    again = CliRunner().invoke(app, ["token", "revoke", carl[0]["token_id"], "--config", str(config)])
    assert isinstance(again.exception, NotFoundError)


def test_tokens_are_neither_stored_nor_logged(site: Site) -> None:
    sync(site, CLOSED, site.member)
    state = site.server.log.parent
    for path in state.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert site.member.encode() not in content, path
            assert site.other.encode() not in content, path


@pytest.mark.parametrize(
    "arguments", [["anonymous"], ["Anonymous"], ["a b"], [""], ["x" * 65], ["ann", "--group", "a b"]]
)
def test_names_that_cannot_be(site: Site, arguments: list[str]) -> None:
    config = str(site.server.log.parent / "service.toml")
    answer = CliRunner().invoke(app, ["token", "create", *arguments, "--config", config])
    assert answer.exit_code != 0
    assert not answer.stdout


def test_the_client_alone_needs_no_server_libraries() -> None:
    code = "import sys, catalog_service.cli; print('sqlalchemy' in sys.modules, 'fastapi' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_pyvo_sends_the_token_where_netrc_knows_the_host(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password of-another-service\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with CatalogClient(site.url, token=site.member) as client:
        service = client.tap()
    assert service.run_sync(CLOSED)["n"][0] == ROWS
    assert service.run_async(CLOSED)["n"][0] == ROWS, "also after redirections"
    header_only = requests.Session()
    header_only.headers.update(bearer(site.member))
    assert header_only.get(f"{site.url}/api/v1/catalogs", timeout=30).status_code == 401, "what is guarded against"
    elsewhere = BearerSession(site.url, site.member).prepare_request(requests.Request("GET", "http://192.0.2.1/"))
    assert "Authorization" not in elsewhere.headers
