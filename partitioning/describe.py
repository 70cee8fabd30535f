"""A published table in words, for the command line."""

from collections.abc import Iterator
from pathlib import Path

from .exceptions import LayoutError
from .layout.adopted import read_file_map
from .layout.manifest import AdoptedData, Manifest, Placement, read_manifest, read_partition_map
from .layout.paths import COLLECTION_PROPERTIES
from .stages.publish import current_release

__all__ = ["describe_table"]


def describe_table(table: Path) -> Iterator[str]:
    """Yield lines that tell what the table published in directory `table` holds.

    Raises
    ------
    LayoutError
        If nothing is published there.
    """
    release = current_release(table)
    if release is None:
        msg = f"{table}: no table is published here (there is no {COLLECTION_PROPERTIES}); give ROOT/SCHEMA/TABLE"
        raise LayoutError(msg)
    manifest = read_manifest(release)
    built = f"built {manifest.created} by {manifest.builder}"
    yield f"{manifest.schema}.{manifest.table}, release {manifest.release}, {built}"
    yield f"{manifest.rows} rows in {manifest.bytes / 1e6:.1f} MB; {manifest.rejected_rows} rows rejected"
    yield from _files(release, manifest)
    yield f"{len(manifest.columns)} columns:"
    for column in manifest.columns:
        share = f"{column.nulls / max(manifest.rows, 1):.1%} NULL"
        hidden = ", hidden" if column.hidden else ""
        bounds = "" if column.minimum is None else f", {column.minimum} to {column.maximum}"
        yield f"  {column.name}  {column.arrow_type}, {column.bytes / 1e6:.2f} MB, {share}{bounds}{hidden}"


def _files(release: Path, manifest: Manifest) -> Iterator[str]:
    if manifest.placement is None:
        yield "no positions: one file"
        return
    if manifest.adopted is not None:
        yield from _adopted(release, manifest.adopted)
        yield f"positions: {_placement(manifest.placement)}"
        return
    tiles = read_partition_map(release)
    orders = f"orders {tiles.orders.min()} to {tiles.orders.max()}"
    yield f"{len(tiles)} tiles of {orders}, {tiles.rows.min()} to {tiles.rows.max()} rows each"
    yield f"placed by {_placement(manifest.placement)}"


def _adopted(release: Path, adopted: AdoptedData) -> Iterator[str]:
    files = read_file_map(release, adopted)
    where = f"{files.rows.min()} to {files.rows.max()} rows each, below {adopted.base}"
    more = f" and {len(adopted.inputs) - 3} more" if len(adopted.inputs) > 3 else ""
    yield f"adopted: {len(files)} files of {', '.join(adopted.inputs[:3])}{more}; {where}"
    yield "coverage by HATS tiles, positions not read" if adopted.tiles_trusted else "coverage by positions"


def _placement(placement: Placement) -> str:
    columns = f"{placement.ra_column}, {placement.dec_column}"
    if placement.parent is None or placement.parent_key is None:
        return columns
    child, parent = placement.parent_key
    return f"{columns}, looked up in {placement.parent} (release {placement.parent_release}) by {child} = {parent}"
