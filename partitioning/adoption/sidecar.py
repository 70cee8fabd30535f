"""The manifest of an adopted table, made of what the survey of its files has found."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..layout.adopted import ADOPTED_FILES_SCHEMA
from ..layout.hats import builder_name
from ..layout.manifest import (
    ROW_GROUP_KEYS,
    AdoptedData,
    Manifest,
    Placement,
    StoredColumn,
    stored_bound,
)
from ..layout.schema import is_ordered, schema_fingerprint
from .columns import ForeignColumn, case_twins
from .positions import PositionColumns
from .survey import SurveyedFile

__all__ = ["Identity", "Sums", "is_hidden", "make_manifest"]

_HATS_OWN: Final = ("Norder", "Dir", "Npix", "_healpix_29")
_PANDAS_INDEX: Final = re.compile(r"__index_level_[0-9]+__")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the adopted table is, whatever it holds."""

    schema: str
    table: str
    release: int
    created: str
    id_columns: tuple[str, ...]
    adopted: AdoptedData


@dataclass
class Sums:
    """Sums over the files of one table, and the rows of its ``files.parquet``."""

    columns: tuple[ForeignColumn, ...]
    id_columns: tuple[str, ...]
    base: str
    files: list[dict[str, Any]] = field(default_factory=list)
    column_bytes: dict[str, int] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, tuple[pa.Scalar, pa.Scalar] | None] = field(default_factory=dict)
    """Minimum and maximum so far; None once a row group did not tell."""
    with_nan: set[str] = field(default_factory=set)
    positions_finite: bool = True
    index_is_right: bool = True
    positions_read: bool = True
    ra_min: float = math.inf
    ra_max: float = -math.inf
    leaving_tiles: int = 0
    """Files with rows outside of the tile that their path names."""

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file["rows"] for file in self.files)

    @property
    def positions(self) -> int | None:
        """Rows with a position; None if nobody looked."""
        return sum(file["positions"] for file in self.files) if self.positions_read else None

    def add(self, one: SurveyedFile) -> pa.Table:
        """Add a file; return its rows of ``row_groups.parquet``."""
        number = len(self.files)
        self._add_file(one)
        self._add_columns(one)
        self.index_is_right &= one.index_is_right
        self.leaving_tiles += one.leaves_tile
        if one.content is None:
            self.positions_read = False
        else:
            self.with_nan |= one.content.with_nan
            self.positions_finite &= one.content.is_finite
            self.ra_min, self.ra_max = min(self.ra_min, one.content.ra_min), max(self.ra_max, one.content.ra_max)
        return _row_groups(number, one)

    def files_table(self) -> pa.Table:
        """Return the list of files."""
        kinds = {column.name: column.type for column in self.columns}
        extra = [pa.field(f"{name}.{part}", kinds[name]) for name in self.id_columns for part in ("min", "max")]
        return pa.Table.from_pylist(self.files, pa.schema([*ADOPTED_FILES_SCHEMA, *extra]))

    def _add_file(self, one: SurveyedFile) -> None:
        file = one.file
        row = {
            "path": str(file.path.relative_to(self.base)),
            "rows": one.footer.rows,
            "bytes": file.size_bytes,
            "mtime_ns": file.mtime_ns,
            "row_groups": len(one.footer.group_rows),
            "positions": None if one.content is None else one.content.positions,
            "coverage": one.ranges.ravel().tolist(),
            "max_separation_deg": one.pad_deg,
        }
        kinds = {column.name: column.type for column in self.columns}
        for name in self.id_columns:
            bounds = one.footer.bounds(name, kinds[name])
            row[f"{name}.min"] = None if bounds is None else pc.min(bounds[0])
            row[f"{name}.max"] = None if bounds is None else pc.max(bounds[1])
        self.files.append(row)

    def _add_columns(self, one: SurveyedFile) -> None:
        for name, size in one.footer.column_bytes.items():
            self.column_bytes[name] = self.column_bytes.get(name, 0) + size
        for column in self.columns:
            if is_ordered(column.type) and one.footer.rows:
                counted = pc.sum(one.footer.statistics.column(f"{column.name}.nulls")).as_py()
                self.nulls[column.name] = self.nulls.get(column.name, 0) + (counted or 0)
                self.bounds[column.name] = self._widened(column, one)

    def _widened(self, column: ForeignColumn, one: SurveyedFile) -> tuple[pa.Scalar, pa.Scalar] | None:
        found = one.footer.bounds(column.name, column.type)
        old = self.bounds.get(column.name, ())
        if found is None or old is None:
            return None
        low, high = found
        if old:
            low, high = (pa.concat_arrays([new, pa.repeat(bound, 1)]) for new, bound in zip(found, old, strict=True))
        return pc.min(low), pc.max(high)


