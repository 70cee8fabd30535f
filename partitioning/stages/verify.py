"""Verify: reads back what is on disk, every page of it, and refuses a release that breaks the contract."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import LayoutError
from ..layout.leaf import LeafFormat
from ..layout.manifest import Manifest, read_manifest, read_partition_map
from ..layout.paths import COMMON_METADATA, HEALPIX_COLUMN, PLAIN_FILE, leaf_path
from ..layout.properties import parse_properties
from ..layout.schema import has_nan, schema_fingerprint
from ..sky.healpix import SKY_STOP, pixel_range

__all__ = ["verify_release"]

_CHUNK_NOTE = "the release is not published; build again, and check disk and memory if it happens twice"


def verify_release(catalog: Path, form: LeafFormat, *, threads: int) -> None:
    """Check a release under construction against its own manifest.

    Rows in = rows out + rejected; files, rows and bytes as listed; schema, row-group bounds, page checksums;
    indices never NULL, sorted and inside the tile; no NaN in any float column; properties readable.

    Raises
    ------
    LayoutError
        If anything does not hold; the message names the file.
    """
    manifest, partitions = read_manifest(catalog), read_partition_map(catalog)
    _require(manifest.input_rows == manifest.rows + manifest.rejected_rows, catalog, "rows in != rows out + rejected")
    _require(int(partitions.rows.sum()) == manifest.rows, catalog, "the files' rows do not add up")
    _require(int(partitions.size_bytes.sum()) == manifest.bytes, catalog, "the files' bytes do not add up")
    _require(schema_fingerprint(form.schema) == manifest.schema_fingerprint, catalog, "the schema is another one")

    def check(number: int) -> None:
        bounds = (int(partitions.starts[number]), int(partitions.stops[number]))
        if manifest.placement is None:
            path, tile = catalog / PLAIN_FILE, (0, SKY_STOP)
        else:
            pixel = partitions.pixel(number)
            path, tile = catalog / leaf_path(pixel), pixel_range(pixel)
        _require(tile[0] <= bounds[0] < bounds[1] <= tile[1], path, "indices outside the tile")
        _require(path.stat().st_size == partitions.size_bytes[number], path, "size differs from the manifest")
        _check_leaf(path, form, bounds, int(partitions.rows[number]))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(check, range(len(partitions))))
    if manifest.placement is not None:
        _check_catalog(catalog, manifest, form)


def _check_leaf(path: Path, form: LeafFormat, bounds: tuple[int, int], rows: int) -> None:
    """Read a whole leaf, one row group at a time."""
    with pq.ParquetFile(path, page_checksum_verification=True) as leaf:
        _require(leaf.schema_arrow.equals(form.schema), path, "schema differs from the table's")
        _require(leaf.metadata.num_rows == rows, path, "number of rows differs from the manifest")
        previous = bounds[0]
        for number in range(leaf.metadata.num_row_groups):
            try:
                group = leaf.read_row_group(number)
            except (OSError, pa.ArrowException) as error:
                msg = f"{path}: row group {number} cannot be read back: {error}; {_CHUNK_NOTE}"
                raise LayoutError(msg) from error
            _require(group.num_rows <= form.row_group_rows, path, f"row group {number} has too many rows")
            _check_no_nan(path, group)
            if form.is_sorted:
                previous = _check_sorted(path, group, previous, bounds)


def _check_no_nan(path: Path, group: pa.Table) -> None:
    for column in group.schema:
        clean = not any(has_nan(chunk) for chunk in group.column(column.name).chunks)
        _require(clean, path, f"NaN in column {column.name!r}")


def _check_sorted(path: Path, group: pa.Table, previous: int, bounds: tuple[int, int]) -> int:
    """Check the order of one row group after an index of `previous`, and return its last index."""
    column = group.column(HEALPIX_COLUMN)
    _require(column.null_count == 0, path, f"NULL in {HEALPIX_COLUMN}")
    index = column.to_numpy()
    _require(bool((np.diff(index, prepend=previous) >= 0).all()), path, f"not sorted by {HEALPIX_COLUMN}")
    _require(bounds[0] <= index[0] and index[-1] < bounds[1], path, f"{HEALPIX_COLUMN} outside the listed bounds")
    return int(index[-1])


def _check_catalog(catalog: Path, manifest: Manifest, form: LeafFormat) -> None:
    properties = parse_properties((catalog / "hats.properties").read_text(encoding="utf-8"))
    _require(properties.get("hats_nrows") == str(manifest.rows), catalog, "hats_nrows differs from the manifest")
    lines: Sequence[str] = (catalog / "partition_info.csv").read_text(encoding="utf-8").splitlines()[1:]
    listed = sum(int(line.split(",")[2]) for line in lines)
    _require(listed == manifest.rows, catalog, "partition_info.csv differs from the manifest")
    common = pq.read_schema(catalog / COMMON_METADATA)
    _require(common.equals(form.schema), catalog, "_common_metadata differs from the leaves")


def _require(condition: bool, path: Path, problem: str) -> None:  # noqa: FBT001
    if not condition:
        msg = f"{path}: {problem}; {_CHUNK_NOTE}"
        raise LayoutError(msg)
