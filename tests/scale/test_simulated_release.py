"""A release of 139 billion rows opens fast, stays small in memory, and cones on it are planned fast."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.scale.simulated_release import COLUMNS, FILES, ROW_GROUPS, ROWS, write_simulated_release, write_wide_release

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("release")
    write_simulated_release(root)
    yield root
    (root / "sky" / "ForcedSource" / "ForcedSource_r1" / "manifest" / "row_groups.parquet").unlink()


@pytest.fixture(scope="module")
def figures(release: Path) -> dict[str, Any]:
    """Return what a fresh process measures; of two runs the quicker, since the machine is not ours alone."""
    command = [sys.executable, "-m", "tests.scale.open_and_plan", str(release)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(2)]
    best: dict[str, Any] = min(runs, key=lambda run: run["open_s"])
    for name, figure in best.items():
        if isinstance(figure, dict) and "median_ms" in figure:
            figure["median_ms"] = min(run[name]["median_ms"] for run in runs)
    return best


def test_the_release_is_as_large_as_claimed(release: Path, figures: dict[str, Any]) -> None:
    statistics = pq.read_metadata(release / "sky/ForcedSource/ForcedSource_r1/manifest/row_groups.parquet")
    assert statistics.num_rows == ROW_GROUPS == 4_000_000
    assert statistics.num_columns == 6 + 3 * COLUMNS == 126
    assert figures["rows"]["sky.ForcedSource"] == ROWS == 139_000_000_000
    assert figures["files"]["sky.ForcedSource"] == FILES == 20_000


def test_it_opens_in_2_s_and_100_mb(figures: dict[str, Any]) -> None:
    assert figures["open_s"] < 2
    assert figures["peak_mb"] < 100


@pytest.mark.parametrize(
    ("query", "files"),
    [("object_cone_60_arcsec", 1), ("cone_60_arcsec", 1), ("cone_1_deg", 4), ("light_curves_60_arcsec", 2)],
)
def test_cones_are_planned_in_2_ms(figures: dict[str, Any], query: str, files: int) -> None:
    assert figures[query]["median_ms"] < 2
    assert figures[query]["files"] <= files


def test_a_wide_table_of_very_many_tiles_is_small_and_planned_fast(tmp_path: Path) -> None:
    """1,300 columns, 100,000 tiles: processor time from the text to the SQL, since the machine is not ours alone."""
    write_wide_release(tmp_path / "catalogs")
    (tmp_path / "state").mkdir()
    command = [sys.executable, "-m", "tests.scale.plan_texts", str(tmp_path / "catalogs"), str(tmp_path / "state")]
    wide = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert wide["registry_mb"] < 100
    assert wide["cone_60_arcsec"]["files"] == 1
    for query in ("cone_60_arcsec", "cone_1_deg"):
        assert wide[query]["cpu_p50_ms"] < 5
        assert wide[query]["cpu_p99_ms"] < 10
    assert wide["cone_60_arcsec_all_columns"]["cpu_p50_ms"] < 60
