"""The stored form of columns: which Arrow types are kept and served, and NaN turned into NULL.

A float column of the store never holds NaN: Parquet statistics leave NaN out and SQL engines trust them, so that
``mag > 25`` would be answered wrongly and differently per tile. "Not measured" is NULL; infinities and -0.0 are data.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from ..exceptions import SchemaMismatchError

__all__ = [
    "DATE",
    "SERVED_TYPES",
    "UINT64",
    "ServedType",
    "ascending",
    "has_nan",
    "is_ordered",
    "nan_to_null",
    "schema_fingerprint",
    "served_type",
    "stored_schema",
    "stored_type",
    "unserved_note",
    "without_nan",
]

_REPLACED: Final = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.time32("s"): pa.time32("ms"),
}
"""Types that differ in memory only, or that Parquet or its readers do not know; the values stay the same."""

_MAX_DIGITS: Final = 38
"""Digits of the largest decimals that DuckDB keeps: it reads longer ones as DOUBLE, and durations as plain BIGINT."""


SERVED_TYPES: Final = frozenset(
    {
        "bool",
        "uint8",
        "int8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "float",
        "double",
        "string",
        "large_string",
        "binary",
        "large_binary",
    }
)
"""Types, in Arrow's spelling, of the columns that the service shows, of single values or of lists.

It shows timestamps and dates as well, and `UINT64` where it fits, but no lists of them. VOTable has no type for larger
integers, exact decimals, times of day and structs, and to answer them as another one would change values silently.
"""

DATE: Final = "date32[day]"
"""Arrow's spelling of the type of dates; the service shows them as the timestamps at which they begin."""

UINT64: Final = "uint64"
"""The service shows columns of it as those of int64 if the manifest knows their maximum and it is below 2^63."""

_LONGEST_DATE: Final = len("99999-12-31")
"""Timestamps end in the year 294246; a column with later dates is not served."""

_LISTS: Final = ("list<", "large_list<", "fixed_size_list<")


class ServedType(NamedTuple):
    """How the service understands a stored type."""

    element: str
    """One of `SERVED_TYPES`, ``timestamp``, `DATE` or `UINT64`."""
    is_list: bool


def served_type(arrow_type: str, maximum: object = None) -> ServedType | None:
    """Return what the service takes a column of a stored type for, None if it does not show it.

    Parameters
    ----------
    maximum
        Largest value of the column, None if it is not known.

    >>> served_type("list<element: float>"), served_type("uint64")
    (ServedType(element='float', is_list=True), None)
    """
    if arrow_type.startswith("timestamp["):
        return ServedType("timestamp", is_list=False)
    if arrow_type == UINT64 and isinstance(maximum, int) and maximum < 1 << 63:
        return ServedType(arrow_type, is_list=False)
    if arrow_type == DATE and len(str(maximum)) <= _LONGEST_DATE:
        return ServedType(arrow_type, is_list=False)
    is_list = arrow_type.startswith(_LISTS)
    element = arrow_type.split(": ", 1)[-1].split(">", 1)[0].removesuffix(" not null") if is_list else arrow_type
    return ServedType(element, is_list) if element in SERVED_TYPES else None


def unserved_note(
    columns: Iterable[tuple[str, str, object]], ids: Collection[str] = (), *, are_read: bool = True
) -> str | None:
    """Return one line that names the columns, of some (name, Arrow type, maximum), that the service does not show.

    Parameters
    ----------
    ids
        Columns that rows are looked up by; those among the others are told as such.
    are_read
        Whether maxima are those of all rows; no row was read otherwise.

    Returns
    -------
    str
        None if all are shown.
    """
    unless = {} if are_read else {UINT64: ", if any value is 2^63 or more"}
    found = [
        f"{name} ({kind}{unless.get(kind, '')}{', an id column' if name in ids else ''})"
        for name, kind, maximum in columns
        if served_type(kind, maximum) is None
    ]
    if not found:
        return None
    these = "this column, it has no type for it" if len(found) == 1 else "these columns, it has no type for them"
    return f"{', '.join(found)}: the service does not show {these}; LSDB and other readers do"


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema in which columns of `schema` are stored: plain types, all nullable, no metadata.

    Raises
    ------
    SchemaMismatchError
        If two names differ by case only, or a type cannot be stored.
    """
    _refuse_case_twins(schema.names)
    fields = []
    for column in schema:
        try:
            fields.append(pa.field(column.name, stored_type(column.type)))
        except SchemaMismatchError as error:
            msg = f"column {column.name!r}: {error}"
            raise SchemaMismatchError(msg) from None
    return pa.schema(fields)


def stored_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in which values of type `kind` are stored.

    Raises
    ------
    SchemaMismatchError
        If values of this type cannot be stored.
    """
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return stored_type(kind.storage_type)
    if pa.types.is_decimal(kind) and kind.precision <= _MAX_DIGITS:
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_element(kind))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_element(kind), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, stored_type(field.type)) for field in kind])
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_nested(kind) or pa.types.is_run_end_encoded(kind):
        msg = f"type {kind} cannot be stored; use plain, list or struct columns"
        raise SchemaMismatchError(msg)
    if pa.types.is_decimal(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind):
        msg = f"type {kind} cannot be stored, since SQL engines read it as another one; use numbers or text"
        raise SchemaMismatchError(msg)
    return _REPLACED.get(kind, kind)


