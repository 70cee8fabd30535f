"""Columns of types that VOTable has no word for, through a server: right values, or a word that they are not served."""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo

from catalog_service.client import CatalogClient
from catalog_service.exceptions import ParameterError, QueryNameError
from partitioning.adopt import Adoption, adopt
from tests.harness import RunningServer, build_table, start_server, stop_server

ROWS = 400
FIRST = date(1969, 6, 1)


def days() -> list[date | None]:
    """Return days before and after 1970, rising with the declination, and far ones; some are NULL."""
    found: list[date | None] = [FIRST + timedelta(days=number) for number in range(ROWS)]
    found[:3], found[5::50] = [date(1, 1, 1), date(1582, 10, 15), date(9999, 12, 31)], [None] * len(found[5::50])
    return found


def numbers() -> pa.Array:
    """Return integers without sign up to the largest that has one, falling with the declination; some are NULL."""
    found = np.uint64((1 << 63) - 1) - np.arange(ROWS, dtype=np.uint64) * np.uint64(1 << 54)
    found[-1] = 0
    return pa.array(found, mask=np.arange(ROWS) % 40 == 7)


def table() -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "ra": rng.uniform(0, 360, ROWS),
            "dec": np.linspace(-80, 80, ROWS),
            "seen": pa.array(days(), pa.date32()),
            "number": numbers(),
            "huge": pa.array(np.arange(ROWS, dtype=np.uint64) + np.uint64(1 << 63)),
            "clock": pa.array([time(1, 2, 3)] * ROWS, pa.time64("us")),
        }
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    base = tmp_path_factory.mktemp("types")
    options = 'ra = "ra"\ndec = "dec"\nid = ["huge", "seen", "number"]\ntarget_rows = 40'
    build_table(base / "catalogs", "T", [table()], options=options)
    (base / "foreign").mkdir()
    for number in range(4):
        part = table().slice(number * 100, 100)
        pq.write_table(part, base / f"foreign/{number}.parquet", row_group_size=30)
    paths = (str(base / "foreign"),)
    adopt(
        Adoption(
            paths=paths, root=base / "catalogs", schema="test", table="A", ra="ra", dec="dec", id=("seen", "number")
        )
    )
    running = start_server(base / "catalogs", base)
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> CatalogClient:
    return CatalogClient(server.url)


def midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time())


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["T", "A"])
def test_dates_are_timestamps_in_every_format(server: RunningServer, client: CatalogClient, name: str) -> None:
    query = f"SELECT id, seen FROM test.{name} ORDER BY id"
    arrow = client.query(query).to_arrow()
    assert arrow.schema.field("seen").type == pa.timestamp("us")
    assert arrow["seen"].to_pylist() == [midnight(day) for day in days()]
    service = pyvo.dal.TAPService(f"{server.url}/tap")
    texts = ["" if day is None else f"{day:%Y}".rjust(4, "0") + f"{day:-%m-%dT00:00:00}" for day in days()]
    for form in ("votable", "votable/td"):
        found = service.run_sync(query, format=form)
        described = found.getdesc("seen")
        assert (described.datatype, described.xtype) == ("char", "timestamp")
        assert ["" if value is np.ma.masked else value[:19] for value in found.to_table()["seen"]] == texts
    answer = service._session.get(f"{server.url}/tap/sync", params=form_of(query, "csv"))
    assert [row["seen"][:19] for row in csv.DictReader(io.StringIO(answer.text))] == texts


def form_of(query: str, form: str) -> dict[str, str]:
    return {"LANG": "ADQL", "QUERY": query, "FORMAT": form}


CONDITIONS: dict[str, Callable[[date], bool]] = {
    "seen = '1970-01-01'": lambda day: day == date(1970, 1, 1),
    "seen = '1970-01-01T00:00:01'": lambda _: False,
    "seen <> '1970-01-01'": lambda day: day != date(1970, 1, 1),
    "seen < '1969-07-20T12:00:00'": lambda day: day <= date(1969, 7, 20),
    "seen > '1970-03-01' AND seen <= '1970-04-01'": lambda day: date(1970, 3, 1) < day <= date(1970, 4, 1),
    "seen BETWEEN '1969-12-30' AND '1970-01-02'": lambda day: date(1969, 12, 30) <= day <= date(1970, 1, 2),
    "seen IN ('1969-12-31', '9999-12-31')": lambda day: day in {date(1969, 12, 31), date(9999, 12, 31)},
    "NOT seen > '1582-10-15'": lambda day: day <= date(1582, 10, 15),
}


