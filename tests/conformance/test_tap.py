"""TAP, VOSI and SCS through the protocol's own clients and readers."""

import io
import urllib.parse
import urllib.request
from urllib.error import HTTPError

import astropy.io.votable
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo


def fetch(url: str, **parameters: str) -> tuple[int, dict[str, str], bytes]:
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}?{query}" if query else url, timeout=20) as response:
            return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
    except HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def sync(server_url: str, query: str, **parameters: str) -> tuple[int, dict[str, str], bytes]:
    return fetch(f"{server_url}/tap/sync", LANG="ADQL", QUERY=query, **parameters)


def statuses(body: bytes) -> list[str]:
    """Return the QUERY_STATUS values of a VOTable, in order."""
    document = astropy.io.votable.parse(io.BytesIO(body))
    return [info.value for resource in document.resources for info in resource.infos if info.name == "QUERY_STATUS"]


def test_capabilities_tell_the_address_and_the_limits(server_url: str) -> None:
    service = pyvo.dal.TAPService(f"{server_url}/tap")
    assert service.maxrec == 100_000
    assert service.hardlimit == 10_000_000
    assert service.baseurl == f"{server_url}/tap"
    assert service.available


def test_tables_equal_tap_schema(server_url: str) -> None:
    service = pyvo.dal.TAPService(f"{server_url}/tap")
    listed = {(table.name, column.name) for table in service.tables.values() for column in table.columns}
    queried = service.search("SELECT table_name, column_name FROM TAP_SCHEMA.columns", maxrec=10_000).to_table()
    assert listed == set(zip(queried["table_name"].tolist(), queried["column_name"].tolist(), strict=True))
    assert ("tycho2.stars", "vt_mag") in listed
    assert not any("healpix" in column or column.startswith("_") for _, column in listed)


def test_metadata_come_from_felis(server_url: str) -> None:
    columns = {c.name: c for c in pyvo.dal.TAPService(f"{server_url}/tap").tables["tycho2.stars"].columns}
    assert columns["ra"].unit == "deg"
    assert columns["ra"].ucd == "pos.eq.ra;meta.main"
    assert columns["tyc_row"].ucd == "meta.id;meta.main"
    keys = pyvo.dal.TAPService(f"{server_url}/tap").search("SELECT * FROM tap_schema.keys").to_table()
    assert "survey.ForcedSource" in keys["from_table"]


def test_join_of_tap_schema(server_url: str) -> None:
    query = """SELECT t.table_name, COUNT(*) AS n FROM tap_schema.tables AS t
        JOIN tap_schema.columns AS c ON c.table_name = t.table_name GROUP BY t.table_name"""
    found = pyvo.dal.TAPService(f"{server_url}/tap").search(query).to_table()
    counts = dict(zip(found["table_name"].tolist(), found["n"].tolist(), strict=True))
    assert counts["survey.Object"] == 82


def test_units_and_nulls_reach_astropy(server_url: str) -> None:
    query = "SELECT TOP 500 objectId, coord_ra, g_psfMag, refBand FROM survey.Object WHERE g_psfMag IS NULL"
    table = pyvo.dal.TAPService(f"{server_url}/tap").search(query).to_table()
    assert str(table["coord_ra"].unit) == "deg"
    assert table["g_psfMag"].mask.all()
    assert len(table) == 500


@pytest.mark.parametrize(
    ("maxrec", "overflow"), [("0", True), ("9", True), ("99", True), ("100", False), ("101", False)]
)
@pytest.mark.parametrize("form", ["votable", "votable/td"])
def test_overflow_is_marked_exactly_when_rows_were_cut(server_url: str, maxrec: str, overflow: bool, form: str) -> None:
    query = "SELECT TOP 100 tyc_row FROM tycho2.stars"
    status, _headers, body = sync(server_url, query, MAXREC=maxrec, RESPONSEFORMAT=form)
    assert status == 200
    assert ("OVERFLOW" in statuses(body)) is overflow
    assert len(astropy.io.votable.parse_single_table(io.BytesIO(body)).array) == min(int(maxrec), 100)


def test_overflow_in_other_formats(server_url: str) -> None:
    query = "SELECT tyc_row FROM tycho2.stars"
    for form in ("csv", "arrow", "parquet"):
        for maxrec, expected in (("10", "true"), ("199217", "false")):
            _, headers, body = sync(server_url, query, MAXREC=maxrec, RESPONSEFORMAT=form)
            assert headers.get("x-overflow", expected) == expected
            if form == "csv":
                assert headers["x-overflow"] == expected
            elif form == "parquet":
                assert pq.ParquetFile(io.BytesIO(body)).metadata.metadata[b"overflow"] == expected.encode()
            else:
                assert last_metadata(body)[b"overflow"] == expected.encode()


def last_metadata(stream: bytes) -> dict[bytes, bytes]:
    """Return the metadata of an Arrow stream's last batch."""
    reader = pa.ipc.open_stream(stream)
    found: dict[bytes, bytes] = {}
    while True:
        try:
            found = reader.read_next_batch_with_custom_metadata().custom_metadata or {}
        except StopIteration:
            return dict(found)


