"""Row-count maps: ``point_map.fits`` and ``skymap.fits``, a HEALPix binary table with the exact rows per pixel.

LSDB clips joins and crossmatches by the point map: a pixel that is missing in it loses rows silently. Only occupied
pixels are written (INDXSCHM EXPLICIT).
"""

from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..layout.files import replace_bytes
from ..layout.paths import POINT_MAP, SKY_MAP

__all__ = ["load_fits", "map_order", "write_maps"]

_SMALL_TABLE_ROWS: Final = 50_000_000


def map_order(rows: int) -> int:
    """Return the order of a table's maps: readers inflate them to dense arrays (order 10: 50 MB)."""
    return 8 if rows < _SMALL_TABLE_ROWS else 10


def load_fits() -> None:
    """Import what `write_maps` needs, which takes half a second."""
    from astropy.io import fits  # noqa: F401, PLC0415


def write_maps(catalog: Path, pixels: NDArray[np.int64], rows: NDArray[np.int64], order: int) -> None:
    """Write both maps of a catalog; each appears, or is replaced, whole.

    Parameters
    ----------
    pixels, rows
        Occupied NESTED pixels of `order`, sorted, and the exact number of rows in each; shape ``(N,)``.
    """
    from astropy.io import fits  # noqa: PLC0415  astropy takes 0.5 s to import, and only maps need it

    fits_int = "K" if rows.max(initial=0) > np.iinfo(np.int32).max else "J"
    columns = [fits.Column("PIXEL", "K", array=pixels), fits.Column("VALUE", fits_int, array=rows)]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update(
        PIXTYPE="HEALPIX",
        ORDERING="NESTED",
        COORDSYS="C",
        NSIDE=1 << order,
        INDXSCHM="EXPLICIT",
        OBS_NPIX=len(pixels),
    )
    file = BytesIO()
    table.writeto(file)
    for name in (POINT_MAP, SKY_MAP):
        replace_bytes(catalog / name, file.getvalue())
