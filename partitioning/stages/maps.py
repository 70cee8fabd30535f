"""Maps of a catalog: ``point_map.fits`` and ``skymap.fits`` with the exact rows per HEALPix pixel, and its MOC.

LSDB clips joins and crossmatches by the point map: a pixel that is missing in it loses rows silently. Only occupied
pixels are written (INDXSCHM EXPLICIT). The MOC (IVOA MOC 2.0, space, NUNIQ as every reader knows it) has the same
pixels, four that fill their parent joined.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..layout.files import replaced
from ..layout.paths import MOC_FILE, POINT_MAP, SKY_MAP

__all__ = ["map_order", "write_maps"]

_SMALL_TABLE_ROWS: Final = 50_000_000


def map_order(rows: int) -> int:
    """Return the order of a table's maps: readers inflate them to dense arrays (order 10: 50 MB)."""
    return 8 if rows < _SMALL_TABLE_ROWS else 10


def write_maps(catalog: Path, pixels: NDArray[np.int64], rows: NDArray[np.int64], order: int) -> None:
    """Write both maps and the MOC of a catalog; each appears, or is replaced, by a rename.

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
    for name in (POINT_MAP, SKY_MAP):
        _write_fits(catalog / name, table)
    moc = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=_uniq_cells(pixels, order))])
    moc.header.update(
        PIXTYPE="HEALPIX", ORDERING="NUNIQ", COORDSYS="C", MOCVERS="2.0", MOCDIM="SPACE", MOCORD_S=order, MOCORDER=order
    )
    _write_fits(catalog / MOC_FILE, moc)


def _write_fits(path: Path, table: Any) -> None:
    with replaced(path) as hidden:
        table.writeto(hidden)


def _uniq_cells(pixels: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Return the sorted NUNIQ numbers, ``4 * 4**order + pixel``, of the largest cells that make up `pixels`."""
    cells = list[NDArray[np.int64]]()
    for level in range(order, -1, -1):
        parents, children = np.unique(pixels >> 2, return_counts=True)
        full = (children == 4) & (level > 0)
        lone = ~np.repeat(full, children)
        cells.append(pixels[lone] + (4 << (2 * level)))
        pixels = parents[full]
    return np.sort(np.concatenate(cells))
