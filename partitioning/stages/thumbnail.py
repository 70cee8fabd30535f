"""Thumbnail: a few rows from all over the sky in one small file, for a first look at what a catalog holds."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..layout.files import replaced
from ..layout.partition_map import PartitionMap
from ..layout.paths import THUMBNAIL, leaf_path

__all__ = ["write_thumbnail"]

_ROWS: Final = 100
_READERS: Final = 4
"""Threads that open leaves: one of a thousand columns takes 80 ms, and each decodes a part of a row group."""


def write_thumbnail(catalog: Path, partitions: PartitionMap, schema: pa.Schema) -> None:
    """Write the first row of up to 100 tiles, evenly spread among them, in HEALPix order.

    Parameters
    ----------
    catalog
        Directory of a catalog whose leaves are written.
    partitions
        Its tiles.
    schema
        Schema of its leaves, which the file has too.
    """
    chosen = np.unique(np.linspace(0, len(partitions) - 1, min(_ROWS, len(partitions))).astype(np.int64))
    with ThreadPoolExecutor(_READERS) as pool:
        batches = list(pool.map(_first_row, [catalog / leaf_path(partitions.pixel(tile)) for tile in chosen.tolist()]))
    table = pa.Table.from_batches(batches).cast(schema)
    with replaced(catalog / THUMBNAIL) as hidden:
        pq.write_table(table, hidden, compression="zstd", write_page_checksum=True)


def _first_row(path: Path) -> pa.RecordBatch:
    with pq.ParquetFile(path, pre_buffer=False) as leaf:
        return next(leaf.iter_batches(batch_size=1, row_groups=[0]))
