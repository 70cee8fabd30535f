"""The built-in queries: what users of catalogs ask, by use case, over the tables that were found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .dialect import Cone, Dialect
from .guesses import is_integer
from .querylist import Request
from .records import Column, Table

__all__ = ["RADII_DEG", "Sample", "builtin_queries", "sample_query", "samples_of"]

RADII_DEG: Final = (0.001, 0.01667, 0.1, 0.5, 1.0)
"""Of cones; the shares of notebooks' queries peak at 0.01-0.05, 0.1-0.4 and 1-3 degrees."""
_WHOLE_ROWS_DEG: Final = 0.02
"""Up to here a cone asks for all columns, beyond for some."""
_COUNT_DEG: Final = 0.4
"""From here on a cone asks for counts and averages only."""
_SOME: Final = 6
_POOL: Final = 1000
_IN_LIST: Final = 20


@dataclass(frozen=True)
class Sample:
    """A row that a table holds: what queries are centred on."""

    key: str | None
    """As it is written in a query."""
    ra: float | None
    dec: float | None


def sample_query(table: Table, dialect: Dialect) -> str | None:
    """Return the query for rows to centre queries on; None if a table has neither key nor position."""
    names = [*(table.key or ())[:1], *(name for name in (table.ra, table.dec) if name)]
    if not names:
        return None
    return dialect.first(_POOL, dialect.columns(names), f"FROM {dialect.table(table)}")


