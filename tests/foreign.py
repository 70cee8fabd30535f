"""Catalogs as other groups write them, for adoption; none of it uses our writers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = [
    "DUPLICATES",
    "GOOD_ROWS",
    "ROWS",
    "good_table",
    "pixels",
    "rows",
    "tile_groups",
    "tracts",
    "tree_state",
    "write_hats",
]

GOOD_ROWS = 6000
"""Rows with a position."""
ROWS = GOOD_ROWS + 60
"""The last 60 have none."""
DUPLICATES = 5
"""Rows at one position."""

_BAD = [(np.nan, 10.0), (10.0, np.nan), (np.nan, np.nan), (np.inf, 0.0), (0.0, -np.inf), (-999.0, -999.0)]


def rows(seed: int = 4, *, folded: bool = True) -> pa.Table:
    """Return `ROWS` rows: all over the sky, thick at the poles and about RA 0; NaN, NULL and infinities among them.

    `folded` says whether RA lies in [0, 360) or in [-180, 180).
    """
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, ROWS), np.degrees(np.arcsin(rng.uniform(-1, 1, ROWS)))
    dec[100:400], dec[400:700] = 90 - rng.exponential(1.5, 300), -90 + rng.exponential(1.5, 300)
    ra[700:1700], dec[700:1700] = rng.normal(0, 1.5, 1000) % 360, rng.normal(0, 1.5, 1000)
    special = [(0, 90), (123, 90), (0, -90), (0, 0), (359.9999999999, 0), (180, 0), (90, 0), *[(10, 20)] * DUPLICATES]
    ra[: len(special)], dec[: len(special)] = np.array(special, float).T
    if not folded:
        ra = np.where(ra >= 180, ra - 360, ra)
    bad = np.array(_BAD * (ROWS // len(_BAD)))[: ROWS - GOOD_ROWS]
    ra[GOOD_ROWS:], dec[GOOD_ROWS:] = bad.T
    mag = rng.normal(25, 2, ROWS)
    mag[rng.uniform(size=ROWS) < 0.3] = np.nan
    mag[:3], mag[3:5] = np.inf, -np.inf
    columns: dict[str, Any] = {
        "id": np.arange(ROWS) + 2**60 + 1,
        "ra": pa.array(ra, mask=(np.arange(ROWS) == ROWS - 1)),
        "dec": dec,
        "mag": pa.array(mag, mask=rng.uniform(size=ROWS) < 0.05),
        "mag32": mag.astype(np.float32),
        "flux": rng.normal(0, 1, ROWS),
        "band": np.array(["u", "g", "r"])[rng.integers(0, 3, ROWS)],
        "curve": pa.array([[float(i), float("nan")] for i in range(ROWS)]),
    }
    table = pa.table(columns)
    return table.take(pa.array(np.r_[rng.permutation(GOOD_ROWS), GOOD_ROWS:ROWS]))


def good_table(*, folded: bool = True) -> pa.Table:
    """Return the rows with a position."""
    return rows(folded=folded)[:GOOD_ROWS]


def pixels(table: pa.Table, order: int) -> NDArray[np.int64]:
    """Return the NESTED pixel of each row, by healpy."""
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    found: NDArray[np.int64] = healpy.ang2pix(1 << order, ra, dec, nest=True, lonlat=True)
    return found


def tile_groups(table: pa.Table) -> Iterator[tuple[int, int, pa.Table]]:
    """Yield (order, pixel, rows): order 1 in the north, order 2 elsewhere."""
    north = pixels(table, 0) < 4
    for order, half in ((1, table.filter(pa.array(north))), (2, table.filter(pa.array(~north)))):
        number = pixels(half, order)
        for pixel in np.unique(number).tolist():
            yield order, pixel, half.filter(pa.array(number == pixel))


def write_hats(
    catalog: Path,
    leaves: Sequence[tuple[int, int, Sequence[pa.Table]]],
    *,
    suffix: str = ".parquet",
    extra: str = "",
    names: Sequence[str] = ("hats.properties", "properties"),
    partition_info: bool = True,
) -> None:
    """Write a HATS catalog of (order, pixel, tables); with the suffix ``/`` each table becomes a file of its leaf."""
    for order, pixel, tables in leaves:
        leaf = catalog / f"dataset/Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}"
        paths = [leaf / f"night{n}.parquet" for n in range(len(tables))] if suffix == "/" else [Path(f"{leaf}{suffix}")]
        for path, table in zip(paths, tables, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, row_group_size=50)
    text = (
        "obs_collection=foreign\ndataproduct_type=object\nhats_col_ra=ra\nhats_col_dec=dec\n"
        f"hats_npix_suffix={suffix}\n{extra}"
    )
    for name in names:
        (catalog / name).write_text(text)
    if partition_info:
        lines = ["Norder,Npix", *(f"{order},{pixel}" for order, pixel, _ in leaves)]
        (catalog / "partition_info.csv").write_text("\n".join(lines) + "\n")


def tracts(directory: Path, table: pa.Table, count: int = 12) -> list[Path]:
    """Write unsorted files of overlapping parts of the sky: rows go to one of the two centres nearest to them."""
    rng = np.random.default_rng(8)
    ra, dec = np.radians(table["ra"].to_numpy()), np.radians(table["dec"].to_numpy())
    ra, dec = np.where(np.isfinite(ra), ra, 0), np.where(np.isfinite(dec), dec, 0)
    points = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    centres = rng.normal(size=(count, 3))
    centres /= np.linalg.norm(centres, axis=1)[:, None]
    order = np.argsort(-points @ centres.T, axis=1)
    tract = order[np.arange(len(points)), rng.integers(0, 2, len(points))]
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"tract{number}.parquet" for number in range(count)]
    for number, path in enumerate(paths):
        pq.write_table(table.filter(pa.array(tract == number)), path, row_group_size=100)
    return paths


def tree_state(directory: Path) -> dict[str, tuple[bytes | None, int, int]]:
    """Return content, time and mode of everything below a directory."""
    paths = [directory, *sorted(directory.rglob("*"))]
    return {
        str(path): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns, path.stat().st_mode)
        for path in paths
    }
