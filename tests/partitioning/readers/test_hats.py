"""HATS catalogs as input: our own, tiled anew, and the forms that other tools write."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import TableConfig
from partitioning.exceptions import DamagedInputError, InputError
from partitioning.layout.paths import leaf_path
from partitioning.readers.base import find_inputs
from partitioning.readers.source import open_source
from partitioning.sky.healpix import Pixel, radec_to_index
from tests.partitioning.builders import build_all, by_id, published, sky_rows, sky_table, stored, write_files

TILES = (Pixel(0, 3), Pixel(1, 16), Pixel(1, 17))


def rows(base: Path, *patterns: str, form: str | None = None) -> pa.Table:
    table = TableConfig(name="T", input=patterns, format=form)  # type: ignore[arg-type]
    source = open_source(table, find_inputs(patterns, base), None)
    return pa.Table.from_batches([b for _, b in source.batches(batch_rows=3)], source.schema)


def catalog(base: Path, suffix: str = ".parquet", kind: str = "object", *, listed: bool = True) -> pa.Table:
    """Write a small catalog as other tools do, with columns of the tile in each leaf; return its own columns."""
    base.mkdir(parents=True)
    text = f"obs_collection=c\ndataproduct_type={kind}\nhats_npix_suffix={suffix}\nhats_col_ra=ra\nhats_col_dec=dec\n"
    (base / "properties").write_text(text)
    parts, footers = [], []
    for tile in TILES:
        own = pa.table({"id": [tile.number, 2**60 + tile.number], "ra": [1.0, float("nan")], "dec": [2.0, 3.0]})
        leaf = own.add_column(0, "_healpix_29", pa.array([5, 6])).append_column("_input", pa.array([1, 1], pa.int32()))
        for name, value in (("Norder", tile.order), ("Dir", 0), ("Npix", tile.number)):
            leaf = leaf.append_column(name, pa.array([value] * 2))
        path = base / leaf_path(tile)
        path = path.with_name(path.stem + suffix.strip("/"))
        files = [path / "0.parquet", path / "1.parquet"] if suffix == "/" else [path]
        files[0].parent.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files):
            pq.write_table(leaf if len(files) == 1 else leaf.slice(number, 1), file)
            footers.append(pq.read_metadata(file))
            footers[-1].set_file_path(str(file.relative_to(base / "dataset")))
        parts.append(own)
    if listed:
        lines = "".join(f"{tile.order},{tile.number},2\n" for tile in TILES)
        (base / "partition_info.csv").write_text(f"Norder,Npix,num_rows\n{lines}")
    else:
        pq.write_metadata(footers[0].schema.to_arrow_schema(), base / "dataset" / "_metadata", footers)
    return pa.concat_tables(parts)


@pytest.mark.parametrize(
    ("suffix", "listed"),
    [(".parquet", True), (".parquet", False), (".snappy.parquet", True), ("/", True)],
)
def test_leaves_as_other_tools_write_them(tmp_path: Path, suffix: str, *, listed: bool) -> None:
    expected = catalog(tmp_path / "c", suffix, listed=listed)
    stray = tmp_path / "c" / "dataset" / "Norder=1" / "Dir=0" / "Npix=40.parquet"
    pq.write_table(expected, stray)  # not part of the catalog, whatever it is
    for form in (None, "hats"):
        assert str(rows(tmp_path, "c", form=form).to_pydict()) == str(expected.to_pydict()).replace("nan", "None")
    (tmp_path / "collection.properties").write_text("obs_collection=c\nhats_primary_table_url=c\n")
    assert str(rows(tmp_path, ".", form=form).to_pydict()) == str(expected.to_pydict()).replace("nan", "None")


def test_columns_of_tiles_are_dropped_in_catalogs_only(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Norder": [1], "_input": [2], "x": [3]}), tmp_path / "1.parquet")
    assert rows(tmp_path, "1.parquet").to_pydict() == {"Norder": [1], "x": [3]}


def test_missing_leaves_and_lists_are_named(tmp_path: Path) -> None:
    catalog(tmp_path / "c")
    (tmp_path / "c" / leaf_path(TILES[1])).unlink()
    with pytest.raises(
        DamagedInputError, match=r"Npix=16\.parquet: missing, though partition_info\.csv lists its tile"
    ):
        rows(tmp_path, "c")
    (tmp_path / "c" / "partition_info.csv").write_text("Norder,Npix\n1,x\n")
    with pytest.raises(DamagedInputError, match=r"partition_info\.csv: the tiles of the catalog cannot be read"):
        rows(tmp_path, "c")
    (tmp_path / "c" / "partition_info.csv").unlink()
    with pytest.raises(DamagedInputError, match=r"dataset/_metadata: the tiles of the catalog cannot be read"):
        rows(tmp_path, "c")


@pytest.mark.parametrize("kind", ["margin", "index", "association", "map"])
def test_derived_catalogs_are_refused(tmp_path: Path, kind: str) -> None:
    catalog(tmp_path / "c", kind=kind)
    with pytest.raises(InputError, match=f"a HATS catalog of type '{kind}' holds no table of its own"):
        rows(tmp_path, "c")


def test_plain_files_are_no_catalog(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [3]}), tmp_path / "1.parquet")
    with pytest.raises(InputError, match=r"1\.parquet: not in a HATS catalog; for format = 'hats'"):
        rows(tmp_path, "1.parquet", form="hats")


def test_a_published_table_is_tiled_anew(tmp_path: Path) -> None:
    """Rows, values and positions stay; old releases beside the current one do not count."""
    table = sky_rows(400)
    write_files(tmp_path / "Object", table)
    build_all(tmp_path, sky_table(target_rows=50))
    build_all(tmp_path, sky_table(target_rows=60))
    first = published(tmp_path / "catalogs" / "survey" / "Object")
    again = sky_table("Again", input=("catalogs/survey/Object",), target_rows=150)
    build_all(tmp_path, again)
    release = published(tmp_path / "catalogs" / "survey" / "Again")
    old, new = stored(first), stored(release)
    columns = [name for name in table.column_names if name != "id"]
    assert by_id(new, columns) == by_id(old, columns)
    index = radec_to_index(np.array(new["ra"]), np.array(new["dec"]))
    assert np.array_equal(np.array(new["_healpix_29"]), index)
    assert len(list(release.rglob("Npix=*.parquet"))) < len(list(first.rglob("Npix=*.parquet")))


def test_a_published_table_without_positions(tmp_path: Path) -> None:
    write_files(tmp_path / "Filters", pa.table({"band": ["u", "g"]}), files=1)
    for _ in range(2):
        build_all(tmp_path, TableConfig(name="Filters", input=("Filters",)))
    shutil.rmtree(tmp_path / "Filters")
    assert rows(tmp_path, "catalogs/survey/Filters").to_pydict() == {"band": ["u", "g"]}