def _element(kind: pa.DataType) -> pa.Field:
    """Return the field of a list's values; ``element`` is the name that Parquet prescribes."""
    return pa.field("element", stored_type(kind.value_type))


def is_ordered(kind: pa.DataType) -> bool:
    """Return whether minimum and maximum of a column of this type are recorded; Arrow finds none of durations."""
    return not pa.types.is_duration(kind) and bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_temporal(kind)
        or pa.types.is_decimal(kind)
    )


def ascending(names: Iterable[str]) -> list[tuple[pc.Expression, str]]:
    """Return the keys of a sort by some columns: Arrow takes a text that begins with a dot or a bracket for a path."""
    return [(pc.field(name), "ascending") for name in names]


def schema_fingerprint(schema: pa.Schema) -> str:
    """Return the xxh3-128 of names and types, in order, as 32 hexadecimal digits."""
    text = "\n".join(f"{column.name}\t{column.type}" for column in schema)
    return xxhash.xxh3_128_hexdigest(text.encode())


def nan_to_null(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return `batch` with every NaN replaced by NULL, children of lists and structs included."""
    columns = [without_nan(column) for column in batch.columns]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def without_nan(array: pa.Array) -> pa.Array:
    """Return `array` with every NaN replaced by NULL; the same object if there is none."""
    kind = array.type
    if pa.types.is_floating(kind):
        return _floats_without_nan(array)
    if pa.types.is_nested(kind) and has_nan(array):
        return _nested_without_nan(array)
    return array


def has_nan(array: pa.Array) -> bool:
    """Return whether a NaN is anywhere in `array`, children of lists and structs included."""
    kind = array.type
    if pa.types.is_floating(kind):
        return bool(_nan_values(array).any()) and bool(pc.any(pc.is_nan(array), min_count=0).as_py())
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return has_nan(array.flatten())
    if pa.types.is_struct(kind):
        return any(has_nan(child) for child in array.flatten())
    return False


def _floats_without_nan(array: pa.Array) -> pa.Array:
    nan = _nan_values(array)
    if not nan.any():
        return array
    if array.null_count:
        return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    valid = pa.py_buffer(np.packbits(~nan, bitorder="little"))
    values = array.buffers()[1].slice(array.offset * array.type.bit_width // 8)
    return pa.Array.from_buffers(array.type, len(array), [valid, values])


def _nan_values(array: pa.Array) -> NDArray[np.bool_]:
    """Return which values of a float array are NaN, those below NULL included; pyarrow takes ten times as long."""
    if len(array) == 0:
        return np.empty(0, np.bool_)
    width = array.type.bit_width // 8
    nan: NDArray[np.bool_] = np.isnan(np.frombuffer(array.buffers()[1], f"f{width}", len(array), array.offset * width))
    return nan


def _nested_without_nan(array: pa.Array) -> pa.Array:
    """Rebuild a list or struct array around its cleaned children; NULL parents stay NULL."""
    kind, mask = array.type, (pc.is_null(array) if array.null_count else None)
    if pa.types.is_struct(kind):
        children = [without_nan(child) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if pa.types.is_fixed_size_list(kind):
        start = array.offset * kind.list_size
        values = array.values.slice(start, len(array) * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(without_nan(values), type=kind, mask=mask)
    compact = pa.concat_arrays([array])  # from_arrays refuses a mask on sliced offsets
    return pa.ListArray.from_arrays(compact.offsets, without_nan(compact.values), type=kind, mask=mask)


def _refuse_case_twins(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            twin = seen[name.lower()]
            problem = "is there twice" if twin == name else f"differs from {twin!r} by case only, which SQL ignores"
            msg = f"column {name!r} {problem}; rename one in the input"
            raise SchemaMismatchError(msg)
        seen[name.lower()] = name
