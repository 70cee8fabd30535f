"""HATS catalogs of other groups: properties, list of partitions, leaves of either kind (IVOA Note HATS 1.0)."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ..exceptions import InputError, LayoutError
from ..layout.paths import COLLECTION_PROPERTIES
from ..layout.properties import parse_properties
from ..sky.healpix import ORDER, Pixel

__all__ = ["catalog_of", "find_leaves", "index_column", "is_hats"]

_PROPERTIES: Final = ("hats.properties", "properties")
"""The second is the older name."""

_SUFFIXES: Final = (".parquet", ".parq", ".pq")
_ORDER_DIR: Final = re.compile(r"Norder=([0-9]+)")
_LEAF: Final = re.compile(r"Npix=([0-9]+)(.*)")
_DEFAULT_INDEX: Final = "_healpix_29"

Leaves = list[tuple[Path, Pixel]]


def is_hats(path: Path) -> bool:
    """Return whether `path` is the directory of a HATS catalog or collection."""
    has_properties = any((path / name).is_file() for name in _PROPERTIES) and (path / "dataset").is_dir()
    return has_properties or (path / COLLECTION_PROPERTIES).is_file()


def catalog_of(path: Path) -> tuple[Path, dict[str, str]]:
    """Return directory and properties of a catalog, or of a collection's main catalog.

    Raises
    ------
    InputError
        If the main catalog lies elsewhere on the net, or holds no rows of objects (a margin, an index, a map).
    LayoutError
        If properties are missing or malformed.
    """
    if (path / COLLECTION_PROPERTIES).is_file():
        main = _read(path / COLLECTION_PROPERTIES).get("hats_primary_table_url")
        if main is None or "://" in main:
            msg = f"{path / COLLECTION_PROPERTIES}: hats_primary_table_url is {main or 'missing'}, no local directory"
            raise InputError(msg)
        path /= main
    for name in _PROPERTIES:
        if (path / name).is_file():
            properties = _read(path / name)
            _refuse_other_products(path, properties)
            return path, properties
    msg = f"{path}: neither {' nor '.join(_PROPERTIES)} is there; give the directory of a HATS catalog or collection"
    raise LayoutError(msg)


def find_leaves(catalog: Path, properties: Mapping[str, str]) -> tuple[Leaves, int]:
    """Return (file, pixel) of every leaf file in HEALPix order, and how many leaves the list of partitions leaves out.

    Raises
    ------
    LayoutError
        If there is no leaf, a listed one is missing, or one pixel has two.
    """
    leaves = _leaves_on_disk(catalog / "dataset", properties.get("hats_npix_suffix"))
    listed = _listed_pixels(catalog / "partition_info.csv")
    if listed is not None:
        missing = sorted(listed - leaves.keys())
        if missing:
            msg = f"{catalog}: partition_info.csv lists {missing[0]}, but has no such leaf ({len(missing)} missing)"
            raise LayoutError(msg)
    chosen = leaves.keys() if listed is None else listed
    if not chosen:
        msg = f"{catalog}: no leaf dataset/Norder=*/Dir=*/Npix=*"
        raise LayoutError(msg)
    in_order = sorted(chosen, key=lambda pixel: pixel.number << (2 * (ORDER - pixel.order)))
    found = [(file, pixel) for pixel in in_order for file in _data_files(leaves[pixel])]
    return found, len(leaves) - len(chosen)


def index_column(properties: Mapping[str, str]) -> tuple[str, bool]:
    """Return name of the catalog's spatial index column, and whether it is of order 29."""
    order = properties.get("hats_col_healpix_order", str(ORDER))
    return properties.get("hats_col_healpix", _DEFAULT_INDEX), order == str(ORDER)


def _read(path: Path) -> dict[str, str]:
    try:
        return parse_properties(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, LayoutError) as error:
        msg = f"{path}: not a readable property file: {error}"
        raise LayoutError(msg) from error


def _refuse_other_products(path: Path, properties: Mapping[str, str]) -> None:
    kind = properties.get("dataproduct_type", "object")
    if kind not in {"object", "source"}:
        msg = f"{path}: is of type {kind!r}; only catalogs of type object or source can be adopted"
        raise InputError(msg)


def _leaves_on_disk(dataset: Path, suffix: str | None) -> dict[Pixel, Path]:
    found: dict[Pixel, Path] = {}
    for path, pixel in _candidates(dataset):
        rest = path.name.partition("=")[2].lstrip("0123456789")
        if not _is_leaf(path, rest, suffix):
            continue
        if pixel in found:
            msg = f"{path} and {found[pixel].name} are leaves of one pixel; remove the one that is not valid"
            raise LayoutError(msg)
        found[pixel] = path
    return found


def _candidates(dataset: Path) -> Iterator[tuple[Path, Pixel]]:
    for order_dir in sorted(dataset.glob("Norder=*")):
        order = _ORDER_DIR.fullmatch(order_dir.name)
        if order is None:
            continue
        for path in sorted(order_dir.glob("Dir=*/Npix=*")):
            match = _LEAF.fullmatch(path.name)
            if match is None:
                continue
            pixel = Pixel(int(order[1]), int(match[1]))
            if pixel.order > ORDER or pixel.number >= 12 << (2 * pixel.order):
                msg = f"{path}: there is no such HEALPix pixel"
                raise LayoutError(msg)
            yield path, pixel


def _is_leaf(path: Path, rest: str, suffix: str | None) -> bool:
    """Return whether an entry ``Npix=n<rest>`` is a leaf, and not something temporary; `suffix` is the declared one."""
    if path.is_dir():
        return not rest and suffix in {None, "/"}
    return rest.endswith(_SUFFIXES) if suffix is None else rest == suffix


def _data_files(leaf: Path) -> list[Path]:
    """Return a file leaf, or the files of a directory leaf in order; readers ignore names with ``.`` and ``_``."""
    if leaf.is_file():
        return [leaf]
    inside = (path for path in sorted(leaf.rglob("*")) if path.is_file())
    return [path for path in inside if all(part[0] not in "._" for part in path.relative_to(leaf).parts)]


def _listed_pixels(path: Path) -> set[Pixel] | None:
    """Return the pixels of ``partition_info.csv``, None if there is no such file."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {Pixel(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: not a list of partitions: {error!r}"
        raise LayoutError(msg) from error
