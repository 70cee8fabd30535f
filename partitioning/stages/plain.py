"""Tables without positions: all rows in input order in one Parquet file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..layout.leaf import LeafFormat, write_leaf
from ..layout.paths import PLAIN_FILE
from ..readers.source import Source
from ..sky.healpix import SKY_STOP, Pixel
from .sort import Leaf

__all__ = ["write_plain"]


def write_plain(source: Source, form: LeafFormat, catalog: Path, row_bytes: float) -> tuple[Leaf, tuple[int, ...]]:
    """Write the one file of a table without positions.

    Parameters
    ----------
    row_bytes
        Bytes of a row in memory.

    Returns
    -------
    tuple
        The file as a leaf that stands for the whole sky, and the rows of each input file.
    """
    file_rows = np.zeros(len(source.files), dtype=np.int64)
    group_rows = form.group_rows(row_bytes)

    def groups() -> Iterator[pa.Table]:
        waiting, rows = list[pa.RecordBatch](), 0
        for number, batch in source.batches(batch_rows=group_rows):
            file_rows[number] += batch.num_rows
            waiting.append(batch)
            rows += batch.num_rows
            while rows >= group_rows:
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, group_rows)
                waiting, rows = table.slice(group_rows).to_batches(), rows - group_rows
        if rows:
            yield pa.Table.from_batches(waiting)

    catalog.mkdir(parents=True, exist_ok=True)
    summary = write_leaf(catalog / PLAIN_FILE, groups(), form)
    none = np.empty(0, dtype=np.int64)
    leaf = Leaf(Pixel(0, 0), summary, 0, SKY_STOP - 1, 0.0, none, none)
    return leaf, tuple(file_rows.tolist())