@pytest.mark.parametrize("name", ["T", "A"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_on_dates(client: CatalogClient, name: str, condition: str) -> None:
    holds = CONDITIONS[condition]
    expected = [number for number, day in enumerate(days()) if day is not None and holds(day)]
    found = client.query(f"SELECT id FROM test.{name} WHERE {condition}").to_arrow()
    assert sorted(found["id"].to_pylist()) == expected


@pytest.mark.parametrize("name", ["T", "A"])
def test_totals_groups_and_joins_of_dates(client: CatalogClient, name: str) -> None:
    def rows(query: str) -> list[dict[str, Any]]:
        return client.query(query).to_arrow().to_pylist()

    known = [day for day in days() if day is not None]
    totals = f"SELECT MIN(seen) AS a, MAX(seen) AS b, COUNT(seen) AS n, COUNT(DISTINCT seen) AS m FROM test.{name}"
    whole = {"a": midnight(min(known)), "b": midnight(max(known)), "n": len(known), "m": len(set(known))}
    assert rows(totals) == [whole]
    assert rows(f"SELECT MAX(seen) AS b FROM test.{name} WHERE dec < 0 AND id > 2") == [{"b": midnight(days()[199])}]
    assert rows(f"SELECT COUNT(*) AS n FROM test.{name} WHERE seen IS NULL") == [{"n": ROWS - len(known)}]
    joined = f"SELECT COUNT(*) AS n FROM test.{name} AS a JOIN test.T AS b ON a.seen = b.seen"
    assert rows(joined) == [{"n": len(known)}]
    derived = f"SELECT seen FROM (SELECT seen FROM test.{name} WHERE id = 10) AS q WHERE seen > '1960-01-01'"
    assert rows(derived) == [{"seen": midnight(days()[10])}]


# --- integers without sign ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["T", "A"])
def test_integers_without_sign_in_every_format(server: RunningServer, client: CatalogClient, name: str) -> None:
    query = f"SELECT id, number FROM test.{name} ORDER BY id"
    arrow = client.query(query).to_arrow()
    assert arrow["number"].type == pa.int64()
    assert arrow["number"].to_pylist() == numbers().to_pylist()
    service = pyvo.dal.TAPService(f"{server.url}/tap")
    for form in ("votable", "votable/td"):
        found = service.run_sync(query, format=form)
        assert found.getdesc("number").datatype == "long"
        values = [None if value is np.ma.masked else int(value) for value in found.to_table()["number"]]
        assert values == numbers().to_pylist()
    answer = service._session.get(f"{server.url}/tap/sync", params=form_of(query, "csv"))
    texts = ["" if number is None else str(number) for number in numbers().to_pylist()]
    assert [row["number"] for row in csv.DictReader(io.StringIO(answer.text))] == texts


MIDDLE = (1 << 63) - 1 - (200 << 54)

NUMBERS: dict[str, Callable[[int], bool]] = {
    f"number = {MIDDLE}": lambda number: number == MIDDLE,
    f"number <> {MIDDLE}": lambda number: number != MIDDLE,
    f"number > {MIDDLE}": lambda number: number > MIDDLE,
    "number >= 9223372036854775807": lambda number: number == (1 << 63) - 1,
    "number < 9223372036854775807": lambda number: number < (1 << 63) - 1,
    "number < 0": lambda _: False,
    "number > -1": lambda _: True,
    f"number IN (0, -1, {MIDDLE})": lambda number: number in {0, MIDDLE},
    f"number BETWEEN 1 AND {MIDDLE}": lambda number: 1 <= number <= MIDDLE,
    f"-number < -{MIDDLE}": lambda number: -number < -MIDDLE,
    "number / 2 > 4611686018427387902": lambda number: number // 2 > 4611686018427387902,
}


@pytest.mark.parametrize("name", ["T", "A"])
@pytest.mark.parametrize("condition", NUMBERS)
def test_conditions_on_integers_without_sign(client: CatalogClient, name: str, condition: str) -> None:
    holds = NUMBERS[condition]
    known = enumerate(numbers().to_pylist())
    expected = [place for place, number in known if number is not None and holds(number)]
    found = client.query(f"SELECT id FROM test.{name} WHERE {condition}").to_arrow()
    assert sorted(found["id"].to_pylist()) == expected


@pytest.mark.parametrize("name", ["T", "A"])
def test_totals_and_joins_of_integers_without_sign(client: CatalogClient, name: str) -> None:
    known = [number for number in numbers().to_pylist() if number is not None]
    totals = f"SELECT MIN(number) AS a, MAX(number) AS b, COUNT(number) AS n FROM test.{name}"
    assert client.query(totals).to_arrow().to_pylist() == [{"a": 0, "b": (1 << 63) - 1, "n": len(known)}]
    part = f"SELECT MAX(number) AS b FROM test.{name} WHERE id > 200"
    assert client.query(part).to_arrow().to_pylist() == [{"b": numbers()[201].as_py()}]
    joined = f"SELECT COUNT(*) AS n FROM test.{name} AS a JOIN test.T AS b ON a.number = b.number"
    assert client.query(joined).to_arrow().to_pylist() == [{"n": len(known)}]
    one = f"SELECT id, number FROM test.{name} WHERE number = {MIDDLE}"  # as an id is looked up
    assert client.query(one).to_arrow().to_pylist() == [{"id": 200, "number": MIDDLE}]


# --- what is not served ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT huge FROM test.T", "column 'huge' of T has type uint64, which is not served"),
        ("SELECT id FROM test.T AS t WHERE t.CLOCK > '01:00'", r"column 'clock' of t has type time64\[us\], which is"),
        ("SELECT id FROM test.T AS t WHERE EXISTS (SELECT 1 FROM test.T AS o WHERE t.huge = 1)", "column 'huge' of t"),
        ("SELECT id FROM test.T JOIN test.T AS o USING (huge)", "column 'huge' of "),
        ("SELECT hugo FROM test.T", "there is no column 'hugo' in T"),
    ],
)
def test_queries_that_name_what_is_not_served(client: CatalogClient, query: str, message: str) -> None:
    with pytest.raises(QueryNameError, match=message):
        client.query(query)


def test_cones_that_name_what_is_not_served(client: CatalogClient) -> None:
    with pytest.raises(ParameterError, match=r"column 'huge' of test\.T has type uint64, which is not served"):
        client.cone(10, 10, 5.0, table="test.T", columns=["huge"])


def test_the_other_columns_are_served(client: CatalogClient) -> None:
    assert client.query("SELECT * FROM test.T").to_arrow().column_names == ["id", "ra", "dec", "seen", "number"]
    cone = client.cone(10, 10, 30.0, table="test.A", columns=["id", "seen"]).to_arrow()
    assert len(cone)
    assert all(midnight(days()[row["id"]]) == row["seen"] for row in cone.to_pylist())
