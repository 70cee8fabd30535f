"""Measure how fast a release of 139 billion rows opens, in how much memory, and how fast queries on it are planned.

::

    python -m benchmarks.bench_planner --json -

Writes the manifests of a simulated release (20,000 files, 4 million row groups, no data), opens it in a process of its
own and plans random queries; the same for a table of 1,300 columns in 100,000 tiles, from the text to the SQL.
Baselines of the same run: the HEALPix coverage of the cone alone, which every planner
needs, and the tile filter of `hats` on the same tiles, where that is installed.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hpgeom
import numpy as np

from partitioning.layout.manifest import read_partition_map
from tests.scale.simulated_release import (
    COLUMNS,
    FILES,
    ROW_GROUPS,
    ROWS,
    WIDE_COLUMNS,
    WIDE_FILES,
    write_simulated_release,
    write_wide_release,
)

REPEATS = 200
RADIUS_DEG = 1 / 60
ORDER = 13
"""Order whose cells are about a quarter of the radius."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", default="-", help="file for the result, - for standard output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        text = json.dumps(run(Path(directory)), indent=1)
    if options.json == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def run(root: Path) -> dict[str, Any]:
    """Write the release, open it and plan; return the figures."""
    write_simulated_release(root)
    command = [sys.executable, "-m", "tests.scale.open_and_plan", str(root)]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    catalog = root / "sky" / "ForcedSource" / "ForcedSource_r1"
    with tempfile.TemporaryDirectory() as directory:
        wide = wide_figures(Path(directory))
    coverage_ms, hats_ms = coverage_baseline(), hats_baseline(catalog)
    planned_ms = figures["cone_60_arcsec"]["median_ms"]
    return {
        "benchmark": "planner",
        "rows": ROWS,
        "files": FILES,
        "row_groups": ROW_GROUPS,
        "columns": COLUMNS,
        **{name: figure for name, figure in figures.items() if name not in {"rows", "files"}},
        "coverage_baseline_ms": coverage_ms,
        "ratio_to_coverage": planned_ms / coverage_ms,
        "hats_filter_baseline_ms": hats_ms,
        "wide": wide,
        "ratio_to_hats_filter": None if hats_ms is None else planned_ms / hats_ms,
    }


def wide_figures(root: Path) -> dict[str, Any]:
    """Return what opening a wide table takes, and going from texts to SQL."""
    write_wide_release(root / "catalogs")
    (root / "state").mkdir()
    command = [sys.executable, "-m", "tests.scale.plan_texts", str(root / "catalogs"), str(root / "state")]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"columns": WIDE_COLUMNS, "files": WIDE_FILES, **figures}


def coverage_baseline() -> float:
    """Return the median time in ms of the HEALPix ranges of a random cone."""
    rng = np.random.default_rng(1)

    def cover() -> None:
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
        hpgeom.query_circle(1 << ORDER, ra, dec, RADIUS_DEG, inclusive=True, fact=4, return_pixel_ranges=True)

    return median_ms(cover, REPEATS)


def hats_baseline(catalog: Path) -> float | None:
    """Return the median time in ms in which `hats` finds the tiles of a random cone; None if it is not installed."""
    if importlib.util.find_spec("hats") is None:
        return None
    from astropy.coordinates import Angle, Latitude, Longitude  # noqa: PLC0415  (slow imports, wanted here only)
    from hats.pixel_tree.moc_filter import filter_by_moc  # noqa: PLC0415
    from hats.pixel_tree.pixel_tree import PixelTree  # noqa: PLC0415
    from mocpy import MOC  # noqa: PLC0415

    tiles = read_partition_map(catalog)
    tree = PixelTree.from_healpix([tiles.pixel(number) for number in range(len(tiles))])
    rng = np.random.default_rng(1)

    def filter_tiles() -> None:
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
        place = {"lon": Longitude(ra, "deg"), "lat": Latitude(dec, "deg"), "radius": Angle(RADIUS_DEG, "deg")}
        filter_by_moc(tree, MOC.from_cone(**place, max_depth=tree.get_max_depth()))

    return median_ms(filter_tiles, 20)


def median_ms(action: Callable[[], None], repeats: int) -> float:
    """Return the median time of an action in ms."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