def samples_of(table: Table, rows: Sequence[Sequence[str | None]], count: int) -> list[Sample]:
    """Return evenly chosen samples of the rows of `sample_query`; rows with NULL are no samples."""
    whole = [row for row in rows if None not in row and "nan" not in row]
    chosen = [whole[len(whole) * number // count] for number in range(count)] if whole else []
    return [_sample(table, row) for row in dict.fromkeys(tuple(one) for one in chosen)]


def _sample(table: Table, row: Sequence[str | None]) -> Sample:
    values = [value or "" for value in row]
    key = values.pop(0) if table.key else None
    if key is not None and table.key is not None and not is_integer(_column(table, table.key[0])):
        key = "'" + key.replace("'", "''") + "'"
    ra, dec = (float(values[0]), float(values[1])) if values else (None, None)
    return Sample(key, ra, dec)


def builtin_queries(tables: Sequence[Table], samples: dict[str, list[Sample]], dialect: Dialect) -> Iterator[Request]:
    """Yield the built-in queries over tables, with the samples of each by its name."""
    for table in tables:
        found = samples.get(table.name, [])
        yield Request(f"SELECT COUNT(*) FROM {dialect.table(table)}", "count all rows")
        for make in _FAMILIES:
            yield from make(table, found, dialect)
    for parent in tables:
        for child in tables:
            yield from _joins(parent, child, samples.get(parent.name, []), dialect)


def _cones(table: Table, samples: Sequence[Sample], dialect: Dialect) -> Iterator[Request]:
    for radius in RADII_DEG:
        for sample in _placed(table, samples):
            yield Request(_cone(table, sample, radius, dialect), f"cone of {radius:g} deg")


def _cone(table: Table, sample: Sample, radius_deg: float, dialect: Dialect) -> str:
    if radius_deg <= _WHOLE_ROWS_DEG:
        asked = "*"
    elif radius_deg < _COUNT_DEG:
        asked = dialect.columns(_main_columns(table))
    else:
        numbers = [one.name for one in table.columns if one.kind in {"float32", "float64"}][:3]
        asked = ", ".join(
            ["COUNT(*) AS n", *(f"AVG({dialect.name(name)}) AS a{at}" for at, name in enumerate(numbers))]
        )
    condition = dialect.cone(table, _around(sample, radius_deg))
    return f"SELECT {asked} FROM {dialect.table(table)} WHERE {condition}"


def _ids(table: Table, samples: Sequence[Sample], dialect: Dialect) -> Iterator[Request]:
    keys = [sample.key for sample in samples if sample.key is not None]
    if not keys or table.key is None:
        return
    key, name = dialect.name(table.key[0]), dialect.table(table)
    for value in keys:
        yield Request(f"SELECT * FROM {name} WHERE {key} = {value}", "one id")
    listed = ", ".join(dict.fromkeys(keys[:_IN_LIST]))
    columns = dialect.columns(_main_columns(table))
    yield Request(f"SELECT {columns} FROM {name} WHERE {key} IN ({listed})", "list of ids")
    yield Request(f"SELECT COUNT(*) FROM {name} WHERE {key} < {keys[len(keys) // 2]}", "range of ids")


def _aggregates(table: Table, samples: Sequence[Sample], dialect: Dialect) -> Iterator[Request]:
    del samples
    numbers = [one.name for one in table.columns if one.kind in {"float32", "float64"}][:_SOME]
    for name in map(dialect.name, numbers[:2]):
        asked = f"COUNT({name}) AS n, MIN({name}) AS low, MAX({name}) AS high, AVG({name}) AS mean"
        yield Request(f"SELECT {asked} FROM {dialect.table(table)}", "aggregates")
    if table.chunk is not None:
        chunk = dialect.name(table.chunk)
        means = "".join(f", AVG({dialect.name(name)}) AS a{at}" for at, name in enumerate(numbers[:2]))
        yield Request(
            f"SELECT {chunk}, COUNT(*) AS n{means} FROM {dialect.table(table)} GROUP BY {chunk}", "group by chunk"
        )


def _joins(parent: Table, child: Table, samples: Sequence[Sample], dialect: Dialect) -> Iterator[Request]:
    """Yield joins of a table that has positions with one that names its key."""
    link = _link(parent, child)
    if link is None or parent.key is None:
        return
    left = dialect.columns([parent.key[0], *(name for name in (parent.ra, parent.dec) if name)], "p")
    right = dialect.columns([name for name in _main_columns(child) if name != link], "c")
    joined = (
        f"SELECT {left}, {right} FROM {dialect.table(parent)} AS p JOIN {dialect.table(child)} AS c "
        f"ON {dialect.column(link, 'c')} = {dialect.column(parent.key[0], 'p')} WHERE "
    )
    for sample in _placed(parent, samples)[:2]:
        yield Request(joined + dialect.cone(parent, _around(sample, RADII_DEG[1]), "p"), "join by key in a cone")
    for key in [one.key for one in samples if one.key is not None][:2]:
        yield Request(joined + f"{dialect.column(parent.key[0], 'p')} = {key}", "join by key of one id")


def _link(parent: Table, child: Table) -> str | None:
    """Return the column of a child that holds its parent's key: the same name, whatever stands before it."""
    if child is parent or parent.key is None or len(parent.key) != 1 or child.schema != parent.schema:
        return None
    key = parent.key[0].lower()
    if child.key == parent.key and child.rows is not None and parent.rows is not None and child.rows < parent.rows:
        return None
    names = [one.name for one in child.columns if one.name.lower() == key or one.name.lower().endswith(f"_{key}")]
    return names[0] if names and key != "id" else None


def _main_columns(table: Table) -> list[str]:
    """Return key, position and the next few columns."""
    first = [*(table.key or ())[:1], *(name for name in (table.ra, table.dec) if name)]
    others = [one.name for one in table.columns if one.name not in first and one.name.lower() not in _PARTITION]
    return [*first, *others[: max(1, _SOME - len(first))]]


def _placed(table: Table, samples: Sequence[Sample]) -> list[Sample]:
    return [one for one in samples if one.ra is not None] if table.ra is not None else []


def _around(sample: Sample, radius_deg: float) -> Cone:
    assert sample.ra is not None
    assert sample.dec is not None
    return Cone(sample.ra, sample.dec, radius_deg)


def _column(table: Table, name: str) -> Column:
    return next(one for one in table.columns if one.name == name)


_PARTITION: Final = frozenset({"chunkid", "subchunkid"})
_FAMILIES: Final[tuple[Callable[[Table, Sequence[Sample], Dialect], Iterator[Request]], ...]] = (
    _cones,
    _ids,
    _aggregates,
)
