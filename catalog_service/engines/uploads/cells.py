"""Cells of TABLEDATA to Arrow arrays (VOTable 1.4 section 5.1): an empty cell is NULL."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from .fields import VOField
from .incoming import Tally

__all__ = ["cells_array", "times"]

_TRUTHS: Final = {
    **dict.fromkeys(("1", "T", "t", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "F", "f", "false", "False", "FALSE"), False),
    **dict.fromkeys(("?", " ", ""), None),
}


def cells_array(field: VOField, cells: Sequence[str], tally: Tally) -> pa.Array:
    """Return the values of one column.

    Raises
    ------
    UploadError
        If a cell holds no value of the column's type.
    """
    if field.is_text:
        texts = pa.array([cell or None for cell in cells], pa.string())
        return times(field, texts, tally) if field.is_time else texts
    if field.is_list:
        return _lists(field, cells, tally)
    return _without_null(_scalars(field, [cell.strip() for cell in cells], tally), field)


def times(field: VOField, texts: pa.Array, tally: Tally) -> pa.Array:
    """Return the times that texts in ISO 8601 name, with or without ``Z``.

    Raises
    ------
    UploadError
        If one is no time, or finer than a microsecond.
    """
    plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), "Z$", "")
    plain = pc.if_else(pc.equal(plain, ""), None, plain)
    try:
        return pc.cast(plain, pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        raise tally.error(
            f"column {field.name!r} of xtype 'timestamp' holds a text that is no time.",
            "Write 2026-01-31T12:34:56.789, with at most 6 decimals; or leave the xtype out.",
        ) from error


def _scalars(field: VOField, cells: list[str], tally: Tally) -> pa.Array:
    if field.element == pa.bool_():
        return _python(field, cells, lambda cell: _TRUTHS[cell], tally)
    texts = pa.array([cell or None for cell in cells], pa.string())
    try:
        return pc.cast(pc.replace_substring_regex(texts, r"^\+", ""), field.element)
    except pa.ArrowInvalid:
        is_float = pa.types.is_floating(field.element)
        return _python(field, cells, _real if is_float else _whole, tally)


def _real(cell: str) -> float | None:
    return float(cell.replace("_", "?")) if cell else None


def _whole(cell: str) -> int | None:
    return int(cell.replace("_", "?"), 16 if cell.lower().startswith("0x") else 10) if cell else None


def _python(field: VOField, cells: list[str], convert: Callable[[str], Any], tally: Tally) -> pa.Array:
    """Return cells converted one by one: for the rarer spellings."""
    number = 0
    try:
        values = []
        for number, cell in enumerate(cells, start=tally.rows - len(cells) + 1):  # noqa: B007
            values.append(convert(cell))
        return pa.array(values, field.element)
    except (ValueError, KeyError, OverflowError, pa.ArrowInvalid) as error:
        place = f", near row {number}" if cells else ""
        raise tally.error(f"column {field.name!r}{place}: a cell holds no value of type {field.datatype!r}.") from error


def _lists(field: VOField, cells: Sequence[str], tally: Tally) -> pa.Array:
    parts = [cell.split() if cell.strip() else None for cell in cells]
    elements = _scalars(field, [part for one in parts if one is not None for part in one], tally)
    elements = _without_null(elements, field)
    for one in parts:
        if one is not None and field.count is not None and len(one) != field.count:
            raise tally.error(f"column {field.name!r}: a cell holds {len(one)} numbers instead of {field.count}.")
    offsets, total = [0], 0
    for one in parts:
        total += 0 if one is None else len(one)
        offsets.append(total)
    mask = pa.array([one is None for one in parts], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), elements, mask=mask)


def _without_null(array: pa.Array, field: VOField) -> pa.Array:
    if field.null is None:
        return array
    null = pa.scalar(field.null, pa.int64())
    return pc.if_else(pc.equal(pc.cast(array, pa.int64()), null), pa.scalar(None, array.type), array)
