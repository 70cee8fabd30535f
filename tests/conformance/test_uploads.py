"""Uploaded tables through every door: their values, joins against brute force, and what is refused."""

import gzip
import http.client
import io
import json
import math
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo
import urllib3
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from catalog_service.client import (
    CatalogClient,
    LimitError,
    NotFoundError,
    ParameterError,
    QueryNameError,
    RequestTooLargeError,
    UploadError,
)
from tests.conformance.oracle import EXCUSED_DEG, Sky
from tests.harness import RunningServer, SampleStore, start_server, stop_server

# astropy's warnings about what it writes cannot be sent between the processes of a test run
pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")

ALL = 1_000_000
NEAR = "DISTANCE(POINT(t.ra, t.dec), POINT(o.ra, o.dec))"


@pytest.fixture(scope="module", name="client")
def shared_client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


@pytest.fixture(scope="module", name="stars")
def all_stars(sample_store: SampleStore) -> Sky:
    return Sky([sample_store.tycho2], "tyc_row", "ra", "dec")


@pytest.fixture(autouse=True)
def nothing_is_left(server: RunningServer) -> Iterator[None]:
    """Check that no upload outlives its request."""
    yield
    for _ in range(100):
        left = uploaded_files(server)
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"uploads are left: {left}")


def uploaded_files(server: RunningServer) -> list[Path]:
    """Return what lies in the directory of uploads."""
    base = server.log.parent / "state" / "uploads"
    return [path for path in base.glob("*/*") if path.name != "lock"]


@pytest.fixture(scope="module", name="targets")
def made_targets(stars: Sky) -> pa.Table:
    """Return positions near stars and far from them, at the poles and on both sides of RA 0; some are undefined."""
    rng = np.random.default_rng(11)
    rows = rng.integers(0, len(stars.ids), 112)
    ra = stars.ra[rows] + rng.normal(0, 0.2, 112)
    dec = np.clip(stars.dec[rows] + rng.normal(0, 0.2, 112), -90, 90)
    awkward = [(0, 90), (77, -90), (0, 0), (360, 0), (-0.001, 3), (359.999, 3), (725, 10), (45, 41.8103148957786)]
    ra, dec = np.append(ra, [a for a, _ in awkward]), np.append(dec, [d for _, d in awkward])
    count = len(ra)
    defined = np.arange(count) % 20 != 7
    return pa.table(
        {
            "id": np.arange(count) * 10,
            "ra": pa.array(ra, mask=~defined),
            "dec": pa.array(dec, mask=np.arange(count) % 20 == 8),
            "radius": pa.array(np.exp(rng.uniform(math.log(0.01), math.log(1.5), count)), mask=np.arange(count) == 3),
        }
    )


def neighbours(stars: Sky, targets: pa.Table, radius: float | None) -> dict[int, NDArray[np.int64]]:
    """Return the ids of the stars within a radius, or each target's own, of each target that has all of it."""
    found = {}
    for row in targets.to_pylist():
        within = row["radius"] if radius is None else radius
        if row["ra"] is not None and row["dec"] is not None and within is not None:
            separation = stars.separation_deg(row["ra"], row["dec"])
            assert not (np.abs(separation - within) < EXCUSED_DEG).any(), "the test's own positions are no near miss"
            found[row["id"]] = np.sort(stars.ids[separation < within])
    return found


Found = dict[int, NDArray[np.int64]]


@pytest.fixture(scope="module", name="near")
def within_one_radius(stars: Sky, targets: pa.Table) -> Found:
    """Return the stars within 0.3 degrees of each target."""
    return neighbours(stars, targets, 0.3)


@pytest.fixture(scope="module", name="within")
def within_own_radius(stars: Sky, targets: pa.Table) -> Found:
    """Return the stars within the radius of each target."""
    return neighbours(stars, targets, None)


def pairs(found: Mapping[int, NDArray[np.int64]]) -> list[tuple[int, int]]:
    """Return (target, star) of all neighbours."""
    return sorted((target, int(star)) for target, ids in found.items() for star in ids)


