"""What a loss of power takes from an interrupted build is made again: the release is the same, byte for byte."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from partitioning.exceptions import PartitioningError
from partitioning.executors import Done, InlineExecutor
from partitioning.layout.paths import FLAT_IDS_FILE
from partitioning.pipeline import build
from partitioning.stages import bucket as bucket_stage
from partitioning.stages import id_index, run
from partitioning.stages import plan as plan_stage
from partitioning.stages.plan import read_plan
from partitioning.stages.remains import forget_lost_units
from partitioning.stages.run import Share, run_unit
from partitioning.stages.spill import write_record
from partitioning.stages.workspace import Workspace
from tests.partitioning.builders import CREATED, config, sky_rows, sky_table, tree, write_files

SHARE = Share(64 << 20)
TABLE = sky_table(target_rows=300, row_group_rows=64)
STAGING = "survey/Object/.staging"


class Noting(InlineExecutor):
    """Notes the units that run."""

    def __init__(self, share: Share) -> None:
        super().__init__(share)
        self.ran: list[tuple[str, int]] = []

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run the units of a stage."""

        def noted(unit: int, rows: int) -> None:
            self.ran.append((stage, unit))
            done(unit, rows)

        super().run(workspace, stage, units, noted)


class Interrupted(Noting):
    """Ends a build when half of the units of a stage are done."""

    def __init__(self, share: Share, at: str = "sort") -> None:
        super().__init__(share)
        self._at = at

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run the units of a stage."""
        if stage != self._at:
            super().run(workspace, stage, units, done)
            return
        for unit in range(units // 2):
            run_unit(workspace, stage, unit, self.share)
            self.ran.append((stage, unit))
        raise PartitioningError("power is lost")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with input that makes several units and buckets."""
    directory = tmp_path_factory.mktemp("base")
    write_files(directory / "Object", sky_rows(4000), files=5)
    return directory


@contextmanager
def small_units() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_stage, "_SMALL_UNIT_BYTES", 60_000)
        patch.setattr(bucket_stage, "_SMALL_BUCKET_ROWS", 500)
        yield


@pytest.fixture(autouse=True)
def _small_units() -> Iterator[None]:
    with small_units():
        yield


def built(base: Path, root: Path, told: list[str] | None = None) -> dict[str, bytes]:
    report = (lambda _: None) if told is None else told.append
    executor = InlineExecutor(SHARE)
    (table,) = build(config(base, TABLE, root=root), created=CREATED, executor=executor, report=report)
    beside = [table.directory.with_name(f"Object_r1_{part}") for part in ("10arcs", "id")]
    return {
        f"{catalog.name}/{name}": text for catalog in (table.directory, *beside) for name, text in tree(catalog).items()
    }


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a release whose build was left alone."""
    with small_units():
        return built(base, tmp_path_factory.mktemp("whole"))


def interrupted(base: Path, root: Path, at: str = "sort") -> Path:
    """Interrupt a build, and return its staging directory."""
    with pytest.raises(PartitioningError, match="power is lost"):
        build(config(base, TABLE, root=root), created=CREATED, executor=Interrupted(SHARE, at))
    return root / STAGING


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.fixture(scope="module")
def left(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the staging directory of a build that was interrupted while it sorted."""
    with small_units():
        return interrupted(base, tmp_path_factory.mktemp("left"))


@contextmanager
def spoiled(path: Path, spoil: Callable[[Path], None]) -> Iterator[None]:
    """Spoil a file for a while."""
    content = path.read_bytes()
    spoil(path)
    yield
    path.write_bytes(content)


def records(staging: Path) -> dict[str, bytes]:
    return {str(path.relative_to(staging)): path.read_bytes() for path in staging.rglob("[0-9]*.npz")}


