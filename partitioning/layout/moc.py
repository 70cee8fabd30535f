"""Coverage files: IVOA Multi-Order Coverage maps (MOC 2.0), as FITS in the NUNIQ ordering that MOC 1 has too."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import replaced

__all__ = ["moc_cells", "write_moc"]

Ints = NDArray[np.int64]


def moc_cells(pixels: Ints, order: int) -> tuple[Ints, Ints]:
    """Return the fewest cells that cover the same sky as `pixels`: four full siblings become their parent.

    Parameters
    ----------
    pixels
        NESTED pixels of `order`, sorted and distinct, shape ``(N,)``.

    Returns
    -------
    tuple
        Orders and numbers of the cells, shape ``(M,)``, coarsest first, then by number.
    """
    parts = []
    for level in range(order, 0, -1):
        parents, members = np.unique(pixels >> 2, return_counts=True)
        full = parents[members == 4]
        parts.append((level, pixels[~np.isin(pixels >> 2, full)]))
        pixels = full
    parts.append((0, pixels))
    orders = [np.full(len(numbers), level, dtype=np.int64) for level, numbers in reversed(parts)]
    return np.concatenate(orders), np.concatenate([numbers for _, numbers in reversed(parts)])


def write_moc(path: Path, pixels: Ints, order: int) -> None:
    """Write the coverage of a catalog; it appears, or is replaced, whole.

    Parameters
    ----------
    pixels
        Occupied NESTED pixels of `order`, sorted and distinct, shape ``(N,)``.
    """
    from astropy.io import fits  # noqa: PLC0415  astropy takes 0.5 s to import, and only maps need it

    orders, numbers = moc_cells(pixels, order)
    column = fits.Column("UNIQ", "K", array=numbers + (np.int64(4) << (2 * orders)))
    table = fits.BinTableHDU.from_columns([column])
    table.header.update(
        MOCVERS="2.0",
        MOCDIM="SPACE",
        PIXTYPE="HEALPIX",
        ORDERING="NUNIQ",
        COORDSYS="C",
        MOCORD_S=order,
        MOCORDER=order,
    )
    with replaced(path) as hidden:
        table.writeto(hidden)
