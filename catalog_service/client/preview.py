"""The first rows of a result as short texts, for notebooks and terminals."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .conversion import field_text

__all__ = ["Preview", "preview_of", "printable"]

_MAX_CELL = 60
"""Longest text of a cell; longer ones end with an ellipsis."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Heads and first rows of a table; every text is as the data are, not escaped."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    units: tuple[str, ...]
    """Empty text where a column has no unit."""
    numeric: tuple[bool, ...]
    """Whether a column is best aligned at the right."""
    rows: tuple[tuple[str | None, ...], ...]
    """None is NULL."""


def preview_of(table: pa.Table, *, rows: int) -> Preview:
    """Return a preview of the first `rows` rows."""
    head = table.slice(0, rows)
    columns = [_texts(column) for column in head.columns]
    return Preview(
        names=tuple(table.column_names),
        types=tuple(str(type_) for type_ in table.schema.types),
        units=tuple(field_text(field, "unit") or "" for field in table.schema),
        numeric=tuple(pa.types.is_integer(t) or pa.types.is_floating(t) for t in table.schema.types),
        rows=tuple(zip(*columns, strict=True)) if columns else (),
    )


def printable(text: str) -> str:
    """Return a line with control characters replaced, so that data cannot steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """Return the cells of a column as texts; floats with the fewest digits that give the same number back."""
    try:
        values = pc.cast(column, pa.string()).to_pylist()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        values = [None if value is None else str(value) for value in column.to_pylist()]
    return [None if value is None else _shortened(value) for value in values]


def _shortened(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MAX_CELL else line[: _MAX_CELL - 1] + "\N{HORIZONTAL ELLIPSIS}"