@pytest.mark.parametrize("spoil", [cut, emptied, Path.unlink])
@pytest.mark.parametrize(
    ("pattern", "lost"),
    [
        ("spill/bucket/00001.arrow", ["spill/bucket/00001.npz", "spill/place/00001.npz"]),
        ("spill/bucket/00001.npz", ["spill/bucket/00001.npz", "spill/place/00001.npz"]),
        ("spill/place/00001.npz", ["spill/place/00001.npz"]),
        ("spill/runs/id/00001-*-0000.facts", ["records/sort/00001.npz"]),
        ("spill/runs/id/00001-*-0000.arrow", ["records/sort/00001.npz"]),
        ("records/sort/00001.npz", ["records/sort/00001.npz"]),
        ("records/sort/00001.files.parquet", ["records/sort/00001.npz"]),
        ("records/sort/00001.margin.parquet", ["records/sort/00001.npz"]),
        ("records/sort/00001.groups.arrow", ["records/sort/00001.npz"]),
        ("Object_r1/dataset/**/Npix=*.parquet", ["records/sort/0000?.npz"]),
        ("Object_r1_10arcs/dataset/**/Npix=*.parquet", ["records/sort/0000?.npz"]),
    ],
)
def test_units_whose_results_are_short_or_gone_are_forgotten(
    left: Path, pattern: str, lost: list[str], spoil: Callable[[Path], None]
) -> None:
    workspace = Workspace(left.parent, "Object_r1", left / "spill")
    before = records(left)
    with spoiled(min(left.glob(pattern)), spoil):
        forget_lost_units(workspace, read_plan(workspace))
        gone = sorted(before.keys() - records(left).keys())
    for name in gone:
        (left / name).write_bytes(before[name])
    assert len(gone) == len(lost)
    assert all(fnmatch(name, like) for name, like in zip(gone, lost, strict=True))
    assert forget_lost_units(workspace, read_plan(workspace)) == 0


