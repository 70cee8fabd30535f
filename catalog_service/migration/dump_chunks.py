"""Cut a table into chunks, each of which becomes one file: by chunk number, by ranges of an integer key, or not at all.

The plan is made once, when a dump begins, and kept beside its files: a dump that goes on asks for the same chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..exceptions import ParameterError
from .dump_columns import DumpColumn, quoted
from .dump_source import Row, Source

__all__ = ["CHUNK_COLUMN", "Chunk", "Cut", "Position", "planned_chunks"]

CHUNK_COLUMN: Final = "chunkId"
"""Where Qserv keeps the number of the piece of sky that a row is stored with."""

_MARGIN_DEG: Final = 1e-6
"""By how much an area is larger than the positions that it must hold."""


@dataclass(frozen=True)
class Chunk:
    """Some of the rows of a table."""

    name: str
    """Of its file."""
    condition: str | None
    """Of WHERE; None for all rows."""
    rows: int | None = None
    """How many there were when the dump was planned; None: not counted then."""


@dataclass(frozen=True)
class Position:
    """Columns by which Qserv places the rows of a table."""

    ra: str
    dec: str


@dataclass(frozen=True)
class Cut:
    """How to cut a table."""

    key: str | None = None
    """Integer column; None for chunk numbers if there are any, else a primary key of one integer, else one chunk."""
    rows: int = 1_000_000
    """About how many rows a range of the key holds."""
    areas: Position | None = None
    """Ask for each chunk with the area that its positions span: Qserv reads no other chunks then. It does not choose
    chunks by ``chunkId = N``, so without the area each chunk would cost it a scan of the table."""


def planned_chunks(
    source: Source, table: str, columns: Sequence[DumpColumn], keys: Sequence[str], cut: Cut
) -> tuple[Chunk, ...]:
    """Return the chunks of a table; every row is in one of them.

    Parameters
    ----------
    table
        Quoted name.
    columns
        All columns of the table, those that are not dumped too.
    keys
        Names of the columns of its primary key.

    Raises
    ------
    ParameterError
        If the table cannot be cut as asked.
    """
    numbers = next((one for one in columns if one.name.lower() == CHUNK_COLUMN.lower()), None)
    if cut.key is None and numbers is not None:
        return _by_number(source, table, numbers, cut.areas)
    if cut.areas is not None:
        raise ParameterError(f"--areas needs a column {CHUNK_COLUMN}, which {table} has not.")
    key = _integer_key(table, columns, keys, cut.key)
    return (Chunk("all", None),) if key is None else _by_range(source, table, key, cut.rows)


def _integer_key(
    table: str, columns: Sequence[DumpColumn], keys: Sequence[str], asked: str | None
) -> DumpColumn | None:
    by_name = {one.name.lower(): one for one in columns}
    if asked is not None:
        found = by_name.get(asked.lower())
        if found is None or not found.is_integer:
            raise ParameterError(f"--key {asked!r} is no integer column of {table}.")
        return found
    found = by_name[keys[0].lower()] if len(keys) == 1 else None
    return found if found is not None and found.is_integer else None


def _by_number(source: Source, table: str, numbers: DumpColumn, areas: Position | None) -> tuple[Chunk, ...]:
    name = quoted(numbers.name)
    extremes = "" if areas is None else "".join(
        f", MIN({quoted(one)} * 1e0), MAX({quoted(one)} * 1e0)" for one in (areas.ra, areas.dec)
    )  # fmt: skip
    rows = source.rows(f"SELECT {name}, COUNT(*){extremes} FROM {table} GROUP BY {name}")
    return tuple(_numbered(name, row) for row in sorted(rows, key=lambda row: int(row[0] or -1)))


def _numbered(name: str, row: Row) -> Chunk:
    number, count, *extremes = row
    if number is None:
        return Chunk("chunk_null", f"{name} IS NULL", _integer(count))
    condition = f"{name} = {int(number)}"
    if extremes and None not in extremes:
        west, east, south, north = (float(one or 0) for one in extremes)
        box = (west - _MARGIN_DEG, max(south - _MARGIN_DEG, -90), east + _MARGIN_DEG, min(north + _MARGIN_DEG, 90))
        # longitudes below 0 or beyond 360 would be taken for others
        clipped = (max(box[0], 0), box[1], min(box[2], 360), box[3])
        condition = f"qserv_areaspec_box({', '.join(f'{one:.7f}' for one in clipped)}) AND {condition}"
    return Chunk(f"chunk_{int(number):07d}", condition, _integer(count))


def _by_range(source: Source, table: str, key: DumpColumn, rows: int) -> tuple[Chunk, ...]:
    name = quoted(key.name)
    found = source.rows(f"SELECT MIN({name}), MAX({name}), COUNT({name}), COUNT(*) FROM {table}")[0]
    known, total = _integer(found[2]), _integer(found[3])
    chunks: list[Chunk] = []
    if known:
        low, end = int(found[0] or 0), int(found[1] or 0) + 1
        count = min(-(-known // rows), end - low)
        edges = [low + (end - low) * number // count for number in range(count + 1)]
        chunks = [
            Chunk(f"range_{number:07d}", f"{name} BETWEEN {edges[number]} AND {edges[number + 1] - 1}")
            for number in range(count)
        ]
    if total > known or not chunks:
        chunks.append(Chunk("range_null", f"{name} IS NULL", total - known))
    return tuple(chunks)


def _integer(value: bytes | None) -> int:
    return int(value or 0)
