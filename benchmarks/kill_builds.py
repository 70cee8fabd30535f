"""Kill builds and appends of a small catalog at random moments, and count what that costs: it must be nothing.

::

    python -m benchmarks.kill_builds --kills 100 --seed 1

Each round starts a build of two tables, or an append to them, as a process that directs two others, and kills the
director, or one of its workers, at a random moment (SIGKILL). No process may be left. What readers see then must be
the old release or the new one, byte for byte as an undisturbed build makes it. Then the same command runs again, and
must end with the new release, byte for byte. Reports kills by where they hit, rows lost, rows duplicated, and files
that were visible though they differ from verified ones.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from partitioning.config import BuildConfig, PositionFrom, TableConfig
from partitioning.exceptions import PartitioningError
from partitioning.executors import LocalExecutor
from partitioning.layout.manifest import read_manifest
from partitioning.pipeline import append, build
from partitioning.stages import bucket, id_index, plan
from partitioning.stages.publish import current_release
from partitioning.stages.run import Share

__all__ = [
    "CREATED",
    "MANY_UNITS",
    "TABLES",
    "Action",
    "Findings",
    "Scene",
    "catalogs",
    "config",
    "inspect",
    "tree",
    "wait_for_none",
    "write_inputs",
]

Action = Literal["build", "append"]

CREATED: Final = "2026-01-02T03:04:05Z"
TABLES: Final = ("Object", "Dia")
_SCHEMA: Final = "survey"
_FIRST: Final = 3
"""Files of a table that are built; the others are appended."""

MANY_UNITS: Final = (
    (plan, "_SMALL_UNIT_BYTES", 20_000),
    (bucket, "_SMALL_BUCKET_ROWS", 400),
    (bucket, "_SMALLEST_SLICE_BYTES", 1),
    (id_index, "PART_ROWS", 1500),
)
"""A small catalog is cut into as many units as a large one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line, or one build that will be killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=2000, help="rows of an input file")
    parser.add_argument("--dir", type=Path, help="directory for the temporary files")
    parser.add_argument("--json", default="-", help="file for the result, - for standard output")
    parser.add_argument("--direct", nargs=3, metavar=("ACTION", "INPUT", "ROOT"), help="build in this process")
    options = parser.parse_args(arguments)
    if options.direct:
        direct(*options.direct)
        return
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        scene = Scene.make(Path(directory), options.rows, options.seed)
        report = {"benchmark": "kill_builds", "seed": options.seed, **scene.kill_many(options.kills, options.seed)}
    text = json.dumps(report, indent=1) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        Path(options.json).write_text(text, encoding="utf-8")


def direct(action: str, inputs: str, root: str) -> None:
    """Build or append in processes of this one's; say ``ready`` before."""
    for module, name, value in MANY_UNITS:
        setattr(module, name, value)
    workers = LocalExecutor(Share.of(400 << 20, 2), 2)
    wanted = config(Path(inputs), Path(root), files=_FIRST if action == "build" else None)
    print("ready", flush=True)
    try:
        if action == "build":
            build(wanted, created=CREATED, executor=workers)
        else:
            append(wanted, created=CREATED, executor=workers)
    except PartitioningError as error:
        sys.exit(f"error: {error}")


def config(inputs: Path, root: Path, *, files: int | None = None) -> BuildConfig:
    """Return the configuration of the two tables, of all of their input files or of the first few."""
    names = "*" if files is None else f"[0-{files - 1}]"
    parent = TableConfig(
        name="Object",
        input=(f"Object/{names}.parquet",),
        ra="ra",
        dec="dec",
        id=("id",),
        margin_arcsec=30.0,
        target_rows=500,
        row_group_rows=128,
    )
    child = TableConfig(
        name="Dia",
        input=(f"Dia/{names}.parquet",),
        ra="ra",
        dec="dec",
        id=("n",),
        position_from=PositionFrom(parent="Object", child_key="object_id", parent_key="id"),
        margin_arcsec=10.0,
        target_rows=500,
    )
    return BuildConfig(root=root, schema=_SCHEMA, input_dir=inputs, tables=(child, parent), workers=2)


