"""Columns of uploaded tables: which types they may have, and how their values are kept.

The values that a query gets are those that were uploaded; NaN is NULL, as everywhere in the service.
"""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.exceptions import UploadError
from catalog_service.models.schema import Column, DataType
from catalog_service.models.upload import ROW_NUMBER

from .incoming import FACTS, SIZE, Tally

__all__ = ["described_columns", "kept_type", "kept_values", "stored_schema"]

_DATATYPES: Final[dict[pa.DataType, DataType]] = {
    pa.bool_(): DataType.BOOLEAN,
    pa.uint8(): DataType.BYTE,
    pa.int16(): DataType.SHORT,
    pa.int32(): DataType.INT,
    pa.int64(): DataType.LONG,
    pa.float32(): DataType.FLOAT,
    pa.float64(): DataType.DOUBLE,
    pa.string(): DataType.TEXT,
    pa.binary(): DataType.BINARY,
}

_WIDER: Final[dict[pa.DataType, pa.DataType]] = {
    pa.int8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.null(): pa.string(),
    pa.date32(): pa.timestamp("us"),
    pa.date64(): pa.timestamp("us"),
}
"""Types that the service has no name for, and those that hold all of their values."""

_GEOMETRIES: Final = {"point": (DataType.POINT, 2), "circle": (DataType.CIRCLE, 3), "polygon": (DataType.POLYGON, None)}
"""Type, and number of coordinates, by xtype (DALI 1.1 section 3.3)."""

_LONGEST_NAME: Final = 256


def kept_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type in which values of an Arrow type are kept; None if they cannot be."""
    if pa.types.is_dictionary(kind):
        return kept_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us" if kind.unit in {"s", "ms"} else kind.unit)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        element = kept_type(kind.value_type)
        simple = element in _DATATYPES and element != pa.binary()
        return pa.list_(element) if simple else None
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    kind = _WIDER.get(kind, kind)
    return kind if kind in _DATATYPES or pa.types.is_timestamp(kind) else None


def described_columns(schema: pa.Schema, tally: Tally) -> tuple[Column, ...]:
    """Return the columns of an uploaded table as queries know them; their stored names are of our making.

    Raises
    ------
    UploadError
        If names are missing or the same, or a type cannot be kept.
    LimitError
        If there are too many columns.
    """
    tally.check_columns(len(schema))
    _check_names(schema.names, tally)
    return tuple(_described(number, field, tally) for number, field in enumerate(schema))


def _described(number: int, field: pa.Field, tally: Tally) -> Column:
    kind = kept_type(field.type)
    if kind is None:
        raise tally.error(
            f"column {field.name!r} has the type {str(field.type)[:100]}, which queries do not know.",
            "Leave it out, or turn it into numbers, texts, times or one-dimensional lists of these.",
        )
    metadata = field.metadata or {}
    facts = {fact: metadata[fact.encode()].decode("utf-8", "replace") for fact in FACTS if fact.encode() in metadata}
    datatype, is_array = _datatype(kind, facts.pop("xtype", ""), _list_size(field))
    return Column(name=field.name, datatype=datatype, is_array=is_array, stored_name=f"c{number}", **facts)


def _list_size(field: pa.Field) -> int | None:
    """Return the number of elements that every list of a column has; None if that is not told."""
    if pa.types.is_fixed_size_list(field.type):
        return int(field.type.list_size)
    told = (field.metadata or {}).get(SIZE.encode())
    return None if told is None else int(told)


def _datatype(kind: pa.DataType, xtype: str, size: int | None) -> tuple[DataType, bool]:
    if pa.types.is_timestamp(kind):
        return DataType.TIMESTAMP, False
    if not pa.types.is_list(kind):
        return _DATATYPES[kind], False
    geometry, coordinates = _GEOMETRIES.get(xtype, (None, None))
    if geometry is not None and kind.value_type == pa.float64() and coordinates in {None, size}:
        return geometry, False
    return _DATATYPES[kind.value_type], True


def _check_names(names: Sequence[str], tally: Tally) -> None:
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise tally.error(
                f"column {number} has no usable name.",
                f"Names have 1 to {_LONGEST_NAME} printable characters.",
            )
        if name.lower() == ROW_NUMBER.name:
            raise tally.error(f"the name {name!r} of column {number} is used by the service.", "Rename it.")
        twin = seen.setdefault(name.lower(), number)
        if twin != number:
            raise tally.error(
                f"columns {twin} and {number} are both called {name!r}; case makes no difference.",
                "Rename one of them.",
            )


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of the Parquet file of a table whose columns `described_columns` accepted."""
    return pa.schema([pa.field(f"c{number}", kept_type(kind)) for number, kind in enumerate(schema.types)])


def kept_values(array: pa.Array, name: str, kind: pa.DataType, tally: Tally) -> pa.Array:
    """Return the values of a column in the type in which they are kept.

    Raises
    ------
    UploadError
        If a value does not fit.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        kept = array if array.type == kind else _cast(array, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise _misfit(name, array.type, tally) from error
    return _without_nan(kept)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.local_timestamp(pc.assume_timezone(pc.cast(array, pa.timestamp(array.type.unit)), "UTC"))
    return pc.cast(array, kind)


def _misfit(name: str, kind: pa.DataType, tally: Tally) -> UploadError:
    return tally.error(
        f"column {name!r} holds a value that does not fit: its type is {str(kind)[:100]}.",
        "Integers go up to 9223372036854775807, years of times from -290307 to 294246.",
    )


def _without_nan(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type):
        return _list_without_nan(array) if pa.types.is_floating(array.type.value_type) else array
    if not pa.types.is_floating(array.type):
        return array
    nan = pc.is_nan(array)
    return pc.if_else(nan, pa.scalar(None, array.type), array) if pc.any(nan, min_count=0).as_py() else array


def _list_without_nan(array: pa.Array) -> pa.Array:
    """Return lists whose elements are NULL for NaN, as elements of published arrays are."""
    given = array.flatten()
    elements = _without_nan(given)
    if elements is given:
        return array
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), 0))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cast(ends, pa.int32())])
    return pa.ListArray.from_arrays(offsets, elements, mask=array.is_null() if array.null_count else None)
