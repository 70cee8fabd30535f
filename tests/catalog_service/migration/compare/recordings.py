"""Recordings made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from catalog_service.migration.recorder.files import replaced
from catalog_service.migration.recorder.format import Recording
from catalog_service.migration.recorder.records import (
    Answer,
    Column,
    Failure,
    Fingerprint,
    Header,
    Source,
    Table,
    answer_digest,
)
from catalog_service.migration.recorder.rows import RowWriter

__all__ = ["Made"]

Columns = dict[str, str]
"""Kinds by name."""


class Made:
    """A recording that is written record by record."""

    def __init__(self, directory: Path, kind: str = "mysql") -> None:
        self.directory = directory
        self._recording = Recording(directory)
        source = Source(kind, f"{kind}://somewhere/{directory.name}", "1.0")
        self._recording.begin(Header(source, "2026-11-26T00:00:00+00:00", "1"))
        self._count = 0

    def answer(
        self,
        query: str,
        columns: Columns,
        rows: Sequence[Sequence[Any]],
        *,
        lang: str = "QSERV",
        overflow: bool = False,
        error: Failure | None = None,
    ) -> Path:
        """Add an answer; return where its rows are."""
        self._count += 1
        made = tuple(Column(name, kind, kind) for name, kind in columns.items())
        record = Answer(
            f"{self._count:04}-{answer_digest(lang, query)}",
            query,
            lang,
            "by hand",
            "2026-11-26T00:00:00+00:00",
            0.5,
            rows=len(rows),
            columns=made,
            overflow=overflow,
            error=error,
        )
        if error is None:
            writer = self._write(record, rows)
            record = replace(record, sha256=writer.sha256, bytes=writer.size)
        self._recording.save(record)
        return self._recording.rows_path(record)

    def table(self, name: str, columns: Columns, rows: int | None = 3, error: Failure | None = None) -> None:
        schema, _, table = name.partition(".")
        made = tuple(Column(name, kind, kind) for name, kind in columns.items())
        self._recording.save(Table(schema, table, made, rows=rows, seconds=0.1, error=error))

    def fingerprints(self, name: str, cells: dict[str, Any], fields: Columns, rows: Sequence[Sequence[Any]]) -> None:
        schema, _, table = name.partition(".")
        made = tuple(Column(name, "", kind) for name, kind in fields.items())
        keys = tuple(name.removesuffix(":sum") for name in fields if name.endswith(":sum"))
        record = Fingerprint(schema, table, cells, 1_000_000_007, (), keys, ("SELECT 1",), made)
        writer = self._write(record, rows)
        self._recording.save(replace(record, sha256=writer.sha256, cell_count=writer.rows))

    def _write(self, record: Answer | Fingerprint, rows: Sequence[Sequence[Any]]) -> RowWriter:
        kinds = [one.kind for one in (record.columns if isinstance(record, Answer) else record.fields)]
        with replaced(self._recording.rows_path(record)) as sink:
            writer = RowWriter(sink, kinds)
            writer.write([[None if value is None else str(value) for value in row] for row in rows])
            writer.close()
        return writer