def write_inputs(directory: Path, rows: int, seed: int, files: int = _FIRST + 1) -> None:
    """Write the input files of both tables: objects all over the sky and in a clump, and detections of them."""
    for table in TABLES:
        (directory / table).mkdir(parents=True)
    for number in range(files):
        rng = np.random.default_rng([seed, number])
        first = (1 << 53) + 1 + number * rows
        ids = first + rng.permutation(rows)
        ra, dec = rng.uniform(0, 360, rows), np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
        ra[: rows // 2], dec[: rows // 2] = rng.normal(150, 0.02, (2, rows // 2)) - [[0], [190]]
        objects = pa.table({"id": ids, "ra": ra, "dec": dec, "mag": rng.normal(22, 2, rows)})
        at = rng.integers(0, rows, rows)
        seen = {"object_id": ids[at], "ra": ra[at] + 1e-4, "dec": dec[at], "flux": rng.normal(0, 1, rows)}
        detections = pa.table({"n": np.arange(rows) + number * rows, **seen})
        for table, content in zip(TABLES, (objects, detections), strict=True):
            pq.write_table(content, directory / table / f"{number}.parquet")


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def catalogs(root: Path, table: str) -> dict[str, Path]:
    """Return the directories of the release that a table's pointer names, by name; none if nothing is published."""
    release = current_release(root / _SCHEMA / table)
    if release is None:
        return {}
    manifest = read_manifest(release)
    beside = [record.directory for record in manifest.margins] + [record.directory for record in manifest.indexes]
    return {name: release.with_name(name) for name in (release.name, *beside)}


@dataclass
class Findings:
    """What is wrong with what readers see."""

    lost: int = 0
    duplicated: int = 0
    unverified: int = 0
    """Files that differ from those of an undisturbed build, are missing, or are there in addition."""

    @property
    def none(self) -> bool:
        """Whether nothing is."""
        return self == Findings()

    def add(self, other: "Findings") -> None:
        """Count what another look found."""
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.unverified += other.unverified


def inspect(root: Path, expected: Path, inputs: Path, table: str) -> Findings:
    """Compare the visible release of a table with the one of the same number below `expected`, and with its input."""
    found = Findings()
    names = catalogs(root, table)
    for name, directory in names.items():
        made, wanted = tree(directory), tree(expected / _SCHEMA / table / name)
        found.unverified += sum(made.get(file) != wanted.get(file) for file in made.keys() | wanted.keys())
    if names:
        release = next(iter(names))
        files = _FIRST if release.endswith("_r1") else None
        key = config(inputs, root).tables[1 if table == "Object" else 0].id[0]
        wanted_ids = _ids(sorted((inputs / table).glob("*.parquet"))[:files], key)
        ids, counts = np.unique(_ids(sorted(names[release].rglob("Npix=*.parquet")), key), return_counts=True)
        found.lost = len(np.setdiff1d(wanted_ids, ids))
        found.duplicated = int((counts - 1).sum()) + len(np.setdiff1d(ids, wanted_ids))
    return found


def _ids(files: Sequence[Path], key: str) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.concatenate([pq.read_table(file, columns=[key], partitioning=None)[key].to_numpy() for file in files])


def wait_for_none(session: int, seconds: float = 10.0) -> list[int]:
    """Return the processes of a session that are left after some time."""
    end = time.monotonic() + seconds
    while left := [p.pid for p in psutil.process_iter(["status"]) if _session(p.pid) == session and not _is_dead(p)]:
        if time.monotonic() > end:
            return left
        time.sleep(0.02)
    return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _is_dead(process: psutil.Process) -> bool:
    return bool(process.info["status"] == psutil.STATUS_ZOMBIE)


@dataclass
class Scene:
    """Inputs, the releases that undisturbed builds make of them, and rounds of killing."""

    base: Path
    inputs: Path
    typical_s: dict[Action, float] = field(default_factory=dict)
    """Time of an undisturbed build, and of an append."""
    hits: Counter[str] = field(default_factory=Counter)

    @classmethod
    def make(cls, base: Path, rows: int, seed: int) -> "Scene":
        """Write inputs, build a release, and append to a copy of it."""
        scene = cls(base, base / "input")
        write_inputs(scene.inputs, rows, seed)
        actions: tuple[Action, ...] = ("build", "append")
        for action in actions:
            if action == "append":
                scene.begin_expected_append()
            process = scene.start(action, scene.expected(action))
            start = time.monotonic()
            _, errors = process.communicate()
            if process.returncode != 0:
                raise RuntimeError(errors)
            scene.typical_s[action] = time.monotonic() - start
        return scene

    def expected(self, action: Action) -> Path:
        """Return where the releases of undisturbed runs lie."""
        return self.base / f"expected-{action}"

    def begin_expected_append(self) -> None:
        """Copy the built release, for the undisturbed append."""
        shutil.copytree(self.expected("build"), self.expected("append"), copy_function=os.link)

    def fresh(self, action: Action) -> Path:
        """Return a root on which a build, or an append, can be started."""
        root = self.base / "tried"
        shutil.rmtree(root, ignore_errors=True)
        if action == "append":
            shutil.copytree(self.expected("build"), root)
        return root

    def start(self, action: Action, root: Path) -> subprocess.Popen[str]:
        """Start a build or an append in a session of its own; it has got as far as to begin."""
        command = [sys.executable, "-m", "benchmarks.kill_builds", "--direct", action, str(self.inputs), str(root)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def kill(self, action: Action, root: Path, rng: random.Random) -> None:
        """Start a run, and kill its director or one of its workers at a random moment."""
        process = self.start(action, root)
        time.sleep(rng.uniform(0, self.typical_s[action]))
        victim = process.pid
        if rng.random() < 0.3:
            workers = [p.pid for p in psutil.process_iter(["cmdline"]) if _session(p.pid) == process.pid and _works(p)]
            victim = rng.choice(workers or [victim])
        self.hits[_where(root, action) + (" director" if victim == process.pid else " worker")] += 1
        os.kill(victim, signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == 0 or victim == process.pid or "was killed in stage" in errors, errors
        left = wait_for_none(process.pid)
        assert not left, f"processes {left} are left"

    def finish(self, action: Action, root: Path) -> None:
        """Run to the end."""
        process = self.start(action, root)
        _, errors = process.communicate()
        assert process.returncode == 0, errors

    def look(self, action: Action, root: Path) -> Findings:
        """Compare what is visible of all tables with what undisturbed runs made."""
        found = Findings()
        for table in TABLES:
            if (root / _SCHEMA / table).is_dir():
                found.add(inspect(root, self.expected(action), self.inputs, table))
        return found

    def is_new(self, action: Action, root: Path) -> bool:
        """Return whether all tables have got the release that the action makes."""
        number = 1 if action == "build" else 2
        return all(f"{table}_r{number}" in catalogs(root, table) for table in TABLES)

    def kill_many(self, kills: int, seed: int, again: float = 0.3) -> dict[str, Any]:
        """Kill so many times, and return what was found; `again`: how often what was killed is killed once more."""
        rng = random.Random(seed)
        total, done, rounds, unfinished, start = Findings(), 0, 0, 0, time.monotonic()
        actions: tuple[Action, ...] = ("build", "append")
        while done < kills:
            action = rng.choice(actions)
            root = self.fresh(action)
            while True:
                self.kill(action, root, rng)
                done += 1
                total.add(self.look(action, root))
                if done == kills or self.is_new(action, root) or rng.random() > again:
                    break
            if action == "append" or not self.is_new(action, root):  # a build that was done would make another release
                self.finish(action, root)
            total.add(self.look(action, root))
            unfinished += not self.is_new(action, root)
            rounds += 1
        return {
            "kills": done,
            "rounds": rounds,
            "rows_lost": total.lost,
            "rows_duplicated": total.duplicated,
            "unverified_visible": total.unverified,
            "unfinished_rounds": unfinished,
            "hits": dict(sorted(self.hits.items())),
            "undisturbed_s": {name: round(seconds, 2) for name, seconds in self.typical_s.items()},
            "seconds": round(time.monotonic() - start, 1),
        }


def _works(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in process.info["cmdline"] or ())


def _where(root: Path, action: Action) -> str:
    """Return how far a run has got, for the report: the last stage of which there is a record."""
    table = next((name for name in reversed(TABLES) if (root / _SCHEMA / name / ".staging").is_dir()), None)
    if table is None:
        return f"{action} {'is done' if (root / _SCHEMA / TABLES[0]).is_dir() else 'begins'}"
    staging = root / _SCHEMA / table / ".staging"
    kinds = {path.parent.name for path in staging.rglob("*.npz")}
    order = ("margin", *sorted(kind for kind in kinds if kind.startswith("index-")), "sort", "bucket", "place")
    return f"{action} {table} {next((stage for stage in order if stage in kinds), 'plan')}"


if __name__ == "__main__":
    main()
