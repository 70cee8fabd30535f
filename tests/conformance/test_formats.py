"""Every format through the real server: the same rows, metadata and provenance; gzip for those who ask for it."""

import csv
import gzip
import io
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import astropy.io.votable
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo
from astropy.io import fits
from astropy.table import Table

from catalog_service.client import CatalogClient
from catalog_service.version import VERSION
from tests.harness import SampleStore

QUERY = """SELECT tyc_row, ra, dec, vt_mag, vt_mag * 2 AS "twice", FLOOR(dec) AS d FROM tycho2.stars
WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 5)) ORDER BY tyc_row LIMIT 300"""
"""LIMIT is no ADQL, but a relaxation of it."""
MARKS = {"QUERY", "QUERY_ID", "SERVICE_VERSION", "TILES_READ", "RELEASES", "RELAXATIONS"}


class Read(NamedTuple):
    """What a reader finds in a result."""

    rows: list[list[Any]]
    columns: dict[str, tuple[str, str, str]]
    """(unit, UCD, description) by name."""
    infos: dict[str, str]
    overflow: bool
    told: int | None
    """Number of rows by the document itself."""


def answer(server_url: str, accept: str | None = None, **parameters: str) -> tuple[dict[str, str], bytes]:
    asked = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": QUERY, **parameters})
    request = urllib.request.Request(f"{server_url}/tap/sync?{asked}")
    if accept is not None:
        request.add_header("Accept-Encoding", accept)
    with urllib.request.urlopen(request, timeout=60) as response:
        return {name.lower(): value for name, value in response.headers.items()}, response.read()


def votable(content: bytes) -> Read:
    document = astropy.io.votable.parse(io.BytesIO(content))
    infos = [(info.name, info.value) for info in document.resources[0].infos]
    table = document.get_first_table()
    named = dict(infos)
    return Read(
        [list(row) for row in table.to_table().as_array().tolist()],
        {f.name: (str(f.unit or ""), f.ucd or "", f.description or "") for f in table.fields},
        {name: value for name, value in infos if name in MARKS},
        ("QUERY_STATUS", "OVERFLOW") in infos,
        int(named["ROWS"]) if "ROWS" in named else None,
    )


def json_document(content: bytes) -> Read:
    document = json.loads(content)
    columns = {c["name"]: tuple(c.get(key, "") for key in ("unit", "ucd", "description")) for c in document["metadata"]}
    return Read(document["data"], columns, document["infos"], document["overflow"], document["rows"])


def fits_file(content: bytes) -> Read:
    header = fits.open(io.BytesIO(content))[1].header
    table = Table.read(io.BytesIO(content), format="fits", hdu=1)
    keys = [
        [header.get(f"{key}{n}", "") for key in ("TUNIT", "TUCD", "TCOMM")] for n in range(1, header["TFIELDS"] + 1)
    ]
    keywords = ["QUERY", "QUERYID", "SERVICE", "TILES", "RELEASES", "RELAXED"]
    names = ["QUERY", "QUERY_ID", "SERVICE_VERSION", "TILES_READ", "RELEASES", "RELAXATIONS"]
    return Read(
        [list(row) for row in table.as_array().tolist()],
        {name: tuple(texts) for name, texts in zip(table.colnames, keys, strict=True)},
        {name: header[keyword] for name, keyword in zip(names, keywords, strict=True) if keyword in header},
        header["OVERFLOW"],
        header["NAXIS2"],
    )


def arrow_table(table: pa.Table, marks: dict[bytes, bytes]) -> Read:
    metadata = [field.metadata or {} for field in table.schema]
    texts = [tuple(one.get(key, b"").decode() for key in (b"unit", b"ucd", b"description")) for one in metadata]
    infos = {k.decode(): v.decode() for k, v in table.schema.metadata.items() if k.decode() in MARKS}
    rows = [list(row.values()) for row in table.to_pylist()]
    columns: dict[str, Any] = dict(zip(table.column_names, texts, strict=True))
    return Read(rows, columns, infos, marks[b"overflow"] == b"true", int(marks[b"rows"]))


def arrow(content: bytes) -> Read:
    marks: dict[bytes, bytes] = {}
    batches = []
    with pa.ipc.open_stream(content) as reader:
        while not marks:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
            batches.append(batch)
            marks = dict(metadata or {})
    return arrow_table(pa.Table.from_batches(batches), marks)


def parquet(content: bytes) -> Read:
    table = pq.read_table(io.BytesIO(content))
    return arrow_table(table, table.schema.metadata)


READERS: dict[str, Callable[[bytes], Read]] = {
    "votable": votable,
    "votable/td": votable,
    "json": json_document,
    "fits": fits_file,
    "arrow": arrow,
    "parquet": parquet,
}


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same; a NaN that a reader shows for NULL is NULL, a short float its text's double."""
    if left is None or right is None or left != left or right != right:  # noqa: PLR0124
        return (left is None or left != left) and (right is None or right != right)  # noqa: PLR0124
    return bool(left == pytest.approx(right, rel=1e-7)) if isinstance(right, float) else left == right


