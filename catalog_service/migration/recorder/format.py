"""A recording: a directory of small files, each renamed into place when it is whole.

::

    recording.json                    the source, and when it was begun
    tables/SCHEMA.TABLE.json          columns, row count, key and position columns
    answers/ID.json, ID.csv.gz        a query and its answer; the JSON is renamed last: with it the answer counts
    fingerprints/SCHEMA.TABLE.json, .csv.gz    one row a cell of the sky, chunk or range of ids
    queries.json, wanted.json         what was asked, and what all runs together were to record

JSON is UTF-8 with sorted keys; `rows` tells the form of the rows, `records` what the JSON says.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from .errors import FormatError
from .files import write_json
from .parsing import answer_of, fingerprint_of, header_of, read_json, table_of, told
from .records import Answer, Fingerprint, Header, Table, expected_rows
from .rows import check_bytes, read_rows

__all__ = ["FORMAT", "VERSION", "Recording"]

FORMAT: Final = "catalog-recording"
VERSION: Final = 1

Damaged = Callable[[str, FormatError], object]
"""Told of a record that cannot be read: its name, and why."""

_SAFE: Final = re.compile(r"[^\w.$-]")

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
            write_json(self.directory / "recording.json", {"format": FORMAT, "version": VERSION, **asdict(header)})

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
        found = read_json(path)
        if found.get("format") != FORMAT or found.get("version") != VERSION:
            raise FormatError(
                f"{path} is of format {found.get('format')!r}, version {found.get('version')!r}; "
                f"this program reads {FORMAT!r}, version {VERSION}."
            )
        with told(path):
            return header_of(found)

    def tables(self, damaged: Damaged | None = None) -> Iterator[Table]:
        """Yield the recorded tables by name."""
        return self._all("tables", table_of, damaged)

    def answers(self, damaged: Damaged | None = None) -> Iterator[Answer]:
        """Yield the recorded answers by id, without their rows."""
        return self._all("answers", answer_of, damaged)

    def fingerprints(self, damaged: Damaged | None = None) -> Iterator[Fingerprint]:
        """Yield the recorded fingerprints by table, without their rows."""
        return self._all("fingerprints", fingerprint_of, damaged)

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
        write_json(stem.with_name(stem.name + ".json"), asdict(record))

    def drop_rows(self, record: Answer | Fingerprint) -> None:
        """Remove the rows of an earlier record."""
        self.rows_path(record).unlink(missing_ok=True)

    def holds(self, kind: str, table: str) -> bool:
        """Tell whether there is a record of a table, be it damaged.

        Parameters
        ----------
        kind
            ``tables`` or ``fingerprints``.
        table
            ``SCHEMA.TABLE``.
        """
        return (self.directory / kind / f"{_SAFE.sub('_', table)}.json").is_file()

    def set_damaged_aside(self, told: Damaged) -> None:
        """Rename records that cannot be read to ``NAME.json.damaged``, so that they are recorded anew."""
        for kind, records in (
            ("tables", self.tables),
            ("answers", self.answers),
            ("fingerprints", self.fingerprints),
        ):
            found: dict[str, FormatError] = {}
            for _ in records(found.__setitem__):
                pass
            for name, error in found.items():
                path = self.directory / kind / f"{name}.json"
                path.rename(path.with_name(f"{path.name}.damaged"))
                told(name, error)

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
                found = read_json(path)
                with told(path):
                    record = parse(found)
            except FormatError as error:
                if damaged is None:
                    raise
                damaged(path.stem, error)
                continue
            yield record
