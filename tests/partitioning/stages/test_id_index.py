"""Id indexes: every entry once, sorted, with its tile, however the ids are spread over runs and batches."""

import itertools
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
from partitioning.stages.id_index import index_unit, plan_index
from partitioning.stages.id_runs import IdRuns
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
    "only NULL": pa.nulls(ROWS, pa.int64()),
    "unsigned": pa.array((1 << 63) + RNG.permutation(ROWS).astype("u8")),
    "texts": pa.array([f"J{n:05d}" for n in RNG.permutation(ROWS)]),
    "texts, some NULL": pa.array([None if n % 5 == 0 else f"J{n % 700}" for n in RNG.permutation(ROWS)], pa.string()),
}
TILING = Tiling(np.zeros(12, np.int64), np.arange(12), np.full(12, ROWS // 12))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_runs, "_BATCH_ROWS", 64)
    monkeypatch.setattr(id_runs, "_SAMPLE_STEP", 16)
    monkeypatch.setattr(id_index, "PART_ROWS", 500)


def built(tmp_path: Path, ids: pa.Array, units: int) -> list[pa.Table]:
    """Write the runs of some sort units, and return the parts of the index."""
    workspace = Workspace(tmp_path, "Object_r1", tmp_path / "spill")
    healpix = np.sort(np.random.default_rng(1).integers(0, SKY_STOP, ROWS))
    table = pa.table({HEALPIX_COLUMN: healpix, "id": ids, "other": healpix})
    for unit, first in enumerate(range(0, ROWS, ROWS // units)):
        runs = IdRuns(workspace, ("id",), unit, most_rows=400)
        for start in range(first, first + ROWS // units, 100):
            runs.add(table.slice(start, min(100, first + ROWS // units - start)))
        runs.flush()
    plan: Any = SimpleNamespace(base=None, form=SimpleNamespace(schema=table.schema))
    parts = plan_index(workspace, plan, "id")
    rows = [index_unit(workspace, plan, TILING, "id", part) for part in range(parts)]
    tables = [pq.read_table(workspace.index("id") / index_part_path(part)) for part in range(parts)]
    assert [len(part) for part in tables] == rows
    distinct = sum(int(np.load(workspace.record("index-id", part))["distinct"]) for part in range(parts))
    assert distinct == len(set(ids.to_pylist()) - {None})
    kept = table.select(["id", HEALPIX_COLUMN]).filter(pa.compute.is_valid(ids))
    expected = kept.sort_by([("id", "ascending"), (HEALPIX_COLUMN, "ascending")])
    assert pa.concat_tables(tables).select(["id", HEALPIX_COLUMN]).equals(expected)
    return tables


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("units", [1, 5])
def test_an_index_holds_every_entry_once_in_order(tmp_path: Path, name: str, units: int) -> None:
    for part in built(tmp_path, IDS[name], units):
        assert (part["Norder"].to_numpy() == 0).all()
        assert (part["Npix"].to_numpy() == part[HEALPIX_COLUMN].to_numpy() >> 58).all()


def test_parts_are_of_about_equal_size_and_do_not_depend_on_the_runs(tmp_path: Path) -> None:
    one, five = (built(tmp_path / str(units), IDS["integers"], units) for units in (1, 5))
    assert len(one) == len(five) > 4
    assert all(a.equals(b) for a, b in zip(one, five, strict=True))
    assert max(len(part) for part in one) < 1000


def test_equal_ids_stay_in_one_part(tmp_path: Path) -> None:
    tables = built(tmp_path, IDS["integers, many twice"], 5)
    assert len(tables) > 1
    ends = [(part["id"][0].as_py(), part["id"][-1].as_py()) for part in tables]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
