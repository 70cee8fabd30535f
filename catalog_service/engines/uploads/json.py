"""Uploads as JSON: a list of objects, or one object of columns; ``targets`` may hold either."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from .incoming import BATCH_ROWS, Incoming, Tally

__all__ = ["read_json"]


def read_json(path: Path, tally: Tally) -> Incoming:
    """Read a table in JSON."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise tally.error("it is not JSON.") from error
    table = _table(content, tally)
    tally.add_rows(table.num_rows)
    return Incoming(table.schema, iter(table.to_batches(max_chunksize=BATCH_ROWS)))


def _table(content: Any, tally: Tally) -> pa.Table:
    try:
        if isinstance(content, list) and all(isinstance(row, dict) for row in content):
            names = list(dict.fromkeys(name for row in content[: tally.caps.rows] for name in row))
            tally.check_columns(len(names))
            return pa.table({name: pa.array([row.get(name) for row in content]) for name in names})
        if isinstance(content, dict) and content and all(isinstance(values, list) for values in content.values()):
            tally.check_columns(len(content))
            return pa.table({name: pa.array(values) for name, values in content.items()})
    except (pa.ArrowException, OverflowError) as error:
        raise tally.error("a column holds values of different types, or columns differ in length.") from error
    raise tally.error(
        "its JSON is no table.", 'Write [{"ra": 1.5, "dec": 2}, ...], or {"ra": [1.5, ...], "dec": [2, ...]}.'
    )