def test_what_is_short_or_gone_is_made_again(base: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    staging, told = interrupted(base, tmp_path), list[str]()
    cut(staging / "spill/bucket/00001.arrow")
    emptied(staging / "records/sort/00001.npz")
    min((staging / "Object_r1/dataset").rglob("Npix=*.parquet")).unlink()
    assert built(base, tmp_path, told) == whole
    assert any("units of work are not as they were left; they are done again" in line for line in told)


@pytest.mark.parametrize(
    ("name", "spoil", "kept"),
    [
        ("level-1/00001.arrow", cut, False),
        ("level-1/00000.facts", Path.unlink, False),
        ("level-2/00000.arrow", emptied, False),
        ("00001-*-0000.arrow", cut, True),  # its unit is sorted again; the index is forgotten then
        ("level-1/00001.arrow", Path.exists, True),
    ],
)
def test_runs_are_merged_again_if_any_is_lost(
    base: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    spoil: Callable[[Path], None],
    kept: bool,
) -> None:
    monkeypatch.setattr(id_index, "_MOST_RUNS", 2)
    staging = interrupted(base, tmp_path, at="merge3-id")
    merged = staging / "spill/runs/id/level-1/00000.arrow"
    before = merged.stat().st_ino
    spoil(next((staging / "spill/runs/id").glob(name)))
    workspace = Workspace(staging.parent, "Object_r1", staging / "spill")
    lost = forget_lost_units(workspace, read_plan(workspace))
    assert (lost > 0) == (spoil.__name__ != "exists")
    assert kept == (merged.exists() and merged.stat().st_ino == before)
    assert built(base, tmp_path) == whole


def leaf_inodes(directory: Path) -> dict[str, int]:
    """Return the inode of every leaf of a release and its margin: one that is written anew has another."""
    found = directory.glob("Object_r1*/dataset/Norder=*/Dir=*/Npix=*.parquet")
    return {str(path.relative_to(directory)): path.stat().st_ino for path in found}


@pytest.fixture(scope="module")
def units(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """Return the units that run in a build that is left alone, whose index has several parts."""
    executor = Noting(SHARE)
    with small_units(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_index, "PART_ROWS", 500)
        build(config(base, TABLE, root=tmp_path_factory.mktemp("noted")), created=CREATED, executor=executor)
    return executor.ran


@pytest.mark.parametrize("at", ["place", "bucket", "sort", "index-id"])
def test_units_that_are_done_do_not_run_again(
    base: Path, units: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(id_index, "PART_ROWS", 500)
    before, after = Interrupted(SHARE, at), Noting(SHARE)
    staging, wanted = tmp_path / STAGING, config(base, TABLE, root=tmp_path)
    with pytest.raises(PartitioningError, match="power is lost"):
        build(wanted, created=CREATED, executor=before)
    done = leaf_inodes(staging)
    (table,) = build(wanted, created=CREATED, executor=after)
    assert sorted(before.ran + after.ran) == sorted(units) == sorted(set(units))
    assert min(sum(stage == at for stage, _ in one.ran) for one in (before, after)) >= 2
    assert bool(done) == (at in {"sort", "index-id"})
    assert done.items() <= leaf_inodes(table.directory.parent).items()


@pytest.mark.parametrize("lost", [[], ["records/sort/00001.npz"], ["records/sort/0000?.npz", "records/index-id/*.npz"]])
def test_an_index_is_made_of_the_runs_of_this_build_alone(
    base: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: list[str]
) -> None:
    """Sort units that are done again by a process of more memory leave fewer runs, and others."""
    monkeypatch.setattr(id_index, "_MOST_RUNS", 2)
    monkeypatch.setattr(run, "_entry_bytes", lambda _: 2 * 16 * 150)
    staging = interrupted(base, tmp_path, at="flat-id")
    before = len(list((staging / "spill/runs/id").glob("*.arrow")))
    assert len(list((staging / "spill/runs/id").glob("level-*"))) > 1
    monkeypatch.setattr(run, "_entry_bytes", lambda _: 2 * 16 * 100_000)
    for pattern in lost:
        for record in staging.glob(pattern):
            record.unlink()
    if lost:
        assert interrupted(base, tmp_path, at="flat-id") == staging
        assert len(list((staging / "spill/runs/id").glob("*.arrow"))) > before  # those of before are nobody's
    assert built(base, tmp_path) == whole


def test_an_index_that_is_not_that_of_the_leaves_is_made_anew(
    base: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    staging = interrupted(base, tmp_path, at="flat-id")
    part = min((staging / "Object_r1_id/dataset/index").glob("part.*.parquet"))
    record = staging / "records/index-id/00000.npz"
    with np.load(record) as found:
        arrays = dict(found)
    write_record(record, **{**arrays, "rows": arrays["rows"] - 1})
    assert part.exists()
    with pytest.raises(PartitioningError, match="leaves hold 4000 values of id; run the same command again"):
        built(base, tmp_path)
    assert built(base, tmp_path) == whole


def test_a_unit_that_two_do_with_other_memory_has_one_set_of_runs(
    base: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupted, "is_local", False)  # as on several machines, where no spill is given back
    staging = interrupted(base, tmp_path, at="index-id")
    workspace = Workspace(staging.parent, "Object_r1", staging / "spill")
    plan = read_plan(workspace)
    record = (staging / "records/sort/00001.npz").read_bytes()
    run._sort(workspace, plan, 1, Share(1 << 14))  # the second to do it has less memory, and is the last to tell
    assert len(list((staging / "spill/runs/id").glob("00001-*.arrow"))) > 2
    assert built(base, tmp_path / "other") == whole
    assert (staging / "records/sort/00001.npz").read_bytes() != record
    assert built(base, tmp_path) == whole


def test_flat_arrays_are_always_made_anew(base: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    staging = interrupted(base, tmp_path, at="flat-id")
    for done in (staging / "records/index-id").iterdir():
        write_record(staging / "records/flat-id" / done.name, flush=False)
    (staging / "Object_r1_id" / FLAT_IDS_FILE).write_bytes(b"")
    assert built(base, tmp_path) == whole


def test_spill_files_that_are_wrong_at_the_right_size_are_made_again(
    base: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    staging, told = interrupted(base, tmp_path), list[str]()
    for path in (staging / "spill/bucket").glob("*.arrow"):
        path.write_bytes(bytes(path.stat().st_size))
    assert built(base, tmp_path, told) == whole
    units = len([line for line in told if "it is placed and spilled again" in line])
    assert units == len(list((base / "Object").iterdir()))


def test_a_spill_file_that_is_damaged_again_ends_the_build(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partitioning.stages.spill.xxhash.xxh3_64_intdigest", lambda _: 0)
    with pytest.raises(PartitioningError, match="spill files of input unit 0 are damaged; run the same command again"):
        built(base, tmp_path)