def is_hidden(name: str, kind: str, index: str | None) -> bool:
    """Return whether a column is a matter of storage rather than of the table."""
    of_hats = kind == "hats" and name in {*_HATS_OWN, index}
    return of_hats or _PANDAS_INDEX.fullmatch(name) is not None


def make_manifest(identity: Identity, sums: Sums, positions: PositionColumns, scanned: Sequence[str]) -> Manifest:
    """Return the manifest of an adopted table.

    Parameters
    ----------
    scanned
        Columns that were searched for NaN.
    """
    nan_free = set(scanned) - sums.with_nan - {positions.ra, positions.dec}
    if sums.positions_read and sums.positions_finite:
        nan_free |= {positions.ra, positions.dec}
    kind, index = identity.adopted.kind, positions.index
    twins, nothing = case_twins(sums.columns), (pa.scalar(None), pa.scalar(None))
    columns = tuple(
        StoredColumn(
            name=column.name,
            arrow_type=str(column.type),
            nulls=sums.nulls.get(column.name, 0),
            bytes=sums.column_bytes.get(column.name, 0),
            minimum=stored_bound((sums.bounds.get(column.name) or nothing)[0]),
            maximum=stored_bound((sums.bounds.get(column.name) or nothing)[1]),
            hidden=is_hidden(column.name, kind, index) or column.name in twins,
            nan_free=column.name in nan_free or not column.is_float,
            mixed=column.mixed,
        )
        for column in sums.columns
    )
    return Manifest(
        schema=identity.schema,
        table=identity.table,
        release=identity.release,
        created=identity.created,
        builder=builder_name(),
        rows=sums.rows,
        bytes=sum(file["bytes"] for file in sums.files),
        input_rows=sums.rows,
        rejected_rows=0,
        schema_fingerprint=schema_fingerprint(pa.schema([(column.name, column.type) for column in sums.columns])),
        placement=_placement(sums, positions),
        columns=columns,
        id_columns=identity.id_columns,
        nan_policy="guard",
        adopted=identity.adopted,
    )


def _placement(sums: Sums, positions: PositionColumns) -> Placement:
    bounds: Sequence[float] = (sums.ra_min, sums.ra_max)
    if not sums.positions_read:
        bounds = [bound.as_py() for bound in sums.bounds.get(positions.ra) or ()]
    known = len(bounds) == 2 and all(math.isfinite(bound) for bound in bounds)
    return Placement(
        ra_column=positions.ra,
        dec_column=positions.dec,
        own_ra_column=positions.ra,
        own_dec_column=positions.dec,
        ra_min=float(bounds[0]) if known else None,
        ra_max=float(bounds[1]) if known else None,
        healpix_column=positions.index if sums.index_is_right else None,
    )


def _row_groups(number: int, one: SurveyedFile) -> pa.Table:
    groups = len(one.footer.group_rows)
    ranges = np.array(one.group_ranges, dtype=np.int64).reshape(-1, 2)
    keys = {
        "file": np.full(groups, number),
        "row_group": np.arange(groups),
        "rows": one.footer.group_rows,
        "bytes": one.footer.group_bytes,
        "healpix_min": ranges[:, 0],
        "healpix_max": ranges[:, 1] - 1,
    }
    table = pa.table(keys).cast(ROW_GROUP_KEYS)
    for name, column in zip(one.footer.statistics.column_names, one.footer.statistics.columns, strict=True):
        table = table.append_column(name, column)
    return table
