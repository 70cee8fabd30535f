"""Comparing large answers, and finding one faulty row of a large table by its fingerprints.

``python -m benchmarks.bench_compare --json -``: two recorded answers of a million rows and ten columns in other orders,
FLOAT printed with six digits on one side: equal, with one row altered, missing and repeated, and without a column that
is compared exactly; seconds and peak memory of the process that compares. With ``--fingerprints 10000000`` a private
MariaDB gets a table of so many rows: fingerprints by boxes of one degree before and after each fault.

``--dachs-url http://127.0.0.1:18080`` instead: record a running DaCHS over TAP, as it stands in `bench_dachs`, and
compare with the service on the same table; ``--directory`` keeps ours for the next run. Status 1 if anything differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.bench_dachs import prepare
from benchmarks.process_meter import ProcessMeter
from benchmarks.serving import emit, running_server
from catalog_service.migration.compare import compare_results
from catalog_service.migration.compare.answers import AnswerFile
from catalog_service.migration.compare.columns import Column
from catalog_service.migration.compare.found import Compared
from catalog_service.migration.compare.recordings import compare_recordings
from catalog_service.migration.compare.rules import Verdict
from catalog_service.migration.compare.target import Target, ask_target
from catalog_service.migration.recorder.access import parse_address
from catalog_service.migration.recorder.command import main as record
from catalog_service.migration.recorder.options import Options
from catalog_service.migration.recorder.pace import Rate
from tests.catalog_service.language.mariadb import await_mariadb, install_mariadb, start_mariadb
from tests.harness import free_port

KINDS = {
    "objectId": "int64",
    "ra": "float64",
    "decl": "float64",
    **{f"{band}Mag": "float32" for band in "grizy"},
    "band": "text",
    "flag": "boolean",
}
CASES = ("equal", "altered", "missing", "repeated", "floats only", "floats only, altered")


def answer(rows: int, seed: int, *, printed: bool) -> dict[str, Any]:
    """Return columns in an order of their own; `printed`: FLOAT with six digits, as MySQL sends it."""
    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {"objectId": np.arange(rows) + 2**60}
    columns["ra"], columns["decl"] = rng.uniform(0, 360, rows), rng.uniform(-90, 90, rows)
    for band in "grizy":
        values = rng.normal(22, 2, rows).astype(np.float32)
        columns[f"{band}Mag"] = np.round(values.astype(float), 4) if printed else values
    columns["band"] = np.array(["g", "r", "i"])[rng.integers(0, 3, rows)]
    columns["flag"] = rng.integers(0, 2, rows).astype(np.int8)
    order = np.random.default_rng(seed).permutation(rows)
    return {name: np.asarray(values)[order] for name, values in columns.items()}


def write(path: Path, columns: dict[str, Any]) -> None:
    """Write an answer as a recording has it."""
    table = pa.table(columns)
    texts = ", ".join(f'"{name}"' for name in columns if KINDS[name] == "text")
    quote = f", FORCE_QUOTE ({texts})" if texts else ""
    with duckdb.connect() as engine:
        engine.register("answer", table)
        engine.execute(f"COPY answer TO '{path}' (FORMAT csv, HEADER false, COMPRESSION gzip{quote})")


def faulty(columns: dict[str, Any], case: str) -> dict[str, Any]:
    """Return the right answer of a case."""
    if "altered" in case:
        columns["rMag"][4321] += 0.01
    if case == "missing":
        return {name: values[1:] for name, values in columns.items()}
    if case == "repeated":
        return {name: np.r_[values, values[:1]] for name, values in columns.items()}
    return columns


def child(directory: Path) -> None:
    """Compare the two answers of a directory, and print what was found."""
    names = json.loads((directory / "columns.json").read_text())
    files = [
        AnswerFile(directory / f"{side}.csv.gz", [Column(n, KINDS[n]) for n in names]) for side in ("left", "right")
    ]
    began = time.perf_counter()
    found = compare_results(files[0], files[1])
    print(json.dumps({"seconds": round(time.perf_counter() - began, 2), "found": str(found)}))


def measured(case: str, rows: int, directory: Path) -> dict[str, Any]:
    """Return seconds and memory of one case."""
    names = [name for name in KINDS if not case.startswith("floats only") or name not in {"objectId", "band", "flag"}]
    for side, seed in (("left", 2), ("right", 3)):
        columns = {name: one for name, one in answer(rows, seed, printed=side == "left").items() if name in names}
        write(directory / f"{side}.csv.gz", faulty(columns, case) if side == "right" else columns)
    (directory / "columns.json").write_text(json.dumps(names))
    command = [sys.executable, "-m", "benchmarks.bench_compare", "--child", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, ProcessMeter(process.pid) as meter:
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"comparing failed: {case}")
    found = {**json.loads(output), "cpu_s": round(meter.cpu_s, 2), "peak_mb": meter.peak_bytes >> 20}
    sys.stderr.write(f"{case}: {found}\n")
    return found


FAULTS = {
    "altered": "UPDATE sky.Object SET rMag = rMag + 0.01 WHERE objectId = {id}",
    "missing": "DELETE FROM sky.Object WHERE objectId = {id}",
    "repeated": "INSERT INTO sky.Object SELECT * FROM sky.kept",
}


def fingerprints(rows: int, directory: Path) -> dict[str, Any]:
    """Return, for each fault, the cells that differ, and the seconds at the source."""
    install_mariadb(directory)
    port = free_port()
    process = start_mariadb(directory, ["--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve"])
    try:
        server = await_mariadb(directory, process)
        file = directory / "rows.tsv"
        with duckdb.connect() as engine:
            engine.execute(
                f"COPY (SELECT range + 1000 AS objectId, 50 + 20 * random() AS ra, -45 + 18 * random() AS decl, "
                f"(18 + 8 * random())::FLOAT AS rMag FROM range({rows})) TO '{file}' (HEADER false, DELIMITER '\t')"
            )
        server.execute(
            "CREATE DATABASE sky; CREATE TABLE sky.Object (objectId BIGINT, ra DOUBLE, decl DOUBLE, rMag FLOAT, "
            f"KEY (objectId)) ENGINE=MyISAM; LOAD DATA INFILE '{file}' INTO TABLE sky.Object; "
            "CREATE USER 'reader'@'%'; GRANT SELECT ON *.* TO 'reader'@'%'"
        )
        file.unlink()
        return located(server.execute, f"mysql://reader@127.0.0.1:{port}/sky", rows, directory)
    finally:
        process.terminate()
        process.wait(60)


def located(execute: Any, url: str, rows: int, directory: Path) -> dict[str, Any]:
    """Make each fault, ask for the fingerprints, and undo it."""
    left, chosen = directory / "left", rows // 3
    began = time.perf_counter()
    record([url, "--out", str(left), "--rate", "100%", "--steps", "tables,fingerprints", "--table", "sky.Object"])
    found: dict[str, Any] = {"rows": rows, "seconds_to_record": round(time.perf_counter() - began, 1)}
    execute(f"CREATE TABLE sky.kept AS SELECT * FROM sky.Object WHERE objectId = {chosen}")
    for name, statement in FAULTS.items():
        execute(statement.format(id=chosen))
        target = Target(parse_address(url), None, Options(rate=Rate()))
        ask_target(left, target, directory / name, lambda _: None)
        began = time.perf_counter()
        report = compare_recordings(left, directory / name)
        (one,) = [one for one in report.compared if one.subject == "fingerprints"]
        cells = {example["row"]["cell"] for each in one.comparison.differences for example in each.examples}
        found[name] = {
            "cells_that_differ": sorted(cells),
            "fields": [each.column for each in one.comparison.differences],
            "of_cells": one.comparison.notes[0],
            "seconds_to_compare": round(time.perf_counter() - began, 2),
        }
        execute(f"DELETE FROM sky.Object WHERE objectId = {chosen}; INSERT INTO sky.Object SELECT * FROM sky.kept")
    return found


DACHS_QUERIES = """\
-- ordered
SELECT TOP 500 objectId, r_psfFlux FROM bench.object ORDER BY r_psfFlux DESC, objectId;
SELECT objectId, coord_ra FROM bench.object WHERE coord_ra BETWEEN 60 AND 60.01 AND coord_dec > -35 ORDER BY coord_ra;
-- groups
SELECT tract, COUNT(*) AS n, AVG(r_psfFlux) AS mean FROM bench.object GROUP BY tract;
SELECT patch, MIN(coord_dec), MAX(coord_dec) FROM bench.object WHERE patch < 20 GROUP BY patch;
-- both refuse
SELECT nosuch FROM bench.object;
"""


def beside_dachs(url: str, directory: Path, recording: Path) -> dict[str, Any]:
    """Record a DaCHS, and compare with our service on the same table."""
    prepare(directory)
    queries = recording.with_suffix(".sql")
    queries.write_text(DACHS_QUERIES)
    what = ["--table", "bench.object", "--queries", str(queries), "--builtin"]
    if record([f"{url}/tap", "--out", str(recording), "--rate", "100%", *what]):
        raise SystemExit("recording the DaCHS failed")
    with running_server(directory) as (ours, _):
        target = Target(parse_address(f"{ours}/tap"), None, Options(rate=Rate()))
        asked = ask_target(recording, target, recording.with_suffix(".ours"), lambda _: None)
    if not asked.is_complete:
        raise SystemExit(asked.problem)
    report = compare_recordings(recording, recording.with_suffix(".ours"), say=_say)
    queries_both, theirs, mine = report.seconds
    return {
        "verdict": report.verdict,
        "counts": report.counts,
        "queries_answered_by_both": queries_both,
        "seconds_dachs": round(theirs, 2),
        "seconds_ours": round(mine, 2),
        "not_equal": [_line(one) for one in report.compared if not one.comparison.is_equal],
    }


def _say(one: Compared) -> None:
    sys.stderr.write(_line(one) + "\n")


def _line(one: Compared) -> str:
    return f"{one.subject} {one.query or one.name}: {one.comparison}"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--fingerprints", type=int, default=0, metavar="ROWS")
    parser.add_argument("--dachs-url", metavar="URL", help="base address of a DaCHS with the table of `bench_dachs`")
    parser.add_argument("--directory", type=Path, help="with --dachs-url: keep our table here for the next run")
    parser.add_argument("--json", default="-")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child)
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-compare-") as directory:
        if given.dachs_url is not None:
            ours = (given.directory or Path(directory)).resolve()
            figures = beside_dachs(given.dachs_url.rstrip("/"), ours, Path(directory) / "recording")
            emit(figures, given.json)
            sys.exit(figures["verdict"] not in {Verdict.EQUAL, Verdict.WITHIN})
        if given.rows:
            figures = {case: measured(case, given.rows, Path(directory)) for case in given.case or CASES}
        if given.fingerprints:
            figures["fingerprints"] = fingerprints(given.fingerprints, Path(directory))
    emit(figures, given.json)


if __name__ == "__main__":
    main()
