"""Where things lie on disk.

::

    <root>/<schema>/schema.yaml                             Felis description of the schema
    <root>/<schema>/<Table>/collection.properties           HATS collection; its rename is the commit of a release
    <root>/<schema>/<Table>/<Table>_r1/                     main catalog of release r1, immutable
    <root>/<schema>/<Table>/<Table>_r1/hats.properties, properties, partition_info.csv, point_map.fits, skymap.fits
    <root>/<schema>/<Table>/<Table>_r1/moc.fits, data_thumbnail.parquet, README.md, index.html, density.png
    <root>/<schema>/<Table>/<Table>_r1/dataset/_common_metadata
    <root>/<schema>/<Table>/<Table>_r1/dataset/Norder=k/Dir=d/Npix=n.parquet
    <root>/<schema>/<Table>/<Table>_r1/manifest/manifest.json, files.parquet, row_groups.parquet, sketches.parquet,
                                                       rejects.parquet, checksums.xxh128
    <root>/<schema>/<Table>/<Table>_r1_10arcs/              margin of the same release, a catalog of its own:
        hats.properties, properties, partition_info.csv, dataset/..., manifest/files.parquet, manifest/checksums.xxh128
    <root>/<schema>/<Table>/<Table>_r1_objectId/            id index of the same release:
        hats.properties, properties, dataset/_common_metadata, dataset/_metadata, dataset/index/part.0.parquet, ...
        manifest/files.parquet, manifest/checksums.xxh128, flat/ids.i64, flat/healpix.i64

    <root>/<schema>/<table>/table.properties                the same pointer for a table without positions,
    <root>/<schema>/<table>/<table>_r1/table.parquet        stored as one plain Parquet file beside its manifest,
                                                            and for an adopted table, of which there is a manifest only

Sources: IVOA Note HATS 1.0 for the tree of a catalog; the rest is this project's.
"""

import string
from typing import Final

from ..sky.healpix import Pixel

__all__ = [
    "CHECKSUMS_FILE",
    "COLLECTION_PROPERTIES",
    "COMMON_METADATA",
    "COVERAGE_FILE",
    "DENSITY_PICTURE",
    "FLAT_FILES",
    "FLAT_HEALPIX_FILE",
    "FLAT_IDS_FILE",
    "HEALPIX_COLUMN",
    "INDEX_DIR",
    "INPUT_COLUMN",
    "LAST_RELEASE_FILE",
    "LEASE_FILE",
    "MANIFEST_DIR",
    "METADATA",
    "OWN_COLUMNS",
    "PARENT_DEC_COLUMN",
    "PARENT_RA_COLUMN",
    "PLAIN_FILE",
    "PLAIN_PROPERTIES",
    "POINT_MAP",
    "REJECTS_FILE",
    "SCHEMA_FILE",
    "SKY_MAP",
    "STAGING_DIR",
    "SUMMARY_PAGE",
    "SUMMARY_TEXT",
    "THUMBNAIL",
    "escaped",
    "index_name",
    "index_part_path",
    "leaf_path",
    "margin_name",
    "release_name",
    "unescaped",
]

_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "_")

COLLECTION_PROPERTIES: Final = "collection.properties"
"""Pointer file of a table: names the current release's catalogs. Replacing it publishes a release."""

PLAIN_PROPERTIES: Final = "table.properties"
"""Pointer file of a table without positions, and of an adopted one; same keys, but not a HATS collection."""

PLAIN_FILE: Final = "table.parquet"
"""The one data file of a table without positions, inside its release directory."""

SCHEMA_FILE: Final = "schema.yaml"
"""Felis YAML of a schema, beside its tables."""

POINT_MAP: Final = "point_map.fits"
"""Exact rows per HEALPix pixel; LSDB takes a catalog's coverage from it."""

SKY_MAP: Final = "skymap.fits"
"""The same map under its newer name."""

CHECKSUMS_FILE: Final = "manifest/checksums.xxh128"
"""Checksums of every file of a catalog that ``files.parquet`` does not list, in the format of ``xxh128sum``."""

COVERAGE_FILE: Final = "moc.fits"
"""Coverage of a catalog as an IVOA MOC: the occupied pixels of its map."""

THUMBNAIL: Final = "data_thumbnail.parquet"
"""A few rows from all over a catalog, with its schema."""

