"""Ledger: what the leaves of a release hold, summed up as they are written, and turned into its manifest."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.leaf import LeafSummary
from ..layout.manifest import FILES_SCHEMA, ROW_GROUPS_FILE, StoredColumn, write_row_groups
from ..layout.paths import MANIFEST_DIR
from ..sky.healpix import Pixel
from .sort import Leaf

__all__ = ["Ledger", "stored_column_list"]

_LONGEST_TEXT = 128
"""Longer minima and maxima of text columns are left out of the manifest."""


@dataclass
class Ledger:
    """Sums over the leaves of one release."""

    schema: pa.Schema
    files: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `FILES_SCHEMA`."""
    column_bytes: NDArray[np.int64] = field(init=False)
    column_nulls: NDArray[np.int64] = field(init=False)
    map_pixels: list[NDArray[np.int64]] = field(default_factory=list)
    map_rows: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.column_bytes = np.zeros(len(self.schema), dtype=np.int64)
        self.column_nulls = np.zeros(len(self.schema), dtype=np.int64)

    @property
    def rows(self) -> int:
        """Rows of all leaves."""
        return sum(file["rows"] for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all leaves."""
        return sum(file["bytes"] for file in self.files)

    def record(self, catalog: Path, leaves: Iterable[Leaf]) -> None:
        """Add leaves, in HEALPix order, while writing their row-group statistics to the manifest."""
        write_row_groups(catalog, self._recorded(leaves))

    def files_table(self) -> pa.Table:
        """Return the list of files."""
        return pa.Table.from_pylist(self.files, FILES_SCHEMA)

    def map_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the occupied map pixels, sorted, and the rows in each; tiles may share a pixel."""
        pixels, slots = np.unique(np.concatenate(self.map_pixels), return_inverse=True)
        rows = np.zeros(len(pixels), dtype=np.int64)
        np.add.at(rows, slots, np.concatenate(self.map_rows))
        return pixels, rows

    def _recorded(self, leaves: Iterable[Leaf]) -> Iterator[pa.Table]:
        for number, leaf in enumerate(leaves):
            self._add(leaf.pixel, leaf.summary, (leaf.healpix_min, leaf.healpix_max), leaf.max_separation_deg)
            self.map_pixels.append(leaf.map_pixels)
            self.map_rows.append(leaf.map_rows)
            yield leaf.summary.groups.add_column(0, "file", pa.array([number] * len(leaf.summary.groups), pa.int32()))

    def _add(self, pixel: Pixel, summary: LeafSummary, bounds: tuple[int, int], separation_deg: float) -> None:
        self.files.append(
            {
                "norder": pixel.order,
                "npix": pixel.number,
                "rows": summary.rows,
                "bytes": summary.size_bytes,
                "row_groups": len(summary.groups),
                "healpix_min": bounds[0],
                "healpix_max": bounds[1],
                "max_separation_deg": separation_deg,
                "xxh3_128": summary.checksum,
            }
        )
        self.column_bytes += summary.column_bytes
        self.column_nulls += summary.column_nulls


def stored_column_list(catalog: Path, ledger: Ledger, hidden: Iterable[str]) -> tuple[StoredColumn, ...]:
    """Return the manifest's columns; minima and maxima come from the row-group statistics on disk."""
    hidden = set(hidden)
    with pq.ParquetFile(catalog / MANIFEST_DIR / ROW_GROUPS_FILE) as statistics:
        known = set(statistics.schema_arrow.names)
        return tuple(
            StoredColumn(
                name=column.name,
                arrow_type=str(column.type),
                nulls=int(ledger.column_nulls[number]),
                bytes=int(ledger.column_bytes[number]),
                minimum=_bound(statistics, column.name, "min") if f"{column.name}.min" in known else None,
                maximum=_bound(statistics, column.name, "max") if f"{column.name}.max" in known else None,
                hidden=column.name in hidden,
            )
            for number, column in enumerate(ledger.schema)
        )


def _bound(statistics: pq.ParquetFile, name: str, part: str) -> float | int | str | bool | None:
    """Return the smallest ``.min`` or largest ``.max`` of a column, None if there is none that JSON can hold."""
    values = statistics.read([f"{name}.{part}"]).column(0)
    value = (pc.min if part == "min" else pc.max)(values).as_py()
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return value if len(value) <= _LONGEST_TEXT else None
        case other:
            return str(other)
