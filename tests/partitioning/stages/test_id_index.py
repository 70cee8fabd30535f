"""Id indexes: every entry once, sorted, with its tile, however the ids are spread over runs and batches."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.layout.paths import HEALPIX_COLUMN, index_part_path
from partitioning.sky.healpix import SKY_STOP
from partitioning.stages import id_index, id_runs
from partitioning.stages.id_index import (
    Part,
    distinct_ids,
    first_runs,
    index_unit,
    merge_runs,
    merge_unit,
    plan_index,
)
from partitioning.stages.id_runs import IdRuns
from partitioning.stages.spill import write_record
from partitioning.stages.tiling import Tiling
from partitioning.stages.workspace import Workspace

ROWS = 3000
RNG = np.random.default_rng(11)
BIG = 1 << 60
IDS = {
    "integers": pa.array(BIG + RNG.permutation(ROWS)),
    "integers, many twice": pa.array(BIG + RNG.integers(0, ROWS // 3, ROWS)),
    "one id": pa.array(np.full(ROWS, -5)),
    "few ids, some NULL": pa.array(RNG.integers(0, 4, ROWS), mask=RNG.random(ROWS) < 0.2),
    "one id, one position": pa.array(np.full(ROWS, 7)),
    "two ids, one of them rare": pa.array(np.where(np.arange(ROWS) == ROWS // 2, 1, 0)),
    "only NULL": pa.nulls(ROWS, pa.int64()),
    "times": pa.array(RNG.integers(0, 1 << 60, ROWS)).cast(pa.timestamp("ns")),
    "days": pa.array(RNG.integers(0, 9, ROWS).astype("i4")).cast(pa.date32()),
    "floating": pa.array(RNG.normal(size=ROWS)),
    "zeros of both signs": pa.array(np.where(RNG.random(ROWS) < 0.5, -0.0, 0.0)),
    "one text": pa.array(["Vega"] * ROWS),
    "texts that end in NUL": pa.array(["a" + "\0" * (n % 3) for n in RNG.permutation(ROWS)]),
    "long texts": pa.array([f"{n % 900:04d}" + "x" * 300 for n in RNG.permutation(ROWS)]),
    "unsigned": pa.array((1 << 63) + RNG.permutation(ROWS).astype("u8")),
    "texts": pa.array([f"J{n:05d}" for n in RNG.permutation(ROWS)]),
    "texts, some NULL": pa.array([None if n % 5 == 0 else f"J{n % 700}" for n in RNG.permutation(ROWS)], pa.string()),
}
TILING = Tiling(np.zeros(12, np.int64), np.arange(12), np.full(12, ROWS // 12))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_runs, "BATCH_ROWS", 64)
    monkeypatch.setattr(id_runs, "_SAMPLE_STEP", 16)
    monkeypatch.setattr(id_index, "PART_ROWS", 500)
    monkeypatch.setattr(id_index, "PART_GROUP_ROWS", 90)


def built(tmp_path: Path, name: str, units: int, most_bytes: int = 1 << 20) -> list[pa.Table]:
    """Write the runs of some sort units, and return the parts of the index."""
    ids = IDS[name]
    workspace = Workspace(tmp_path, "Object_r1", tmp_path / "spill")
    healpix = np.sort(np.random.default_rng(1).integers(0, SKY_STOP, ROWS))
    if "one position" in name:
        healpix[:] = SKY_STOP // 3
    table = pa.table({HEALPIX_COLUMN: healpix, "id": ids, "other": healpix})
    for unit, first in enumerate(range(0, ROWS, ROWS // units)):
        runs = IdRuns(workspace, ("id",), unit, most_bytes=400 * 16)
        for start in range(first, first + ROWS // units, 100):
            runs.add(table.slice(start, min(100, first + ROWS // units - start)))
        runs.flush()
        write_record(workspace.record("sort", unit), run_names=np.array(runs.names))
    plan: Any = SimpleNamespace(base=None, form=SimpleNamespace(schema=table.schema))

    def merge(stage: str, count: int) -> None:
        for unit in range(count):
            merge_unit(workspace, stage, unit, most_bytes)

    first_level = first_runs(workspace, "id", units)
    parts = plan_index(workspace, plan, "id", first_level, merge_runs(workspace, "id", first_level, merge))
    rows = [index_unit(workspace, plan, TILING, Part("id", part, most_bytes)) for part in range(parts)]
    tables = [pq.read_table(workspace.index("id") / index_part_path(part)) for part in range(parts)]
    assert [len(part) for part in tables] == rows
    distinct = distinct_ids([dict(np.load(workspace.record("index-id", part))) for part in range(parts)])
    kept = table.select(["id", HEALPIX_COLUMN]).filter(pa.compute.is_valid(ids))
    expected = kept.sort_by([("id", "ascending"), (HEALPIX_COLUMN, "ascending")])
    assert distinct == 1 + sum(pa.compute.not_equal(expected["id"][1:], expected["id"][:-1]).to_pylist()) - (not kept)
    assert pa.concat_tables(tables).select(["id", HEALPIX_COLUMN]).equals(expected)
    return tables


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("units", [1, 5])
def test_an_index_holds_every_entry_once_in_order(tmp_path: Path, name: str, units: int) -> None:
    for part in built(tmp_path, name, units):
        assert (part["Norder"].to_numpy() == 0).all()
        assert (part["Npix"].to_numpy() == part[HEALPIX_COLUMN].to_numpy() >> 58).all()


def test_parts_are_of_about_equal_size_and_do_not_depend_on_the_runs(tmp_path: Path) -> None:
    one, five = (built(tmp_path / str(units), "integers", units) for units in (1, 5))
    assert len(one) == len(five) > 4
    assert all(a.equals(b) for a, b in zip(one, five, strict=True))
    assert max(len(part) for part in one) < 1000


@pytest.mark.parametrize("name", ["one id", "few ids, some NULL", "one text", "two ids, one of them rare"])
def test_an_id_of_many_rows_stands_in_several_parts(tmp_path: Path, name: str) -> None:
    tables = built(tmp_path, name, 5)
    assert len(tables) > 4
    assert max(len(part) for part in tables) < 1000


@pytest.mark.parametrize("name", IDS)
def test_an_index_made_in_little_memory_is_the_same(tmp_path: Path, name: str) -> None:
    files = []
    for most_bytes in (1 << 20, 1200, 1):
        built(tmp_path / str(most_bytes), name, 5, most_bytes)
        found = sorted((tmp_path / str(most_bytes)).rglob("part.*.parquet"))
        files.append([path.read_bytes() for path in found])
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("name", IDS)
def test_many_runs_are_merged_before_they_are_cut(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = built(tmp_path / "at once", name, 5)
    monkeypatch.setattr(id_index, "_MOST_RUNS", 2)
    in_levels = built(tmp_path / "levels", name, 5, 1600)
    assert len(list((tmp_path / "levels/spill/runs/id").glob("level-*"))) > 1
    assert [part.to_pydict() for part in at_once] == [part.to_pydict() for part in in_levels]
