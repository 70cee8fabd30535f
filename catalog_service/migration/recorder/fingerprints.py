"""Fingerprints: what tells a missing, altered or repeated row from afar, one row of aggregates a cell of a table.

A cell is a chunk, a box of right ascension and declination, a range of ids, or all ids with the same remainder (they
spread rows evenly, however the ids are made); the source computes them all in one
query, or one query a cell. SUM of ids modulo a prime tells which rows are there, whatever their order and number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .dialect import Dialect
from .guesses import is_integer
from .records import Column, Fingerprint, Table
from .rows import Field

__all__ = ["PRIME", "Cells", "Plan", "id_cells", "integer_key", "plan_of", "simple_cells"]

PRIME: Final = 1_000_000_007
"""Modulus of ids: a sum over 10^9 rows stays below 2^63."""
_ID_CELLS: Final = 1000
_REMAINDERS: Final = 1009
"""A prime, so that ids made of parts spread too."""
_MOST_KEYS: Final = 8
_NUMBERS: Final = frozenset({"float32", "float64", "int64", "uint64", "decimal"})
_PARTITION: Final = frozenset({"chunkid", "subchunkid"})


@dataclass(frozen=True)
class Cells:
    """How a table is cut."""

    record: Mapping[str, Any]
    """As the recording has it, see `Fingerprint.cells`."""
    expressions: tuple[str, ...]
    """What rows of one cell have in common, in SQL."""


@dataclass(frozen=True)
class Plan:
    """The fingerprints of a table: queries, and how their rows are kept."""

    table: Table
    cells: Cells
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    dialect: Dialect

    def query(self, cell: str | None = None) -> str:
        """Return the query for all cells, or for one."""
        asked = [f"{sql} AS cell{at}" for at, sql in enumerate(self.cells.expressions)]
        asked.append("COUNT(*) AS cell_rows")
        asked += [f"SUM({self._modulo(name)}) AS s{at}" for at, name in enumerate(self.keys)]
        for at, one in enumerate(self.columns):
            name = self.dialect.name(one.name)
            asked.append(f"COUNT({name}) AS n{at}, MIN({name}) AS lo{at}, MAX({name}) AS hi{at}, AVG({name}) AS av{at}")
        where = "" if cell is None else f" WHERE {self._within(cell)}"
        return f"SELECT {', '.join(asked)} FROM {self.dialect.table(self.table)}{where}{self._grouped()}"

    def cells_query(self) -> str:
        """Return the query for the names of the cells."""
        asked = [f"{sql} AS cell{at}" for at, sql in enumerate(self.cells.expressions)]
        columns = ", ".join([*asked, "COUNT(*) AS cell_rows"])
        return f"SELECT {columns} FROM {self.dialect.table(self.table)}{self._grouped()}"

    def cell_of(self, row: Sequence[Field]) -> str:
        """Return the name of the cell of a row of an answer."""
        values = [_integer(value) for value in row[: len(self.cells.expressions)]]
        return " ".join("NULL" if value is None else value for value in values) or "all"

    def kept(self, row: Sequence[Field]) -> list[Field]:
        """Return a row of the recording for a row of an answer of `query`."""
        rest = list(row[len(self.cells.expressions) :])
        rows = int(_integer(rest.pop(0)) or 0)
        kept: list[Field] = [self.cell_of(row), str(rows), *(_integer(rest.pop(0)) for _ in self.keys)]
        for _ in self.columns:
            present, low, high, mean = (rest.pop(0) for _ in range(4))
            kept += [str(rows - int(_integer(present) or 0)), low, high, mean]
        return kept

    def fields(self) -> tuple[Column, ...]:
        """Return the columns of the rows of the recording."""
        found = [Column("cell", "", "text"), Column("rows", "", "int64")]
        found += [Column(f"{name}:sum", "", "int64") for name in self.keys]
        for one in self.columns:
            found.append(Column(f"{one.name}:nulls", "", "int64"))
            found += [Column(f"{one.name}:{what}", one.type, one.kind) for what in ("min", "max")]
            found.append(Column(f"{one.name}:avg", "", "float64"))
        return tuple(found)

    def record(self, queries: Sequence[str]) -> Fingerprint:
        """Return the record of these fingerprints, without what only the run tells."""
        names = tuple(one.name for one in self.columns)
        cells = dict(self.cells.record)
        return Fingerprint(
            self.table.schema, self.table.table, cells, PRIME, names, self.keys, tuple(queries), self.fields()
        )

    def _modulo(self, name: str) -> str:
        return self.dialect.modulo(self.dialect.name(name), PRIME)

    def _grouped(self) -> str:
        """MySQL groups by the names of the select list (all that a Qserv is sure of), ADQL by expressions."""
        if not self.cells.expressions:
            return ""
        if self.dialect.lang == "QSERV":
            return " GROUP BY " + ", ".join(f"cell{at}" for at in range(len(self.cells.expressions)))
        return " GROUP BY " + ", ".join(self.cells.expressions)

    def _within(self, cell: str) -> str:
        values = cell.split(" ")
        same = [
            f"{sql} IS NULL" if value == "NULL" else f"{sql} = {value}"
            for sql, value in zip(self.cells.expressions, values, strict=True)
        ]
        return " AND ".join([*same, *self._bounds(values)])

    def _bounds(self, values: Sequence[str]) -> list[str]:
        """Return what lets an index help: the ranges of a cell, a little widened because the expressions decide."""
        if "NULL" in values:
            return []
        match self.cells.record["kind"]:
            case "box":
                width = float(self.cells.record["width_deg"])
                names = [self.dialect.name(self.cells.record[which]) for which in ("ra", "dec")]
                edges = [int(value) * width for value in values]
                return [
                    f"{name} BETWEEN {edge - 1e-6:.6f} AND {edge + width + 1e-6:.6f}"
                    for name, edge in zip(names, edges, strict=True)
                ]
            case "id":
                divisor, start = int(self.cells.record["divisor"]), int(values[0])
                name = self.dialect.name(self.cells.record["column"])
                return [f"{name} BETWEEN {start - divisor} AND {start + divisor}"]
            case _:
                return []


def plan_of(table: Table, cells: Cells, dialect: Dialect, most_columns: int) -> Plan:
    """Return the fingerprints of a table.

    Parameters
    ----------
    table
        The table.
    cells
        How it is cut.
    dialect
        Language of the queries.
    most_columns
        How many numeric columns get null count, minimum, maximum and average; 0: all.
    """
    numbers = [one for one in table.columns if one.kind in _NUMBERS and one.name.lower() not in _PARTITION]
    numbers.sort(key=lambda one: one.name not in {table.ra, table.dec})
    chosen = tuple(numbers[:most_columns] if most_columns else numbers)
    ids = [one.name for one in table.columns if is_integer(one) and _is_id(one, table)]
    keys = [*ids[:_MOST_KEYS], *(one.name for one in chosen if is_integer(one))]
    return Plan(table, cells, chosen, tuple(dict.fromkeys(keys)), dialect)


def simple_cells(kind: str, table: Table, dialect: Dialect, box_deg: float) -> Cells | None:
    """Return the cells of a kind other than ``id``, or None if the table has no such cells."""
    match kind:
        case "box" if table.ra is not None and table.dec is not None:
            record = {"kind": "box", "width_deg": box_deg, "ra": table.ra, "dec": table.dec}
            return Cells(record, tuple(f"FLOOR({dialect.name(name)} / {box_deg!r})" for name in (table.ra, table.dec)))
        case "remainder" if (key := integer_key(table)) is not None:
            record = {"kind": "remainder", "column": key, "divisor": _REMAINDERS}
            return Cells(record, (dialect.modulo(dialect.name(key), _REMAINDERS),))
        case "chunk" if table.chunk is not None:
            return Cells({"kind": "chunk", "column": table.chunk}, (dialect.name(table.chunk),))
        case "table":
            return Cells({"kind": "table"}, ())
        case _:
            return None


def integer_key(table: Table) -> str | None:
    """Return the column of cells of kind ``id`` and ``remainder``: the key, else the first integer id."""
    integers = [one.name for one in table.columns if is_integer(one)]
    if table.key is not None and table.key[0] in integers:
        return table.key[0]
    ids = [one.name for one in table.columns if is_integer(one) and _is_id(one, table)]
    return ids[0] if ids else None


def id_cells(column: str, low: int, high: int, dialect: Dialect) -> Cells:
    """Return cells of equal ranges of ids, some hundreds of them; exact for ids beyond 2^53."""
    divisor = 1
    while (high - low) // divisor >= _ID_CELLS:
        divisor *= 10
    name = dialect.name(column)
    record = {"kind": "id", "column": column, "divisor": divisor}
    return Cells(record, (f"({name} - {dialect.modulo(name, divisor)})",))


def _is_id(column: Column, table: Table) -> bool:
    name = column.name.lower()
    return name not in _PARTITION and (name.endswith("id") or column.name in (table.key or ()))


def _integer(value: Field) -> str | None:
    """Return an integer that a source may print as 12, 12.0 or 1.2e1."""
    if value is None:
        return None
    text = value if isinstance(value, str) else value.decode()
    try:
        return str(int(text))
    except ValueError:
        number = float(text)
        return str(int(number)) if number.is_integer() else text
