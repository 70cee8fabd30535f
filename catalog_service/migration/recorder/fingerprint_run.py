"""Fingerprints of tables, asked and recorded; cell by cell, what is known is kept in a file until all are."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from .answers import failure_of
from .dialect import Dialect
from .errors import RefusedError, SourceError, TooLargeError, UnreachableError
from .files import replaced
from .fingerprints import Cells, Plan, id_cells, integer_key, plan_of, simple_cells
from .format import Recording
from .options import Options
from .plan import Politely
from .records import Failure, Fingerprint, Table
from .rows import Field, RowWriter
from .source import CatalogSource, Result

__all__ = ["FingerprintRecorder"]

_ORDER: Final = ("box", "remainder", "chunk", "table")
"""What is tried in turn: boxes and remainders mean the same to any other service, chunks do not."""


class FingerprintRecorder:
    """Records fingerprints that are not recorded yet.

    Parameters
    ----------
    recording, source, options
        As of the run.
    politely
        Does a piece of work at the source.
    """

    def __init__(self, recording: Recording, source: CatalogSource, options: Options, politely: Politely) -> None:
        self._recording = recording
        self._source = source
        self._options = options
        self._politely = politely
        self._dialect = Dialect(source.lang, "plain")
        self._known = {one.name: one for one in recording.fingerprints()}

    def record(self, table: Table) -> Fingerprint | None:
        """Record the fingerprints of a table; return None if they are there.

        Raises
        ------
        UnreachableError
            If the source cannot be reached, after all retries.
        """
        before = self._known.get(table.name)
        if before is not None and (before.error is None or before.error.kind not in self._options.again):
            return None
        kinds = _ORDER if self._options.cells == "auto" else (self._options.cells,)
        failed = Fingerprint(table.schema, table.table, {"kind": kinds[0]}, 0, (), (), (), ())
        for kind in kinds:
            try:
                cells = self._cells(kind, table)
                if cells is not None:
                    plan = plan_of(table, cells, self._dialect, self._options.columns)
                    return self._saved(self._by_cell(plan) if self._options.query_per_cell else self._at_once(plan))
                problem = Failure("refused", f"the table has no cells of kind {kind!r}")
            except UnreachableError:
                raise
            except RefusedError as error:
                problem = failure_of(error)
            except SourceError as error:
                return self._saved(replace(failed, cells={"kind": kind}, error=failure_of(error)))
        return self._saved(replace(failed, error=problem))

    def _saved(self, found: Fingerprint) -> Fingerprint:
        if found.error is not None:
            self._recording.drop_rows(found)
        self._recording.save(found)
        return found

    def _cells(self, kind: str, table: Table) -> Cells | None:
        if kind != "id":
            return simple_cells(kind, table, self._dialect, self._options.box_deg)
        column = integer_key(table)
        if column is None:
            return None
        name = self._dialect.name(column)
        query = f"SELECT MIN({name}) AS low, MAX({name}) AS high FROM {self._dialect.table(table)}"
        ((low, high),) = self._politely(partial(self._rows, query))
        return None if low is None or high is None else id_cells(column, int(low), int(high), self._dialect)

    def _rows(self, query: str) -> list[list[Field]]:
        with self._source.ask(query, timeout_s=self._options.timeout_s) as result:
            rows = [list(row) for batch in result.batches for row in batch]
        _check_whole(result)
        return rows

    def _counted(self, found: Fingerprint, table: Table) -> Fingerprint:
        """Return fingerprints, as failed if their cells do not hold the rows of the table; it may have grown since."""
        if table.rows is None or found.rows == table.rows:
            return found
        query = f"SELECT COUNT(*) AS n FROM {self._dialect.table(table)}"
        ((now,),) = self._politely(partial(self._rows, query))
        if found.rows == int(now or 0):
            return found
        problem = f"the cells hold {found.rows} rows, the table {int(now or 0)}: cells were left out, or it changes now"
        return replace(found, error=Failure("lost", problem))

    def _at_once(self, plan: Plan) -> Fingerprint:
        return self._counted(self._politely(partial(self._streamed, plan)), plan.table)

    def _streamed(self, plan: Plan) -> Fingerprint:
        query, began = plan.query(), time.monotonic()
        record = plan.record([query])
        total = 0
        with (
            replaced(self._recording.rows_path(record)) as sink,
            self._source.ask(query, timeout_s=self._options.timeout_s) as result,
        ):
            writer = RowWriter(sink, [one.kind for one in record.fields])
            for batch in result.batches:
                kept = [plan.kept(row) for row in batch]
                total += sum(int(row[1] or 0) for row in kept)
                writer.write(kept)
            _check_whole(result)
            writer.close()
        return _done(record, total, began, writer)

    def _by_cell(self, plan: Plan) -> Fingerprint:
        began = time.monotonic()
        progress = CellProgress(self._recording.rows_path(plan.record([])).with_suffix(".cells"), plan.query())
        cells = [plan.cell_of(row) for row in self._politely(partial(self._rows, plan.cells_query()))]
        for cell in cells:
            if cell in progress.cells:
                continue
            for row in self._politely(partial(self._rows, plan.query(cell))):
                progress.append(plan.kept(row))
        record = plan.record([plan.cells_query(), *(plan.query(cell) for cell in cells[:1])])
        total = 0
        with replaced(self._recording.rows_path(record)) as sink:
            writer = RowWriter(sink, [one.kind for one in record.fields])
            for row in progress.rows():
                total += int(row[1] or 0)
                writer.write([row])
            writer.close()
        found = self._counted(_done(record, total, began, writer), plan.table)
        self._recording.save(found)
        progress.path.unlink()
        return found


def _check_whole(result: Result) -> None:
    if result.overflow:
        raise TooLargeError("the source cut the cells at its own limit of rows: take larger cells (--box-deg)")


def _done(record: Fingerprint, rows: int, began: float, writer: RowWriter) -> Fingerprint:
    seconds = round(time.monotonic() - began, 6)
    return replace(record, rows=rows, seconds=seconds, sha256=writer.sha256, cell_count=writer.rows)


class CellProgress:
    """The cells that are known so far, a JSON line each; a line that a crash cut does not count.

    Parameters
    ----------
    path
        The file; made if it is missing.
    query
        What is asked of each cell: lines of another query are dropped.
    """

    def __init__(self, path: Path, query: str) -> None:
        self.path = path
        lines = self._lines()
        if next(lines, None) != [query]:
            _append(path, [query], "w")
        self.cells = {str(row[0]) for row in self.rows()}
        """Names of the known cells."""

    def rows(self) -> Iterator[list[Field]]:
        """Yield the rows of the known cells."""
        lines = self._lines()
        next(lines, None)
        return lines

    def append(self, row: list[Field]) -> None:
        """Add a row."""
        _append(self.path, row, "a")
        self.cells.add(str(row[0]))

    def _lines(self) -> Iterator[list[Field]]:
        if not self.path.is_file():
            return
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue


def _append(path: Path, row: list[Field] | list[str], mode: str) -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.write("\n" * (mode == "a") + json.dumps(row))  # the break comes first: after a cut line a new one begins
        file.flush()
        os.fsync(file.fileno())