FORMATS = ["votable", "votable/td", "csv", "arrow", "parquet", "application/x-votable+xml", "text/csv", "text/xml"]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_the_same_rows(server_url: str, form: str) -> None:
    query = "SELECT tyc_row, ra, dec, vt_mag FROM tycho2.stars WHERE tyc_row < 200000 ORDER BY tyc_row"
    status, headers, body = sync(server_url, query, MAXREC="3000", RESPONSEFORMAT=form)
    assert status == 200
    kind = headers["content-type"]
    if form == "arrow":
        rows = pa.ipc.open_stream(body).read_all().column("tyc_row").to_pylist()
    elif form == "parquet":
        rows = pq.read_table(io.BytesIO(body)).column("tyc_row").to_pylist()
    elif "csv" in form:
        rows = [int(line.split(",")[0]) for line in body.decode().splitlines()[1:]]
    else:
        rows = astropy.io.votable.parse_single_table(io.BytesIO(body)).array["tyc_row"].tolist()
        assert "xml" in kind
    assert len(rows) == 3000
    assert rows == sorted(rows)
    if "/" in form and form != "votable/td":
        assert kind.split(";")[0] == form


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"QUERY": "SELECT TOP 1 ra FROM tycho2.stars"}, "LANG"),
        ({"LANG": "ADQL"}, "QUERY"),
        ({"LANG": "SQL", "QUERY": "SELECT 1"}, "LANG"),
        ({"LANG": "ADQL", "QUERY": "DUFF QUERY"}, "DUFF"),
        ({"LANG": "ADQL", "QUERY": "SELECT rra FROM tycho2.stars"}, "Did you mean"),
        ({"LANG": "ADQL", "QUERY": "SELECT ra FROM tycho2.star"}, "tycho2.stars"),
        ({"LANG": "ADQL", "QUERY": "SELECT ra FROM tycho2.stars", "MAXREC": "-3"}, "MAXREC"),
        ({"LANG": "ADQL", "QUERY": "SELECT ra FROM tycho2.stars", "RESPONSEFORMAT": "xlsx"}, "xlsx"),
    ],
)
def test_errors_are_votables_with_a_status(server_url: str, parameters: dict[str, str], words: str) -> None:
    status, _, body = fetch(f"{server_url}/tap/sync", **parameters)
    assert status == 400
    assert statuses(body) == ["ERROR"]
    assert words in body.decode()


def test_error_reaches_the_pyvo_user(server_url: str) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match="line 1"):
        pyvo.dal.TAPService(f"{server_url}/tap").search("SELECT nothing FROM tycho2.stars")


def test_parameter_names_ignore_case_and_unknown_ones_are_ignored(server_url: str) -> None:
    status, _, body = fetch(
        f"{server_url}/tap/sync", lang="adql", query="SELECT TOP 3 ra FROM TYCHO2.Stars", MaxRec="2", nonsense="1"
    )
    assert status == 200
    assert statuses(body)[-1] == "OVERFLOW"


def test_a_parameter_given_twice_is_an_error(server_url: str) -> None:
    status, _, body = fetch(f"{server_url}/tap/sync?LANG=ADQL&MAXREC=1&MAXREC=2&QUERY=SELECT+ra+FROM+tycho2.stars")
    assert status == 400
    assert b"MAXREC" in body


@pytest.mark.parametrize(
    "parameters",
    [
        {"RA": "10", "DEC": "95", "SR": "1"},
        {"RA": "ten", "DEC": "5", "SR": "1"},
        {"RA": "10", "DEC": "5"},
        {"RA": "10", "DEC": "5", "SR": "-1"},
        {"RA": "10", "DEC": "5", "SR": "181"},
    ],
)
def test_cone_errors_have_the_form_of_simple_cone_search(server_url: str, parameters: dict[str, str]) -> None:
    status, _, body = fetch(f"{server_url}/cone/tycho2.stars", **parameters)
    assert status == 200
    document = astropy.io.votable.parse(io.BytesIO(body))
    assert [info.name for info in document.infos] == ["Error"]


def test_cone_error_reaches_the_pyvo_user(server_url: str) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match="181"):
        pyvo.dal.SCSService(f"{server_url}/cone/tycho2.stars?").search(pos=(10, 5), radius=181)


def test_cone_has_the_three_required_ucds(server_url: str) -> None:
    _, headers, body = fetch(f"{server_url}/cone/tycho2.stars", RA="56.75", DEC="24.12", SR="0.5", VERB="1")
    assert headers["content-type"].startswith("text/xml")
    fields = astropy.io.votable.parse_single_table(io.BytesIO(body)).fields
    ucds = [field.ucd for field in fields]
    for word in ("meta.id;meta.main", "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"):
        assert ucds.count(word) == 1


def test_availability_and_health(server_url: str) -> None:
    assert fetch(f"{server_url}/livez")[0] == 200
    assert fetch(f"{server_url}/readyz")[0] == 200
    assert b"<vosi:available>true</vosi:available>" in fetch(f"{server_url}/tap/availability")[2]


def test_times_name_their_scale_and_origin(server_url: str) -> None:
    service = pyvo.dal.TAPService(f"{server_url}/tap")
    votable = service.search("SELECT TOP 1 visit, expMidptMJD AS t, obsStart FROM survey.Visit").votable
    (resource,) = votable.resources
    systems = {system.ID: (system.timescale, system.timeorigin) for system in resource.time_systems}
    assert systems == {"time_tai_mjd": ("TAI", "MJD-origin"), "time_tai": ("TAI", None)}
    refs = [field.ref for field in resource.tables[0].fields]
    assert refs == [None, "time_tai_mjd", "time_tai"]