def rows_of(result: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a result."""
    return [tuple(row.values()) for row in result.to_arrow().to_pylist()]


# --- values and names ------------------------------------------------------------------------------


def test_every_value_comes_back(server_url: str) -> None:
    """``SELECT *`` of an upload through pyvo is the upload."""
    nothing = [False, True, False]
    table = Table(
        {
            "long": MaskedColumn([2**53 + 1, 0, -(2**63) + 1], mask=nothing),
            "short": np.array([1, 2, 3], dtype=np.int16),
            "double": MaskedColumn([0.1, 0.0, 1e-300], mask=nothing),
            "float": np.array([0.1, np.inf, -1], dtype=np.float32),
            "Odd näme, [x]": ["ä", "b", "日本"],
            "select": [True, False, True],
            "pair": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            "size": [1, 2, 3],
        }
    )
    table["double"].unit = "mag"
    service = pyvo.dal.TAPService(f"{server_url}/tap")
    found = service.run_sync("SELECT * FROM TAP_UPLOAD.mine", uploads={"mine": table}).to_table()
    assert found.colnames == table.colnames
    for name in table.colnames:
        given, got = table[name], found[name]
        assert [_plain(v) for v in given] == [_plain(v) for v in got], name
    assert found["double"].unit == "mag"
    query = 'SELECT "Odd näme, [x]" AS odd, "select", t."size" FROM tap_upload.MINE AS t WHERE t."size" = 3'
    row = service.run_sync(query, uploads={"mine": table}).to_table()[0]
    assert (row["odd"], bool(row["select"]), row["size"]) == ("日本", True, 3)


def _plain(value: Any) -> Any:
    if value is np.ma.masked:
        return None
    return value.tolist() if hasattr(value, "tolist") else value


def test_formats_of_files(client: CatalogClient, tmp_path: Path) -> None:
    """The same table in each format gives the same answer."""
    table = pa.table({"id": [1, 2, None], "x": [0.5, None, 2.0], "s": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("id,x,s\n1,0.5,a\n2,,b\n,2.0,c\n")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    (tmp_path / "t.json").write_text(json.dumps(table.to_pylist()))
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    expected = table.to_pylist()
    for given in (table, table.to_pandas(), *sorted(tmp_path.iterdir())):
        result = client.query("SELECT * FROM TAP_UPLOAD.t", uploads={"t": given})
        assert [list(row) for row in rows_of(result)] == [list(row.values()) for row in expected], given


def test_results_are_uploads(client: CatalogClient, server_url: str) -> None:
    """What the service gave, it takes, with units and UCDs, in every format of rows."""
    query = "SELECT TOP 50 * FROM survey.Source ORDER BY sourceId"
    for suffix in ("votable", "votable/td", "parquet", "arrow"):
        fields = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": suffix}
        with urllib.request.urlopen(f"{server_url}/tap/sync?{urllib.parse.urlencode(fields)}", timeout=60) as response:
            content = response.read()
        path = Path(f"/nonexistent/{suffix}")
        again = upload_request(server_url, "SELECT * FROM TAP_UPLOAD.t", {"t": content}, RESPONSEFORMAT="arrow")
        first, second = client.query(query).to_arrow(), pa.ipc.open_stream(again[1]).read_all()
        assert second.to_pydict() == first.to_pydict(), path.name
        described = [{key: (f.metadata or {}).get(key) for key in (b"unit", b"ucd")} for f in first.schema]
        assert [{key: (f.metadata or {}).get(key) for key in (b"unit", b"ucd")} for f in second.schema] == described


def test_an_upload_is_seen_by_its_query_only(client: CatalogClient) -> None:
    """Uploads are in no list, and gone with their query."""
    uploads = {"mine": pa.table({"x": [1]})}
    for listing in ("tables WHERE table_name LIKE '%mine%'", "schemas WHERE schema_name LIKE 'TAP_U%'"):
        assert rows_of(client.query(f"SELECT * FROM TAP_SCHEMA.{listing}", uploads=uploads)) == []
    with pytest.raises(QueryNameError, match=r"TAP_UPLOAD\.mine"):
        client.query("SELECT * FROM TAP_UPLOAD.mine")
    with pytest.raises(QueryNameError, match=r"TAP_UPLOAD\.mine"):
        client.query("SELECT * FROM TAP_UPLOAD.mime", uploads=uploads)
    with pytest.raises(QueryNameError):
        client.query("SELECT * FROM mine", uploads=uploads)


def test_several_uploads(client: CatalogClient) -> None:
    """Uploads join with each other, group, sort, and stand in subqueries and common tables."""
    uploads = {"a": pa.table({"k": [1, 2, 2, 3]}), "b": pa.table({"k": [2, 3, 4], "v": ["x", "y", "z"]})}
    query = (
        "WITH w AS (SELECT k, COUNT(*) AS n FROM TAP_UPLOAD.a GROUP BY k)"
        " SELECT b.k, b.v, w.n FROM TAP_UPLOAD.b AS b LEFT JOIN w ON w.k = b.k ORDER BY b.k"
    )
    assert rows_of(client.query(query, uploads=uploads)) == [(2, "x", 2), (3, "y", 1), (4, "z", None)]
    unions = "SELECT k FROM TAP_UPLOAD.a EXCEPT SELECT k FROM TAP_UPLOAD.b"
    assert rows_of(client.query(unions, uploads=uploads)) == [(1,)]
    assert rows_of(client.query("SELECT COUNT(*), MAX(k) FROM TAP_UPLOAD.a", uploads=uploads)) == [(4, 3)]


def test_stilts_uploads(stilts: str, server_url: str, near: Found, targets: pa.Table, tmp_path: Path) -> None:
    """STILTS uploads a table and reads the join."""
    source, result = tmp_path / "targets.csv", tmp_path / "result.csv"
    usable = targets.filter(pa.compute.is_valid(targets["ra"]))
    pa.csv.write_csv(usable, source)
    query = f"SELECT t.id, o.tyc_row FROM TAP_UPLOAD.mine AS t JOIN tycho2.stars AS o ON {NEAR} < 0.3"
    ask = ("nupload=1", f"upload1={source}", "ufmt1=csv", "upname1=mine", f"adql={query}", f"maxrec={ALL}")
    done = subprocess.run(
        [stilts, "tapquery", f"tapurl={server_url}/tap", "sync=true", *ask, f"out={result}", "ofmt=csv"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = result.read_text().splitlines()[1:]
    assert sorted(tuple(map(int, line.split(","))) for line in lines) == pairs(near)


# --- joins -----------------------------------------------------------------------------------------

JOINS = {
    "on distance": f"FROM TAP_UPLOAD.t AS t JOIN tycho2.stars AS o ON {NEAR} < 0.3",
    "the other way": f"FROM tycho2.stars AS o JOIN TAP_UPLOAD.t AS t ON 0.3 >= {NEAR}",
    "in where": f"FROM TAP_UPLOAD.t AS t, tycho2.stars AS o WHERE {NEAR} < 0.3",
    "contained": "FROM TAP_UPLOAD.t AS t JOIN tycho2.stars AS o"
    " ON 1 = CONTAINS(POINT(o.ra, o.dec), CIRCLE(t.ra, t.dec, 0.3))",
    "from a subquery": f"FROM (SELECT id, ra, dec FROM TAP_UPLOAD.t) AS t JOIN tycho2.stars AS o ON {NEAR} < 0.3",
}


@pytest.mark.parametrize("name", JOINS)
def test_join_by_position(client: CatalogClient, near: Found, targets: pa.Table, name: str) -> None:
    """A join of an upload by position, however it is written, finds the pairs of brute force."""
    result = client.query(f"SELECT t.id, o.tyc_row {JOINS[name]}", uploads={"t": targets}, maxrec=ALL)
    assert sorted(rows_of(result)) == pairs(near)


RADII = {
    "contained": "1 = CONTAINS(POINT(o.ra, o.dec), CIRCLE(t.ra, t.dec, t.radius))",
    "distance": f"{NEAR} <= t.radius",
    "in minutes": f"{NEAR} * 60 < t.radius * 60.",
}


@pytest.mark.parametrize("name", RADII)
@pytest.mark.parametrize("place", ["ON", "WHERE"])
def test_radius_of_each_row(client: CatalogClient, within: Found, targets: pa.Table, name: str, place: str) -> None:
    """The radius may differ from row to row; an undefined one holds nothing."""
    table = f"TAP_UPLOAD.t AS t {'JOIN' if place == 'ON' else ','} tycho2.stars AS o {place}"
    result = client.query(f"SELECT t.id, o.tyc_row FROM {table} {RADII[name]}", uploads={"t": targets}, maxrec=ALL)
    assert sorted(rows_of(result)) == pairs(within)


def test_outer_and_anti_joins(client: CatalogClient, near: Found, targets: pa.Table) -> None:
    """What has no partner stays in outer joins, positions or not, and is what anti-joins give."""
    uploads = {"t": targets}
    found = near
    lonely = sorted(i for i in targets["id"].to_pylist() if len(found.get(i, ())) == 0)
    assert len(lonely) > 10
    left = f"FROM TAP_UPLOAD.t AS t LEFT JOIN tycho2.stars AS o ON {NEAR} < 0.3"
    expected = sorted(pairs(found) + [(i, None) for i in lonely], key=str)
    assert sorted(rows_of(client.query(f"SELECT t.id, o.tyc_row {left}", uploads=uploads)), key=str) == expected
    antis = [
        f"SELECT t.id {left} WHERE o.tyc_row IS NULL",
        f"SELECT t.id FROM TAP_UPLOAD.t AS t WHERE NOT EXISTS (SELECT 1 FROM tycho2.stars AS o WHERE {NEAR} < 0.3)",
        f"SELECT id FROM TAP_UPLOAD.t EXCEPT SELECT t.id {left.replace('LEFT', 'INNER')}",
    ]
    for query in antis:
        assert sorted(i for (i,) in rows_of(client.query(query, uploads=uploads))) == lonely, query
    right = f"FROM tycho2.stars AS o LEFT JOIN TAP_UPLOAD.t AS t ON {NEAR} < 0.3"
    counts = rows_of(client.query(f"SELECT COUNT(*), COUNT(t.id) {right}", uploads=uploads))
    matched = {star for _, star in pairs(found)}
    assert counts == [(len(pairs(found)) + _rows(client) - len(matched), len(pairs(found)))]


def _rows(client: CatalogClient) -> int:
    return int(rows_of(client.query("SELECT COUNT(*) FROM tycho2.stars"))[0][0])


def test_join_by_id(client: CatalogClient, stars: Sky) -> None:
    """Joins by key, and their complements."""
    ids = np.append(stars.ids[:500:5], [-1, -2])
    uploads = {"t": pa.table({"k": ids})}
    join = "SELECT t.k, o.tyc_row FROM TAP_UPLOAD.t AS t {} JOIN tycho2.stars AS o ON o.tyc_row = t.k"
    inner = rows_of(client.query(join.format(""), uploads=uploads))
    assert sorted(inner) == sorted((int(i), int(i)) for i in ids[:-2])
    assert len(rows_of(client.query(join.format("LEFT"), uploads=uploads))) == len(ids)
    query = "SELECT k FROM TAP_UPLOAD.t WHERE k NOT IN (SELECT tyc_row FROM tycho2.stars)"
    assert sorted(rows_of(client.query(query, uploads=uploads))) == [(-2,), (-1,)]
    query = "SELECT COUNT(*) FROM tycho2.stars WHERE tyc_row IN (SELECT k FROM TAP_UPLOAD.t)"
    assert rows_of(client.query(query, uploads=uploads)) == [(100,)]


def test_positions_choose_tiles(client: CatalogClient, stars: Sky) -> None:
    """Only the tiles near an uploaded position are read, whatever its columns are called."""
    uploads = {"t": pa.table({"alpha": [stars.ra[0]], "delta": [stars.dec[0]], "r": [0.001]})}
    near = "DISTANCE(POINT(t.alpha, t.delta), POINT(o.ra, o.dec))"
    conditions = (f"{near} < 0.001", f"{near} < t.r", "CONTAINS(POINT(o.ra, o.dec), CIRCLE(t.alpha, t.delta, t.r)) = 1")
    for condition in conditions:
        join = f"TAP_UPLOAD.t AS t JOIN tycho2.stars AS o ON {condition}"
        result = client.query(f"SELECT o.tyc_row FROM {join}", uploads=uploads)
        read, total = map(int, result.provenance["TILES_READ"].split(" of "))
        assert read <= 4, "the upload itself and a tile or two"
        assert total > 20
        assert rows_of(result) == [(int(stars.ids[0]),)]


# --- cones around many targets ---------------------------------------------------------------------


def test_cones_of_all(client: CatalogClient, stars: Sky, targets: pa.Table, near: Found, within: Found) -> None:
    """All rows around all targets, with the distance in degrees."""
    where = {row["id"]: (row["ra"], row["dec"]) for row in targets.to_pylist()}
    rank = {int(star): n for n, star in enumerate(stars.ids)}
    for radius, column, expected in ((0.3, None, near), (None, "radius", within)):
        asked: dict[str, Any] = {"table": "tycho2.stars", "columns": "tyc_row", "maxrec": ALL}
        result = client.cones(targets, radius, radius_column=column, **asked)
        assert result.columns == ("_target", "_r", "tyc_row")
        assert result.units["_r"] == "deg"
        assert sorted((target, star) for target, _, star in rows_of(result)) == pairs(expected)
        for target, distance, star in rows_of(result)[:10]:
            assert abs(stars.separation_deg(*where[target])[rank[star]] - distance) < 1e-9


def test_cones_of_nearest(client: CatalogClient, stars: Sky, targets: pa.Table) -> None:
    """The nearest row of each target; the number of its row where it has no identifier."""
    bare = targets.drop_columns(["id"])
    result = client.cones(bare, "18arcmin", table="tycho2.stars", match="nearest", columns=["tyc_row"])
    found = {target: star for target, _, star in rows_of(result)}
    expected = {}
    for number, row in enumerate(targets.to_pylist()):
        if row["ra"] is not None and row["dec"] is not None:
            separation = stars.separation_deg(row["ra"], row["dec"])
            if separation.min() < 0.3:
                expected[number] = int(stars.ids[separation.argmin()])
    assert found == expected
    twice = pa.concat_tables([targets, targets])
    assert len(client.cones(twice, 0.3, table="tycho2.stars", match="nearest")) == 2 * len(expected)


def test_cones_of_other_targets(client: CatalogClient, server_url: str, stars: Sky, tmp_path: Path) -> None:
    """Targets as SkyCoord, as file with columns of other names, as JSON; ids of any type."""
    some = SkyCoord(stars.ra[:5], stars.dec[:5], unit="deg")
    expected = [(n, int(star)) for n, star in enumerate(stars.ids[:5])]
    result = client.cones(some, "0.01arcsec", table="tycho2.stars", columns="tyc_row")
    assert sorted((target, star) for target, _, star in rows_of(result)) == expected
    path = tmp_path / "targets.csv"
    rows = (f"s{n},{stars.ra[n]!r},{stars.dec[n]!r}".replace("np.float64(", "").replace(")", "") for n in range(5))
    path.write_text("name,lon,lat\n" + "\n".join(rows))
    named = client.cones(path, 1e-5, table="tycho2.stars", columns="tyc_row", ra="lon", dec="LAT", id="name")
    assert sorted(target for target, _, _ in rows_of(named)) == [f"s{n}" for n in range(5)]
    body = json.dumps([{"ra": stars.ra[1], "dec": stars.dec[1], "id": 7}]).encode()
    request = urllib.request.Request(f"{server_url}/api/v1/cones?table=tycho2.stars&radius_deg=1e-5&format=csv", body)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.read().decode().splitlines()[1].startswith("7,")


def test_refused_cones(client: CatalogClient) -> None:
    """What is wrong with targets is told in the words of the request."""
    good = pa.table({"ra": [1.0], "dec": [2.0], "name": ["x"]})
    hours = good.set_column(0, pa.field("ra", pa.float64(), metadata={"unit": "h"}), [[1.0]])
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"table": "tycho2.star"}, NotFoundError, r"tycho2\.stars"),
        ({"table": "TAP_SCHEMA.tables"}, ParameterError, "no positions"),
        ({"radius": None}, ParameterError, "radius"),
        ({"radius": 1, "radius_column": "ra"}, ParameterError, "one radius"),
        ({"radius": -1}, ParameterError, "outside"),
        ({"radius": None, "radius_column": "name"}, ParameterError, "numbers"),
        ({"ra": "name", "dec": "dec"}, ParameterError, "numbers"),
        ({"ra": "ra"}, ParameterError, "both"),
        ({"id": "nam"}, ParameterError, "name"),
        ({"match": "some"}, ParameterError, "nearest"),
        ({"columns": "nonsense"}, ParameterError, "nonsense"),
        ({"targets": pa.table({"x": [1.0]})}, ParameterError, "ra and dec"),
        ({"targets": hours}, ParameterError, "'h'"),
    ]
    for change, error, message in refused:
        asked = {"targets": good, "radius": 1, "table": "tycho2.stars"} | change
        with pytest.raises(error, match=message):
            client.cones(**asked)


# --- what is refused -------------------------------------------------------------------------------


def upload_request(url: str, query: str, parts: Mapping[str, bytes], **parameters: str) -> tuple[int, bytes]:
    """Return (status, body) of a query with parts, to which UPLOAD refers unless it is given."""
    upload = ";".join(f"{name},param:{name}" for name in parts)
    fields: dict[str, Any] = {"LANG": "ADQL", "QUERY": query, "UPLOAD": upload} | parameters
    fields |= {name: (f"{name}.bin", content) for name, content in parts.items()}
    body, content_type = urllib3.encode_multipart_formdata(fields)
    request = urllib.request.Request(f"{url}/tap/sync", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


def refusal(url: str, content: bytes) -> str:
    """Return the message with which a table is refused, with status 4xx."""
    status, body = upload_request(url, "SELECT * FROM TAP_UPLOAD.t", {"t": content})
    assert 400 <= status < 500, body
    assert b'value="ERROR"' in body
    assert b"/tmp" not in body
    assert b"state" not in body
    return body.decode()


CSV = b"x\n1\n"

BAD_PARAMETERS = {
    "no such part": ("t,param:other", 'no part called "other"'.replace('"', "'")),
    "an address": ("t,http://127.0.0.1:1/t.vot", "nothing is fetched"),
    "a file": ("t,file:\x2f//etc/passwd", "nothing is fetched"),
    "no comma": ("t", "name,param:part"),
    "nothing": ("t,", "name,param:part"),
    "no name": (",param:t", "cannot be the name"),
    "a name that is none": ("t-1,param:t", "cannot be the name"),
    "a quoted name": ('"t",param:t', "cannot be the name"),
    "a reserved name": ("select,param:t", "cannot be the name"),
    "a path": ("../../t,param:t", "cannot be the name"),
    "a name twice": ("t,param:t;T,param:t", "are called"),
    "very many": (";".join(f"t{n},param:t" for n in range(11)), "limit is 10"),
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_bad_parameters(server_url: str, name: str) -> None:
    """UPLOAD that means nothing is refused before anything is read."""
    upload, reason = BAD_PARAMETERS[name]
    status, body = upload_request(server_url, "SELECT * FROM TAP_UPLOAD.t", {"t": CSV}, UPLOAD=upload)
    assert status == 400
    assert reason in body.decode()


def test_upload_is_cumulative(server_url: str) -> None:
    """UPLOAD may be repeated, and its parts are found whatever their case; a part may have no file name."""
    boundary = "0123456789"
    parts = [("LANG", "ADQL"), ("QUERY", "SELECT a.x, b.x AS y FROM TAP_UPLOAD.a AS a, TAP_UPLOAD.b AS b")]
    parts += [("Upload", "a,param:ONE"), ("UPLOAD", "b,param:two"), ("RESPONSEFORMAT", "csv")]
    parts += [("one", "x\n1\n"), ("TWO", "x\n2\n")]
    text = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts
    )
    body = f"{text}--{boundary}--\r\n".encode()
    head = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(f"{server_url}/tap/sync", body, head), timeout=60) as response:
        assert response.read().decode().split() == ['"x","y"', "1,2"]


def hostile() -> dict[str, tuple[bytes, str]]:
    """Return tables that want to do harm, and what is said of them."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    field = '<FIELD name="s" datatype="char" arraysize="*"/>'
    table = "<VOTABLE><RESOURCE><TABLE>{}<DATA>{}</DATA></TABLE></RESOURCE></VOTABLE>"
    rows = "<TABLEDATA><TR><TD>&l11;</TD></TR></TABLEDATA>"
    external = '<!ENTITY l11 SYSTEM "file:\x2f//etc/passwd">'
    text = io.BytesIO()
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), pa.array(["x" * 500_000]))
    pq.write_table(pa.table({"s": long}), text, row_group_size=1000)
    return {
        "billion laughs": (f'<!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]>{table.format(field, rows)}'.encode(), "DOCTYPE"),
        "external entity": (f"<!DOCTYPE x [{external}]>{table.format(field, rows)}".encode("utf-16"), "DOCTYPE"),
        "gzip bomb": (gzip.compress(b"x\n") + gzip.compress(bytes(20_000_000)) * 30, "upload_inflated_mb"),
        "Parquet bomb": (text.getvalue(), "larger|memory"),
        "a stream elsewhere": (
            table.format(field, '<BINARY><STREAM href="file:\x2f//etc/passwd"/></BINARY>').encode(),
            "nothing is fetched",
        ),
        "cut VOTable": (table.format(field, rows.replace("&l11;", "x")).encode()[:-30], "well-formed"),
        "HTML": (b"<html><head><title>Not found</title></head></html>", "no VOTable"),
        "damaged Parquet": (b"PAR1" + bytes(range(256)) * 20 + b"\xff\xff\xff\x7fPAR1", "damaged"),
        "too many rows": (b"x\n" + b"1\n" * 1_000_001, "upload_rows"),
        "too many columns": ((",".join(f"c{n}" for n in range(1001)) + "\n").encode(), "upload_columns"),
    }  # fmt: skip


