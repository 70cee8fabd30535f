"""Record a MariaDB that looks like a Qserv, and measure what that costs it: its processor time against the clock.

::

    python -m benchmarks.bench_record                          500 queries, 10 tables, 5 % of the time: ten minutes
    python -m benchmarks.bench_record --samples 2 --rate 50%   half a minute

Tables are five of a small synthetic survey, and a copy of each; fingerprints of all are recorded too. Reported are also
the size of the recording, and the recorder's own processor time and peak of memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from catalog_service.migration.recorder.access import PASSWORD_VARIABLE
from catalog_service.migration.recorder.format import Recording
from sample_catalogs.generate import SurveyConfig, generate_survey
from tests.catalog_service.migration.qserv_like import DATABASE, TABLES, QservLike, running_qserv_like

__all__ = ["measure"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=9, help="positions and ids a table; 9 make some 500 queries")
    parser.add_argument("--objects", type=int, default=5_000, help="rows of Object; Source has some ten times as many")
    parser.add_argument("--rate", default="5%", help="as of `migrate record`")
    parser.add_argument("--json", type=Path, help="write the report to this file too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        report = measure(Path(directory), options.samples, options.objects, options.rate)
    text = json.dumps({"benchmark": "record", "rate": options.rate, **report}, indent=1) + "\n"
    sys.stdout.write(text)
    if options.json is not None:
        options.json.write_text(text)


def measure(directory: Path, samples: int, objects: int, rate: str) -> dict[str, Any]:
    """Record a survey of some objects at a rate; return the figures."""
    generate_survey(directory / "survey", SurveyConfig(n_object=objects, n_visit=40))
    (directory / "qserv").mkdir()
    with running_qserv_like(directory / "qserv", directory / "survey") as server:
        for table in TABLES:
            copy = f"CREATE TABLE {table}Copy LIKE {table}; INSERT INTO {table}Copy SELECT * FROM {table}"
            server.database.execute(f"USE {DATABASE}; {copy}")
        return _recorded(server, directory / "recording", samples, rate)


def _recorded(server: QservLike, out: Path, samples: int, rate: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "catalog_service.migration.recorder",
        server.url,
        "--out",
        str(out),
        "--rate",
        rate,
    ]
    command += ["--samples", str(samples), "--cones", "plain"]
    source = psutil.Process(server.process.pid)
    before, began = _busy(source), time.monotonic()
    with subprocess.Popen(command, env={**os.environ, PASSWORD_VARIABLE: server.password}) as process:
        peak, own = _watched(process)
    wall, spent = time.monotonic() - began, _busy(source) - before
    if process.returncode != 0:
        sys.exit("the recorder failed")
    recording = Recording(out)
    answers = list(recording.answers())
    return {
        "tables": sum(1 for _ in recording.tables()),
        "queries": len(answers),
        "failed": sum(answer.error is not None for answer in answers),
        "fingerprints": sum(1 for _ in recording.fingerprints()),
        "rows": sum(answer.rows for answer in answers),
        "seconds_of_queries": round(sum(answer.seconds for answer in answers), 1),
        "recording_mb": round(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6, 2),
        "wall_s": round(wall, 1),
        "source_cpu_s": round(spent, 2),
        "source_cpu_share": round(spent / wall, 4),
        "recorder_cpu_s": round(own, 2),
        "recorder_peak_mb": round(peak / 2**20, 1),
    }


def _watched(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for a process; return its peak of memory in bytes, and its processor time in seconds."""
    meter, peak, own = psutil.Process(process.pid), 0, 0.0
    while process.poll() is None:
        with suppress(psutil.Error):
            peak, own = max(peak, meter.memory_info().rss), _busy(meter)
        time.sleep(0.05)
    return peak, own


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
