"""The index of all spill files: which batches a bucket has, in files that a sort unit reads a small part of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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

_SAVED: Final = 1 << 16
"""Batches that are written at a time."""


def write_spill_index(workspace: Workspace, units: int, buckets: int) -> None:
    """Join what all bucket units tell about their spill files, sorted by bucket, in the order of the input."""
    counts = [_counted(workspace, unit) for unit in range(units)]
    total, margin_rows = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
    blocks, owners = np.zeros(total, _BLOCK), np.empty(total, np.int32)
    at = seen = 0
    with _saved(workspace, "tiles", np.dtype("<i4"), margin_rows) as write:  # of a large table they are many
        for unit, (count, rows) in enumerate(counts):
            found = blocks[at : at + count]
            with np.load(workspace.record("bucket", unit)) as record:
                for name in ("rows", "margin", "low", "high", "bytes", "start", "sizes", "sums"):
                    found[name] = record[name]
                owners[at : at + count] = record["bucket"]
                write(record["margin_tiles"])
            found["unit"] = unit
            of_margin = np.where(found["margin"], found["rows"], 0).astype(np.int64)
            found["first_tile"] = seen + np.cumsum(of_margin) - of_margin
            at, seen = at + count, seen + rows
    order = np.argsort(owners, kind="stable")
    with _saved(workspace, "blocks", _BLOCK, total) as write:
        for first in range(0, total, _SAVED):
            write(blocks[order[first : first + _SAVED]])
    edges = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=buckets))]).astype(np.int64)
    with _saved(workspace, "buckets", edges.dtype, len(edges)) as write:
        write(edges)


def _counted(workspace: Workspace, unit: int) -> tuple[int, int]:
    """Return the batches of a unit's spill file, and the rows of margins among its rows."""
    with np.load(workspace.record("bucket", unit)) as record:
        rows = record["rows"]
        return len(rows), int(rows[record["margin"].astype(np.bool_)].sum())


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


@contextmanager
def _saved(
    workspace: Workspace, name: str, kind: np.dtype[Any], count: int
) -> Iterator[Callable[[NDArray[np.generic]], object]]:
    """Write an array of `count` items piece by piece: yield what writes the next ones."""
    with replaced(_path(workspace, name)) as hidden, hidden.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda piece: file.write(piece.astype(kind, copy=False).tobytes())
