"""A recording: a directory of small files, each renamed into place when it is whole.

::

    recording.json                    the source, and when it was begun
    tables/SCHEMA.TABLE.json          columns, row count, key and position columns
    answers/ID.json, ID.csv.gz        a query and its answer; the JSON is renamed last: with it the answer counts
    fingerprints/SCHEMA.TABLE.json, .csv.gz    one row a cell of the sky, chunk or range of ids

JSON is UTF-8 with sorted keys; `rows` tells the form of the rows.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field
from functools import cache
from pathlib import Path
from types import UnionType
from typing import IO, Any, Final, TypeVar, get_args, get_origin, get_type_hints

from .errors import FormatError
from .rows import Expected, check_bytes, read_rows

__all__ = [
    "FORMAT",
    "KINDS",
    "VERSION",
    "Answer",
    "Column",
    "Failure",
    "Fingerprint",
    "Header",
    "Recording",
    "Source",
    "Table",
    "answer_digest",
    "expected_rows",
    "flush_directory",
    "replaced",
]

FORMAT: Final = "catalog-recording"
VERSION: Final = 1
KINDS: Final = (
    "int64", "uint64", "decimal", "float32", "float64", "text", "bytes", "boolean", "timestamp", "other",
)  # fmt: skip
"""What the values of a column are, whatever the source calls its type."""

Damaged = Callable[[str, FormatError], object]
"""Told of a record that cannot be read: its name, and why."""

_SAFE: Final = re.compile(r"[^\w.$-]")


@dataclass(frozen=True)
class Source:
    """Where the answers come from."""

    kind: str
    """``mysql`` or ``tap``."""
    address: str
    """Without user or password."""
    server: str
    """What it says of its version."""


@dataclass(frozen=True)
class Header:
    """``recording.json``."""

    source: Source
    started: str
    """UTC, ISO 8601."""
    recorder: str
    """Version of the program that wrote it."""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer."""

    kind: str
    """Of an answer: ``refused``, ``timeout``, ``lost`` or ``too large``."""
    message: str
    """What the source said."""


@dataclass(frozen=True)
class Column:
    """A column of a table, of an answer or of fingerprints; what only tables know is None elsewhere."""

    name: str
    type: str
    """As the source calls it; empty for a column that the recorder made."""
    kind: str
    """One of `KINDS`."""
    nullable: bool | None = None
    unit: str | None = None
    ucd: str | None = None


@dataclass(frozen=True)
class Table:
    """``tables/SCHEMA.TABLE.json``."""

    schema: str
    table: str
    columns: tuple[Column, ...]
    rows: int | None = None
    seconds: float | None = None
    """Of counting the rows."""
    key: tuple[str, ...] | None = None
    ra: str | None = None
    dec: str | None = None
    chunk: str | None = None
    """Column that tells the chunk."""
    error: Failure | None = None

    @property
    def name(self) -> str:
        """``SCHEMA.TABLE``."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class Answer:
    """``answers/ID.json``; the rows are in ``ID.csv.gz`` unless there is an error."""

    id: str
    query: str
    lang: str
    """``QSERV`` or ``ADQL``."""
    use_case: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    seconds_to_first_row: float | None = None
    rows: int = 0
    bytes: int = 0
    """Of the uncompressed rows."""
    columns: tuple[Column, ...] = ()
    overflow: bool = False
    """Whether the source said that it cut the answer."""
    sha256: str | None = None
    """Of the uncompressed rows."""
    error: Failure | None = None


@dataclass(frozen=True)
class Fingerprint:
    """``fingerprints/SCHEMA.TABLE.json``; one row a cell is in the ``.csv.gz`` of the same name."""

    schema: str
    table: str
    cells: Mapping[str, Any]
    """``kind``: ``box`` (``width_deg``, ``ra``, ``dec``), ``id`` or ``remainder`` (``column``, ``divisor``), ``chunk``
    (``column``), or ``table``: one cell."""
    prime: int
    columns: tuple[str, ...]
    """Columns with null count, minimum, maximum and average."""
    keys: tuple[str, ...]
    """Integer columns with a sum of values modulo `prime`."""
    queries: tuple[str, ...]
    fields: tuple[Column, ...]
    """``cell``, ``rows``, ``KEY:sum`` of each key; ``COLUMN:nulls``, ``:min``, ``:max``, ``:avg`` of each column."""
    seconds: float = 0.0
    rows: int | None = None
    """Rows of the table in all cells."""
    sha256: str | None = None
    """Of the uncompressed rows of the ``.csv.gz``."""
    cell_count: int | None = None
    """Rows of the ``.csv.gz``: one a cell."""
    error: Failure | None = None

    @property
    def name(self) -> str:
        """``SCHEMA.TABLE``."""
        return f"{self.schema}.{self.table}"


def answer_digest(lang: str, query: str) -> str:
    """Return the second half of an answer's id: 8 hexadecimal digits that belong to the query alone."""
    return hashlib.sha256((lang + query).encode()).hexdigest()[:8]


