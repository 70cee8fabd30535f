"""The manifests of a release as large as Rubin's DP0.2, without its data: 139 billion rows of light curves."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from partitioning.layout.manifest import (
    FILES_SCHEMA,
    ROW_GROUP_KEYS,
    InputRecord,
    Manifest,
    Placement,
    StoredColumn,
    write_manifest,
    write_row_groups,
)
from partitioning.layout.paths import COLLECTION_PROPERTIES, HEALPIX_COLUMN, release_name
from partitioning.layout.properties import format_properties
from partitioning.sky.healpix import order_shift

__all__ = [
    "COLUMNS",
    "FILES",
    "ROWS",
    "ROW_GROUPS",
    "WIDE_COLUMNS",
    "WIDE_FILES",
    "write_simulated_release",
    "write_wide_release",
]

ROWS = 139_000_000_000
FILES = 20_000
ROW_GROUPS = 4_000_000
COLUMNS = 40

WIDE_COLUMNS = 1_300
WIDE_FILES = 100_000

_PARENT_FILES = 3_072
_PARENT_ROWS = 5_500_000_000
_BLOCK = 1 << 19


def write_simulated_release(root: Path) -> None:
    """Write ``sky.Object`` and its child ``sky.ForcedSource``, whose rows lie up to 2 arcsec from their objects."""
    numbers = np.arange(_PARENT_FILES, dtype=np.int64)
    own = Placement(
        ra_column="ra", dec_column="dec", own_ra_column="ra", own_dec_column="dec", ra_min=0.0, ra_max=359.9
    )
    objects = _files(np.full(_PARENT_FILES, 4), numbers, _PARENT_ROWS, np.zeros(_PARENT_FILES), 40)
    _write_table(root, "Object", own, objects)
    orders, numbers = _crowded_tiling()
    by_parent = Placement(
        ra_column="_parent_ra",
        dec_column="_parent_dec",
        own_ra_column="ra",
        own_dec_column="dec",
        parent="Object",
        parent_key=("objectId", "objectId"),
        parent_release=1,
        ra_min=0.0,
        ra_max=359.9,
    )
    separations = np.random.default_rng(1).uniform(0.1, 2.0, FILES) / 3600
    children = _files(orders, numbers, ROWS, separations, ROW_GROUPS // FILES)
    _write_table(root, "ForcedSource", by_parent, children)


def write_wide_release(root: Path) -> None:
    """Write ``sky.Wide``, of `WIDE_COLUMNS` columns in `WIDE_FILES` tiles of order 7, without statistics of columns."""
    numbers = np.arange(WIDE_FILES, dtype=np.int64)
    own = Placement(
        ra_column="ra", dec_column="dec", own_ra_column="ra", own_dec_column="dec", ra_min=0.0, ra_max=359.9
    )
    files = _files(np.full(WIDE_FILES, 7), numbers, 20_000_000_000, np.zeros(WIDE_FILES), 1)
    _write_table(root, "Wide", own, files, columns=WIDE_COLUMNS, statistics=False)


def _crowded_tiling() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return orders and pixels of `FILES` tiles: order 5 all over the sky, order 6 where it is crowded."""
    cells = np.arange(12 << 10, dtype=np.int64)
    split = cells[4000 : 4000 + math.ceil((FILES - len(cells)) / 3)]
    finer = (4 * split[:, None] + np.arange(4)).ravel()
    kept = np.setdiff1d(cells, split)
    orders = np.concatenate([np.full(len(kept), 5), np.full(len(finer), 6)])
    numbers = np.concatenate([kept, finer])
    in_order = np.argsort(numbers << (2 * (29 - orders)))[:FILES]
    return orders[in_order], numbers[in_order]


def _files(
    orders: NDArray[np.int64], numbers: NDArray[np.int64], rows: int, separations: NDArray[np.float64], groups: int
) -> pa.Table:
    shifts = np.array([order_shift(int(order)) for order in orders])
    count = len(orders)
    columns = {
        "norder": orders,
        "npix": numbers,
        "rows": np.full(count, rows // count) + (np.arange(count) < rows % count),
        "bytes": np.full(count, 260 * (rows // count)),
        "row_groups": np.full(count, groups),
        "healpix_min": (numbers << shifts) + 11,
        "healpix_max": ((numbers + 1) << shifts) - 7,
        "max_separation_deg": separations,
        "xxh3_128": [f"{number:032x}" for number in range(count)],
    }
    return pa.table(columns).cast(FILES_SCHEMA)


def _write_table(
    root: Path, name: str, placement: Placement, files: pa.Table, *, columns: int = COLUMNS, statistics: bool = True
) -> None:
    table = root / "sky" / name
    catalog = table / release_name(name, 1)
    named = ["objectId", "ra", "dec", *(f"flux{number}" for number in range(columns - 3))]
    hidden = [HEALPIX_COLUMN, *({placement.ra_column, placement.dec_column} - {"ra", "dec"})]
    stored = tuple(
        StoredColumn(
            name=column,
            arrow_type="int64" if column in {"objectId", HEALPIX_COLUMN} else "double",
            nulls=0,
            bytes=1 << 40,
            minimum=0,
            maximum=1,
            hidden=column in hidden,
        )
        for column in [*hidden, *named]
    )
    rows = sum(files.column("rows").to_pylist())
    manifest = Manifest(
        schema="sky",
        table=name,
        release=1,
        created="2026-01-01T00:00:00Z",
        builder="simulated",
        rows=rows,
        bytes=260 * rows,
        input_rows=rows,
        rejected_rows=0,
        schema_fingerprint="0" * 32,
        placement=placement,
        columns=stored,
        id_columns=("objectId",),
        inputs=tuple(
            InputRecord(number=n, name=f"part{n:06d}.parquet", bytes=1, rows=1, rejected=0) for n in range(len(files))
        ),
    )
    write_row_groups(catalog, _row_groups(files, named if statistics else []))
    write_manifest(catalog, manifest, files)
    pointer = {"obs_collection": name, "hats_primary_table_url": catalog.name}
    (table / COLLECTION_PROPERTIES).write_text(format_properties(pointer), encoding="utf-8")


def _row_groups(files: pa.Table, columns: list[str]) -> Iterator[pa.Table]:
    """Yield statistics block by block; their values hardly matter, their number does."""
    per_file = files.column("row_groups").to_numpy()
    file = np.repeat(np.arange(len(files)), per_file)
    group = np.arange(len(file)) % per_file[0]
    low, high = (files.column(name).to_numpy()[file] for name in ("healpix_min", "healpix_max"))
    step = (high - low) // per_file[0]
    keys = {
        "file": file,
        "row_group": group,
        "rows": files.column("rows").to_numpy()[file] // per_file[0],
        "bytes": np.full(len(file), 9 << 20),
        "healpix_min": low + group * step,
        "healpix_max": low + (group + 1) * step - 1,
    }
    unknown = pa.nulls(_BLOCK, pa.float64()), pa.nulls(_BLOCK, pa.int64())  # fast to write
    for start in range(0, len(file), _BLOCK):
        block = slice(start, start + _BLOCK)
        table = pa.table({name: values[block] for name, values in keys.items()}).cast(ROW_GROUP_KEYS)
        for column in columns:
            for part, values in (("min", unknown[0]), ("max", unknown[0]), ("nulls", unknown[1])):
                table = table.append_column(f"{column}.{part}", values.slice(0, len(table)))
        yield table