DENSITY_PICTURE: Final = "density.png"
"""Picture of the rows per area."""

SUMMARY_TEXT: Final = "README.md"
"""What a catalog is, for people in a terminal."""

SUMMARY_PAGE: Final = "index.html"
"""The same as a web page that needs no other file."""

STAGING_DIR: Final = ".staging"
"""Directory inside a table's directory where the next release is made; swept before each build."""

LEASE_FILE: Final = ".lease"
"""Who builds the next release of a table, inside the table's directory; absent if nobody does."""

LAST_RELEASE_FILE: Final = ".last_release"
"""Highest release number that was ever used, inside the table's directory; absent while that release is there."""

REJECTS_FILE: Final = "manifest/rejects.parquet"
"""Input rows that were not stored, with file, row number and reason; absent if there are none."""

MANIFEST_DIR: Final = "manifest"
"""Directory inside a main catalog that holds our manifest; other HATS readers ignore it."""

COMMON_METADATA: Final = "dataset/_common_metadata"
"""Parquet footer with the schema of every leaf."""

METADATA: Final = "dataset/_metadata"
"""Footers of all data files in one; id indexes have it, since HATS readers look an id up through it."""

INDEX_DIR: Final = "dataset/index"
"""Directory of the parts of an id index."""

FLAT_IDS_FILE: Final = "flat/ids.i64"
"""Sorted ids of an index as one little-endian int64 array, for look-ups that read a few pages; none for text ids."""

FLAT_HEALPIX_FILE: Final = "flat/healpix.i64"
"""``_healpix_29`` of the row of each id in `FLAT_IDS_FILE`."""

FLAT_FILES: Final = (FLAT_IDS_FILE, FLAT_HEALPIX_FILE)

HEALPIX_COLUMN: Final = "_healpix_29"
"""First stored column: order-29 NESTED index of the declared position, int64, never NULL."""

INPUT_COLUMN: Final = "_input"
"""Last stored column of a tiled table: number of the input file that the row came from (`manifest.InputRecord`)."""

PARENT_RA_COLUMN: Final = "_parent_ra"
"""Stored RA of the declared parent, where a child table has no position or another of its own."""

PARENT_DEC_COLUMN: Final = "_parent_dec"
"""Stored Dec of the declared parent, see `PARENT_RA_COLUMN`."""

OWN_COLUMNS: Final = frozenset({HEALPIX_COLUMN, PARENT_RA_COLUMN, PARENT_DEC_COLUMN, INPUT_COLUMN})
"""Columns that the store computes: an input that has them gets new ones."""


def leaf_path(pixel: Pixel) -> str:
    """Return a leaf's path relative to its catalog (HATS 1.0: ``Dir`` is Npix rounded down to 10,000)."""
    directory = pixel.number // 10_000 * 10_000
    return f"dataset/Norder={pixel.order}/Dir={directory}/Npix={pixel.number}.parquet"


def release_name(table: str, release: int) -> str:
    """Return the directory name of a table's main catalog in release number `release`."""
    return f"{table}_r{release}"


def margin_name(main: str, threshold_arcsec: float) -> str:
    """Return the directory name of a margin catalog, as the usual HATS tools spell it."""
    return f"{main}_{threshold_arcsec:g}arcs"


def index_name(main: str, column: str) -> str:
    """Return the directory name of an id index, as the usual HATS tools spell it but for characters that need care.

    >>> index_name("Object_r1", "objectId"), index_name("Object_r1", "obj id")
    ('Object_r1_objectId', 'Object_r1_obj-20id')
    """
    return f"{main}_{escaped(column)}"


def escaped(column: str) -> str:
    """Return a column's name as part of a file's name: bytes other than ASCII letters, digits and ``_`` as ``-xx``."""
    return "".join(chr(byte) if chr(byte) in _PLAIN else f"-{byte:02x}" for byte in column.encode())


def unescaped(text: str) -> str:
    """Return the name that `escaped` made `text` of.

    >>> unescaped(escaped("naïve-id"))
    'naïve-id'
    """
    first, *others = text.split("-")
    return b"".join([first.encode(), *(bytes.fromhex(part[:2]) + part[2:].encode() for part in others)]).decode()


def index_part_path(part: int) -> str:
    """Return the path of part number `part` of an id index, relative to the index."""
    return f"{INDEX_DIR}/part.{part}.parquet"
