"""Arrow types of result columns, and the cast of what an engine delivers to what was announced.

Engines choose types of their own: DuckDB sums integers as HUGEINT and reads 1.5 as DECIMAL. What a result's header
announces is what its rows hold, in every format.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.exceptions import QueryValueError, ServerError
from catalog_service.models.schema import Column, DataType

from .arrays import numbers

__all__ = ["conform", "result_schema"]

_TYPES: Final[dict[DataType, pa.DataType]] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.BYTE: pa.uint8(),
    DataType.SHORT: pa.int16(),
    DataType.INT: pa.int32(),
    DataType.LONG: pa.int64(),
    DataType.FLOAT: pa.float32(),
    DataType.DOUBLE: pa.float64(),
    DataType.TEXT: pa.string(),
    DataType.TIMESTAMP: pa.timestamp("us"),
    DataType.BINARY: pa.binary(),
    DataType.POINT: pa.list_(pa.float64(), 2),
    DataType.CIRCLE: pa.list_(pa.float64(), 3),
    DataType.POLYGON: pa.list_(pa.float64()),
    DataType.NULL: pa.string(),
}


def result_schema(columns: tuple[Column, ...], stored: pa.Schema | None = None) -> pa.Schema:
    """Return the Arrow schema of a result.

    Parameters
    ----------
    columns
        The result's columns.
    stored
        Schema of the engine's batches; timestamps keep its resolution. None if nothing was run.
    """
    sources = [None] * len(columns) if stored is None else stored.types
    return pa.schema(
        [pa.field(column.name, _arrow_type(column, source)) for column, source in zip(columns, sources, strict=True)]
    )


def _arrow_type(column: Column, source: pa.DataType | None) -> pa.DataType:
    if column.datatype is DataType.TIMESTAMP and source is not None and pa.types.is_timestamp(source):
        return pa.timestamp(source.unit)
    element = _TYPES[column.datatype]
    return pa.list_(element) if column.is_array else element


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return `batch` with the types and names of `schema`; NaN becomes NULL, as everywhere in the service.

    Raises
    ------
    QueryValueError
        If a value does not fit the announced type; the message names the column and the value.
    ServerError
        If a column's type cannot be cast at all.
    """
    arrays = [_conform_column(array, field) for array, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _conform_column(array: pa.Array, field: pa.Field) -> pa.Array:
    cast = array if array.type == field.type else _cast(array, field)
    return _nan_to_null(cast) if pa.types.is_floating(field.type) else cast


def _cast(array: pa.Array, field: pa.Field) -> pa.Array:
    # an integer beyond 2**53 becomes the nearest double, as in SQL; a fraction that an integer would lose is an error
    options = pc.CastOptions(field.type, allow_float_truncate=pa.types.is_floating(field.type))
    try:
        cast = pc.cast(array, options=options)
    except pa.ArrowInvalid as error:
        raise QueryValueError(f"Column {field.name!r}: {error}.") from error
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ServerError(f"Column {field.name!r} has the type {array.type}, announced was {field.type}.") from error
    if pa.types.is_float32(field.type) and _any(pc.and_(pc.is_inf(cast), pc.is_finite(array))):
        raise QueryValueError(f"Column {field.name!r}: a value is out of the range of a 32-bit float.")
    return cast


def _nan_to_null(array: pa.Array) -> pa.Array:
    if not np.isnan(numbers(array)).any():  # of most arrays; what lies at a NULL may be NaN, too
        return array
    return pc.if_else(pc.is_nan(array), None, array)


def _any(mask: pa.Array) -> bool:
    return bool(pc.any(mask, min_count=0).as_py())
