"""The HATS community's own readers accept what we publish: hats, lsdb, and healpy for the maps."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import hats
import healpy
import lsdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from hats.io.file_io import read_fits_image
from hats.io.validation import is_valid_catalog, is_valid_collection

from partitioning.config import PositionFrom
from partitioning.layout.paths import HEALPIX_COLUMN, INPUT_COLUMN
from partitioning.sky.separation import separation_deg
from partitioning.stages import id_index
from tests.partitioning.builders import build_all, by_id, leaves, sky_rows, sky_table, stored, write_files

ROWS = 3000


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return sky_rows(ROWS)


@pytest.fixture(scope="module")
def schema(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a published schema directory with a table and a child of it."""
    base = tmp_path_factory.mktemp("hats")
    write_files(base / "Object", rows)
    near = rows["dec"].to_numpy() * 0.99999
    write_files(base / "Dia", pa.table({"n": range(ROWS), "id": rows["id"], "ra": rows["ra"], "dec": near}))
    origin = PositionFrom(parent="Object", child_key="id", parent_key="id")
    build_all(base, sky_table(target_rows=400), sky_table("Dia", target_rows=300, id=("n",), position_from=origin))
    return base / "catalogs/survey"


@pytest.mark.parametrize("table", ["Object", "Dia"])
def test_strict_validation(schema: Path, table: str) -> None:
    assert is_valid_collection(schema / table, strict=True)
    assert is_valid_catalog(schema / table, strict=True)
    assert is_valid_catalog(schema / table / f"{table}_r1", strict=True)


def test_hats_reads_the_properties(schema: Path) -> None:
    catalog = hats.read_hats(schema / "Object").main_catalog
    info = catalog.catalog_info
    assert (info.catalog_name, info.total_rows, info.ra_column, info.dec_column) == ("Object", ROWS, "ra", "dec")
    assert (info.healpix_column, info.healpix_order) == (HEALPIX_COLUMN, 29)
    pixels = [f"Norder={pixel.order} Npix={pixel.pixel}" for pixel in catalog.get_healpix_pixels()]
    assert pixels == [f"{path.parts[-3]} {path.stem}" for path in leaves(schema / "Object/Object_r1")]


CONES = [
    (0.0, 0.0, 20.0),
    (359.999, 0.5, 30.0),
    (77.0, 90.0, 25.0),
    (200.0, -90.0, 25.0),
    (120.0, -45.0, 0.01),
    (180.0, -45.0, 0.02),
    (45.0, 41.8103148957786, 15.0),
    (250.0, 10.0, 1e-4),
]


def test_lsdb_cones_equal_brute_force(schema: Path, rows: pa.Table) -> None:
    catalog = lsdb.open_catalog(schema / "Object")
    assert len(catalog) == ROWS
    found = [catalog.cone_search(ra, dec, radius * 3600).compute() for ra, dec, radius in CONES]
    for (ra, dec, radius), frame in zip(CONES, found, strict=True):
        distance = separation_deg(ra, dec, rows["ra"].to_numpy(), rows["dec"].to_numpy())
        assert set(frame["id"]) == set(rows["id"].to_numpy()[distance <= radius])
    assert max(len(frame) for frame in found) > 100


def test_lsdb_reads_a_child_by_its_declared_position(schema: Path, rows: pa.Table) -> None:
    frame = lsdb.open_catalog(schema / "Dia").cone_search(120.0, -45.0, 0.01 * 3600).compute()
    distance = separation_deg(120.0, -45.0, rows["ra"].to_numpy(), rows["dec"].to_numpy())
    assert sorted(frame["id"]) == sorted(rows["id"].to_numpy()[distance <= 0.01]) != []


@pytest.mark.parametrize("name", ["point_map.fits", "skymap.fits"])
def test_maps_count_the_stored_rows(schema: Path, name: str) -> None:
    release = schema / "Object/Object_r1"
    index = stored(release)[HEALPIX_COLUMN].to_numpy()
    expected = np.bincount(index >> (2 * (29 - 8)), minlength=12 * 4**8)
    assert expected.sum() == ROWS
    unseen_is_negative = healpy.read_map(release / name, nest=True, dtype=np.int64, partial=False)
    assert (np.maximum(unseen_is_negative, 0) == expected).all()
    assert (read_fits_image(release / name) == expected).all()


def test_lsdb_takes_the_coverage_from_the_map(schema: Path) -> None:
    catalog = lsdb.open_catalog(schema / "Object")
    moc = catalog.hc_structure.moc
    assert moc is not None
    index = stored(schema / "Object/Object_r1")[HEALPIX_COLUMN].to_numpy()
    assert set(moc.flatten().tolist()) == set((index >> (2 * (29 - moc.max_order))).tolist())


