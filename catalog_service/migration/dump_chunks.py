"""Cut a table into chunks, each of which becomes one file: by chunk number, by ranges of a key, or not at all.

The plan is made once, when a dump begins, and kept beside its files: a dump that goes on asks for the same chunks.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..exceptions import ParameterError
from .dump_columns import DumpColumn, quoted
from .dump_source import Row, Source

__all__ = ["CHUNK_COLUMN", "PART_COLUMN", "Chunk", "Cut", "Position", "planned_chunks"]

CHUNK_COLUMN: Final = "chunkId"
"""Where Qserv keeps the number of the piece of sky that a row is stored with."""

PART_COLUMN: Final = "subChunkId"
"""Where it keeps the number of the part of that piece."""

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
    """About how many rows a range of the key holds; chunks of more rows are cut into parts."""
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
    by_name = {one.name.lower(): one for one in columns}
    numbers = [by_name[name.lower()] for name in (CHUNK_COLUMN, PART_COLUMN) if name.lower() in by_name]
    if cut.key is None and CHUNK_COLUMN.lower() in by_name:
        return _by_number(source, table, numbers, cut.areas, cut.rows)
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


def _by_number(
    source: Source, table: str, numbers: Sequence[DumpColumn], areas: Position | None, most_rows: int
) -> tuple[Chunk, ...]:
    """Cut by chunk number, and a chunk of too many rows by ranges of the numbers of its parts."""
    names = ", ".join(quoted(one.name) for one in numbers)
    extremes = "" if areas is None else "".join(
        f", MIN({quoted(one)} * 1e0), MAX({quoted(one)} * 1e0)" for one in (areas.ra, areas.dec)
    )  # fmt: skip
    rows = source.rows(f"SELECT {names}, COUNT(*){extremes} FROM {table} GROUP BY {names}")
    pieces = [_piece(row, len(numbers)) for row in rows]
    chunks: list[Chunk] = []
    for _, found in itertools.groupby(sorted(pieces, key=_place), lambda one: one.numbers[0]):
        chunks += [_numbered(numbers, one) for one in _gathered(list(found), most_rows)]
    return tuple(chunks)


@dataclass(frozen=True)
class _Piece:
    """What has one number, or one chunk number and several numbers of parts of it."""

    numbers: tuple[int | None, ...]
    rows: int
    box: tuple[float, float, float, float] | None
    """Extremes of longitude, then of latitude; None: not asked for, or not known."""
    last_part: int | None = None
    """None: all parts of the chunk."""


def _piece(row: Row, count: int) -> _Piece:
    numbers = tuple(None if one is None else int(one) for one in row[:count])
    extremes = row[count + 1 :]
    box = None if not extremes or None in extremes else tuple(float(one or 0) for one in extremes)
    return _Piece(numbers, _integer(row[count]), box if box is None else (box[0], box[1], box[2], box[3]))


def _place(piece: _Piece) -> tuple[int, ...]:
    return tuple(-1 if one is None else one for one in piece.numbers)


def _gathered(pieces: list[_Piece], most_rows: int) -> Iterator[_Piece]:
    """Yield a chunk whole, or cut into runs of its parts if it has too many rows."""
    has_parts = all(len(one.numbers) == 2 and one.numbers[1] is not None for one in pieces)
    if sum(one.rows for one in pieces) <= most_rows or not has_parts or pieces[0].numbers[0] is None:
        yield _joined(pieces, None)
        return
    run: list[_Piece] = []
    for one in pieces:
        if run and sum(part.rows for part in run) + one.rows > most_rows:
            yield _joined(run, run[-1].numbers[1])
            run = []
        run.append(one)
    yield _joined(run, run[-1].numbers[1])


def _joined(pieces: list[_Piece], last_part: int | None) -> _Piece:
    boxes = [one.box for one in pieces if one.box is not None]
    box = None
    if len(boxes) == len(pieces):
        west, east, south, north = zip(*boxes, strict=True)
        box = (min(west), max(east), min(south), max(north))
    return _Piece(pieces[0].numbers, sum(one.rows for one in pieces), box, last_part)


def _numbered(columns: Sequence[DumpColumn], piece: _Piece) -> Chunk:
    name, number = quoted(columns[0].name), piece.numbers[0]
    if number is None:
        return Chunk("chunk_null", f"{name} IS NULL", piece.rows)
    condition, called = f"{name} = {number}", f"chunk_{number:07d}"
    if piece.last_part is not None:
        first = piece.numbers[1]
        condition += f" AND {quoted(columns[1].name)} BETWEEN {first} AND {piece.last_part}"
        called += f"_{first:07d}"
    return Chunk(called, condition if piece.box is None else f"{_area(piece.box)} AND {condition}", piece.rows)


def _area(box: tuple[float, float, float, float]) -> str:
    """Return an area that holds all positions between extremes; longitudes beyond 0 and 360 would mean others."""
    west, east, south, north = box
    corners = (
        max(west - _MARGIN_DEG, 0),
        max(south - _MARGIN_DEG, -90),
        min(east + _MARGIN_DEG, 360),
        min(north + _MARGIN_DEG, 90),
    )
    return f"qserv_areaspec_box({', '.join(f'{one:.7f}' for one in corners)})"


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
