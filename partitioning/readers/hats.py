"""A HATS catalog as input, to tile it anew: its leaves are Parquet files.

The leaves are those that ``partition_info.csv`` lists, not those that happen to lie there: of a catalog that is being
written or was left half removed, files may lie around that are not part of it.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import DamagedInputError, InputError, LayoutError
from ..layout.paths import COLLECTION_PROPERTIES, METADATA, PLAIN_FILE, PLAIN_PROPERTIES, leaf_path
from ..layout.properties import parse_properties
from ..sky.healpix import Pixel
from .directories import parquet_files

__all__ = ["PARTITION_COLUMNS", "catalog_leaves", "is_catalog"]

PARTITION_COLUMNS: Final = frozenset({"Norder", "Dir", "Npix"})
"""Columns of the tile itself, which older tools wrote into each leaf."""

_PROPERTIES: Final = ("hats.properties", "properties")
_KINDS: Final = ("object", "source")
_PARTITIONS: Final = "partition_info.csv"


def is_catalog(directory: Path) -> bool:
    """Return whether `directory` is a HATS catalog, a collection of some, or a published table without positions."""
    return any((directory / name).is_file() for name in (COLLECTION_PROPERTIES, PLAIN_PROPERTIES, *_PROPERTIES))


def catalog_leaves(directory: Path) -> list[Path]:
    """Return the data files of the HATS catalog `directory`, or of the main catalog of a collection, in tile order.

    A table without positions, as this project stores it, is one file.

    Raises
    ------
    InputError
        If it is no catalog of objects or sources.
    DamagedInputError
        If a file of it is missing or cannot be read.
    """
    if (directory / PLAIN_PROPERTIES).is_file():
        return [_current_release(directory / PLAIN_PROPERTIES) / PLAIN_FILE]
    pointer = directory / COLLECTION_PROPERTIES
    catalog = _current_release(pointer) if pointer.is_file() else directory
    properties = _properties(catalog)
    kind = properties.get("dataproduct_type", _KINDS[0])
    if kind not in _KINDS:
        msg = f"{catalog}: a HATS catalog of type {kind!r} holds no table of its own; name the main catalog"
        raise InputError(msg)
    suffix = properties.get("hats_npix_suffix", ".parquet")
    return [leaf for pixel in _pixels(catalog) for leaf in _pixel_leaves(catalog, pixel, suffix)]


def _current_release(pointer: Path) -> Path:
    name = _parsed(pointer).get("hats_primary_table_url")
    if not name:
        raise DamagedInputError(str(pointer), "names no main catalog (hats_primary_table_url)")
    return pointer.parent / name


def _properties(catalog: Path) -> dict[str, str]:
    for name in _PROPERTIES:
        if (catalog / name).is_file():
            return _parsed(catalog / name)
    msg = f"{catalog}: not a HATS catalog: it has neither {COLLECTION_PROPERTIES} nor {' nor '.join(_PROPERTIES)}"
    raise InputError(msg)


def _parsed(path: Path) -> dict[str, str]:
    try:
        return parse_properties(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, LayoutError) as error:
        raise DamagedInputError(str(path), str(error)) from error


def _pixels(catalog: Path) -> list[Pixel]:
    """Return the tiles as listed; of a catalog without list, those that its joint footer names."""
    path = catalog / _PARTITIONS
    try:
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as lines:
                return [_pixel(row) for row in csv.DictReader(lines)]
        path = catalog / METADATA
        metadata = pq.read_metadata(path)
        names = [metadata.row_group(group).column(0).file_path for group in range(metadata.num_row_groups)]
        return [_pixel(dict(_keys(name))) for name in dict.fromkeys(names)]
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        problem = f"the tiles of the catalog cannot be read ({_PARTITIONS} or {METADATA}): {error}"
        raise DamagedInputError(str(path), problem) from error


def _keys(name: str) -> list[tuple[str, str]]:
    """Return the pairs in a leaf's name, such as ``Norder=1/Dir=0/Npix=5.parquet``."""
    pairs = [part.partition("=") for part in name.split("/")]
    return [(key, value.partition(".")[0]) for key, _, value in pairs]


def _pixel(row: Mapping[str, str]) -> Pixel:
    return Pixel(int(row["Norder"]), int(row["Npix"]))


def _pixel_leaves(catalog: Path, pixel: Pixel, suffix: str) -> list[Path]:
    """Return the file of a tile, or all files of its directory."""
    leaf = catalog / leaf_path(pixel)
    leaf = leaf.with_name(leaf.stem + suffix.strip("/"))
    leaves = parquet_files(leaf) if suffix == "/" else [leaf] if leaf.is_file() else []
    if not leaves:
        raise DamagedInputError(str(leaf), f"missing, though {_PARTITIONS} lists its tile")
    return leaves
