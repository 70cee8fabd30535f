"""Publish releases that consist of a manifest only: all that the registry reads."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from partitioning.layout.manifest import FILES_SCHEMA, Manifest, Placement, StoredColumn, write_manifest
from partitioning.layout.paths import COLLECTION_PROPERTIES, PLAIN_PROPERTIES, release_name
from partitioning.layout.properties import format_properties

__all__ = ["OWN", "publish", "stored"]

OWN = Placement(ra_column="ra", dec_column="dec", own_ra_column="ra", own_dec_column="dec", ra_min=0.0, ra_max=359.0)


def stored(name: str, arrow_type: str = "double", *, hidden: bool = False) -> StoredColumn:
    return StoredColumn(name=name, arrow_type=arrow_type, nulls=0, bytes=10, hidden=hidden)


def publish(
    root: Path,
    table: str,
    columns: Sequence[StoredColumn],
    *,
    schema: str = "sky",
    release: int = 1,
    placement: Placement | None = OWN,
    tiles: Sequence[Mapping[str, float]] = ({"norder": 0, "npix": 4},),
    id_columns: tuple[str, ...] = (),
) -> Path:
    """Publish release number `release` of a table, as the partitioner does: its pointer is renamed into place last."""
    directory = root / schema / table
    catalog = directory / release_name(table, release)
    files = pa.Table.from_pylist([_tile(tile) for tile in tiles], FILES_SCHEMA)
    manifest = Manifest(
        schema=schema,
        table=table,
        release=release,
        created="2026-01-01T00:00:00Z",
        builder="test",
        rows=sum(files["rows"].to_pylist()),
        bytes=sum(files["bytes"].to_pylist()),
        input_rows=1,
        rejected_rows=0,
        schema_fingerprint="0" * 32,
        placement=placement,
        columns=tuple(columns),
        id_columns=id_columns,
    )
    write_manifest(catalog, manifest, files)
    pointer = directory / (PLAIN_PROPERTIES if placement is None else COLLECTION_PROPERTIES)
    point(pointer, format_properties({"obs_collection": table, "hats_primary_table_url": catalog.name}))
    return catalog


def point(pointer: Path, text: str) -> None:
    """Put a pointer file in place by renaming."""
    new = pointer.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, pointer)  # noqa: PTH105  (what publication does)


def _tile(tile: Mapping[str, float]) -> dict[str, object]:
    norder, npix = int(tile["norder"]), int(tile["npix"])
    first = npix << (2 * (29 - norder))
    last = ((npix + 1) << (2 * (29 - norder))) - 1
    return {
        "norder": norder,
        "npix": npix,
        "rows": 7,
        "bytes": 700,
        "row_groups": 1,
        "healpix_min": first,
        "healpix_max": last,
        "max_separation_deg": 0.0,
        "xxh3_128": "0" * 32,
        **tile,
    }
