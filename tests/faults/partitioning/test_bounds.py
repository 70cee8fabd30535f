"""Memory, spill and open files stay within what the operator allowed, whatever the input; see also bench_bounds.py."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.bench_bounds import config as bounded
from benchmarks.bench_bounds import measure, watched
from partitioning.config import BuildConfig
from partitioning.dryrun import dry_run
from partitioning.exceptions import PartitioningError
from partitioning.pipeline import append, build
from partitioning.progress import Lines
from partitioning.stages import plan
from partitioning.stages.tiles import finest_with_margin
from tests.partitioning.builders import CREATED, config, leaves, sky_rows, sky_table, tree, write_files


@pytest.mark.parametrize(
    ("case", "scale", "memory_mb"),
    [("long_texts", 0.5, 320), ("many_files", 0.2, 300), ("one_position", 0.5, 300), ("wide", 0.5, 320)],
)
def test_awkward_inputs_within_a_small_budget(case: str, scale: float, memory_mb: int, tmp_path: Path) -> None:
    """The result is that of a build with plenty of memory, byte for byte."""
    found = measure(tmp_path, case, scale, memory_mb << 20, workers=2)
    assert found["same_bytes"]
    assert found["peak_mb"] <= memory_mb
    assert found["open_files"] < 40


def appended(wanted: BuildConfig) -> None:
    append(wanted, created=CREATED)


def built(wanted: BuildConfig) -> None:
    build(wanted, created=CREATED)


def test_a_tile_of_long_texts_larger_than_the_budget(tmp_path: Path) -> None:
    """Its rows are 170 MB, in row groups of 32 MB that are there several times while they are written and verified."""
    count = 60_000

    def write(number: int) -> None:
        ids = np.arange(number, 3 * count, 3)
        texts = [f"{one:08d}{'lorem ipsum ' * 80}" for one in ids.tolist()]
        rows = {"id": ids, "ra": np.full(count, 45.0), "dec": np.full(count, -10.0), "text": texts}
        pq.write_table(pa.table(rows), tmp_path / f"input/part{number}.parquet")

    (tmp_path / "input").mkdir()
    write(0)
    write(1)
    build(bounded(tmp_path, tmp_path / "catalogs", 1 << 30, 1), created=CREATED)
    write(2)
    added = watched(bounded(tmp_path, tmp_path / "catalogs", 300 << 20, 2), appended)
    whole = watched(bounded(tmp_path, tmp_path / "whole", 400 << 20, 2), built)
    for root, release in (("catalogs", "Object_r2"), ("whole", "Object_r1")):
        (leaf,) = leaves(tmp_path / root / "bounds/Object" / release)
        assert pq.read_table(leaf, columns=["id"], partitioning=None)["id"].to_pylist() == list(range(3 * count))
    assert 100 < added["peak_mb"] <= 300
    assert 100 < whole["peak_mb"] <= 400
    for memory, enough in ((300, False), (400, True)):
        lines: list[str] = []
        fine = dry_run(bounded(tmp_path, tmp_path / "other", memory << 20, 1), Lines(lines.append))
        assert fine == enough
        assert enough or any("so that a process needs 13" in line for line in lines), lines


def test_a_tile_larger_than_the_window(tmp_path: Path) -> None:
    """Sixteen megabytes for rows are the least: all rows at one position go through in several passes."""
    rows = sky_rows(60_000).drop_columns(["curve"])
    for name, value in (("ra", 45.0), ("dec", -10.0)):
        rows = rows.set_column(rows.column_names.index(name), name, [[value] * len(rows)])
    write_files(tmp_path / "Object", rows)
    table = sky_table(row_group_rows=4096)
    (small,) = build(config(tmp_path, table, memory=64 << 20, workers=1), created=CREATED)
    (large,) = build(config(tmp_path, table, memory=4 << 30, workers=1, root=tmp_path / "other"), created=CREATED)
    assert tree(small.directory) == tree(large.directory)
    assert len(leaves(small.directory)) == 1


def test_too_much_spill_is_told_and_goes_on_when_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_SMALL_UNIT_BYTES", 10_000)
    write_files(tmp_path / "Object", sky_rows(3000), files=6)
    table = sky_table(target_rows=300)
    (whole,) = build(config(tmp_path, table, root=tmp_path / "whole"), created=CREATED)
    expected = r"survey\.Object: spill files take 0\.000\d+ GB, more than max_spill = 0\.00025 GB; raise it"
    for _ in range(2):
        with pytest.raises(PartitioningError, match=expected):
            build(config(tmp_path, table, max_spill=250_000), created=CREATED)
    lines: list[str] = []
    (table_built,) = build(config(tmp_path, table, max_spill=10_000_000), created=CREATED, report=lines.append)
    assert any("an interrupted build of release 1 goes on" in line for line in lines)
    assert tree(table_built.directory) == tree(whole.directory)


def test_spill_files_that_are_gone_are_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scratch disk was purged, or another directory is named: the build begins anew, with a whole id index."""
    from partitioning import pipeline

    write_files(tmp_path / "Object", sky_rows(500))
    table = sky_table(target_rows=100)
    (whole,) = build(config(tmp_path, table, root=tmp_path / "whole"), created=CREATED)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_index", stop)
        with pytest.raises(KeyboardInterrupt):
            build(config(tmp_path, table, spill=tmp_path / "scratch1"), created=CREATED)
    lines: list[str] = []
    (built,) = build(config(tmp_path, table, spill=tmp_path / "scratch2"), created=CREATED, report=lines.append)
    assert any(f"the spill files of release 1 are not in {tmp_path / 'scratch2'}" in line for line in lines)
    for name in ("Object_r1", "Object_r1_id"):
        assert tree(built.directory.with_name(name)) == tree(whole.directory.with_name(name))


def test_tiles_are_not_split_finer_than_their_margin(tmp_path: Path) -> None:
    """Where they would be, every row is in the margins of many tiles."""
    assert finest_with_margin(3600.0) == 4
    rows = sky_rows(400)
    for name in ("ra", "dec"):
        near = 10 + rows["flag"].to_numpy().astype(float) * 1e-3 + rows["id"].to_numpy() % 97 * 1e-6
        rows = rows.set_column(rows.column_names.index(name), name, [near])
    write_files(tmp_path / "Object", rows)
    (built,) = build(config(tmp_path, sky_table(target_rows=10, margin_arcsec=900.0)), created=CREATED)
    assert {path.parts[-3] for path in leaves(built.directory)} == {f"Norder={finest_with_margin(900.0)}"}
