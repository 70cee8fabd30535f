"""The sidecar of an adopted table: which foreign files there are, and what they cover.

``manifest/files.parquet`` of an adopted table has `ADOPTED_FILES_SCHEMA` instead of `manifest.FILES_SCHEMA`: files have
paths of their own, need not be disjoint, and may change behind our back, so their sizes and times are kept. The
minimum and maximum of each id column follow. ``manifest/row_groups.parquet`` is as usual.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import LayoutError
from .file_map import FileMap
from .manifest import AdoptedData
from .paths import MANIFEST_DIR

__all__ = ["ADOPTED_FILES_SCHEMA", "read_file_map"]

ADOPTED_FILES_SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("row_groups", pa.int32(), nullable=False),
        pa.field("positions", pa.int64(), nullable=True),
        pa.field("coverage", pa.list_(pa.field("element", pa.int64(), nullable=False)), nullable=False),
        pa.field("max_separation_deg", pa.float64(), nullable=False),
    ]
)
"""Leading columns of ``files.parquet``. ``path`` starts from `AdoptedData.base`; ``positions`` counts rows that have
one (NULL: nobody looked); ``coverage`` is start, stop, start, stop, ... of sorted, disjoint order-29 ranges."""


def read_file_map(catalog: Path, adopted: AdoptedData) -> FileMap:
    """Read ``files.parquet`` of the adopted table whose sidecar is the directory `catalog`.

    Raises
    ------
    LayoutError
        If the file is missing or damaged.
    """
    path = catalog / MANIFEST_DIR / "files.parquet"
    try:
        table = pq.read_table(path, columns=ADOPTED_FILES_SCHEMA.names, memory_map=False).combine_chunks()
        coverage = pa.concat_arrays(table.column("coverage").chunks or [pa.array([], ADOPTED_FILES_SCHEMA.types[6])])
        ranges = coverage.flatten().to_numpy().reshape(-1, 2)
        arrays = {name: table.column(name).to_numpy() for name in ("rows", "bytes", "mtime_ns", "max_separation_deg")}
        names = table.column("path").to_pylist()
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        msg = f"{path}: no readable list of files ({error}); adopt the table again"
        raise LayoutError(msg) from error
    offsets = np.concatenate([[0], np.cumsum(coverage.value_lengths().to_numpy() // 2)]).astype(np.int64)
    filled = offsets[1:] > offsets[:-1]
    starts, stops = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    starts[filled], stops[filled] = ranges[offsets[:-1][filled], 0], ranges[offsets[1:][filled] - 1, 1]
    return FileMap(
        paths=tuple(f"{adopted.base.rstrip('/')}/{name}" for name in names),
        rows=arrays["rows"],
        size_bytes=arrays["bytes"],
        mtimes_ns=arrays["mtime_ns"],
        starts=starts,
        stops=stops,
        separations_deg=arrays["max_separation_deg"],
        ranges=ranges,
        offsets=offsets,
    )
