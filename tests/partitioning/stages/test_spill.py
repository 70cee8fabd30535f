"""Spill files: every row comes back from the bucket that it was spilled to, in the order of the input."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from partitioning.layout.paths import HEALPIX_COLUMN
from partitioning.stages import spill
from partitioning.stages.spill import SpillForm, SpillWriter, joined, read_blocks, write_record
from partitioning.stages.spill_index import bucket_blocks, write_spill_index
from partitioning.stages.workspace import Workspace

UNITS, BUCKETS, CHUNKS = 3, 4, 2


def chunk(rng: np.random.Generator, rows: int) -> pa.RecordBatch:
    """Return rows sorted by index; bucket ``b`` has indices ``[1000 b, 1000 (b + 1))``."""
    return pa.record_batch(
        {
            HEALPIX_COLUMN: np.sort(rng.integers(0, 1000 * BUCKETS, rows)),
            "flux": pa.array(rng.normal(size=rows).astype("f4"), mask=rng.random(rows) < 0.2),
            "few": np.where(rng.random(rows) < 0.5, 1.5, -0.0),
            "name": pa.array([f"J{n}" for n in rng.integers(0, 50, rows)], pa.string()),
            "flag": rng.random(rows) < 0.1,
        }
    )


@pytest.mark.parametrize("rows", [0, 300])
def test_buckets_get_their_rows_and_margins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(spill, "BATCH_ROWS", 40)
    workspace = Workspace(tmp_path, "Object_r1", tmp_path / "spill")
    rng = np.random.default_rng(3)
    edges_of = np.arange(BUCKETS) * 1000
    form = SpillForm.of(chunk(rng, 0).schema, [HEALPIX_COLUMN, "few"], ["flag", "name"])
    all_rows, margins, margin_tiles = list[pa.RecordBatch](), list[pa.RecordBatch](), list[np.ndarray]()
    for unit in range(UNITS):
        spilled_tiles = []
        with SpillWriter(workspace.spilled(unit), form) as writer:
            for _ in range(CHUNKS):
                batch = chunk(rng, rows)
                index = batch.column(0).to_numpy()
                writer.add(batch, np.append(np.searchsorted(index, edges_of), rows))
                tiles = np.sort(rng.integers(0, 2 * BUCKETS, rows // 10))  # two tiles a bucket
                margin = batch.slice(0, rows // 10)
                edges = np.append(np.searchsorted(tiles, np.arange(BUCKETS) * 2), len(tiles))
                writer.add_margin(batch, np.arange(rows // 10), edges, tiles)
                all_rows.append(batch)
                margins.append(margin)
                spilled_tiles.append(tiles)
        margin_tiles += spilled_tiles
        tiles = np.concatenate(spilled_tiles).astype(np.int32)
        write_record(workspace.record("bucket", unit), flush=False, **writer.index(), margin_tiles=tiles)
    write_spill_index(workspace, UNITS, BUCKETS)

    everything, margin_rows = pa.Table.from_batches(all_rows), pa.Table.from_batches(margins)
    index, tile = everything.column(0).to_numpy(), np.concatenate(margin_tiles)
    for bucket in range(BUCKETS):
        blocks, margin_blocks, tiles_found = bucket_blocks(workspace, bucket)
        found = joined(list(read_blocks(blocks, form)), form)
        assert found.equals(everything.filter(pa.array(index // 1000 == bucket)))
        some = pa.schema([everything.schema.field(name) for name in (HEALPIX_COLUMN, "few")])
        keys = pa.Table.from_batches((keys for (keys,) in read_blocks(blocks, form, keys_only=True)), some)
        assert keys.equals(found.select(some.names))
        found = joined(list(read_blocks(margin_blocks, form)), form)
        assert found.equals(margin_rows.filter(pa.array(tile // 2 == bucket)))
        assert [len(tiles) for tiles in tiles_found] == [block.rows for block in margin_blocks]
        assert np.concatenate([[], *tiles_found]).tolist() == tile[tile // 2 == bucket].tolist()
        assert all(block.low // 1000 == bucket == block.high // 1000 for block in blocks)
