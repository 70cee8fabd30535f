"""Make the Tycho-2 sample catalog: real stars, as one Parquet file.

::

    python -m sample_catalogs.make_tycho2 --out FILE [--max-vt 9.5]

The stars come from the Debian package ``astrometry-data-tycho2-07-littleendian``, an astrometry.net index made from the
Tycho-2 catalogue (Hog et al. 2000, A&A 355, L27). Its FITS file holds a k-d tree of unit vectors as unsigned integers
(``kdtree_data_stars``), the scale that turns them into numbers (``kdtree_range_stars``) and, in the same row order, the
VT magnitude of each star. The index keeps a limited number of stars in each small cell of the sky, so the galactic
plane is flatter than in the full catalogue, and some of the best-known stars are absent (Sirius, Vega, Polaris). It has
no star number; the row number stands in for one. Positions are for epoch J2000 where Tycho-2 knows a proper motion,
else for J1991.25 (Arcturus, for one).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from numpy.typing import NDArray

from sample_catalogs.exceptions import SampleCatalogError, SourceFormatError, SourcePackageMissingError

__all__ = ["INDEX_FILE", "PACKAGE", "SCHEMA", "main", "make_tycho2", "read_index", "unit_vectors_to_degrees"]

PACKAGE = "astrometry-data-tycho2-07-littleendian"
"""Debian package with the source file."""

INDEX_FILE = Path("/usr/share/astrometry/index-tycho2-07.littleendian.fits")
"""Where that package puts its only data file."""

SCHEMA = pa.schema(
    [
        pa.field("tyc_row", pa.int64(), nullable=False),
        pa.field("ra", pa.float64(), nullable=False),
        pa.field("dec", pa.float64(), nullable=False),
        pa.field("vt_mag", pa.float32(), nullable=False),
    ]
)
"""Columns of the Parquet file."""

_ENCODINGS = {
    "tyc_row": "DELTA_BINARY_PACKED",
    "ra": "BYTE_STREAM_SPLIT",
    "dec": "BYTE_STREAM_SPLIT",
    "vt_mag": "BYTE_STREAM_SPLIT",
}
_ZSTD_LEVEL = 19  # The file is made once and shipped: small matters more than the seconds it takes.


def unit_vectors_to_degrees(xyz: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn direction vectors into right ascension and declination.

    Parameters
    ----------
    xyz
        Directions, shape ``(N, 3)``; the length need not be 1.

    Returns
    -------
    tuple of numpy.ndarray
        Right ascension in [0, 360) and declination in [-90, 90], degrees, each of shape ``(N,)``.
    """
    x, y, z = xyz.T
    ra = np.degrees(np.arctan2(y, x)) % 360.0
    ra[ra >= 360.0] = 0.0  # The modulo of a tiny negative angle rounds up to 360.
    return ra, np.degrees(np.arctan2(z, np.hypot(x, y)))


def _index_columns(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Read the raw bytes of each single-column table of an index file."""
    with fits.open(path) as units:
        tables = [unit for unit in units[1:] if unit.header["NAXIS2"]]
        return {unit.columns.names[0]: np.ascontiguousarray(unit.data).view(np.uint8) for unit in tables}


def read_index(path: Path = INDEX_FILE) -> pa.Table:
    """Read every star of an astrometry.net index file.

    Parameters
    ----------
    path
        FITS file in the little-endian form of the index format.

    Returns
    -------
    pyarrow.Table
        One row a star in the order of the file, with the columns of `SCHEMA`: ``ra`` in [0, 360) and ``dec`` in
        degrees, ICRS, in steps of 1e-4 arcsec.

    Raises
    ------
    SourcePackageMissingError
        If the file does not exist.
    SourceFormatError
        If one of its tables is missing.
    """
    if not path.is_file():
        raise SourcePackageMissingError(PACKAGE, path)
    raw = _index_columns(path)
    missing = [name for name in ("kdtree_data_stars", "kdtree_range_stars", "MAG_VT") if name not in raw]
    if missing:
        raise SourceFormatError(f"{path} has no table {', '.join(missing)}: it is not a Tycho-2 index of {PACKAGE}.")
    # The tree is stored in the byte order of the machine that built it, the magnitudes as FITS demands.
    quanta = raw["kdtree_data_stars"].view("<u4").reshape(-1, 3)
    limits = raw["kdtree_range_stars"].view("<f8")  # lower corner (3), upper corner (3), quanta per unit
    ra, dec = unit_vectors_to_degrees(limits[:3] + quanta / limits[6])
    vt_mag = raw["MAG_VT"].view(">f4").astype(np.float32)
    columns = [np.arange(len(ra), dtype=np.int64), ra, dec, vt_mag]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=SCHEMA)


def make_tycho2(out: Path, *, max_vt: float | None = None, index_file: Path = INDEX_FILE) -> int:
    """Write the stars of the index to a Parquet file.

    Parameters
    ----------
    out
        Parquet file to write; its directory is created.
    max_vt
        Keep only stars with a VT magnitude below this limit; `None` keeps all.
    index_file
        The index to read.

    Returns
    -------
    int
        Number of rows written.

    Raises
    ------
    SourcePackageMissingError
        If the index file does not exist.
    SourceFormatError
        If the index file lacks a table.
    """
    stars = read_index(index_file)
    if max_vt is not None:
        stars = stars.filter(np.asarray(stars["vt_mag"]) < max_vt)
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        stars, out, compression="zstd", compression_level=_ZSTD_LEVEL, use_dictionary=False, column_encoding=_ENCODINGS
    )
    return int(stars.num_rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_catalogs.make_tycho2",
        description=f"Write the Tycho-2 stars of the Debian package {PACKAGE} to a Parquet file.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="Parquet file to write")
    parser.add_argument("--max-vt", type=float, metavar="MAG", help="keep only stars with VT < MAG (default: all)")
    options = parser.parse_args(arguments)
    try:
        rows = make_tycho2(options.out, max_vt=options.max_vt)
    except SampleCatalogError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{options.out}: {rows} rows, {options.out.stat().st_size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
