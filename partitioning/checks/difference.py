"""The difference of two sequences of stored rows that should be the same; some row groups are in memory at a time."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ..layout.paths import HEALPIX_COLUMN
from ..stages.order import unsliced
from .catalog import tried

__all__ = ["RowsDifference", "rows_difference"]


class RowsDifference:
    """Compares rows that are expected with rows that are found; both come in HEALPix order, in parts of any size.

    Parameters
    ----------
    expected
        Read as far as needed.
    tell
        Called with the rows that are missing and those that are too many, of one part of the sky after the other.
    """

    def __init__(
        self, expected: Iterator[pa.Table], schema: pa.Schema, tell: Callable[[pa.Table, pa.Table], None]
    ) -> None:
        self._source, self._tell = expected, tell
        self._expected, self._stored = schema.empty_table(), schema.empty_table()
        self._has_more = True
        self.problem = ""
        """Why the expected rows cannot be read."""

    def add(self, stored: pa.Table) -> None:
        """Take the next rows that are found."""
        self._stored = pa.concat_tables([self._stored, stored])
        self._advance(is_last=False)

    def finish(self) -> None:
        """Tell what is left, after the last rows."""
        self._advance(is_last=True)

    def _advance(self, *, is_last: bool) -> None:
        while not self.problem and (is_last or self._stored.num_rows):
            while self._has_more and self._expected.num_rows < max(1, self._stored.num_rows):
                self._pull()
            both = min(self._expected.num_rows, self._stored.num_rows)
            if both and self._expected.slice(0, both).equals(self._stored.slice(0, both)):
                self._drop(both, both)
            elif not self._compare(is_last=is_last):
                return

    def _pull(self) -> None:
        rows, self.problem = tried(lambda: next(self._source, None))
        self._has_more = rows is not None
        if rows is not None:
            self._expected = pa.concat_tables([self._expected, rows])

    def _compare(self, *, is_last: bool) -> bool:
        """Compare the rows of the sky that both sequences have passed; return whether there may be more to compare."""
        expected, stored = self._expected, self._stored
        passed = [_last(expected)] if self._has_more else []
        passed += [] if is_last else [_last(stored)]
        whole = expected.num_rows, stored.num_rows
        cuts = (_before(expected, min(passed)), _before(stored, min(passed))) if passed else whole
        if cuts == (0, 0):  # rows of one position go on in what comes next
            if not (self._has_more and _last(expected) == min(passed)):
                return False
            self._pull()
            return True
        self._tell(*rows_difference(expected.slice(0, cuts[0]), stored.slice(0, cuts[1])))
        self._drop(*cuts)
        return True

    def _drop(self, expected: int, stored: int) -> None:
        self._expected, self._stored = self._expected.slice(expected), self._stored.slice(stored)


def _last(rows: pa.Table) -> int:
    return int(rows.column(HEALPIX_COLUMN)[-1].as_py())


def _before(rows: pa.Table, index: int) -> int:
    return int(np.searchsorted(rows.column(HEALPIX_COLUMN).to_numpy(), index))


def rows_difference(expected: pa.Table, stored: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows that only `expected` has, and those that only `stored` has; order does not matter."""
    if expected.equals(stored):
        return expected.slice(0, 0), stored.slice(0, 0)
    expected, stored = unsliced(expected), unsliced(stored)
    index = [table.column(HEALPIX_COLUMN).to_numpy(zero_copy_only=False) for table in (expected, stored)]
    shared = [np.isin(mine, other) for mine, other in (index, index[::-1])]
    common = [table.filter(pa.array(kept)) for table, kept in zip((expected, stored), shared, strict=True)]
    if common[0].equals(common[1]):  # as a rule: the rest is small
        return expected.filter(pa.array(~shared[0])), stored.filter(pa.array(~shared[1]))
    return _only(expected, stored), _only(stored, expected)


def _only(table: pa.Table, other: pa.Table) -> pa.Table:
    """Return the rows of `table` that `other` lacks; a row that is there twice must be there twice in both."""
    left, kept = Counter(map(_row_key, other.to_pylist())), []
    for number, row in enumerate(table.to_pylist()):
        key = _row_key(row)
        if left[key]:
            left[key] -= 1
        else:
            kept.append(number)
    return table.take(pa.array(kept, pa.int64()))


def _row_key(row: dict[str, Any]) -> str:
    return repr(list(row.values()))  # tells -0.0 from 0.0
