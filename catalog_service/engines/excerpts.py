"""Rows of released files that are read without SQL, and what was read of them before.

DuckDB takes 0.2 ms a column to bind a Parquet file and decodes whole row groups: most of the time of a small cone over
many columns. The files of releases are sorted by their HEALPix index and never change. So the footers are kept, and
as much of the decoded columns as there is room for: whoever looks at a field looks again, and then nothing is read.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from catalog_service.models.excerpt import Excerpt

from .excerpt_files import FileKey, Footer, Footers, NeedsSqlError, file_key, read_columns
from .excerpt_rows import RowGroup, ascending, rows_of, tested_columns

__all__ = ["ExcerptReader"]

_MOST_ROW_GROUPS: Final = 8
"""More are quicker read by DuckDB, column by column as its conditions ask for them."""
_MOST_BYTES: Final = 64 << 20
"""Of what is read for one query, decoded: beyond DuckDB's memory limit, within the worker's margin. How long texts are
shows when they are read: if they take more, no further row group is."""
_FEW_ROWS: Final = 2048
"""So many rows are delivered in one piece, as DuckDB has them: each piece costs writers time for each column."""
_COLUMN_BYTES: Final = 3000
"""What a kept column takes besides its values (measured: 2.3 to 4.8 kB): of small tiles of many columns, most."""


_FAILURES: Final = (pa.ArrowException, OSError, MemoryError, LookupError, ValueError, TypeError, OverflowError)
"""What damaged files raise; SQL then reads them, and tells of what is wrong with them."""


class ExcerptReader:
    """Reads excerpts, and keeps what it has read.

    Parameters
    ----------
    kept_bytes
        Most bytes of decoded columns that are kept; 0: none.
    """

    def __init__(self, kept_bytes: int) -> None:
        self._footers = Footers()
        self._groups: OrderedDict[tuple[FileKey, int], RowGroup] = OrderedDict()
        self.kept_bytes = 0
        """Bytes of decoded columns that are kept now."""
        self._most_kept_bytes = kept_bytes

    def read(self, excerpt: Excerpt) -> tuple[pa.Schema, list[pa.RecordBatch]] | None:
        """Return the schema and the rows of an excerpt; None if SQL has to read it.

        Which is so if too much would have to be read, types are not plain, a file cannot be read or is not sorted, or
        a row lies on the edge of a cone so that only the rounding of SQL can tell on which side.

        Raises
        ------
        DamagedPageError
            If the checksum of a page is wrong.
        """
        try:
            return self._read(excerpt)
        except (NeedsSqlError, *_FAILURES):
            return None
        finally:
            self._drop(self._most_kept_bytes)

    def _read(self, excerpt: Excerpt) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        files = [(key, self._footers.of(key, excerpt.index)) for key in map(file_key, excerpt.files)]
        schema = _schema(excerpt, [footer for _, footer in files])
        chosen = [(key, footer, group) for key, footer in files for group in footer.groups_within(excerpt.ranges)]
        chosen = _as_many_as_needed(chosen, excerpt)
        needed = tuple(dict.fromkeys((*excerpt.columns, excerpt.index, *tested_columns(excerpt))))
        self._check_cost(chosen, needed)
        batches, left, most_bytes = [], excerpt.rows, self.kept_bytes + _MOST_BYTES
        for key, footer, group in chosen:
            if self.kept_bytes > most_bytes:
                raise NeedsSqlError
            batch = rows_of(excerpt, schema, self._row_group(key, footer, group, excerpt.index, needed))
            batches.append(batch.slice(0, left))
            left -= batches[-1].num_rows
            if left <= 0:
                break
        return schema, _few_joined([batch for batch in batches if batch.num_rows])

    def _check_cost(self, chosen: Sequence[tuple[FileKey, Footer, int]], needed: Iterable[str]) -> None:
        if len(chosen) > _MOST_ROW_GROUPS:
            raise NeedsSqlError
        size = 0
        for key, footer, group in chosen:
            kept = self._groups.get((key, group))
            missing = [name for name in needed if kept is None or name not in kept.columns]
            size += footer.decoded_bytes(group, missing) if missing else 0
        if size > _MOST_BYTES:
            raise NeedsSqlError

    def _row_group(self, key: FileKey, footer: Footer, group: int, index: str, needed: Iterable[str]) -> RowGroup:
        """Return the columns of a row group, those that were kept and those that are read now."""
        kept = self._groups.setdefault((key, group), RowGroup())
        self._groups.move_to_end((key, group))
        missing = [name for name in needed if name not in kept.columns]
        if missing:
            found = read_columns(key[0], footer, group, missing)
            size_bytes = sum(array.nbytes + _COLUMN_BYTES for array in found.values())
            kept.columns |= found
            kept.size_bytes += size_bytes
            self.kept_bytes += size_bytes
        if kept.indices is None:
            kept.indices = ascending(kept.columns[index])
        return kept

    def _drop(self, most_bytes: int) -> None:
        """Forget what was not used for longest."""
        while self.kept_bytes > most_bytes:
            _, dropped = self._groups.popitem(last=False)
            self.kept_bytes -= dropped.size_bytes


def _schema(excerpt: Excerpt, footers: Iterable[Footer]) -> pa.Schema:
    """Return the columns of the result, which must be plain and the same in all files; the others must be plain."""
    types = {footer.plain_types((*excerpt.columns, *tested_columns(excerpt))) for footer in footers}
    if len(types) != 1:
        raise NeedsSqlError
    return pa.schema(list(zip(excerpt.columns, *types, strict=False)))


def _as_many_as_needed(
    chosen: list[tuple[FileKey, Footer, int]], excerpt: Excerpt
) -> list[tuple[FileKey, Footer, int]]:
    """Return the first row groups, as many as hold the wanted rows for certain: all of them if rows are tested."""
    if excerpt.cones or excerpt.ids or excerpt.ranges:
        return chosen
    before = np.cumsum([0, *(int(footer.rows[group]) for _, footer, group in chosen)])
    return [one for one, start in zip(chosen, before, strict=False) if start < excerpt.rows]


def _few_joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if len(batches) < 2 or sum(batch.num_rows for batch in batches) > _FEW_ROWS:
        return batches
    return [pa.concat_batches(batches)]
