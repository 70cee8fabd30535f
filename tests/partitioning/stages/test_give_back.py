"""Spill files are given back range by range: only what was sorted, and only once what was made of it is on disk."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from partitioning.exceptions import LayoutError, PartitioningError
from partitioning.executors import Done, InlineExecutor
from partitioning.layout import files as files_module
from partitioning.pipeline import build
from partitioning.stages import bucket as bucket_stage
from partitioning.stages import give_back as stage
from partitioning.stages import plan as plan_stage
from partitioning.stages.give_back import GiveBack
from partitioning.stages.plan import read_plan
from partitioning.stages.run import Share
from partitioning.stages.spill import read_blocks
from partitioning.stages.spill_index import bucket_blocks
from partitioning.stages.workspace import Workspace
from tests.partitioning.builders import CREATED, config, sky_rows, sky_table, tree, write_files

SHARE = Share(64 << 20)
TABLE = sky_table(target_rows=3000, row_group_rows=1000)
STOPPED_AFTER = 3


class Stopped(InlineExecutor):
    """Loses its power when some buckets are sorted, and nothing is given back yet."""

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run the units of a stage, or the first of them."""
        if stage != "sort":
            super().run(workspace, stage, units, done)
            return
        super().run(workspace, stage, STOPPED_AFTER, lambda unit, rows: None)  # noqa: ARG005
        raise PartitioningError("power is lost")


@pytest.fixture(autouse=True)
def _several_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_stage, "_SMALL_UNIT_BYTES", 60_000)
    monkeypatch.setattr(bucket_stage, "_SMALL_BUCKET_ROWS", 3000)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with input whose slices of a bucket are many pages long."""
    directory = tmp_path_factory.mktemp("base")
    write_files(directory / "Object", sky_rows(24_000), files=3)
    return directory


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a release whose build was left alone."""
    return built(base, tmp_path_factory.mktemp("whole"))


def built(base: Path, root: Path) -> dict[str, bytes]:
    (table,) = build(config(base, TABLE, root=root), created=CREATED, executor=InlineExecutor(SHARE))
    return tree(table.directory)


@pytest.fixture
def stopped(base: Path, tmp_path: Path) -> Workspace:
    """Return where a build was interrupted while it sorted."""
    with pytest.raises(PartitioningError, match="power is lost"):
        build(config(base, TABLE, root=tmp_path), created=CREATED, executor=Stopped(SHARE))
    home = tmp_path / "survey" / "Object"
    return Workspace(home, "Object_r1", home / ".staging" / "spill")


def give_back(workspace: Workspace, *buckets: int) -> None:
    with GiveBack(workspace, read_plan(workspace)) as spill:
        for bucket in buckets:
            spill.done(bucket)


def allocated(workspace: Workspace) -> int:
    return sum(path.stat().st_blocks * 512 for path in (workspace.spill / "bucket").glob("*.arrow"))


def test_what_was_sorted_is_given_back_and_nothing_else(
    base: Path, stopped: Workspace, whole: dict[str, bytes], tmp_path: Path
) -> None:
    plan = read_plan(stopped)
    before, sizes = allocated(stopped), [path.stat().st_size for path in (stopped.spill / "bucket").iterdir()]
    give_back(stopped, *range(STOPPED_AFTER))
    gone = sum(
        sum(block.sizes) for n in range(STOPPED_AFTER) for blocks in bucket_blocks(stopped, n)[:2] for block in blocks
    )
    assert before - allocated(stopped) > gone / 2
    assert [path.stat().st_size for path in (stopped.spill / "bucket").iterdir()] == sizes
    rows, margins, _ = bucket_blocks(stopped, STOPPED_AFTER)
    assert len(list(read_blocks([*rows, *margins], plan.spill_form))) == len(rows) + len(margins) > 1
    assert built(base, tmp_path) == whole


def test_what_was_made_is_on_disk_before_anything_is_given_back(
    stopped: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(stage, "fsync_path", lambda path: seen.append(path.name))
    monkeypatch.setattr(stage, "_free", lambda path, _: seen.append(f"free {path.name}"))
    give_back(stopped, 1)
    first = min(seen.index(name) for name in seen if name.startswith("free "))
    flushed, freed = seen[:first], seen[first:]
    assert freed == ["free 00000.arrow", "free 00002.arrow"]  # the second file has no rows there
    margin = stopped.margin(TABLE.margin_arcsec)
    made = [path for root in (stopped.catalog, margin) for path in root.rglob("Npix=*.parquet")]
    ours = {"00001.npz", "00001.files.parquet", "00001.margin.parquet", "00001.groups.arrow"}
    runs = {path.name for path in (stopped.spill / "runs/id").glob("00001-*-0000.*")}
    assert {name.rpartition(".")[2] for name in runs} == {"arrow", "facts"}
    assert ours | runs | {"sort", "id"} <= set(flushed)
    assert any(path.name in flushed for path in made)
    assert flushed.index("00001.npz") > max(n for n, name in enumerate(flushed) if name.startswith("Npix="))


def failing_flush(fails: Callable[[Path], bool]) -> Callable[[Path], None]:
    def flush(path: Path) -> None:
        if fails(path):
            raise OSError(5, "Input/output error")
        files_module.fsync_path(path)

    return flush


def test_a_disk_that_cannot_write_ends_the_build_and_nothing_is_given_back(
    base: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr(stage, "fsync_path", failing_flush(lambda path: path.name.startswith("Npix=")))
        patch.setattr(stage, "_free", lambda path, _: freed.append(path))
        with pytest.raises(PartitioningError, match=r"Input/output error.*run the same command again"):
            built(base, tmp_path)
    assert freed == []
    assert list(tmp_path.rglob("records/sort/00000.*.parquet"))
    assert not list(tmp_path.rglob("records/sort/00000.npz"))  # what the disk refused is made again, not flushed again
    assert built(base, tmp_path) == whole


def test_a_spill_file_that_is_gone_is_no_error_when_all_of_it_was_sorted(stopped: Workspace) -> None:
    for path in (stopped.spill / "bucket").glob("*.arrow"):
        path.unlink()
    give_back(stopped, 1)


def test_nothing_is_given_back_while_a_helper_may_read_it(
    base: Path, stopped: Workspace, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced = {"release": stopped.name, "spill": str(stopped.spill), "stage": "sort", "units": 9, "stale_s": 0.1}
    (stopped.staging / "stage.json").write_text(json.dumps(announced), encoding="utf-8")
    freed: list[Path] = []
    monkeypatch.setattr(stage, "_free", lambda path, _: freed.append(path))
    assert built(base, tmp_path) == whole
    assert freed == []


def test_what_does_not_pass_is_made_again_from_the_input(
    base: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complain(_: object) -> None:
        raise LayoutError("a row is in the wrong tile")

    with monkeypatch.context() as patch:
        patch.setattr("partitioning.pipeline.require_clean", complain)
        with pytest.raises(LayoutError, match="wrong tile"):
            built(base, tmp_path)
    said: list[str] = []
    (table,) = build(
        config(base, TABLE, root=tmp_path), created=CREATED, executor=InlineExecutor(SHARE), report=said.append
    )
    assert tree(table.directory) == whole
    assert not any("damaged" in line for line in said)
