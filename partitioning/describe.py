"""A published table in words, for the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .exceptions import ConfigError
from .layout.adopted import read_file_map
from .layout.manifest import (
    AdoptedData,
    InputRecord,
    Manifest,
    Placement,
    StoredColumn,
    read_manifest,
    read_partition_map,
)
from .layout.properties import parse_properties
from .layout.schema import served_type, unserved_note
from .progress import size_text
from .releases import find_releases, published_release, total_bytes
from .stages.publish import releases

__all__ = ["describe_table", "spread"]

_SKY_SQDEG: Final = 41252.96
_FEW_INPUTS: Final = 20


def describe_table(table: Path, *, release: int | None = None, all_inputs: bool = False) -> Iterator[str]:
    """Yield lines that tell what the table published in directory `table` holds.

    Parameters
    ----------
    release
        Number of a release that lies there; None: the current one.
    all_inputs
        Whether to name all input files, rather than the first twenty.

    Raises
    ------
    LayoutError
        If nothing is published there, or the release has no manifest.
    ConfigError
        If there is no such release.
    """
    current = published_release(table)
    catalog = current if release is None else releases(table).get(release)
    if catalog is None:
        msg = f"{table}: there is no release {release}; there are {', '.join(map(str, releases(table)))}"
        raise ConfigError(msg)
    manifest = read_manifest(catalog)
    built = f"built {manifest.created} by {manifest.builder}"
    yield f"{manifest.schema}.{manifest.table}, release {manifest.release}, {built}"
    yield f"{manifest.rows} rows in {size_text(manifest.bytes)}; {manifest.rejected_rows} rows rejected"
    yield from _files(catalog, manifest)
    yield from _beside(manifest)
    yield from _columns(manifest)
    yield from _inputs(manifest.inputs, None if all_inputs else _FEW_INPUTS)
    yield from _releases(table, current)


def spread(values: NDArray[np.number[Any]], text: Callable[[float], str] = "{:.0f}".format) -> str:
    """Return smallest, median and largest of some numbers, in words.

    >>> spread(np.array([3, 1, 8])), spread(np.array([1_500_000.0]), size_text)
    ('1 min, 3 median, 8 max', '1.5 MB min, 1.5 MB median, 1.5 MB max')
    """
    low, middle, high = (text(float(one)) for one in (np.min(values), np.median(values), np.max(values)))
    return f"{low} min, {middle} median, {high} max"


def _files(catalog: Path, manifest: Manifest) -> Iterator[str]:
    if manifest.placement is None:
        yield "no positions: one file"
        return
    if manifest.adopted is not None:
        yield from _adopted(catalog, manifest.adopted)
        yield f"positions: {_placement(manifest.placement)}"
        return
    tiles = read_partition_map(catalog)
    yield f"{len(tiles)} tiles of orders {tiles.orders.min()} to {tiles.orders.max()}"
    yield f"  rows per tile: {spread(tiles.rows)}"
    yield f"  bytes per tile: {spread(tiles.size_bytes, size_text)}"
    properties = parse_properties((catalog / "hats.properties").read_text(encoding="utf-8"))
    fraction = float(properties.get("moc_sky_fraction", "nan"))
    yield f"coverage: {fraction * _SKY_SQDEG:.4g} square degrees, {fraction:.3%} of the sky"
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


def _beside(manifest: Manifest) -> Iterator[str]:
    for margin in manifest.margins:
        yield f"margin of {margin.threshold_arcsec:g} arcsec: {margin.rows} rows in {size_text(margin.bytes)}"
    for index in manifest.indexes:
        flat = ", flat arrays" if index.flat else ""
        yield f"id index of {index.column}: {index.rows} entries in {size_text(index.bytes)}{flat}"
    yield f"{size_text(total_bytes(manifest))} in all"


def _columns(manifest: Manifest) -> Iterator[str]:
    yield f"{len(manifest.columns)} columns:"
    for column in manifest.columns:
        share = f"{column.nulls / max(manifest.rows, 1):.1%} NULL"
        bounds = ", ".join(["", *_bounds(column)])
        distinct = "" if column.distinct is None else f", about {column.distinct} distinct"
        is_served = served_type(column.arrow_type, column.maximum) is not None
        hidden = ", hidden" if column.hidden else "" if is_served else ", not served"
        yield f"  {column.name}  {column.arrow_type}, {size_text(column.bytes)}, {share}{bounds}{distinct}{hidden}"
    shown = [(one.name, one.arrow_type, one.maximum) for one in manifest.columns if not one.hidden]
    if note := unserved_note(shown, manifest.id_columns):
        yield f"not served: {note}"


def _bounds(column: StoredColumn) -> Iterator[str]:
    """Yield smallest and largest value, as far as they are known: infinite ones are not."""
    if column.minimum is not None or column.maximum is not None:
        low, high = ("?" if one is None else one for one in (column.minimum, column.maximum))
        yield f"{low} to {high}"


def _inputs(inputs: tuple[InputRecord, ...], most: int | None) -> Iterator[str]:
    yield f"{len(inputs)} input files:"
    for record in inputs[:most]:
        rejected = f", {record.rejected} rejected" if record.rejected else ""
        yield f"  {record.name}  {record.rows} rows, {size_text(record.bytes)}{rejected}"
        yield from (f"    left out: {part}" for part in record.bad_parts)
    if most is not None and len(inputs) > most:
        yield f"  ... and {len(inputs) - most} more: --inputs names them all"


def _releases(table: Path, current: Path) -> Iterator[str]:
    found = find_releases(table)
    yield f"{len(found)} releases:" if len(found) != 1 else "1 release:"
    for release in found.values():
        state = ", current" if release.directories[0] == current else ""
        facts = "incomplete: what is left of one"
        if release.manifest is not None and release.is_whole:
            facts = f"{release.manifest.created}, {release.manifest.rows} rows, {size_text(release.size_bytes)}"
        yield f"  {release.number}  {facts}{state}"