def test_hostile_uploads(server: RunningServer, client: CatalogClient) -> None:
    """Each is refused with its reason and leaves nothing; others go on."""
    for name, (content, reason) in hostile().items():
        message = refusal(server.url, content)
        assert any(word in message for word in reason.split("|")), (name, message)
        assert rows_of(client.query("SELECT x FROM TAP_UPLOAD.t", uploads={"t": pa.table({"x": [5]})})) == [(5,)]
    _until(lambda: uploaded_files(server) == [])


def test_no_rows(client: CatalogClient) -> None:
    """A table of no rows joins with nothing, by every kind of join."""
    uploads = {"t": pa.table({"ra": pa.array([], pa.float64()), "dec": pa.array([], pa.float64())})}
    assert rows_of(client.query("SELECT * FROM TAP_UPLOAD.t", uploads=uploads)) == []
    query = f"SELECT COUNT(*) FROM TAP_UPLOAD.t AS t JOIN tycho2.stars AS o ON {NEAR} < 0.3"
    assert rows_of(client.query(query, uploads=uploads)) == [(0,)]
    assert len(client.cones(uploads["t"], 1, table="tycho2.stars", match="nearest")) == 0


def test_gone_clients_leave_nothing(server: RunningServer) -> None:
    """A client that goes away while its query runs, or while it sends, leaves no file."""
    rows = b"k\n" + b"1\n" * 20_000
    query = "SELECT COUNT(*) FROM TAP_UPLOAD.t AS a, TAP_UPLOAD.t AS b, TAP_UPLOAD.t AS c WHERE a.k + b.k <> c.k"
    fields: dict[str, Any] = {"LANG": "ADQL", "QUERY": query, "UPLOAD": "t,param:t", "t": ("t", rows)}
    body, content_type = urllib3.encode_multipart_formdata(fields)
    host = urllib.parse.urlsplit(server.url)
    for sent in (body, body[:-1000]):
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)
        connection.putrequest("POST", "/tap/sync")
        connection.putheader("Content-Type", content_type)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(sent)
        if sent is body:
            _until(lambda: uploaded_files(server))
        connection.close()
    _until(lambda: not uploaded_files(server))


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- limits that are set ---------------------------------------------------------------------------


