"""The columns of a release as its manifest lists them, with statistics over all rows."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..layout.manifest import ROW_GROUPS_FILE, StoredColumn, stored_bound
from ..layout.paths import MANIFEST_DIR
from .ledger import Ledger
from .sketch import Hashes, estimate

__all__ = ["distinct_values", "stored_column_list"]


def stored_column_list(catalog: Path, ledger: Ledger, hidden: Iterable[str]) -> tuple[StoredColumn, ...]:
    """Return the manifest's columns; minima and maxima come from the row-group statistics on disk."""
    hidden = set(hidden)
    with pq.ParquetFile(catalog / MANIFEST_DIR / ROW_GROUPS_FILE) as statistics:
        known = set(statistics.schema_arrow.names)
        rows = int(pc.sum(statistics.read(["rows"]).column(0), min_count=0).as_py())
        return tuple(
            StoredColumn(
                name=column.name,
                arrow_type=str(column.type),
                nulls=int(ledger.column_nulls[:, number].sum()),
                bytes=int(ledger.column_bytes[:, number].sum()),
                minimum=_bound(statistics, column.name, "min") if f"{column.name}.min" in known else None,
                maximum=_bound(statistics, column.name, "max") if f"{column.name}.max" in known else None,
                distinct=_distinct(ledger, number, rows),
                hidden=column.name in hidden,
            )
            for number, column in enumerate(ledger.schema)
        )


def _distinct(ledger: Ledger, number: int, rows: int) -> int | None:
    """Return the estimated distinct values of a column, never more than it has values; None if they are not known."""
    if number not in ledger.sketches:
        return None
    return distinct_values(ledger.sketches[number], rows - int(ledger.column_nulls[:, number].sum()))


def distinct_values(sketch: Hashes, values: int) -> int | None:
    """Return the estimated distinct values of a column that has so many; None if they are not known."""
    found = estimate(sketch)
    return None if found is None else min(found, values)


def _bound(statistics: pq.ParquetFile, name: str, part: str) -> float | int | str | bool | None:
    """Return the smallest ``.min`` or largest ``.max`` of a column, None if there is none that JSON can hold."""
    wanted = f"{name}.{part}"
    values = statistics.read([wanted]).column(wanted)  # the reader takes a name for that of a group, too
    return stored_bound((pc.min if part == "min" else pc.max)(values))