def test_duckdb_reads_the_leaves_without_our_help(schema: Path, rows: pa.Table) -> None:
    paths = [str(path) for path in leaves(schema / "Object/Object_r1")]
    relation = duckdb.read_parquet(paths, hive_partitioning=False)
    assert relation.columns == [HEALPIX_COLUMN, *rows.column_names, INPUT_COLUMN]
    brightness = rows["mag"].to_numpy()
    counts = relation.aggregate("count(*) FILTER (mag > 25), count(*) FILTER (mag IS NULL), max(mag)").fetchall()
    assert counts == [(int((brightness > 25).sum()), int(np.isnan(brightness).sum()), np.nanmax(brightness))]


def test_lsdb_finds_rows_by_id(schema: Path, rows: pa.Table) -> None:
    catalog = lsdb.open_catalog(schema / "Object")
    ids = rows["id"].to_numpy()
    found = catalog.id_search({"id": int(ids[7])}).compute()
    assert found["id"].tolist() == [ids[7]]
    assert found["ra"].tolist() == [rows["ra"][7].as_py()]
    assert len(catalog.id_search({"id": 5}).compute()) == 0


@pytest.fixture(scope="module")
def parts(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Return a catalog whose indexes of integers, of texts and of a text of many rows have several parts."""
    base = tmp_path_factory.mktemp("parts")
    named = rows.append_column("name", pa.array([f"SDSS J{number:06d}é" for number in range(ROWS)]))
    write_files(base / "Object", named)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_index, "PART_ROWS", 400)
        patch.setattr(id_index, "PART_GROUP_ROWS", 100)
        build_all(base, sky_table(target_rows=400, index=("id", "name", "band")))
    home = base / "catalogs/survey/Object"
    for column in ("id", "name", "band"):
        assert len(list(home.glob(f"Object_r1_{column}/dataset/index/part.*.parquet"))) > 5
    return home, named


def test_lsdb_finds_rows_by_ids_of_text(parts: tuple[Path, pa.Table]) -> None:
    home, rows = parts
    catalog, names = lsdb.open_catalog(home), rows["name"].to_pylist()
    for at in (0, 777, ROWS - 1):
        found = catalog.id_search({"name": names[at]}).compute()
        assert found["id"].tolist() == [rows["id"][at].as_py()]
    assert len(catalog.id_search({"name": "SDSS J000000"}).compute()) == 0


@pytest.mark.parametrize("column", ["id", "name"])
def test_lsdb_finds_rows_by_several_ids_at_once(parts: tuple[Path, pa.Table], column: str) -> None:
    home, rows = parts
    wanted = rows[column].take(pa.array(np.linspace(0, ROWS - 1, 25).astype(int))).to_pylist()
    found = lsdb.open_catalog(home).id_search({column: wanted}).compute()
    assert sorted(found[column].tolist()) == sorted(wanted)


def test_lsdb_finds_all_rows_of_an_id_that_several_parts_hold(parts: tuple[Path, pa.Table]) -> None:
    home, rows = parts
    found = lsdb.open_catalog(home).id_search({"band": "g"}).compute()
    expected = [one for one, band in zip(rows["id"].to_pylist(), rows["band"].to_pylist(), strict=True) if band == "g"]
    assert len(expected) > 2 * 400
    assert sorted(found["id"].tolist()) == sorted(expected)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Return a catalog of close pairs, many of them across the borders of tiles, and its rows."""
    base = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    for edge in range(4):  # along the meridians that base cells share near the equator
        ra[edge * 500 : (edge + 1) * 500] = 90 * edge + rng.uniform(-4, 4, 500) / 3600
    near_ra, near_dec = ra + rng.uniform(-3, 3, 4000) / 3600, np.clip(dec + rng.uniform(-3, 3, 4000) / 3600, -90, 90)
    table = pa.table(
        {"id": np.arange(8000), "ra": np.concatenate([ra, near_ra]) % 360, "dec": np.concatenate([dec, near_dec])}
    )
    write_files(base / "Object", table)
    build_all(base, sky_table(target_rows=500))
    return base / "catalogs/survey/Object", table


def test_lsdb_crossmatch_uses_the_margin(pairs: tuple[Path, pa.Table]) -> None:
    """All neighbours within 5 arcsec, found tile by tile with the margin of 10 arcsec, equal brute force."""
    directory, rows = pairs
    catalog = lsdb.open_catalog(directory)
    assert catalog.margin is not None
    assert catalog.margin.hc_structure.catalog_info.margin_threshold == 10.0
    matched = catalog.crossmatch(catalog, n_neighbors=20, radius_arcsec=5.0, suffixes=("_a", "_b")).compute()
    found = set(zip(matched["id_a"].tolist(), matched["id_b"].tolist(), strict=True))
    assert found == close_pairs(rows, 5.0)
    alone = catalog.hc_structure.get_healpix_pixels()
    assert len(alone) > 10


def close_pairs(rows: pa.Table, radius_arcsec: float) -> set[tuple[int, int]]:
    """Return the pairs of rows (each with itself, too) that are no farther apart, by brute force over declinations."""
    ra, dec, ids = (rows[name].to_numpy() for name in ("ra", "dec", "id"))
    order = np.argsort(dec)
    found = set()
    for at, row in enumerate(order.tolist()):
        last = np.searchsorted(dec[order], dec[row] + radius_arcsec / 3600 + 1e-9)
        others = order[at:last]
        near = others[separation_deg(ra[row], dec[row], ra[others], dec[others]) <= radius_arcsec / 3600]
        for other in near.tolist():
            found |= {(int(ids[row]), int(ids[other])), (int(ids[other]), int(ids[row]))}
    return found


def test_lsdb_reads_nested_light_curves(tmp_path: Path) -> None:
    curve = pa.struct([("mjd", pa.list_(pa.float64())), ("band", pa.list_(pa.string()))])
    values = [{"mjd": [60000.5 + n, 60001.5], "band": ["g", "r"]} for n in range(200)]
    rng = np.random.default_rng(1)
    columns = {"id": range(200), "ra": rng.uniform(0, 360, 200), "dec": rng.uniform(-80, 80, 200)}
    write_files(tmp_path / "Object", pa.table({**columns, "curve": pa.array(values, curve)}))
    build_all(tmp_path, sky_table(target_rows=60))
    release = tmp_path / "catalogs/survey/Object"
    frame = lsdb.open_catalog(release, columns=["id", "curve.mjd"]).compute()
    one = frame[frame["id"] == 17]["curve"].iloc[0]
    assert one["mjd"].tolist() == [60017.5, 60001.5]
    leaves_of = f"'{release}/Object_r1/dataset/**/*.parquet'"
    flat = duckdb.connect().sql(f"SELECT id, unnest(curve.mjd) AS mjd, unnest(curve.band) AS band FROM {leaves_of}")
    assert sorted(flat.filter("id = 17").fetchall()) == [(17, 60001.5, "r"), (17, 60017.5, "g")]


def with_duckdb(directory: Path, options: str) -> pa.Table:
    return duckdb.connect().sql(f"SELECT * FROM read_parquet('{directory}/**/*.parquet'{options})").to_arrow_table()


def with_polars(directory: Path, hive: bool | None = None) -> pa.Table:
    return pl.scan_parquet(f"{directory}/**/*.parquet", hive_partitioning=hive).collect().to_arrow()


def with_pyarrow(directory: Path, **options: str) -> pa.Table:
    return pyarrow.dataset.dataset(directory, format="parquet", exclude_invalid_files=False, **options).to_table()


PLACES = {"Norder", "Dir"}
"""Directories that readers of Hive partitions take for columns; ``Npix=5.parquet`` is a file."""


@pytest.mark.parametrize(
    ("read", "beside"),
    [
        (lambda directory: with_duckdb(directory, ""), PLACES),
        (lambda directory: with_duckdb(directory, ", hive_partitioning = true"), PLACES),
        (lambda directory: with_duckdb(directory, ", hive_partitioning = false"), set()),
        (lambda directory: with_duckdb(directory, ", union_by_name = true"), PLACES),
        (with_polars, set()),
        (lambda directory: with_polars(directory, hive=True), PLACES),
        (lambda directory: with_polars(directory, hive=False), set()),
        (with_pyarrow, set()),
        (lambda directory: with_pyarrow(directory, partitioning="hive"), PLACES),
    ],
    ids=[
        "duckdb",
        "duckdb-hive",
        "duckdb-flat",
        "duckdb-names",
        "polars",
        "polars-hive",
        "polars-flat",
        "arrow",
        "arrow-hive",
    ],
)
def test_globs_are_enough_for_other_readers(
    schema: Path, rows: pa.Table, read: Callable[[Path], pa.Table], beside: set[str]
) -> None:
    release = schema / "Object/Object_r1"
    found = read(release / "dataset")
    expected = stored(release)
    assert set(found.column_names) == {*expected.column_names, *beside}
    assert set(expected["id"].to_pylist()) == set(rows["id"].to_pylist())
    columns = [name for name in expected.column_names if name != "id"]
    assert by_id(found, columns) == by_id(expected, columns)
