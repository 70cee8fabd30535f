"""Tables that go along with a request: files as they are, tables of any library as Arrow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from ..exceptions import ParameterError

__all__ = ["ARROW_TYPE", "table_bytes", "target_table"]

ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"


def table_bytes(table: Any) -> bytes:
    """Return a table as the bytes to send.

    Parameters
    ----------
    table
        Path of a file (VOTable, CSV, Parquet, Arrow or JSON); or an Arrow table, a table of pandas, polars or astropy,
        or a mapping of names to columns.

    Raises
    ------
    ParameterError
        If it is none of these.
    OSError
        If the file cannot be read.
    """
    if isinstance(table, str | Path):
        return Path(table).read_bytes()
    arrow = _to_arrow(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(arrow)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def target_table(targets: Any) -> Any:
    """Return positions as a table: a ``SkyCoord`` of many positions gets columns ra and dec; else as given."""
    if not hasattr(targets, "icrs"):
        return targets
    centers = targets.icrs.reshape(-1)
    return {"ra": centers.ra.to_value("deg"), "dec": centers.dec.to_value("deg")}


def _to_arrow(table: Any) -> pa.Table:
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, Mapping):
        return pa.table(dict(table))
    if hasattr(table, "to_arrow"):  # polars, and results of this client
        return table.to_arrow()
    if hasattr(table, "colnames"):
        return _from_astropy(table)
    if hasattr(table, "iloc"):
        return pa.Table.from_pandas(table, preserve_index=False)
    raise ParameterError(
        f"A {type(table).__name__} cannot be sent as a table.",
        remedy="Give the path of a file, or a table of pyarrow, pandas, polars or astropy.",
    )


def _from_astropy(table: Any) -> pa.Table:
    arrays, fields = [], []
    for name in table.colnames:
        array = _array(name, table[name])
        unit = getattr(table[name], "unit", None)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=None if unit is None else {"unit": unit.to_string()}))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(name: str, column: Any) -> pa.Array:
    """Return a column of an astropy table; masked values are NULL."""
    mask, values = getattr(column, "mask", None), getattr(column, "filled", lambda: column)()
    values = getattr(values, "value", values)
    if not hasattr(values, "dtype") or values.ndim > 2:
        raise ParameterError(f"Column {name!r} cannot be sent: it holds no numbers, texts or lists of these.")
    values = values.astype(values.dtype.newbyteorder("="))
    if values.ndim == 2:
        return pa.array(list(values))
    return pa.array(values.tolist() if values.dtype.kind in "USO" else values, mask=mask)
