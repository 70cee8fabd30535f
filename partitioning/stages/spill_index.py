"""The index of all spill files: which batches a bucket has, in files that a sort unit reads a small part of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..layout.files import replaced
from .spill import GROUPS, Block
from .workspace import Workspace

__all__ = ["bucket_blocks", "spilled_row_bytes", "write_spill_index"]

_BLOCK: Final = np.dtype(
    [
        ("unit", "<i4"),
        ("rows", "<i4"),
        ("margin", "?"),
        ("low", "<i8"),
        ("high", "<i8"),
        ("first_tile", "<i8"),
        ("bytes", "<i8"),
        ("start", "<i8"),
        ("sizes", "<i8", (GROUPS,)),
        ("sums", "<u8", (GROUPS,)),
    ]
)
"""One batch of a spill file; `first_tile` is where the tiles of its rows begin, if it holds margin rows."""


def write_spill_index(workspace: Workspace, units: int, buckets: int) -> None:
    """Join what all bucket units tell about their spill files, sorted by bucket, in the order of the input."""
    blocks, owners, tiles = [np.zeros(0, _BLOCK)], [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    seen = 0
    for unit in range(units):
        with np.load(workspace.record("bucket", unit)) as record:
            found = np.zeros(len(record["rows"]), _BLOCK)
            for name in ("rows", "margin", "low", "high", "bytes", "start", "sizes", "sums"):
                found[name] = record[name]
            owners.append(record["bucket"])
            tiles.append(record["margin_tiles"])
        found["unit"] = unit
        margin_rows = np.where(found["margin"], found["rows"], 0).astype(np.int64)
        found["first_tile"] = seen + np.cumsum(margin_rows) - margin_rows
        seen += int(margin_rows.sum())
        blocks.append(found)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    _save(workspace, "tiles", np.concatenate(tiles))
    _save(workspace, "blocks", np.concatenate(blocks)[order])
    _save(workspace, "buckets", np.searchsorted(owner[order], np.arange(buckets + 1)))


def bucket_blocks(
    workspace: Workspace, bucket: int
) -> tuple[Sequence[Block], Sequence[Block], Sequence[NDArray[np.int32]]]:
    """Return the blocks of a bucket's rows, those of its margin rows, and the tile of each row of each of these."""
    edges = np.load(_path(workspace, "buckets"), mmap_mode="r")
    mine = np.load(_path(workspace, "blocks"), mmap_mode="r")[int(edges[bucket]) : int(edges[bucket + 1])]
    tiles = np.load(_path(workspace, "tiles"), mmap_mode="r")
    margin = mine[mine["margin"]]
    spans = zip(margin["first_tile"].tolist(), margin["rows"].tolist(), strict=True)
    return (
        _blocks(workspace, mine[~mine["margin"]]),
        _blocks(workspace, margin),
        [np.array(tiles[first : first + rows]) for first, rows in spans],
    )


def spilled_row_bytes(workspace: Workspace, bucket: int) -> float:
    """Return the mean bytes in memory of a bucket's rows."""
    edges = np.load(_path(workspace, "buckets"), mmap_mode="r")
    mine = np.load(_path(workspace, "blocks"), mmap_mode="r")[int(edges[bucket]) : int(edges[bucket + 1])]
    return float(mine["bytes"].sum() / max(1, mine["rows"].sum()))


def _blocks(workspace: Workspace, chosen: NDArray[np.void]) -> list[Block]:
    columns = [chosen[name].tolist() for name in ("unit", "rows", "low", "high", "start", "sizes", "sums")]
    return [Block(workspace.spilled(unit), unit, *rest) for unit, *rest in zip(*columns, strict=True)]


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.spill / "index" / f"{name}.npy"


def _save(workspace: Workspace, name: str, array: NDArray[np.generic]) -> None:
    with replaced(_path(workspace, name)) as hidden, hidden.open("wb") as file:
        np.save(file, array)
