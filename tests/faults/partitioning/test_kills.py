"""A build or an append can be killed at any moment: readers see the old release or the new one, and it goes on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kill_builds import Scene
from tests.harness import examples


@pytest.mark.parametrize(("action", "every"), [("append", examples(180, 90)), ("build", examples(300, 150))])
def test_kills_at_each_step_of_publication(action: str, every: int, tmp_path: Path) -> None:
    """And at some of the hundreds of renames before, and removals after it."""
    command = [sys.executable, "-m", "benchmarks.kill_at_renames", "--dir", str(tmp_path), "--rows", "40"]
    command += ["--action", action, "--every", str(every)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["wrong"] == []
    assert report["of_publication"] >= 6
    assert report["kills"] > report["of_publication"]


def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Of the director and of workers; `benchmarks/kill_builds.py` does a hundred."""
    kills = examples(3, 6)
    report = Scene.make(tmp_path, rows=100, seed=5).kill_many(kills, seed=5, again=0.7)
    expected = {"kills": kills, "rows_lost": 0, "rows_duplicated": 0, "unverified_visible": 0, "unfinished_rounds": 0}
    assert {name: report[name] for name in expected} == expected
