"""Arrow types by name, and which conversions lose nothing."""

import re
from typing import Final

import pyarrow as pa

__all__ = ["arrow_type", "is_filled", "is_typed", "is_widening"]

_LIST: Final = re.compile(r"list<(.+)>")
_DECIMAL: Final = re.compile(r"decimal(?:128)?\((\d+), ?(\d+)\)")
_ZONED: Final = re.compile(r"timestamp\[(s|ms|us|ns), ?tz=(\S+)\]")
_UNITS: Final = ("s", "ms", "us", "ns")


def arrow_type(text: str) -> pa.DataType | None:
    """Return the Arrow type that `text` names as Arrow spells it; None if there is no such type.

    >>> arrow_type("double"), arrow_type("list<float>"), arrow_type("timestamp[us, tz=UTC]"), arrow_type("real")
    (DataType(double), ListType(list<item: float>), TimestampType(timestamp[us, tz=UTC]), None)
    """
    if match := _LIST.fullmatch(text):
        element = arrow_type(match[1])
        return None if element is None else pa.list_(element)
    try:
        if match := _DECIMAL.fullmatch(text):
            return pa.decimal128(int(match[1]), int(match[2]))
        if match := _ZONED.fullmatch(text):
            return pa.timestamp(match[1], match[2])
        return pa.type_for_alias(text)
    except ValueError:  # pa.ArrowInvalid is one
        return None


def is_typed(kind: pa.DataType) -> bool:
    """Return whether `kind` tells the type of values, those of lists and structs included.

    >>> is_typed(pa.list_(pa.null())), is_typed(pa.list_(pa.int8()))
    (False, True)
    """
    if pa.types.is_nested(kind):
        return all(is_typed(kind.field(number).type) for number in range(kind.num_fields))
    return not pa.types.is_null(kind)


def is_filled(kind: pa.DataType, to: pa.DataType) -> bool:
    """Return whether `to` is `kind`, or `kind` with types where it holds only NULL: both are stored types."""
    if kind == to or pa.types.is_null(kind):
        return True
    if not pa.types.is_nested(kind) or kind.id != to.id or kind.num_fields != to.num_fields:
        return False
    if pa.types.is_fixed_size_list(kind) and kind.list_size != to.list_size:
        return False
    pairs = [(kind.field(number), to.field(number)) for number in range(kind.num_fields)]
    return all(a.name == b.name and is_filled(a.type, b.type) for a, b in pairs)


def is_widening(kind: pa.DataType, to: pa.DataType) -> bool:
    """Return whether values of type `kind` become values of type `to` without loss, or fail to be cast.

    Integers become floats if the float is exact, and unsigned 64-bit ones signed if they fit: Arrow's safe cast checks
    each value. Both types are stored ones (`layout.schema.stored_type`).
    """
    if is_filled(kind, to):
        return True
    if pa.types.is_integer(kind):
        return bool(pa.types.is_floating(to) or (pa.types.is_integer(to) and _holds_integer(kind, to)))
    if pa.types.is_floating(kind):
        return bool(pa.types.is_floating(to) and kind.bit_width < to.bit_width)
    if pa.types.is_decimal(kind):
        return bool(pa.types.is_decimal(to) and kind.scale <= to.scale and _digits(kind) <= _digits(to))
    if pa.types.is_fixed_size_list(kind) and pa.types.is_fixed_size_list(to):
        return bool(kind.list_size == to.list_size and is_widening(kind.value_type, to.value_type))
    if pa.types.is_list(to):
        is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
        return bool(is_list and is_widening(kind.value_type, to.value_type))
    return _is_finer_time(kind, to)


def _holds_integer(kind: pa.DataType, to: pa.DataType) -> bool:
    if pa.types.is_unsigned_integer(to) and not pa.types.is_unsigned_integer(kind):
        return False
    return bool(kind.bit_width < to.bit_width or (kind, to) == (pa.uint64(), pa.int64()))


def _digits(kind: pa.DataType) -> int:
    """Return the digits before the point."""
    return int(kind.precision - kind.scale)


def _is_finer_time(kind: pa.DataType, to: pa.DataType) -> bool:
    if pa.types.is_timestamp(to):
        if pa.types.is_timestamp(kind):
            return bool(kind.tz == to.tz and _UNITS.index(kind.unit) < _UNITS.index(to.unit))
        return bool(pa.types.is_date(kind) and to.tz is None)
    return bool(pa.types.is_time(kind) and pa.types.is_time(to) and _UNITS.index(kind.unit) < _UNITS.index(to.unit))
