"""Arrow tables -> tables of astropy, pandas and polars: units kept, NULL masked, 64-bit integers exact.

The three libraries are loaded by the functions that need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import astropy.table
    import pandas as pd
    import polars as pl

__all__ = ["field_text", "load_extra", "to_astropy", "to_pandas", "to_polars"]


def load_extra(module: str, *, extra: str = "notebook") -> Any:
    """Import and return an optional module.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra to install.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"This needs {package}, which is not installed: pip install 'catalog-service[{extra}]'", name=package
        ) from error


def field_text(field: pa.Field, key: str) -> str | None:
    """Return a text of a field's metadata (``unit``, ``ucd``, ``description``, ``xtype``), None if it has none."""
    value = (field.metadata or {}).get(key.encode())
    return value.decode() if value else None


def to_astropy(table: pa.Table) -> "astropy.table.Table":
    """Return an astropy table: units, descriptions, UCDs (in ``column.meta``), and NULL as masked values.

    Columns without NULL become plain columns. Timestamps become ``datetime64``, because their time scale is
    told by the column's description only; lists of one common length become two-dimensional columns.
    """
    astropy_table, units = load_extra("astropy.table"), load_extra("astropy.units")
    columns = [
        _astropy_column(astropy_table, units, field, column)
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return astropy_table.Table(columns, copy=False)


def to_pandas(table: pa.Table) -> "pd.DataFrame":
    """Return a DataFrame with Arrow-backed columns, so that integers with NULL stay exact; units in ``attrs``."""
    pandas = load_extra("pandas")
    frame: pd.DataFrame = table.to_pandas(types_mapper=pandas.ArrowDtype)
    frame.attrs["units"] = {field.name: unit for field in table.schema if (unit := field_text(field, "unit"))}
    return frame


def to_polars(table: pa.Table) -> "pl.DataFrame":
    """Return a polars DataFrame that shares the memory of the table where polars can."""
    frame: pl.DataFrame = load_extra("polars").from_arrow(table)
    return frame


def _astropy_column(astropy_table: Any, units: Any, field: pa.Field, column: pa.ChunkedArray) -> Any:
    unit = field_text(field, "unit")
    ucd = field_text(field, "ucd")
    properties: dict[str, Any] = {
        "name": field.name,
        "unit": None if unit is None else units.Unit(unit, parse_strict="silent"),
        "description": field_text(field, "description"),
        "meta": {} if ucd is None else {"ucd": ucd},
    }
    values = _numpy_values(column)
    properties["copy"] = not values.flags.writeable  # a view of Arrow's memory must not be what the user changes
    if column.null_count == 0:
        return astropy_table.Column(values, **properties)
    return astropy_table.MaskedColumn(values, mask=column.is_null().to_numpy(), **properties)


def _numpy_values(column: pa.ChunkedArray) -> Any:
    """Return values as numpy array; where NULL, a neutral value (NaN in floats) stands below the mask."""
    type_ = column.type
    if pa.types.is_dictionary(type_):
        return _numpy_values(column.cast(type_.value_type))
    if pa.types.is_null(type_):
        return _numpy_values(column.cast(pa.float64()))
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return _numpy_lists(column)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return column.fill_null("").to_numpy(zero_copy_only=False).astype(str)
    if pa.types.is_boolean(type_):
        return column.fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(type_):
        return column.fill_null(0).to_numpy(zero_copy_only=False)
    return column.to_numpy(zero_copy_only=False)


def _numpy_lists(column: pa.ChunkedArray) -> Any:
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    values = pc.list_flatten(column)
    if len(lengths) == 1 and lengths[0] and column.null_count == values.null_count == 0:
        return _numpy_values(values).reshape(len(column), lengths[0])
    return column.to_numpy(zero_copy_only=False)
