"""Assemble: everything of a release but its data files: manifest, maps, HATS properties."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..config import TableConfig
from ..exceptions import LayoutError
from ..layout.hats import HatsFacts, builder_name, catalog_properties, write_hats_files
from ..layout.leaf import LeafFormat
from ..layout.manifest import InputRecord, Manifest, Placement, StoredColumn, write_manifest
from ..layout.paths import HEALPIX_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from ..layout.schema import schema_fingerprint
from ..readers.felis import FelisTable
from ..readers.source import Source
from .bucket import Rejects
from .ledger import Ledger, stored_column_list
from .maps import write_maps
from .parents import Parent

__all__ = ["Assembly", "ReleaseIdentity", "assemble_catalog", "assemble_plain", "placement_of"]

_WIDE: Final = 40
"""Tables of more columns than this tell LSDB to load their principal columns only."""


@dataclass(frozen=True, kw_only=True)
class ReleaseIdentity:
    """What a release is, whatever it holds."""

    catalog: Path
    """Directory of the catalog under construction."""
    schema_name: str
    table: TableConfig
    number: int
    created: str
    felis: FelisTable | None


@dataclass(frozen=True)
class Assembly:
    """What there is to tell about a release whose data files are written."""

    release: ReleaseIdentity
    source: Source
    form: LeafFormat
    ledger: Ledger
    file_rows: tuple[int, ...]
    """Rows of each input file."""
    rejects: Rejects


def placement_of(table: TableConfig, parent: Parent | None) -> Placement:
    """Return which stored columns place the rows, and which are their own position."""
    wanted = table.position_from
    if wanted is None or parent is None:
        assert table.ra is not None
        assert table.dec is not None
        return Placement(ra_column=table.ra, dec_column=table.dec, own_ra_column=table.ra, own_dec_column=table.dec)
    return Placement(
        ra_column=table.ra if wanted.same_position and table.ra else PARENT_RA_COLUMN,
        dec_column=table.dec if wanted.same_position and table.dec else PARENT_DEC_COLUMN,
        own_ra_column=table.ra,
        own_dec_column=table.dec,
        parent=wanted.parent,
        parent_key=(wanted.child_key, wanted.parent_key),
        parent_release=parent.manifest.release,
    )


def assemble_catalog(parts: Assembly, placement: Placement, *, map_order: int, max_rows: int) -> None:
    """Write manifest, maps and HATS files of a tiled table.

    Parameters
    ----------
    map_order
        Order at which the ledger counted rows for the maps.
    max_rows
        Rows at which tiles were split.
    """
    pixels, rows = parts.ledger.map_counts()
    if int(rows.sum()) != parts.ledger.rows:
        msg = f"{parts.release.catalog}: the map counts {rows.sum()} rows, the leaves hold {parts.ledger.rows}"
        raise LayoutError(msg)
    write_maps(parts.release.catalog, pixels, rows, map_order)
    manifest = _write_manifest(parts, placement)
    facts = HatsFacts(
        finest_order=max(file["norder"] for file in parts.ledger.files),
        max_rows=max_rows,
        map_order=map_order,
        sky_fraction=len(pixels) / (12 << (2 * map_order)),
        title=parts.release.felis.description if parts.release.felis else None,
        default_columns=_default_columns(parts, placement),
    )
    properties = catalog_properties(manifest, placement, facts)
    write_hats_files(parts.release.catalog, properties, parts.ledger.files_table(), parts.form.schema)


def assemble_plain(parts: Assembly) -> None:
    """Write the manifest of a table without positions."""
    _write_manifest(parts, None)


def _write_manifest(parts: Assembly, placement: Placement | None) -> Manifest:
    hidden = {HEALPIX_COLUMN, PARENT_RA_COLUMN, PARENT_DEC_COLUMN, *parts.release.table.hidden}
    columns = stored_column_list(parts.release.catalog, parts.ledger, hidden)
    manifest = Manifest(
        schema=parts.release.schema_name,
        table=parts.release.table.name,
        release=parts.release.number,
        created=parts.release.created,
        builder=builder_name(),
        rows=parts.ledger.rows,
        bytes=parts.ledger.size_bytes,
        input_rows=sum(parts.file_rows),
        rejected_rows=parts.rejects.rows,
        schema_fingerprint=schema_fingerprint(parts.form.schema),
        placement=None if placement is None else _with_ra_bounds(placement, columns),
        columns=columns,
        id_columns=parts.release.table.id,
        inputs=_provenance(parts),
    )
    write_manifest(parts.release.catalog, manifest, parts.ledger.files_table())
    return manifest


def _provenance(parts: Assembly) -> tuple[InputRecord, ...]:
    counted = zip(parts.source.files, parts.file_rows, parts.rejects.per_file, strict=True)
    return tuple(
        InputRecord(number=number, name=file.name, bytes=file.size_bytes, rows=rows, rejected=rejected)
        for number, (file, rows, rejected) in enumerate(counted)
    )


def _with_ra_bounds(placement: Placement, columns: tuple[StoredColumn, ...]) -> Placement:
    for column in columns:
        low, high = column.minimum, column.maximum
        if column.name == placement.own_ra_column and isinstance(low, int | float) and isinstance(high, int | float):
            return replace(placement, ra_min=float(low), ra_max=float(high))
    return placement


def _default_columns(parts: Assembly, placement: Placement) -> tuple[str, ...]:
    """Return ids, positions and principal columns of a wide table, in stored order."""
    if parts.release.felis is None or not parts.release.felis.principal or len(parts.form.schema) <= _WIDE:
        return ()
    own = {placement.ra_column, placement.dec_column, placement.own_ra_column, placement.own_dec_column}
    wanted = {*parts.release.table.id, *parts.release.felis.principal, *own}
    return tuple(name for name in parts.form.schema.names if name in wanted)
