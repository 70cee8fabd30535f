"""The manifest reads back as written."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.exceptions import LayoutError
from partitioning.layout.manifest import (
    FILES_SCHEMA,
    ROW_GROUPS_FILE,
    IndexRecord,
    InputRecord,
    Manifest,
    MarginRecord,
    Placement,
    StoredColumn,
    read_manifest,
    read_partition_map,
    stored_bound,
    write_manifest,
    write_row_groups,
)
from partitioning.layout.paths import MANIFEST_DIR
from partitioning.sky.healpix import Pixel


def manifest(placement: Placement | None) -> Manifest:
    return Manifest(
        schema="survey",
        table="Étoile",
        release=3,
        created="2026-01-02T03:04:05Z",
        builder="test",
        rows=30,
        bytes=1000,
        input_rows=31,
        rejected_rows=1,
        schema_fingerprint="ab",
        placement=placement,
        columns=(
            StoredColumn(name="id", arrow_type="int64", nulls=0, bytes=9, minimum=1, maximum=(1 << 62) + 1),
            StoredColumn(name="x", arrow_type="double", nulls=2, bytes=8, minimum=-0.5, maximum=1e300, hidden=True),
            StoredColumn(name="s", arrow_type="string", nulls=0, bytes=7, minimum="é", maximum="=:"),
        ),
        id_columns=("id",),
        inputs=(InputRecord(number=0, name="a.parquet", bytes=5, rows=31, rejected=1, bad_parts=("row group 3",)),),
        margins=(MarginRecord(directory="T_r1_10arcs", threshold_arcsec=10.0, rows=3, bytes=4),),
        indexes=(IndexRecord(column="id", directory="T_r1_id", rows=30, bytes=9, flat=True),),
    )


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (1, pa.timestamp("ns"), "1970-01-01 00:00:00.000000001"),
        (1_000, pa.timestamp("ns"), "1970-01-01 00:00:00.000001"),
        (10**9 + 1, pa.timestamp("ns", "Europe/Berlin"), "1970-01-01 00:00:01.000000001+00:00"),
        (10**6, pa.timestamp("us", "Europe/Berlin"), "1970-01-01 01:00:01+01:00"),
        (2**58, pa.timestamp("us"), "11103-08-29 17:22:31.711744"),
        (2**60, pa.timestamp("us", "UTC"), None),
        (None, pa.timestamp("us"), None),
        (2**31 - 1, pa.date32(), None),
        (-719_528, pa.date32(), "0000-01-01"),
        (1, pa.date32(), "1970-01-02"),
        (1, pa.time64("ns"), "00:00:00.000000001"),
        (1, pa.time64("us"), "00:00:00.000001"),
    ],
)
def test_bounds_of_dates_and_times(value: int | None, kind: pa.DataType, told: str | None) -> None:
    stored = pa.array([value], pa.int32() if kind == pa.date32() else pa.int64()).view(kind)
    assert stored_bound(stored[0]) == told


def file_row(order: int, number: int, low: int, high: int) -> dict[str, object]:
    return {
        "norder": order,
        "npix": number,
        "rows": 10,
        "bytes": 100,
        "row_groups": 1,
        "healpix_min": low,
        "healpix_max": high,
        "max_separation_deg": 0.25,
        "xxh3_128": "00",
    }


PLACEMENT = Placement(
    ra_column="_parent_ra",
    dec_column="_parent_dec",
    own_ra_column="ra",
    own_dec_column="dec",
    parent="Object",
    parent_key=("objectId", "id"),
    parent_release=2,
    ra_min=-10.0,
    ra_max=360.0,
)


@pytest.mark.parametrize("placement", [None, PLACEMENT], ids=["plain", "child"])
def test_round_trip(placement: Placement | None, tmp_path: Path) -> None:
    cell = 1 << 54
    rows = [file_row(2, 5, 5 * cell, 6 * cell - 1), file_row(1, 3, 12 * cell + 7, 13 * cell)]
    write_manifest(tmp_path, manifest(placement), pa.Table.from_pylist(rows, FILES_SCHEMA))
    assert read_manifest(tmp_path) == manifest(placement)
    tiles = read_partition_map(tmp_path)
    assert [tiles.pixel(0), tiles.pixel(1)] == [Pixel(2, 5), Pixel(1, 3)]
    assert tiles.starts.tolist() == [5 * cell, 12 * cell + 7]
    assert tiles.stops.tolist() == [6 * cell, 13 * cell + 1]
    assert tiles.separations_deg.tolist() == [0.25, 0.25]


def test_row_groups_are_written_piece_by_piece(tmp_path: Path) -> None:
    tables = [pa.table({"file": [n] * 30_000, "x.min": [float(n), None, math.inf] * 10_000}) for n in range(4)]
    write_row_groups(tmp_path, iter(tables))
    with pq.ParquetFile(tmp_path / MANIFEST_DIR / ROW_GROUPS_FILE) as written:
        assert written.metadata.num_row_groups > 1
        assert written.read().equals(pa.concat_tables(tables))


def test_overlapping_tiles_are_refused(tmp_path: Path) -> None:
    rows = [file_row(2, 5, 100, 200), file_row(2, 6, 200, 300)]
    write_manifest(tmp_path, manifest(None), pa.Table.from_pylist(rows, FILES_SCHEMA))
    with pytest.raises(LayoutError, match="overlap"):
        read_partition_map(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"format": "catalog-service manifest", "version": 99}'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_DIR).mkdir()
    (tmp_path / MANIFEST_DIR / "manifest.json").write_text(text)
    with pytest.raises(LayoutError, match=r"manifest\.json"):
        read_manifest(tmp_path)
