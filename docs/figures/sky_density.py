"""Draw the sky density of the shipped Tycho-2 sample: ``python docs/figures/sky_density.py``.

Counts stars per HEALPix pixel of order 5 (3.4 square degrees) and writes ``sky_density.png`` beside this script.
"""

from pathlib import Path

import hpgeom
import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
STARS = HERE.parent.parent / "sample_catalogs" / "tycho2" / "tycho2_vt95.parquet"
NSIDE = 32


def density_image(ra: np.ndarray, dec: np.ndarray, shape: tuple[int, int] = (600, 1200)) -> np.ndarray:
    """Return stars per square degree on a grid of (Dec, RA), RA growing to the left from +180 to -180."""
    pixels = hpgeom.angle_to_pixel(NSIDE, ra, dec)
    area = hpgeom.nside_to_pixel_area(NSIDE)
    counts = np.bincount(pixels, minlength=hpgeom.nside_to_npixel(NSIDE)) / area
    grid_dec, grid_ra = np.meshgrid(np.linspace(-89.9, 89.9, shape[0]), np.linspace(180, -180, shape[1]), indexing="ij")
    return counts[hpgeom.angle_to_pixel(NSIDE, grid_ra % 360, grid_dec)]


def main() -> None:
    """Draw the picture."""
    table = pq.read_table(STARS, columns=["ra", "dec"])
    image = density_image(table["ra"].to_numpy(), table["dec"].to_numpy())
    figure = plt.figure(figsize=(9, 4.8), dpi=110, facecolor="white")
    axes = figure.add_subplot(projection="mollweide")
    lon, lat = np.linspace(-np.pi, np.pi, image.shape[1]), np.radians(np.linspace(-89.9, 89.9, image.shape[0]))
    mesh = axes.pcolormesh(lon, lat, image, cmap="magma", vmin=1, vmax=14, rasterized=True)
    axes.grid(color="white", alpha=0.25, linewidth=0.5)
    axes.set_xticklabels([f"{hours}h" for hours in (10, 8, 6, 4, 2, 0, 22, 20, 18, 16, 14)], color="white", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", pad=0.06, fraction=0.05, aspect=45)
    bar.set_label("stars per square degree")
    axes.set_title(f"Tycho-2 to VT 9.5: {table.num_rows:,} stars (ICRS, east to the left)", fontsize=11, pad=14)
    figure.savefig(HERE / "sky_density.png", bbox_inches="tight")


if __name__ == "__main__":
    main()
