"""Queries as users of Qserv have them, over HTTP: equal to a look at the input, and read only the tiles they need."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import pyvo

from catalog_service.client import CatalogClient
from catalog_service.exceptions import (
    QueryNameError,
    QueryRefusedError,
    QuerySyntaxError,
    QueryTypeError,
    QueryValueError,
)
from tests.harness import SampleStore


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


def read(store: SampleStore, table: str, columns: list[str]) -> pd.DataFrame:
    return pq.read_table(store.survey / table, columns=columns).to_pandas()


@pytest.fixture(scope="module")
def objects(sample_store: SampleStore) -> pd.DataFrame:
    frame = read(sample_store, "Object", ["objectId", "coord_ra", "coord_dec", "g_cModelFlux", "g_extendedness"])
    return frame[np.isfinite(frame.coord_ra) & np.isfinite(frame.coord_dec)]


def answer(client: CatalogClient, query: str) -> tuple[pd.DataFrame, int]:
    """Return the rows, and how many tiles were read."""
    table = client.query(query, lang="QSERV", maxrec=1_000_000).to_arrow()
    return table.to_pandas(), int(table.schema.metadata[b"TILES_READ"].split(b" of ")[0])


def vectors(frame: pd.DataFrame) -> np.ndarray:
    lon, lat = np.radians(frame.coord_ra.to_numpy()), np.radians(frame.coord_dec.to_numpy())
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def within(frame: pd.DataFrame, ra: float, dec: float, radius: float) -> np.ndarray:
    centre = vectors(pd.DataFrame({"coord_ra": [ra], "coord_dec": [dec]}))[0]
    return np.degrees(2 * np.arcsin(np.linalg.norm(vectors(frame) - centre, axis=1) / 2)) <= radius


def middle(objects: pd.DataFrame) -> tuple[float, float]:
    row = objects.iloc[len(objects) // 3]
    return float(row.coord_ra), float(row.coord_dec)


def test_areas_select_the_same_objects_as_the_input(client: CatalogClient, objects: pd.DataFrame) -> None:
    ra, dec = middle(objects)
    whole = answer(client, "SELECT MAX(objectId + 0) FROM survey.Object WHERE objectId > 0")[1]
    box = objects.coord_ra.between(ra - 0.2, ra + 0.3) & objects.coord_dec.between(dec - 0.1, dec + 0.2)
    ids = "SELECT objectId FROM survey.Object WHERE"
    cases = {
        f"qserv_areaspec_circle({ra}, {dec}, 0.15)": within(objects, ra, dec, 0.15),
        f"1 = QSERV_AREASPEC_CIRCLE ({ra}, {dec}, 0.15)": within(objects, ra, dec, 0.15),
        f"scisql_s2PtInCircle(coord_ra, coord_dec, {ra}, {dec}, 0.15)": within(objects, ra, dec, 0.15),
        f"scisql_angSep(coord_ra, coord_dec, {ra}, {dec}) < 0.15": within(objects, ra, dec, 0.15),
        f"qserv_areaspec_box({ra - 0.2}, {dec - 0.1}, {ra + 0.3}, {dec + 0.2})": box,
        f"scisql_s2PtInBox(coord_ra, coord_dec, {ra - 0.2}, {dec - 0.1}, {ra + 0.3}, {dec + 0.2}) = 1": box,
        f"qserv_areaspec_circle({ra}, {dec}, 0.1) || qserv_areaspec_circle({ra + 1}, {dec}, 0.1)": (
            within(objects, ra, dec, 0.1) | within(objects, ra + 1, dec, 0.1)
        ),
        f"qserv_areaspec_ellipse({ra}, {dec}, 540, 180, 40)": ellipse(objects, ra, dec, 0.15, 0.05, 40.0),
        f"qserv_areaspec_ellipse({ra}, {dec}, 540, 540, 40)": within(objects, ra, dec, 0.15),
    }
    for condition, inside in cases.items():
        found, tiles = answer(client, f"{ids} {condition}")
        expected = np.sort(objects.objectId[inside])
        assert len(expected), condition
        assert np.array_equal(np.sort(found.objectId), expected), condition
        assert tiles < whole, condition


def ellipse(frame: pd.DataFrame, ra: float, dec: float, a: float, b: float, angle: float) -> np.ndarray:
    """Return who is inside, by the tangent plane: good to parts in a million for a tenth of a degree."""
    north, centre = np.radians(dec), vectors(pd.DataFrame({"coord_ra": [ra], "coord_dec": [dec]}))[0]
    lon = np.radians(ra)
    east_axis = np.array([-np.sin(lon), np.cos(lon), 0])
    north_axis = np.array([-np.sin(north) * np.cos(lon), -np.sin(north) * np.sin(lon), np.cos(north)])
    x, y = np.degrees(vectors(frame) @ east_axis), np.degrees(vectors(frame) @ north_axis)
    turn = np.radians(angle)
    major, minor = x * np.sin(turn) + y * np.cos(turn), x * np.cos(turn) - y * np.sin(turn)
    return ((major / a) ** 2 + (minor / b) ** 2 <= 1) & (vectors(frame) @ centre > 0)


def test_polygon(client: CatalogClient, objects: pd.DataFrame) -> None:
    ra, dec = middle(objects)
    corners = [(ra - 0.3, dec - 0.2), (ra + 0.3, dec - 0.1), (ra, dec + 0.3)]
    edges = vectors(pd.DataFrame(corners, columns=["coord_ra", "coord_dec"]))
    normals = np.cross(edges, np.roll(edges, -1, axis=0))
    inside = ((vectors(objects) @ normals.T) >= 0).all(axis=1)
    numbers = ", ".join(f"{a}, {b}" for a, b in corners)
    found, _ = answer(client, f"SELECT objectId FROM survey.Object WHERE qserv_areaspec_poly({numbers})")
    assert np.array_equal(np.sort(found.objectId), np.sort(objects.objectId.to_numpy()[inside]))
    assert len(found) > 10


def test_an_area_limits_children_by_the_position_of_their_parent(
    client: CatalogClient, sample_store: SampleStore, objects: pd.DataFrame
) -> None:
    ra, dec = middle(objects)
    forced = read(sample_store, "ForcedSource", ["objectId", "visit"])
    near = objects[within(objects, ra, dec, 0.1)].objectId
    expected = forced[forced.objectId.isin(near)]
    alone = f"SELECT objectId, visit FROM survey.ForcedSource WHERE qserv_areaspec_circle({ra}, {dec}, 0.1)"
    joined = (
        "SELECT f.objectId, f.visit FROM survey.Object o, survey.ForcedSource f "
        f"WHERE qserv_areaspec_circle({ra}, {dec}, 0.1) AND o.objectId = f.objectId"
    )
    orphans = ~forced.objectId.isin(objects.objectId)
    for query in (alone, joined):
        found, tiles = answer(client, query)
        mine = found[found.objectId.isin(objects.objectId)]
        assert sorted(map(tuple, mine.to_numpy())) == sorted(map(tuple, expected.to_numpy())), query
        assert len(found) - len(mine) <= orphans.sum()
        assert 0 < tiles < answer(client, query.replace("qserv", "0 <= visit OR qserv"))[1], query
    assert len(expected) > 20


def test_an_area_limits_children_that_have_no_position(
    client: CatalogClient, sample_store: SampleStore, objects: pd.DataFrame
) -> None:
    ra, dec = middle(objects)
    truth = read(sample_store, "TruthSummary", ["id_truth_type", "ra", "dec"])
    matches = read(sample_store, "MatchesTruth", ["id_truth_type", "match_objectId"]).merge(truth, on="id_truth_type")
    inside = within(matches.rename(columns={"ra": "coord_ra", "dec": "coord_dec"}), ra, dec, 0.02)
    query = f"SELECT match_objectId AS a FROM survey.MatchesTruth WHERE qserv_areaspec_circle({ra}, {dec}, 0.02)"
    found, tiles = answer(client, query)
    assert sorted(found.a) == sorted(matches[inside].match_objectId)
    assert len(found) > 20
    assert 0 < tiles < 20
    with pytest.raises(QueryNameError):
        client.query("SELECT _parent_ra FROM survey.MatchesTruth", lang="QSERV")


def test_an_area_limits_children_by_a_position_that_is_not_their_own(
    client: CatalogClient, sample_store: SampleStore
) -> None:
    parents = read(sample_store, "DiaObject", ["diaObjectId", "ra", "dec"])
    children = read(sample_store, "DiaSource", ["diaSourceId", "diaObjectId", "ra", "dec"])
    both = children.merge(parents, on="diaObjectId", suffixes=("", "_parent"))
    differ = 0
    for at in range(0, len(both), 40):
        ra, dec, parent_ra, parent_dec = both.loc[at, ["ra", "dec", "ra_parent", "dec_parent"]].to_numpy(np.float64)
        centre = (
            float(ra),
            float(dec),
            0.5 * float(np.hypot(ra - parent_ra, dec - parent_dec)),
        )  # it is inside, its parent is not
        area = f"qserv_areaspec_circle({centre[0]}, {centre[1]}, {centre[2]})"
        found, _ = answer(client, f"SELECT diaSourceId FROM survey.DiaSource WHERE {area}")
        named = both.rename(columns={"ra_parent": "coord_ra", "dec_parent": "coord_dec"})
        expected = set(both.diaSourceId[within(named, *centre)])
        assert set(found.diaSourceId) & set(both.diaSourceId) == expected
        differ += both.diaSourceId[at] not in expected
    assert differ > 5


def test_an_area_limits_both_sides_of_a_self_join(client: CatalogClient, objects: pd.DataFrame) -> None:
    ra, dec = middle(objects)
    inside = objects[within(objects, ra, dec, 0.05)]
    places = vectors(inside)
    separations = np.degrees(2 * np.arcsin(np.linalg.norm(places[:, None] - places[None], axis=2) / 2))
    found, _ = answer(
        client,
        f"SELECT o1.objectId AS a, o2.objectId AS b FROM survey.Object o1, survey.Object o2 "
        f"WHERE qserv_areaspec_circle({ra}, {dec}, 0.05) "
        "AND scisql_angSep(o1.coord_ra, o1.coord_dec, o2.coord_ra, o2.coord_dec) < 0.005",
    )
    ids = inside.objectId.to_numpy()
    expected = {(ids[i], ids[j]) for i, j in zip(*np.nonzero(separations < 0.005), strict=True)}
    assert set(map(tuple, found.to_numpy())) == expected
    assert len(found) == len(expected) > len(ids)


def test_magnitudes_and_flags(client: CatalogClient, objects: pd.DataFrame) -> None:
    flux = objects.g_cModelFlux.to_numpy(np.float64)
    with np.errstate(all="ignore"):
        magnitude = -2.5 * np.log10(flux) + 31.4
    bright = (magnitude < 20) & (flux > 0)
    found, _ = answer(
        client,
        "SELECT `objectId`, scisql_nanojanskyToAbMag(g_cModelFlux) FROM survey.Object -- bright ones\n"
        "WHERE scisql_nanojanskyToAbMag(g_cModelFlux) < 20 && \"a\" = 'A';",
    )
    assert list(found.columns) == ["objectId", "scisql_nanojanskyToAbMag(g_cModelFlux)"]
    assert np.array_equal(np.sort(found.objectId), np.sort(objects.objectId[bright]))


def test_chunks_are_the_tiles(client: CatalogClient, sample_store: SampleStore, objects: pd.DataFrame) -> None:
    found, _ = answer(client, "SELECT COUNT(*) AS n, chunkId FROM survey.Object GROUP BY chunkId")
    leaves = list((sample_store.root / "survey" / "Object").glob("Object_r*/dataset/Norder=*/Dir=*/Npix=*.parquet"))
    numbers = {
        4 ** (int(path.parts[-3].removeprefix("Norder=")) + 1) + int(path.stem.removeprefix("Npix=")): pq.read_metadata(
            path
        ).num_rows
        for path in leaves
    }
    assert dict(zip(found.chunkId, found.n, strict=True)) == numbers
    assert found.n.sum() == len(objects)
    parts, _ = answer(
        client, "SELECT COUNT(*) AS n, chunkId, subChunkId FROM survey.Object GROUP BY chunkId, subChunkId"
    )
    assert parts.groupby("chunkId").n.sum().to_dict() == numbers
    assert parts.subChunkId.between(0, 63).all()
    assert len(parts) > len(found)
    orders = np.array([(int(chunk).bit_length() - 1) // 2 - 1 for chunk in parts.chunkId])
    cells = (parts.chunkId - 4 ** (orders + 1)) * 64 + parts.subChunkId
    for at in range(0, len(parts), 97):
        one = "SELECT ivo_healpix_index({}, coord_ra, coord_dec) AS cell, qserv_trans_id AS t FROM survey.Object "
        where = f"WHERE chunkId = {parts.chunkId[at]} AND subChunkId = {parts.subChunkId[at]}"
        rows, _ = answer(client, one.format(orders[at] + 3) + where)
        assert set(rows.cell) == {cells[at]}
        assert (len(rows), set(rows.t)) == (parts.n[at], {0})
    chosen = int(found.chunkId[0])
    some, _ = answer(client, f"SELECT COUNT(*) AS n FROM survey.Object WHERE chunkId = {chosen}")
    assert some.n.tolist() == [numbers[chosen]]


def test_statements_that_describe_what_is_there(client: CatalogClient) -> None:
    databases, _ = answer(client, "SHOW DATABASES;")
    assert {"survey", "tycho2", "TAP_SCHEMA"} <= set(databases.Database)
    tables, _ = answer(client, "SHOW TABLES FROM survey LIKE 'forced%'")
    assert tables.Tables_in_survey.tolist() == ["ForcedSource"]
    for statement in ("DESCRIBE survey.Object", "SHOW FULL COLUMNS FROM Object FROM `survey`", "DESC survey . Object"):
        columns, _ = answer(client, statement)
        assert columns.Field[0] == "objectId", statement
        assert dict(zip(columns.Field, columns.Type, strict=True))["coord_ra"] == "double"
    empty, _ = answer(client, "SET NAMES latin1")
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("DESCRIBE survey.Objekt", QueryNameError, "Did you mean 'survey.Object'"),
        ("SELECT 1 FROM survey.Object WHERE qserv_areaspec_circle(1, 2)", QuerySyntaxError, "(lon, lat, radius)"),
        ("SELECT 1 FROM survey.Object WHERE qserv_areaspec_circle(1, 2, coord_ra)", QueryTypeError, "plain numbers"),
        ("SELECT 1 FROM survey.Object WHERE qserv_areaspec_circle(12 .5, 2, 1)", QuerySyntaxError, "unexpected .5"),
        ("SELECT 1 FROM survey.Object WHERE qserv_areaspec_box(1, 3, 2, 2)", QueryTypeError, "latMin is larger"),
        ("SELECT 1 FROM survey.Object WHERE qserv_areaspec_ellipse(1, 2, 3, 4, 5)", QueryTypeError, "arcseconds"),
        ("SELECT 1 FROM TAP_SCHEMA.tables WHERE qserv_areaspec_circle(1, 2, 3)", QueryRefusedError, "it has none"),
        ("SELECT qserv_areaspec_circle(1, 2, 3) FROM survey.Object", QuerySyntaxError, "WHERE only"),
        ("SELECT coord_ra FROM survey.Object FOR UPDATE", QueryRefusedError, "locking clauses are never run"),
        ("DROP TABLE survey.Object", QueryRefusedError, "never run"),
        ("SELECT RAND(3)", QueryRefusedError, "no seed"),
        ("SELECT 1; SELECT 2", QueryRefusedError, "second statement"),
        ("SELECT 1 /*! , 2 */", QuerySyntaxError, "not run"),
        ("SELECT coord_ra FROM survey.Object WHERE coord_ra = 'north'", QueryTypeError, "and is none"),
        ("SELECT FLOR(1.5)", QueryNameError, "FLOOR"),
        ("SELECT 5abc", QuerySyntaxError, "put a blank"),
        ("USE survey", QueryRefusedError, "stands for itself"),
        ("SELECT ~5", QueryValueError, "18446744073709551610 does not fit into a 64-bit integer"),
    ],
)
def test_errors_teach(client: CatalogClient, query: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        client.query(query, lang="QSERV")
    assert words in str(raised.value)


def test_pyvo_sends_the_language(server_url: str) -> None:
    service = pyvo.dal.TAPService(f"{server_url}/tap")
    assert {language.name for language in service.get_tap_capability().languages} == {"ADQL", "QSERV"}
    table = service.run_sync("SELECT 7 DIV 2 AS a, 7 / 2 AS b, TRUE || NULL", language="QSERV").to_table()
    assert (table["a"][0], table["b"][0], table.colnames[2]) == (3, 3.5, "TRUE || NULL")
