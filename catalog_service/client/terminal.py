"""Results and listings on a terminal."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .preview import Preview, preview_of
from .results import Result

__all__ = ["print_listing", "print_result"]

_ROWS_SHOWN: Final = 40


def print_result(console: Console, result: Result) -> None:
    """Print the first rows and as many columns as fit, and say what is left out."""
    preview = preview_of(result.to_arrow(), rows=_ROWS_SHOWN)
    shown = _columns_that_fit(preview, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, unit, numeric in list(zip(preview.names, preview.units, preview.numeric, strict=True))[:shown]:
        table.add_column(_head(name, unit), justify="right" if numeric else "left", no_wrap=True)
    for row in preview.rows:
        table.add_row(*(_cell(text) for text in row[:shown]))
    console.print(table)
    console.print(_footer(result, shown), style="dim", highlight=False)


def print_listing(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of texts; long ones are wrapped."""
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console.print(table)


def _head(name: str, unit: str) -> Text:
    return Text.assemble(name, ("\n" + unit if unit else "", "dim"))


def _cell(text: str | None) -> Text:
    return Text("null", style="dim italic") if text is None else Text(text)


def _columns_that_fit(preview: Preview, width: int) -> int:
    total = 1
    for index, (name, unit) in enumerate(zip(preview.names, preview.units, strict=True)):
        cells = ("null" if row[index] is None else str(row[index]) for row in preview.rows)
        total += max(len(text) for text in (name, unit, *cells)) + 3
        if total > width:
            return max(index, 1)
    return len(preview.names)


def _footer(result: Result, shown: int) -> str:
    rows, columns = len(result), len(result.columns)
    parts = [f"{rows:,} row{'' if rows == 1 else 's'}"]
    if rows > _ROWS_SHOWN:
        parts.append(f"the first {_ROWS_SHOWN} are shown")
    if columns > shown:
        parts.append(f"{shown} of {columns} columns fit: choose some, widen the terminal, or write --out FILE")
    return "; ".join(parts)
