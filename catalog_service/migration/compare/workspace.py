"""Two answers in a database of their own, on disk where the memory ends."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..errors import ComparisonError
from .answers import Batches
from .cells import form
from .columns import ColumnPair
from .rules import Rules

if TYPE_CHECKING:
    import duckdb

__all__ = ["MEMORY", "SIDES", "Workspace", "opened_workspace"]

MEMORY: Final = "192MB"
"""Of the database; the whole process takes some 250 MB more."""

SIDES: Final = ("left", "right")

_EXACT_IN_DOUBLES: Final = 2.0**53
_DIGITS_OF_QUOTIENTS: Final = 4
"""MySQL's div_precision_increment: as many digits are added to those of the dividend."""


class Workspace:
    """Tables of a comparison.

    Parameters
    ----------
    connection
        To a database that nobody else uses.
    """

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def clear(self) -> None:
        """Remove all tables."""
        self.run("USE memory.main; DROP SCHEMA IF EXISTS work CASCADE; CREATE SCHEMA work; USE work")

    @contextmanager
    def bounded(self, memory: str) -> Iterator[None]:
        """Tell what to do where memory or disk is short."""
        import duckdb  # noqa: PLC0415 - light commands do without

        try:
            yield
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise ComparisonError(
                f"The answers cannot be compared within {memory} of memory and the space for temporary files.",
                remedy="Give more memory, or a TMPDIR with some times the size of the answers.",
            ) from error

    def run(self, sql: str) -> None:
        """Run a statement; where memory is short, again in one thread, which takes half of it."""
        import duckdb  # noqa: PLC0415 - light commands do without

        try:
            self._connection.execute(sql)
        except duckdb.OutOfMemoryException:
            self._connection.execute("SET threads = 1")
            self._connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query that has few."""
        return self._connection.execute(sql).fetchall()

    def number(self, sql: str) -> int:
        """Return the one number that a query gives; NULL is 0."""
        return int(self.rows(sql)[0][0] or 0)

    def arrays(self, sql: str) -> dict[str, Any]:
        """Return the columns of a query as numpy arrays, NULL masked."""
        return self._connection.execute(sql).fetchnumpy()

    def records(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query that has few, by the names of its columns."""
        found = self._connection.execute(sql)
        names = [one[0] for one in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def load(self, side: str, batches: Batches) -> int:
        """Store an answer as ``SIDE_cells``; return its number of rows.

        Raises
        ------
        Exception
            What ended the reading.
        """
        import duckdb  # noqa: PLC0415 - light commands do without

        self._connection.register("batches", batches.reader)
        try:
            self._connection.execute(f"CREATE TABLE {side}_cells AS SELECT * FROM batches")
        except duckdb.Error as error:
            raise (batches.failures[0] if batches.failures else error) from error
        finally:
            self._connection.unregister("batches")
        return self.number(f"SELECT count(*) FROM {side}_cells")

    def add(self, table: str, columns: "dict[str, Any]") -> None:
        """Store numpy arrays as a table."""
        import pyarrow as pa  # noqa: PLC0415 - light commands do without

        self._connection.register("arrays", pa.table(columns))
        self.run(f"CREATE TABLE {table} AS SELECT * FROM arrays")
        self._connection.unregister("arrays")

    def prepare(self, pairs: Sequence[ColumnPair], rules: Rules) -> None:
        """Make ``left_rows`` and ``right_rows``: all cells, and all pairs in the form that is compared."""
        for side in SIDES:
            values = [f"{form(pair, getattr(pair, side), rules)} AS v{k}" for k, pair in enumerate(pairs)]
            self.run(f"CREATE VIEW {side}_rows AS SELECT {', '.join(['*', *values])} FROM {side}_cells")

    def digits(self, side: str, number: int) -> int:
        """Return how many digits after the point are printed in a column of decimals."""
        digits = f"CASE WHEN contains(c{number}, '.') THEN length(c{number}) - instr(c{number}, '.') ELSE 0 END"
        return self.number(f"SELECT max({digits}) FROM {side}_cells")

    def beyond_doubles(self, side: str, number: int) -> bool:
        """Tell whether integers or decimals of a column are too large for a double to tell them apart."""
        largest = self.rows(f"SELECT max(abs(CAST(c{number} AS DOUBLE))) FROM {side}_cells")[0][0]
        return largest is not None and largest >= _EXACT_IN_DOUBLES

    def with_margin(self, pair: ColumnPair, side: str) -> ColumnPair:
        """Return a pair with the margin of its decimals, which stand on one side.

        A quotient or average has four digits more than its parts, and the last is rounded; with fewer a decimal is what
        it says, and without any a whole number, which doubles hold exactly.
        """
        digits = self.digits(side, getattr(pair, side))
        margin = 0.5 * 10.0**-digits if digits >= _DIGITS_OF_QUOTIENTS else 0.0
        tolerance = pair.how.tolerance if digits or pair.how.is_single else 0.0
        return replace(pair, how=replace(pair.how, tolerance=tolerance, margin=pair.how.margin + margin))


@contextmanager
def opened_workspace(memory: str = MEMORY) -> Iterator[Workspace]:
    """Open an empty workspace, and remove it at the end.

    Parameters
    ----------
    memory
        Most memory of the database; what does not fit is written to a temporary directory.
    """
    import duckdb  # noqa: PLC0415 - light commands do without

    with tempfile.TemporaryDirectory(prefix="catalog-compare-") as directory:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "threads": 2,
            "temp_directory": f"{directory}/spill",
            "preserve_insertion_order": False,  # rows are numbered; keeping them in place costs memory
        }
        connection = duckdb.connect(":memory:", config=config)
        try:
            yield Workspace(connection)
        finally:
            connection.close()
