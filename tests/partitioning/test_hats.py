"""The HATS community's own readers accept what we publish: hats, lsdb, and healpy for the maps."""

from pathlib import Path

import duckdb
import hats
import healpy
import lsdb
import numpy as np
import pyarrow as pa
import pytest
from hats.io.file_io import read_fits_image
from hats.io.validation import is_valid_catalog, is_valid_collection

from partitioning.config import PositionFrom
from partitioning.layout.paths import HEALPIX_COLUMN, INPUT_COLUMN
from partitioning.sky.separation import separation_deg
from tests.partitioning.builders import build_all, leaves, sky_rows, sky_table, stored, write_files

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