def expected_rows(record: Answer | Fingerprint) -> Expected:
    """Return what a record says of its rows; a record without a digest was made by hand, or before there was one."""
    if isinstance(record, Answer):
        is_known = record.sha256 is not None
        return Expected(record.rows, record.sha256, record.bytes if is_known else None)
    return Expected(record.cell_count, record.sha256)


_Record = TypeVar("_Record", Table, Answer, Fingerprint)


@dataclass(frozen=True)
class Recording:
    """The files of a recording.

    Parameters
    ----------
    directory
        Where they are.
    """

    directory: Path
    _subdirectories: tuple[str, ...] = field(default=("tables", "answers", "fingerprints"), repr=False)

    def begin(self, header: Header) -> None:
        """Make the directories and write ``recording.json``; a header that is there stays."""
        for name in self._subdirectories:
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        if not (self.directory / "recording.json").exists():
            _write_json(self.directory / "recording.json", {"format": FORMAT, "version": VERSION, **asdict(header)})

    def header(self) -> Header:
        """Read ``recording.json``.

        Raises
        ------
        FormatError
            If the directory holds no recording, or one of another version.
        """
        path = self.directory / "recording.json"
        if not path.is_file():
            raise FormatError(f"{self.directory} holds no recording: there is no recording.json in it.")
        found = _read_json(path)
        if found.get("format") != FORMAT or found.get("version") != VERSION:
            raise FormatError(
                f"{path} is of format {found.get('format')!r}, version {found.get('version')!r}; "
                f"this program reads {FORMAT!r}, version {VERSION}."
            )
        with _told(path):
            source = _made(Source, found["source"])
            return _made(Header, found | {"source": source})

    def tables(self, damaged: Damaged | None = None) -> Iterator[Table]:
        """Yield the recorded tables by name."""
        return self._all("tables", _table, damaged)

    def answers(self, damaged: Damaged | None = None) -> Iterator[Answer]:
        """Yield the recorded answers by id, without their rows."""
        return self._all("answers", _answer, damaged)

    def fingerprints(self, damaged: Damaged | None = None) -> Iterator[Fingerprint]:
        """Yield the recorded fingerprints by table, without their rows."""
        return self._all("fingerprints", _fingerprint, damaged)

    def rows_of(self, record: Answer | Fingerprint) -> Iterator[tuple[str | None, ...]]:
        """Yield the rows of an answer or of fingerprints, without reading them whole; None is NULL.

        Raises
        ------
        FormatError
            By the iterator, if the rows are damaged or not those of the record.
        """
        return read_rows(self.rows_path(record), expected_rows(record))

    def check_rows(self, record: Answer | Fingerprint) -> None:
        """Check that the rows of a record are there, byte by byte those that were recorded.

        Raises
        ------
        FormatError
            If they are not.
        """
        check_bytes(self.rows_path(record), expected_rows(record))

    def rows_path(self, record: Answer | Fingerprint) -> Path:
        """Return the ``.csv.gz`` of an answer or of fingerprints."""
        return self._stem(record).with_name(self._stem(record).name + ".csv.gz")

    def save(self, record: Table | Answer | Fingerprint) -> None:
        """Write the JSON of a record; its rows must be in place."""
        stem = self._stem(record)
        _write_json(stem.with_name(stem.name + ".json"), asdict(record))

    def drop_rows(self, record: Answer | Fingerprint) -> None:
        """Remove the rows of an earlier record."""
        self.rows_path(record).unlink(missing_ok=True)

    def _stem(self, record: Table | Answer | Fingerprint) -> Path:
        match record:
            case Answer():
                return self.directory / "answers" / record.id
            case Table():
                return self.directory / "tables" / _SAFE.sub("_", record.name)
            case Fingerprint():
                return self.directory / "fingerprints" / _SAFE.sub("_", record.name)

    def _all(self, kind: str, parse: Callable[[dict[str, Any]], _Record], damaged: Damaged | None) -> Iterator[_Record]:
        """Yield records; of those that cannot be read `damaged` is told, or it is the end."""
        for path in sorted((self.directory / kind).glob("*.json")):
            try:
                found = _read_json(path)
                with _told(path):
                    record = parse(found)
            except FormatError as error:
                if damaged is None:
                    raise
                damaged(path.stem, error)
                continue
            yield record


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what a missing key or a wrong type causes into a `FormatError` that names the file."""
    try:
        yield
    except KeyError as error:
        raise FormatError(f"{path} is not a record of this format: {error} is missing.") from error
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path} is not a record of this format: {error}.") from error


def _columns(found: Any) -> tuple[Column, ...]:
    return tuple(_made(Column, one) for one in _of_type("columns", found, list))


def _failure(found: Any) -> Failure | None:
    return None if found is None else _made(Failure, found)


def _texts(name: str, found: Any) -> tuple[str, ...]:
    return tuple(_of_type(name, one, str) for one in _of_type(name, found, list))


def _table(found: dict[str, Any]) -> Table:
    key = None if found["key"] is None else _texts("key", found["key"])
    made = {"columns": _columns(found["columns"]), "key": key, "error": _failure(found["error"])}
    return _made(Table, found | made)


def _answer(found: dict[str, Any]) -> Answer:
    number, _, digest = _of_type("id", found["id"], str).partition("-")
    if not (number.isdecimal() and re.fullmatch(r"\w+", digest)):
        raise ValueError(f"id is {found['id']!r}, not a number, - and a digest")
    return _made(Answer, found | {"columns": _columns(found["columns"]), "error": _failure(found["error"])})


def _fingerprint(found: dict[str, Any]) -> Fingerprint:
    made: dict[str, Any] = {name: _texts(name, found[name]) for name in ("columns", "keys", "queries")}
    made |= {"fields": _columns(found["fields"]), "error": _failure(found["error"])}
    return _made(Fingerprint, found | made)


_Made = TypeVar("_Made")


def _made(record: type[_Made], found: Any) -> _Made:
    """Return a record of what it has fields for: a later recorder may write more.

    Raises
    ------
    KeyError
        If a field without a default is missing.
    TypeError
        If a value is of another type.
    """
    given = _of_type(record.__name__, found, dict)
    values = {}
    for name, type_ in _types(record).items():  # type: ignore[arg-type]
        if name in given:
            values[name] = _of_type(name, given[name], type_)
        elif record.__dataclass_fields__[name].default is MISSING:  # type: ignore[attr-defined]
            raise KeyError(name)
    return record(**values)


@cache
def _types(record: type) -> dict[str, Any]:
    """Return what values of each field are instances of; a whole number is a real one too."""
    found = {}
    for name, hint in get_type_hints(record).items():
        parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        plain = tuple(get_origin(part) or part for part in parts)
        found[name] = (*plain, int) if float in plain else plain
    return found


def _of_type(name: str, value: Any, types: type | tuple[type, ...]) -> Any:
    """Return a value of one of some types; to Python true is a number too, here it is none."""
    allowed = types if isinstance(types, tuple) else (types,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise TypeError(f"{name} cannot be {value!r}"[:200])
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} does not hold a JSON object.")
    return found


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replaced(path) as sink:
        sink.write(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears whole or not at all: as ``NAME.part``, flushed to the disk, then renamed."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    flush_directory(path.parent)


def flush_directory(path: Path) -> None:
    """Have the names in a directory on the disk, such as one just given."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
