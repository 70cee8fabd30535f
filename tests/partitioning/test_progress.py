"""Progress: lines for a log, bars on a terminal."""

from io import StringIO

import pytest
from rich.console import Console

from partitioning.progress import Bars, Lines


def test_a_line_tells_units_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 104.0, 110.0])
    monkeypatch.setattr("partitioning.progress.time.perf_counter", lambda: next(clock))
    told: list[str] = []
    lines = Lines(told.append, every_s=5)
    lines.begin("survey.Object", "sort", 12, done=4)  # 4 were done by the build that this one goes on with
    lines.advance(15_000_000)
    assert told == []
    lines.advance(5_000_000)
    assert told == ["survey.Object: sort 6 of 12 units, 2.00 M rows/s, 30 s left"]


def test_a_bar_moves_and_goes() -> None:
    screen = StringIO()
    bars = Bars(Console(file=screen, force_terminal=True, width=120))
    bars.line("survey.Object: 3 input files")
    bars.begin("survey.Object", "sort", 12, done=4)
    bars.advance(5_000_000)
    bars.end()
    shown = screen.getvalue()
    assert "survey.Object: 3 input files" in shown
    assert "survey.Object sort" in shown
    assert "5/12" in shown
    assert "M rows/s" in shown