@pytest.fixture(scope="module", name="narrow")
def narrow_server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server that takes small uploads only."""
    limits = ("upload_mb = 1", "upload_inflated_mb = 2", "upload_rows = 100", "upload_columns = 3")
    lines = "\n".join((*limits, "max_query_bytes = 4096", "workers = 1", ""))
    running = start_server(sample_store.root, tmp_path_factory.mktemp("narrow"), extra_config=lines)
    yield running
    stop_server(running)


def test_configured_limits(narrow: RunningServer) -> None:
    """Limits are those of the configuration, named in errors and in the capabilities."""
    client = CatalogClient(narrow.url)
    query = "SELECT COUNT(*) FROM TAP_UPLOAD.t"
    assert rows_of(client.query(query, uploads={"t": pa.table({"x": [1] * 100})})) == [(100,)]
    with pytest.raises(LimitError, match="limit of 100"):
        client.query(query, uploads={"t": pa.table({"x": [1] * 101})})
    with pytest.raises(LimitError, match="limit is 3"):
        client.query(query, uploads={"t": pa.table({name: [1] for name in "abcd"})})
    with pytest.raises(LimitError, match="2 MB"):
        client.query(query, uploads={"t": pa.table({"s": ["x" * 100_000] * 30})})
    noise = {"t": pa.table({"s": [np.random.default_rng(1).bytes(1_100_000)]})}
    with pytest.raises(RequestTooLargeError, match=r"1 MB.*upload_mb"):
        client.query(query, uploads=noise)
    with pytest.raises(RequestTooLargeError, match="upload_mb"):
        client.cones(noise["t"], 1, table="tycho2.stars")
    status, body = upload_request(narrow.url, query, {"t": bytes(1_100_000)})
    assert (status, b"upload_mb" in body) == (413, True)
    _until(lambda: uploaded_files(narrow) == [])
    service = pyvo.dal.TAPService(f"{narrow.url}/tap")
    methods = {method.ivo_id.partition("#")[2] for method in service.upload_methods}
    assert methods == {"upload-inline", "upload-http"}
    limit = service.get_tap_capability().uploadlimit
    assert (limit.default.content, limit.default.unit) == (100, "row")
    assert (limit.hard.content, limit.hard.unit) == (1_000_000, "byte")


def test_bodies_elsewhere_stay_small(narrow: RunningServer) -> None:
    """Only where tables may come may a body be large."""
    form, body = "application/x-www-form-urlencoded", b"QUERY=" + b"x" * 100_000
    for path, kind in (("/api/v1/query", "application/json"), ("/tap/sync", form), ("/tap/sync", f"{form};multipart/")):
        request = urllib.request.Request(f"{narrow.url}{path}", body, {"Content-Type": kind})
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        assert caught.value.code == 413, path


def test_error_of_uploads(client: CatalogClient) -> None:
    """The client raises the service's own error."""
    with pytest.raises(UploadError, match="'t'") as caught:
        client.query("SELECT * FROM TAP_UPLOAD.t", uploads={"t": {"a": [1], "A": [2]}})
    assert caught.value.query_id
