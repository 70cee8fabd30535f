"""What a notebook shows for a result or a listing. Every text from the service is escaped."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from typing import Any, Final, TypeVar

import pyarrow as pa

from .preview import Preview, preview_of

__all__ = ["Listing", "result_html", "result_text"]

T = TypeVar("T")

_ROWS_SHOWN: Final = 10
_COLUMNS_SHOWN: Final = 30
"""A result of all columns of a survey table has more than a thousand."""


class Listing(tuple[T, ...]):
    """A tuple of records of one dataclass (tables, columns) that a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        if not self:
            return "<p>nothing to list</p>"
        names = [field.name for field in fields(self[0])]  # type: ignore[arg-type]
        rows = [[_plain(value) for value in astuple(record)] for record in self]  # type: ignore[call-overload]
        return _table_html([names], rows)


def result_text(table: pa.Table, *, overflow: bool, query_id: str | None) -> str:
    """Return one line that describes a result, and one line for each of its first columns."""
    lines = [_summary(table, overflow=overflow, query_id=query_id)]
    preview = preview_of(table.slice(0, 0), rows=0)
    for name, type_, unit in list(zip(preview.names, preview.types, preview.units, strict=True))[:_COLUMNS_SHOWN]:
        lines.append(f"  {name}: {type_}{f' [{unit}]' if unit else ''}")
    if table.num_columns > _COLUMNS_SHOWN:
        lines.append(f"  ... {table.num_columns - _COLUMNS_SHOWN} more columns")
    return "\n".join(lines)


def result_html(table: pa.Table, *, overflow: bool, query_id: str | None) -> str:
    """Return the summary, the columns with units and types, and the first rows, as HTML."""
    shown = table.select(range(min(table.num_columns, _COLUMNS_SHOWN)))
    preview = preview_of(shown, rows=_ROWS_SHOWN)
    summary = html.escape(_summary(table, overflow=overflow, query_id=query_id))
    warning = "" if not overflow else "<p><b>Cut at MAXREC: more rows match.</b></p>"
    rest = _rest(table)
    return f"<p>{summary}</p>{warning}{_preview_html(preview)}{f'<p>{rest}</p>' if rest else ''}"


def _summary(table: pa.Table, *, overflow: bool, query_id: str | None) -> str:
    query = "" if query_id is None else f", query {query_id}"
    cut = ", cut at MAXREC (more rows match)" if overflow else ""
    return f"Result: {_count(table.num_rows, 'row')} x {_count(table.num_columns, 'column')}{cut}{query}"


def _rest(table: pa.Table) -> str:
    more = (
        (table.num_rows - _ROWS_SHOWN, "more row"),
        (table.num_columns - _COLUMNS_SHOWN, "more column"),
    )
    return " and ".join(_count(number, noun) for number, noun in more if number > 0)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _preview_html(preview: Preview) -> str:
    return _table_html([preview.names, preview.units, preview.types], preview.rows)


def _table_html(heads: Iterable[Sequence[str]], rows: Iterable[Sequence[str | None]]) -> str:
    head = "".join(_row_html("th", cells) for cells in heads)
    body = "".join(_row_html("td", cells) for cells in rows)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row_html(tag: str, cells: Sequence[str | None]) -> str:
    texts = ("<i>null</i>" if cell is None else html.escape(cell) for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