@pytest.mark.parametrize("maxrec", ["", "10", "0"])
def test_all_formats_tell_the_same(server_url: str, maxrec: str) -> None:
    parameters = {"MAXREC": maxrec} if maxrec else {}
    first: Read | None = None
    for name, reader in READERS.items():
        headers, content = answer(server_url, RESPONSEFORMAT=name, **parameters)
        read = reader(content)
        assert read.infos.pop("QUERY_ID") == headers["x-query-id"], name
        assert read.overflow is bool(maxrec), name
        assert read.told in {int(maxrec or 300), None}, name
        if first is None:
            first = read._replace(infos={k: v.replace("\n", " ") for k, v in read.infos.items()})
            assert set(first.infos) == MARKS - {"QUERY_ID"}
            assert first.infos["RELEASES"] == "tycho2.stars 1"
            assert first.infos["SERVICE_VERSION"] == f"catalog-service {VERSION}"
            assert first.columns["ra"][:2] == ("deg", "pos.eq.ra;meta.main")
        assert {k: v.replace("\n", " ") for k, v in read.infos.items()} == first.infos, name
        assert read.columns == first.columns, name
        assert len(read.rows) == len(first.rows) == int(maxrec or 300), name
        assert all(map(same, sum(read.rows, []), sum(first.rows, []))), name  # noqa: RUF017


@pytest.mark.parametrize(("name", "dialect"), [("csv", "excel"), ("tsv", "excel-tab")])
def test_texts_hold_the_same_rows(server_url: str, name: str, dialect: str) -> None:
    headers, content = answer(server_url, RESPONSEFORMAT=name, MAXREC="200")
    lines = list(csv.reader(io.StringIO(content.decode(), newline=""), dialect))
    expected = json_document(answer(server_url, RESPONSEFORMAT="json", MAXREC="200")[1])
    assert headers["x-overflow"] == "true"
    assert lines[0] == list(expected.columns)
    assert lines[1:] == [["" if value is None else str(value) for value in row] for row in expected.rows]


def test_totals_from_the_manifest_name_their_release(server_url: str) -> None:
    _, content = answer(server_url, QUERY="SELECT COUNT(*) FROM tycho2.stars", RESPONSEFORMAT="json")
    assert json.loads(content)["infos"]["RELEASES"] == "tycho2.stars 1"
    _, content = answer(server_url, QUERY="SELECT * FROM tap_schema.tables", RESPONSEFORMAT="json")
    assert "RELEASES" not in json.loads(content)["infos"]


@pytest.mark.parametrize("name", ["votable", "votable/td", "csv", "tsv", "json"])
def test_gzip_for_those_who_ask(server_url: str, name: str) -> None:
    headers, plain = answer(server_url, RESPONSEFORMAT=name)
    assert "content-encoding" not in headers
    assert headers["vary"] == "Accept-Encoding"
    for accept in ("gzip", "br;q=1.0, GZIP;q=0.5", "deflate, *"):
        headers, coded = answer(server_url, accept, RESPONSEFORMAT=name)
        assert headers["content-encoding"] == "gzip"
        assert headers["vary"] == "Accept-Encoding"
        assert len(coded) < len(plain)
        assert without_id(gzip.decompress(coded)) == without_id(plain)
    for accept in ("identity", "gzip;q=0", "gzip;q=0, *", "br", "gzip;q=x"):
        headers, content = answer(server_url, accept, RESPONSEFORMAT=name)
        assert "content-encoding" not in headers
        assert without_id(content) == without_id(plain)


def without_id(content: bytes) -> bytes:
    """Return a document without what differs from query to query."""
    before, mark, after = content.partition(b"QUERY_ID")
    return before + mark + after[40:] if mark else content


@pytest.mark.parametrize("name", ["parquet", "arrow", "fits"])
def test_dense_formats_are_sent_as_they_are(server_url: str, name: str) -> None:
    headers, _ = answer(server_url, "gzip", RESPONSEFORMAT=name)
    assert "content-encoding" not in headers
    assert "vary" not in headers


def test_clients_decode_gzip(server_url: str, tmp_path: Path) -> None:
    """pyvo and our own client ask for it in all their requests."""
    table = pyvo.dal.TAPService(f"{server_url}/tap").search(QUERY).to_table()
    assert len(table) == 300
    cone = pyvo.dal.SCSService(f"{server_url}/cone/tycho2.stars").search((56.75, 24.12), 1.0)
    assert len(cone) > 50
    with CatalogClient(server_url) as client:
        assert len(client.query(QUERY).to_arrow()) == 300


def test_votables_in_parquet_are_read_by_astropy(server_url: str, sample_store: SampleStore, tmp_path: Path) -> None:
    path = tmp_path / "result.parquet"
    path.write_bytes(answer(server_url, RESPONSEFORMAT="parquet")[1])
    table = Table.read(path, format="parquet.votable")
    assert (str(table["ra"].unit), table["ra"].meta["ucd"]) == ("deg", "pos.eq.ra;meta.main")
    assert "ascension" in table["ra"].description.lower()
    assert table["tyc_row"].tolist() == pq.read_table(path)["tyc_row"].to_pylist()
