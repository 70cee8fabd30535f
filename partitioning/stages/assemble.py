"""Assemble: everything of a release but its data files: manifest, maps, HATS properties, margin and index catalogs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import LayoutError
from ..layout.hats import (
    HatsFacts,
    builder_name,
    catalog_properties,
    index_properties,
    margin_properties,
    write_hats_files,
    write_properties,
)
from ..layout.manifest import (
    INDEX_FILES_SCHEMA,
    IndexRecord,
    InputRecord,
    Manifest,
    MarginRecord,
    Placement,
    StoredColumn,
    write_columns,
    write_files,
    write_manifest,
    write_row_groups,
)
from ..layout.paths import (
    COMMON_METADATA,
    HEALPIX_COLUMN,
    INPUT_COLUMN,
    METADATA,
    PARENT_DEC_COLUMN,
    PARENT_RA_COLUMN,
    REJECTS_FILE,
    index_part_path,
)
from ..layout.schema import schema_fingerprint
from ..readers.felis import FelisTable
from .account import rejected_batches
from .columns import stored_column_list
from .id_index import distinct_ids, forget_index
from .id_runs import is_flat
from .ledger import Ledger
from .maps import write_maps
from .plan import TablePlan
from .summary import write_summary
from .workspace import Workspace, column_stage

__all__ = [
    "Facts",
    "assemble_catalog",
    "assemble_index",
    "assemble_margin",
    "assemble_plain",
    "with_ra_bounds",
    "write_index_metadata",
]

_WIDE: Final = 40
"""Tables of more columns than this tell LSDB to load their principal columns only."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What there is to tell about a release whose data files are written."""

    plan: TablePlan
    workspace: Workspace
    felis: FelisTable | None
    ledger: Ledger
    inputs: tuple[InputRecord, ...]
    margins: tuple[MarginRecord, ...] = ()
    indexes: tuple[IndexRecord, ...] = ()

    @property
    def catalog(self) -> Path:
        """Directory of the main catalog under construction."""
        return self.workspace.catalog


def assemble_catalog(facts: Facts, placement: Placement, *, map_order: int, rejects: Sequence[Path]) -> Manifest:
    """Write manifest, maps and HATS files of a tiled table.

    Parameters
    ----------
    map_order
        Order at which the ledger counted rows for the maps.
    rejects
        Files of rejected rows, to be joined.
    """
    pixels, rows = facts.ledger.map_counts
    if int(rows.sum()) != facts.ledger.rows:
        msg = f"{facts.catalog}: the map counts {rows.sum()} rows, the leaves hold {facts.ledger.rows}"
        raise LayoutError(msg)
    for index in facts.indexes:
        _check_index(facts, index)
    write_maps(facts.catalog, pixels, rows, map_order)
    _join_rejects(facts.catalog / REJECTS_FILE, rejects)
    manifest = _write_manifest(facts, placement)
    hats = HatsFacts(
        finest_order=int(np.max(facts.ledger.files.column("norder").to_numpy())),
        max_rows=int(facts.plan.target_rows),
        map_order=map_order,
        sky_fraction=len(pixels) / (12 << (2 * map_order)),
        title=facts.felis.description if facts.felis else None,
        default_columns=_default_columns(facts, placement),
    )
    properties = catalog_properties(manifest, placement, hats)
    write_hats_files(facts.catalog, properties, facts.ledger.files, facts.plan.form.schema)
    write_summary(facts.catalog, pixels, rows, map_order)
    return manifest


def _check_index(facts: Facts, index: IndexRecord) -> None:
    """Raise `LayoutError` unless an index has an entry for every row whose id is not NULL."""
    ledger = facts.ledger
    ids = ledger.rows - int(ledger.column_nulls[:, ledger.schema.names.index(index.column)].sum())
    if index.rows != ids:
        forget_index(facts.workspace)
        msg = f"{index.directory}: the index has {index.rows} entries, the leaves hold {ids} values of {index.column}; "
        msg += "run the same command again: the index is made anew"
        raise LayoutError(msg)


def assemble_plain(facts: Facts) -> Manifest:
    """Write the manifest of a table without positions."""
    return _write_manifest(facts, None)


def assemble_margin(
    workspace: Workspace, plan: TablePlan, files: pa.Table, placement: Placement, directory: Path
) -> MarginRecord:
    """Write manifest and HATS files of a margin catalog whose leaves are written."""
    rows, size = (int(np.sum(files.column(name).to_numpy())) for name in ("rows", "bytes"))
    record = MarginRecord(directory=directory.name, threshold_arcsec=plan.table.margin_arcsec, rows=rows, bytes=size)
    write_files(directory, files)
    properties = margin_properties(workspace.name, record, placement, plan.created)
    write_hats_files(directory, properties, files, plan.form.schema)
    return record


def assemble_index(workspace: Workspace, plan: TablePlan, column: str, parts: int) -> IndexRecord:
    """Write manifest and HATS files of an id index whose parts and flat arrays are written."""
    directory = workspace.index(column)
    records = [dict(np.load(workspace.record(column_stage("index", column), part))) for part in range(parts)]
    files = pa.table(
        {
            "part": pa.array(range(parts), pa.int32()),
            "rows": pa.array([int(record["rows"]) for record in records], pa.int64()),
            "bytes": pa.array([int(record["bytes"]) for record in records], pa.int64()),
            "xxh3_128": pa.array([str(record["checksum"]) for record in records], pa.string()),
        }
    ).cast(INDEX_FILES_SCHEMA)
    write_files(directory, files)
    write_index_metadata(directory, parts)
    flat = is_flat(plan.form.schema.field(column).type)
    rows, size = (int(np.sum(files.column(name).to_numpy())) for name in ("rows", "bytes"))
    distinct = distinct_ids(records)
    record = IndexRecord(column=column, directory=directory.name, rows=rows, bytes=size, flat=flat, distinct=distinct)
    write_properties(directory, index_properties(workspace.name, record, plan.created))
    return record


def write_index_metadata(directory: Path, parts: int) -> None:
    """Write the footers of all parts as one file, and their schema."""
    collected = []
    for part in range(parts):
        metadata = pq.read_metadata(directory / index_part_path(part))
        metadata.set_file_path(f"index/part.{part}.parquet")
        collected.append(metadata)
    schema = pq.read_schema(directory / index_part_path(0))
    pq.write_metadata(schema, directory / COMMON_METADATA)
    pq.write_metadata(schema, directory / METADATA, metadata_collector=collected)


def _join_rejects(path: Path, parts: Sequence[Path]) -> None:
    """Write the rejected rows of all units as one file; none if there are no rows."""
    path.unlink(missing_ok=True)
    if not parts:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.unify_schemas([pq.read_schema(part) for part in parts], promote_options="permissive")
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in rejected_batches(parts):
            writer.write_batch(_with_schema(rows, schema))


def _with_schema(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        rows.column(field.name).cast(field.type) if field.name in rows.schema.names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def _write_manifest(facts: Facts, placement: Placement | None) -> Manifest:
    plan = facts.plan
    hidden = {HEALPIX_COLUMN, PARENT_RA_COLUMN, PARENT_DEC_COLUMN, INPUT_COLUMN, *plan.table.hidden}
    write_row_groups(facts.catalog, facts.ledger.group_tables())
    columns = stored_column_list(facts.catalog, facts.ledger, hidden)
    manifest = Manifest(
        schema=plan.schema_name,
        table=plan.table.name,
        release=plan.release,
        created=plan.created,
        builder=builder_name(),
        rows=facts.ledger.rows,
        bytes=facts.ledger.size_bytes,
        input_rows=sum(record.rows for record in facts.inputs),
        rejected_rows=sum(record.rejected for record in facts.inputs),
        schema_fingerprint=schema_fingerprint(plan.form.schema),
        placement=None if placement is None else with_ra_bounds(placement, columns),
        columns=columns,
        id_columns=plan.table.id,
        inputs=facts.inputs,
        margins=facts.margins,
        indexes=facts.indexes,
    )
    write_columns(facts.catalog, facts.ledger.column_bytes, facts.ledger.column_nulls, _named_sketches(facts.ledger))
    write_manifest(facts.catalog, manifest, facts.ledger.files)
    return manifest


def _named_sketches(ledger: Ledger) -> Mapping[str, np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    names = ledger.schema.names  # a list that is made each time it is asked for
    return {names[number]: hashes for number, hashes in sorted(ledger.sketches.items())}


def with_ra_bounds(placement: Placement, columns: tuple[StoredColumn, ...]) -> Placement:
    """Return `placement` with the bounds of the own right ascension that the columns' statistics tell."""
    for column in columns:
        low, high = column.minimum, column.maximum
        if column.name == placement.own_ra_column and isinstance(low, int | float) and isinstance(high, int | float):
            return replace(placement, ra_min=float(low), ra_max=float(high))
    return placement


def _default_columns(facts: Facts, placement: Placement) -> tuple[str, ...]:
    """Return ids, positions and principal columns of a wide table, in stored order."""
    schema = facts.plan.form.schema
    if facts.felis is None or not facts.felis.principal or len(schema) <= _WIDE:
        return ()
    own = {placement.ra_column, placement.dec_column, placement.own_ra_column, placement.own_dec_column}
    wanted = {*facts.plan.table.id, *facts.felis.principal, *own}
    return tuple(name for name in schema.names if name in wanted)
