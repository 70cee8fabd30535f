"""Pruning under joins of every kind: a SELECT over just the rows that the planned scans may return gives the same
rows as over all rows. DuckDB evaluates the joins, numpy the regions; the planner sees the same conditions as a tree.
"""

import math
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.models.ids import IdIndex
from catalog_service.models.query import ResolvedQuery, ScanPlan
from catalog_service.models.schema import Column, DataType, Table
from catalog_service.models.statistics import ColumnKey
from catalog_service.models.stored import StoredTable
from catalog_service.models.tree import (
    And,
    Between,
    ColumnRef,
    CommonTable,
    CommonTableRef,
    Comparison,
    Distance,
    Expr,
    FromItem,
    Identifier,
    InList,
    IntegerLiteral,
    IsNull,
    Join,
    JoinKind,
    Not,
    Or,
    RealLiteral,
    Select,
    SelectItem,
    SubqueryRef,
    TableRef,
    Unary,
    With,
)
from catalog_service.planner.ids import wanted_ids
from catalog_service.planner.plan import plan
from catalog_service.storage.ids import find_ids
from partitioning.layout.flat_index import FlatIndex
from partitioning.layout.manifest import Placement
from partitioning.layout.paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE
from partitioning.layout.statistics import FileBounds
from partitioning.sky.regions import Cone
from partitioning.sky.separation import unit_vectors
from tests.catalog_service.planner.conditions import circle, contains, own_point
from tests.catalog_service.planner.worlds import World, make_table, make_world, points_near
from tests.harness import examples

CONES = (Cone(10.0, 20.0, 1.0), Cone(11.5, 20.0, 1.0), Cone(200.0, -60.0, 3.0), Cone(10.0, 20.0, 0.02))
"""Regions that conditions speak of; the first two overlap."""

KEYS = {"Object": "objectId", "DiaSource": "objectId", "ForcedSource": "objectId", "Visit": "visit"}
OTHER = {"Object": "tract", "DiaSource": "visit", "ForcedSource": "visit", "Visit": "visit"}
KIND = {
    JoinKind.INNER: "JOIN",
    JoinKind.LEFT: "LEFT JOIN",
    JoinKind.RIGHT: "RIGHT JOIN",
    JoinKind.FULL: "FULL JOIN",
    JoinKind.CROSS: "CROSS JOIN",
}


_DIRECTORY = tempfile.TemporaryDirectory(prefix="ids-")


@dataclass(frozen=True)
class Sky:
    """Tables whose rows lie in a few clumps of the sky."""

    worlds: dict[str, World]
    visits: StoredTable
    rows: dict[str, pa.Table]
    """Per table: row number, columns, and ``in0`` ... for each of `CONES`, NULL where the position is."""

    def lookup(self, table: Table) -> StoredTable:
        return self.visits if table.name == "Visit" else self.worlds[table.name].stored


@cache
def sky(seed: int) -> Sky:
    """Make Object, and its children: DiaSource with positions of its own, ForcedSource without any; and Visit."""
    rng = np.random.default_rng(seed)
    clumps = [points_near(rng, c.ra_deg, c.dec_deg, c.radius_deg, 6) for c in CONES]
    ra, dec = (np.concatenate([clump[axis] for clump in clumps]) for axis in (0, 1))
    ids = rng.permutation(len(ra)) + 1
    objects = make_world(rng, make_table("Object", "objectId", "tract"), (ra, dec), finest=9, splitting=0.98)
    tables = {"Object": (objects, {"objectId": ids, "tract": rng.integers(1, 4, len(ra))})}
    for name, scatter_deg, count in (("DiaSource", 0.3, 22), ("ForcedSource", 0.0, 22)):
        tables[name] = _children(rng, name, (objects, ids), scatter_deg, count)
    visits = make_table("Visit", "visit", position=None)
    stored = StoredTable(visits, objects.stored.directory, 1, 3, 300, None, None)
    rows = {name: _rows(world, columns) for name, (world, columns) in tables.items()}
    worlds = {name: world for name, (world, _) in tables.items()}
    flat = {name: write_index(worlds[name], rows[name]) for name in ("Object", "DiaSource")}
    indexes = {"Object": IdIndex(flat["Object"]), "DiaSource": IdIndex(flat["DiaSource"])}
    indexes["ForcedSource"] = IdIndex(flat["Object"], is_own=False)
    for name, index in indexes.items():
        worlds[name] = replace(worlds[name], stored=replace(worlds[name].stored, indexes={"objectId": index}))
    rows["Visit"] = pa.table({"n": [0, 1, 2], "visit": [1, 2, 3]})
    return Sky(worlds, stored, rows)


def write_index(world: World, rows: pa.Table) -> FlatIndex:
    """Write the flat arrays of an index on ``objectId``, as a build does, where they stay until the tests end."""
    directory = Path(_DIRECTORY.name) / secrets.token_hex(8)
    known = np.flatnonzero(rows["objectId"].is_valid().to_numpy())
    ids = rows["objectId"].to_numpy()[known].astype("<i8")
    order = np.lexsort((world.index[known], ids))
    for name, values in ((FLAT_IDS_FILE, ids[order]), (FLAT_HEALPIX_FILE, world.index[known][order].astype("<i8"))):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        values.tofile(directory / name)
    return FlatIndex(directory, len(ids))


def _children(
    rng: np.random.Generator, name: str, parents: tuple[World, np.ndarray], scatter_deg: float, count: int
) -> tuple[World, dict[str, np.ndarray]]:
    """Scatter children about random parents; some have no parent, and are placed by a position of their own."""
    objects, ids = parents
    parent = rng.integers(0, len(ids), count)
    key, orphan = ids[parent], rng.random(count) < 0.15
    key = np.where(orphan, rng.choice([0, 1000], count), key)  # 0 stands for NULL
    own = [points_near(rng, *_drift(rng, objects, p, scatter_deg), 1) for p in parent.tolist()]
    ra, dec = (np.concatenate([position[axis] for position in own]) for axis in (0, 1))
    placed = np.where(orphan, ra, objects.ra[parent]), np.where(orphan, dec, objects.dec[parent])
    has_own = name == "DiaSource"
    placement = Placement(
        ra_column="_parent_ra",
        dec_column="_parent_dec",
        own_ra_column="ra" if has_own else None,
        own_dec_column="dec" if has_own else None,
        parent="Object",
        parent_key=("objectId", "objectId"),
        parent_release=1,
    )
    if has_own:
        ra[rng.random(count) < 0.1] = np.nan
    else:
        ra, dec = np.full(count, np.nan), np.full(count, np.nan)
    table = make_table(name, "objectId", "visit") if has_own else make_table(name, "objectId", "visit", position=None)
    world = make_world(rng, table, (ra, dec), placed=placed, placement=placement, finest=9, splitting=0.98)
    return world, {"objectId": key, "visit": rng.integers(1, 4, count)}


def _drift(rng: np.random.Generator, objects: World, parent: int, scatter_deg: float) -> tuple[float, float, float]:
    """Return about where, and how near, a child of an object lies; some are drawn into the smallest cone."""
    ra, dec, small = float(objects.ra[parent]), float(objects.dec[parent]), CONES[3]
    if scatter_deg and Cone(small.ra_deg, small.dec_deg, 2.0).contains(ra, dec) and rng.random() < 0.4:
        return small.ra_deg, small.dec_deg, small.radius_deg
    return ra, dec, scatter_deg


def _rows(world: World, columns: dict[str, np.ndarray]) -> pa.Table:
    data = {"n": pa.array(np.arange(len(world.ra)))}
    data |= {name: pa.array(values, mask=values == 0) for name, values in columns.items()}
    unknown = np.isnan(world.ra) | np.isnan(world.dec)
    data |= {
        axis: pa.array(v, mask=unknown) for axis, v in zip("xyz", unit_vectors(world.ra, world.dec).T, strict=True)
    }
    data |= {f"in{k}": pa.array(cone.contains(world.ra, world.dec), mask=unknown) for k, cone in enumerate(CONES)}
    return pa.table(data)


@dataclass(frozen=True)
class Both:
    """One condition as the planner sees it and as DuckDB does."""

    expr: Expr
    sql: str


@dataclass(frozen=True)
class From:
    """One FROM item, as a tree and as SQL; and its tables by source number."""

    item: FromItem
    sql: str
    tables: dict[int, str]
    derived: dict[int, int] = field(default_factory=dict)
    """Sources that are derived tables, with the base table that each passes on."""

    @property
    def scanned(self) -> dict[int, str]:
        """Base tables by source number."""
        return {self.derived.get(source, source): name for source, name in self.tables.items()}


class QueryMaker:
    """Draws the parts of one SELECT."""

    def __init__(self, draw: st.DrawFn, world: Sky) -> None:
        self._draw = draw
        self._sky = world
        self._sources = 0

    def from_item(self, depth: int) -> From:
        """Draw a table, or a join of two FROM items."""
        if depth == 0:
            return self._table()
        left_depth, right_depth = self._draw(st.sampled_from([(depth - 1, 0), (0, depth - 1), (depth - 1, depth - 1)]))
        left, right = self.from_item(left_depth), self.from_item(right_depth)
        kind = self._draw(st.sampled_from([*JoinKind, JoinKind.LEFT, JoinKind.INNER]))
        tables = left.tables | right.tables
        derived = left.derived | right.derived
        if kind is JoinKind.CROSS:
            return From(Join(kind, left.item, right.item), f"({left.sql} CROSS JOIN {right.sql})", tables, derived)
        on = self.condition(tables, self._draw(st.integers(1, 3)))
        item = Join(kind, left.item, right.item, on=on.expr)
        return From(item, f"({left.sql} {KIND[kind]} {right.sql} ON {on.sql})", tables, derived)

    def condition(self, tables: dict[int, str], count: int) -> Both:
        """Draw a conjunction."""
        return joined_by("AND", [self._part(tables) for _ in range(count)])

    def _table(self) -> From:
        source, name = (
            self._sources,
            self._draw(st.sampled_from(["Object", "DiaSource", "ForcedSource", "Object", "DiaSource", "Visit"])),
        )
        self._sources += 1
        table = self._sky.visits.table if name == "Visit" else self._sky.worlds[name].table
        one = From(TableRef(source, table, f"t{source}"), f"{name}_{source} AS t{source}", {source: name})
        return self._derived(one, source) if name != "Visit" and self._draw(st.integers(0, 4)) == 0 else one

    def _derived(self, one: From, source: int) -> From:
        """Wrap a table in a derived one that passes all of its columns on."""
        outer, name = self._sources, one.tables[source]
        self._sources += 1
        world, where = self._sky.worlds[name], self.condition(one.tables, 1)
        items = tuple(SelectItem(world.column(c.name, source), column=c) for c in world.table.columns)
        query = Select(items, one.item, where=where.expr)
        item = SubqueryRef(query, Identifier(f"t{outer}"), outer, world.table.columns)
        return From(item, f"(SELECT * FROM {one.sql} WHERE {where.sql}) AS t{outer}", {outer: name}, {outer: source})

    def _part(self, tables: dict[int, str]) -> Both:
        kind = self._draw(
            st.sampled_from(
                ["region", "key", "ids", "key", "region", "key", "other", "or", "null", "not", "same", "ids"]
                + ["near"] * 4
            )
        )
        match kind:
            case "key":
                return self._equal(tables, KEYS)
            case "ids":
                return self._ids(tables)
            case "other":
                return self._equal(tables, OTHER)
            case "or":
                return joined_by("OR", [self._part(tables), self._part(tables)])
            case "null":
                return self._null(tables)
            case "not":
                region = self._region(tables)
                return Both(Not(region.expr), f"NOT {region.sql}")
            case "near":
                return self._near(tables)
            case "same":
                return joined_by("AND", [self._region(tables), self._region(tables)])
            case _:
                return self._region(tables)

    def _equal(self, tables: dict[int, str], names: dict[str, str]) -> Both:
        first, second = (self._draw(st.sampled_from(sorted(tables))) for _ in range(2))
        objects = [source for source, name in sorted(tables.items()) if name == "Object"]
        if names is KEYS and objects:  # what the planner knows about
            second = self._draw(st.sampled_from(objects))
        pair = [(source, names[tables[source]]) for source in (first, second)]
        expr = Comparison("=", *(self._column(tables, source, name) for source, name in pair))
        return Both(expr, f"t{first}.{pair[0][1]} = t{second}.{pair[1][1]}")

    def _ids(self, tables: dict[int, str]) -> Both:
        """Draw ids: of objects, of rows without a parent, of nothing."""
        source = self._draw(st.sampled_from(sorted(tables)))
        name, number = KEYS[tables[source]], st.one_of(st.integers(-1, 26), st.sampled_from([1000, 1000, 2**62]))
        column, ids = self._column(tables, source, name), self._draw(st.lists(number, min_size=1, max_size=4))
        literals, text = [literal(one) for one in ids], f"t{source}.{name}"
        match self._draw(st.sampled_from(["=", "reversed", "IN", "BETWEEN", "OR"])):
            case "=":
                return Both(Comparison("=", column, literals[0]), f"{text} = {ids[0]}")
            case "reversed":
                return Both(Comparison("=", literals[0], column), f"{ids[0]} = {text}")
            case "IN":
                return Both(InList(column, tuple(literals)), f"{text} IN ({', '.join(map(str, ids))})")
            case "BETWEEN":
                return Both(Between(column, literals[0], literals[-1]), f"{text} BETWEEN {ids[0]} AND {ids[-1]}")
            case _:
                return joined_by("OR", [Both(Comparison("=", column, literal(n)), f"{text} = {n}") for n in ids])

    def _null(self, tables: dict[int, str]) -> Both:
        source, negated = self._draw(st.sampled_from(sorted(tables))), self._draw(st.booleans())
        name = KEYS[tables[source]]
        sql = f"t{source}.{name} IS {'NOT ' if negated else ''}NULL"
        return Both(IsNull(self._column(tables, source, name), negated=negated), sql)

    def _region(self, tables: dict[int, str]) -> Both:
        placed = [source for source, name in sorted(tables.items()) if name in {"Object", "DiaSource"}]
        if not placed:
            return self._null(tables)
        source, number = self._draw(st.sampled_from(placed)), self._draw(st.integers(0, len(CONES) - 1))
        cone = CONES[number]
        return Both(contains(circle(cone.ra_deg, cone.dec_deg, cone.radius_deg), source), f"t{source}.in{number}")

    def _near(self, tables: dict[int, str]) -> Both:
        placed = [source for source, name in sorted(tables.items()) if name in {"Object", "DiaSource"}]
        if not placed:
            return self._null(tables)
        first, second = (self._draw(st.sampled_from(placed)) for _ in range(2))
        return within(first, second, self._draw(st.sampled_from([0.0, 0.01, 0.3, 2.0, 9.0])))

    def _column(self, tables: dict[int, str], source: int, name: str) -> Expr:
        if tables[source] == "Visit":
            return World.column(_VisitWorld(self._sky.visits), name, source)  # type: ignore[arg-type]
        return self._sky.worlds[tables[source]].column(name, source)


@dataclass(frozen=True)
class _VisitWorld:
    stored: StoredTable

    @property
    def table(self) -> Table:
        return self.stored.table


def within(first: int, second: int, radius_deg: float) -> Both:
    """Return the condition that own positions of two sources are within a radius."""
    expr = Comparison("<=", Distance(own_point(first), own_point(second)), RealLiteral(radius_deg))
    squares = " + ".join(f"(t{first}.{axis} - t{second}.{axis}) ** 2" for axis in "xyz")
    return Both(expr, f"({squares} <= {(2 * math.sin(math.radians(radius_deg) / 2)) ** 2!r}::DOUBLE)")


def literal(number: int) -> Expr:
    return IntegerLiteral(number) if number >= 0 else Unary("-", IntegerLiteral(-number))


def joined_by(word: str, parts: Sequence[Both]) -> Both:
    if len(parts) == 1:
        return parts[0]
    node = And if word == "AND" else Or
    return Both(node(tuple(part.expr for part in parts)), "(" + f" {word} ".join(part.sql for part in parts) + ")")


@st.composite
def queries(draw: st.DrawFn) -> tuple[int, From, Both | None]:
    """Draw a sky, a FROM clause and a WHERE clause."""
    seed = draw(st.integers(0, 5))
    maker = QueryMaker(draw, sky(seed))
    source = maker.from_item(draw(st.sampled_from([1, 2, 2, 2, 3])))
    if draw(st.integers(0, 4)) == 0:
        return seed, source, None
    return seed, source, maker.condition(source.tables, draw(st.sampled_from([1, 1, 2, 3])))


def planned(world: Sky, source: From, where: Both | None) -> ScanPlan:
    column = Column(name="one", datatype=DataType.INT)
    tree = Select((SelectItem(IntegerLiteral(1), column=column),), source.item, where=where.expr if where else None)
    query = ResolvedQuery(tree, (column,))
    found = find_ids(wanted_ids(query, world.lookup))
    return plan(query, world.lookup, visible_schemas={"sky"}, found=found)


def planned_by_statistics(world: Sky, source: From, where: Both | None) -> ScanPlan:
    """Plan with statistics of all integer columns instead of indexes."""
    column = Column(name="one", datatype=DataType.INT)
    tree = Select((SelectItem(IntegerLiteral(1), column=column),), source.item, where=where.expr if where else None)
    return plan(
        ResolvedQuery(tree, (column,)),
        lambda table: replace(world.lookup(table), indexes={}),
        visible_schemas={"sky"},
        statistics=file_bounds(world),
    )


def file_bounds(world: Sky) -> dict[ColumnKey, FileBounds]:
    """Return the bounds of the integer columns in every file of the tiled tables."""
    found = {}
    for name, one in world.worlds.items():
        for column in (KEYS[name], OTHER[name]):
            values = world.rows[name][column].to_pylist()
            tiles = [[values[row] for row in np.flatnonzero(one.tile == tile)] for tile in range(one.stored.file_count)]
            known = [[value for value in tile if value is not None] for tile in tiles]
            found[ColumnKey(one.stored.directory, column)] = FileBounds(
                low=np.array([min(tile, default=0) for tile in known], dtype=np.int64),
                high=np.array([max(tile, default=0) for tile in known], dtype=np.int64),
                known=np.ones(len(tiles), dtype=np.bool_),
                empty=np.array([not tile for tile in known]),
                nulls=np.array([None in tile for tile in tiles]),
            )
    return found


def kept_rows(world: Sky, source: From, scans: ScanPlan) -> dict[int, list[int]]:
    """Return the numbers of the rows of each source that its scan may return."""
    kept = {}
    for number, name in source.scanned.items():
        if name == "Visit":
            kept[number] = list(range(world.rows[name].num_rows))
        else:
            kept[number] = np.flatnonzero(world.worlds[name].readable(scans.scans[number])).tolist()
    return kept


@cache
def database(seed: int) -> duckdb.DuckDBPyConnection:
    """Return an instance that holds the tables of one sky."""
    connection = duckdb.connect(config={"threads": 1})
    for name, rows in sky(seed).rows.items():
        connection.register(f"arrow_{name}", rows)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow_{name}")
    return connection


def evaluate(seed: int, source: From, where: Both | None, kept: dict[int, list[int]] | None) -> tuple[int, int]:
    """Return count and checksum of the joined rows of tables; over the rows `kept`, or over all."""
    tables = []
    for number, name in source.scanned.items():
        rows = "" if kept is None else f" WHERE list_contains({kept[number]}::BIGINT[], n)"
        tables.append(f"{name}_{number} AS MATERIALIZED (SELECT * FROM {name}{rows})")
    columns = ", ".join(f"t{number}.n" for number in sorted(source.tables))
    condition = "" if where is None else f" WHERE {where.sql}"
    sql = f"WITH {', '.join(tables)} SELECT count(*), sum(hash({columns})) FROM {source.sql}{condition}"
    return _answer(seed, sql)


@cache
def _answer(seed: int, sql: str) -> tuple[int, int]:
    found = database(seed).execute(sql).fetchone()
    assert found is not None
    return found[0], found[1]


@settings(max_examples=examples(80, 200), deadline=None)
@given(queries())
def test_pruned_tables_give_the_same_rows(query: tuple[int, From, Both | None]) -> None:
    seed, source, where = query
    world = sky(seed)
    everything = evaluate(seed, source, where, None)
    for scans in (planned(world, source, where), planned_by_statistics(world, source, where)):
        assert evaluate(seed, source, where, kept_rows(world, source, scans)) == everything


# --- what may and what may not be pruned, case by case --------------------------------------------


def table(world: Sky, name: str, source: int) -> From:
    made = world.visits.table if name == "Visit" else world.worlds[name].table
    return From(TableRef(source, made, f"t{source}"), f"{name}_{source} AS t{source}", {source: name})


def join(kind: JoinKind, left: From, right: From, on: Both | None) -> From:
    item = Join(kind, left.item, right.item, on=None if on is None else on.expr)
    condition = "" if on is None else f" ON {on.sql}"
    return From(
        item,
        f"({left.sql} {KIND[kind]} {right.sql}{condition})",
        left.tables | right.tables,
        left.derived | right.derived,
    )


def on_key(world: Sky, tables: From, first: int, second: int) -> Both:
    columns = [world.worlds[tables.tables[source]].column("objectId", source) for source in (first, second)]
    return Both(Comparison("=", *columns), f"t{first}.objectId = t{second}.objectId")


def in_cone(source: int, number: int) -> Both:
    cone = CONES[number]
    return Both(contains(circle(cone.ra_deg, cone.dec_deg, cone.radius_deg), source), f"t{source}.in{number}")


def check(world: Sky, source: From, where: Both | None, *, pruned: set[int]) -> None:
    """Check the result, and which sources lose rows to pruning."""
    kept = kept_rows(world, source, planned(world, source, where))
    assert evaluate(0, source, where, kept) == evaluate(0, source, where, None)
    lost = {number for number, name in source.scanned.items() if len(kept[number]) < world.rows[name].num_rows}
    assert lost == pruned


@pytest.mark.parametrize("kind", [kind for kind in JoinKind if kind is not JoinKind.CROSS])
@pytest.mark.parametrize("child", ["DiaSource", "ForcedSource"])
def test_a_bound_of_where_carries_over_the_parent_key(kind: JoinKind, child: str) -> None:
    world = sky(0)
    left, right = table(world, "Object", 0), table(world, child, 1)
    on = on_key(world, From(left.item, "", left.tables | right.tables), 0, 1)
    check(world, join(kind, left, right, on), in_cone(0, 0), pruned={0, 1})
    check(world, join(kind, left, right, on), None, pruned=set())


@pytest.mark.parametrize(
    ("kind", "pruned"),
    [(JoinKind.INNER, {0, 1}), (JoinKind.LEFT, {1}), (JoinKind.RIGHT, {0}), (JoinKind.FULL, set())],
)
def test_a_bound_of_on_prunes_sides_whose_unmatched_rows_are_dropped(kind: JoinKind, pruned: set[int]) -> None:
    world = sky(0)
    left, right = table(world, "Object", 0), table(world, "DiaSource", 1)
    key = on_key(world, From(left.item, "", left.tables | right.tables), 0, 1)
    for number in (0, 1):
        check(world, join(kind, left, right, joined_by("AND", [key, in_cone(number, 0)])), None, pruned=pruned)


def with_id(world: Sky, source: int, name: str, number: int) -> Both:
    column = world.worlds[name].column("objectId", source)
    return Both(Comparison("=", column, literal(number)), f"t{source}.objectId = {number}")


def common_id(world: Sky) -> int:
    """Return an object with rows in both child tables."""
    keys = [set(world.rows[name]["objectId"].to_pylist()) for name in ("Object", "DiaSource", "ForcedSource")]
    return min(number for number in set.intersection(*keys) if number is not None)


@pytest.mark.parametrize("name", ["Object", "DiaSource", "ForcedSource"])
def test_an_id_leaves_the_rows_at_its_place(name: str) -> None:
    world = sky(0)
    one, number = table(world, name, 0), common_id(world)
    kept = kept_rows(world, one, planned(world, one, with_id(world, 0, name, number)))[0]
    mine = [n for n, key in enumerate(world.rows[name]["objectId"].to_pylist()) if key == number]
    assert set(mine) <= set(kept)
    assert len(kept) <= len(mine) + 1


def test_ids_carry_over_the_parent_key() -> None:
    """Of either table, and from the parent to a child that has no index of its own."""
    world = sky(0)
    left, right, third = table(world, "Object", 0), table(world, "ForcedSource", 1), table(world, "DiaSource", 2)
    both = From(left.item, "", left.tables | right.tables | third.tables)
    pair = join(JoinKind.INNER, left, right, on_key(world, both, 0, 1))
    source = join(JoinKind.INNER, pair, third, on_key(world, both, 0, 2))
    number = common_id(world)
    for at, name in ((0, "Object"), (1, "ForcedSource"), (2, "DiaSource")):
        check(world, source, with_id(world, at, name, number), pruned={0, 1, 2})


def test_an_id_without_a_parent_may_lie_anywhere() -> None:
    """The parent's index tells nothing of it; the child's own index does."""
    world = sky(0)
    check(world, table(world, "ForcedSource", 0), with_id(world, 0, "ForcedSource", 1000), pruned=set())
    check(world, table(world, "DiaSource", 0), with_id(world, 0, "DiaSource", 1000), pruned={0})


def test_an_index_that_is_gone_costs_speed_only(tmp_path: Path) -> None:
    world = sky(0)
    gone = IdIndex(FlatIndex(tmp_path / "pruned", 24))
    stored = replace(world.worlds["Object"].stored, indexes={"objectId": gone})
    changed = Sky({**world.worlds, "Object": replace(world.worlds["Object"], stored=stored)}, world.visits, world.rows)
    check(changed, table(changed, "Object", 0), with_id(changed, 0, "Object", 1), pruned=set())


def test_a_key_in_an_outer_join_of_others_says_nothing() -> None:
    """Unmatched pairs of the preserved side are returned whatever their keys."""
    world = sky(0)
    pair = join(JoinKind.CROSS, table(world, "Object", 0), table(world, "ForcedSource", 1), None)
    on = joined_by(
        "AND", [on_key(world, pair, 0, 1), Both(Comparison("=", IntegerLiteral(1), IntegerLiteral(1)), "1=1")]
    )
    source = join(JoinKind.LEFT, pair, table(world, "Visit", 2), on)
    check(world, source, in_cone(0, 0), pruned={0})
    check(world, join(JoinKind.INNER, pair, table(world, "Visit", 2), on), in_cone(0, 0), pruned={0, 1})


def test_two_children_without_their_parent_are_unrelated() -> None:
    """In rows where an outer join left the parent out, nothing ties its children together."""
    world = sky(0)
    children = join(JoinKind.CROSS, table(world, "DiaSource", 1), table(world, "ForcedSource", 2), None)
    parent = table(world, "Object", 0)
    both = From(parent.item, "", parent.tables | children.tables)
    on = joined_by("AND", [on_key(world, both, 0, 1), on_key(world, both, 0, 2)])
    check(world, join(JoinKind.RIGHT, parent, children, on), in_cone(1, 0), pruned={0, 1})
    check(world, join(JoinKind.INNER, parent, children, on), in_cone(1, 0), pruned={0, 1, 2})


def test_a_bound_on_the_far_side_turns_outer_joins_around() -> None:
    """A condition on the optional side drops its NULLs, so the join is an inner one for the planner."""
    world = sky(0)
    left, right = table(world, "Object", 0), table(world, "DiaSource", 1)
    key = on_key(world, From(left.item, "", left.tables | right.tables), 0, 1)
    check(world, join(JoinKind.LEFT, left, right, key), in_cone(1, 2), pruned={0, 1})


def test_a_test_for_null_keeps_the_rows_of_a_table_that_nulls_may_stand_for() -> None:
    """``Object LEFT JOIN DiaSource ... WHERE DiaSource.objectId IS NULL`` reads all of DiaSource; alone, few of it."""
    world = sky(0)
    objects, sources = table(world, "Object", 0), table(world, "DiaSource", 1)
    both = replace(objects, tables=objects.tables | sources.tables)
    joined = join(JoinKind.LEFT, objects, sources, on_key(world, both, 0, 1))
    missing = Both(IsNull(world.worlds["DiaSource"].column("objectId", 1)), "t1.objectId IS NULL")
    for source, pruned in ((joined, False), (sources, True)):
        kept = kept_rows(world, source, planned_by_statistics(world, source, missing))
        assert evaluate(0, source, missing, kept) == evaluate(0, source, missing, None)
        assert (len(kept[1]) < world.rows["DiaSource"].num_rows) is pruned


def test_null_tests_and_or_keep_unmatched_rows() -> None:
    world = sky(0)
    left, right = table(world, "Object", 0), table(world, "DiaSource", 1)
    source = join(JoinKind.LEFT, left, right, on_key(world, From(left.item, "", left.tables | right.tables), 0, 1))
    missing = Both(IsNull(world.worlds["DiaSource"].column("objectId", 1)), "t1.objectId IS NULL")
    check(world, source, joined_by("OR", [in_cone(1, 0), missing]), pruned=set())
    check(world, source, joined_by("AND", [in_cone(0, 0), missing]), pruned={0, 1})


@pytest.mark.parametrize("change", ["release", "schema", "type"])
def test_a_parent_that_may_have_moved_is_not_trusted(change: str) -> None:
    """Carry-over needs the very release of the parent whose positions placed the child, and an exact key."""
    world = sky(0)
    left, right = table(world, "Object", 0), table(world, "ForcedSource", 1)
    source = join(JoinKind.INNER, left, right, on_key(world, From(left.item, "", left.tables | right.tables), 0, 1))
    stored = world.worlds["Object"].stored
    if change == "release":
        stored = replace(stored, release=2)
    elif change == "schema":
        stored = replace(stored, table=replace(stored.table, schema_name="other"))
    else:
        assert isinstance(source.item, Join)
        assert isinstance(source.item.on, Comparison)
        real = Column(name="objectId", datatype=DataType.DOUBLE, stored_name="objectId")
        on = replace(source.item.on, left=ColumnRef(0, real))
        source = replace(source, item=replace(source.item, on=on))
    changed = Sky({**world.worlds, "Object": replace(world.worlds["Object"], stored=stored)}, world.visits, world.rows)
    kept = kept_rows(changed, source, planned(changed, source, in_cone(0, 0)))
    assert len(kept[0]) < world.rows["Object"].num_rows
    assert len(kept[1]) == world.rows["ForcedSource"].num_rows


# --- separations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in JoinKind if kind is not JoinKind.CROSS])
def test_a_bound_of_where_carries_over_a_separation(kind: JoinKind) -> None:
    """Of the preserved side of an outer join, and of the other one, since that drops its NULLs."""
    world = sky(0)
    for right in ("Object", "DiaSource"):
        source = join(kind, table(world, "Object", 0), table(world, right, 1), within(0, 1, 0.2))
        check(world, source, in_cone(0, 2), pruned={0, 1})
        check(world, source, in_cone(1, 2), pruned={0, 1})
        check(world, source, None, pruned=set())


@pytest.mark.parametrize(
    ("kind", "pruned"),
    [(JoinKind.INNER, {0, 1}), (JoinKind.LEFT, {1}), (JoinKind.RIGHT, {0}), (JoinKind.FULL, set())],
)
def test_a_separation_in_on_carries_no_bound_back(kind: JoinKind, pruned: set[int]) -> None:
    world = sky(0)
    for number in (0, 1):
        on = joined_by("AND", [within(0, 1, 0.2), in_cone(number, 2)])
        check(world, join(kind, table(world, "Object", 0), table(world, "DiaSource", 1), on), None, pruned=pruned)


def test_a_separation_in_where_bounds_both_tables() -> None:
    world = sky(0)
    source = join(JoinKind.CROSS, table(world, "Object", 0), table(world, "Object", 1), None)
    check(world, source, joined_by("AND", [within(0, 1, 0.2), in_cone(1, 2)]), pruned={0, 1})
    check(world, source, joined_by("OR", [within(0, 1, 0.2), in_cone(1, 2)]), pruned=set())


def test_a_separation_in_where_turns_outer_joins_around() -> None:
    """Rows without a partner are dropped, so that ON bounds both sides."""
    world = sky(0)
    source = join(JoinKind.LEFT, table(world, "Object", 0), table(world, "Object", 1), in_cone(1, 2))
    check(world, source, within(0, 1, 0.2), pruned={0, 1})
    check(world, source, None, pruned={1})


def test_bounds_carry_over_chains_of_separations_and_keys() -> None:
    """DiaSource - its Object - another Object nearby - that one's ForcedSource."""
    world = sky(0)
    names = ["DiaSource", "Object", "Object", "ForcedSource"]
    tables = [table(world, name, number) for number, name in enumerate(names)]
    everything = From(tables[0].item, "", dict(enumerate(names)))
    source = tables[0]
    for one, on in zip(
        tables[1:], [on_key(world, everything, 0, 1), within(1, 2, 0.2), on_key(world, everything, 3, 2)], strict=True
    ):
        source = join(JoinKind.INNER, source, one, on)
    check(world, source, in_cone(0, 2), pruned={0, 1, 2, 3})
    check(world, source, with_id(world, 1, "Object", common_id(world)), pruned={0, 1, 2, 3})
    check(world, source, with_id(world, 3, "ForcedSource", common_id(world)), pruned={0, 1, 2, 3})


@pytest.mark.parametrize("kind", [JoinKind.INNER, JoinKind.LEFT])
def test_a_derived_table_bounds_what_is_joined_to_it(kind: JoinKind) -> None:
    world = sky(0)
    inner, columns = table(world, "Object", 0), world.worlds["Object"].table.columns
    items = tuple(SelectItem(ColumnRef(0, one), column=one) for one in columns)
    query = Select(items, inner.item, where=in_cone(0, 2).expr)
    sql = f"(SELECT * FROM {inner.sql} WHERE {in_cone(0, 2).sql}) AS t1"
    derived = From(SubqueryRef(query, Identifier("t1"), 1, columns), sql, {1: "Object"}, {1: 0})
    check(world, join(kind, derived, table(world, "DiaSource", 2), within(1, 2, 0.2)), None, pruned={0, 2})


def test_a_common_table_bounds_what_is_joined_to_it() -> None:
    world = sky(0)
    inner, columns = table(world, "Object", 0), world.worlds["Object"].table.columns
    items = tuple(SelectItem(ColumnRef(0, one), column=one) for one in columns)
    common = CommonTable(Identifier("near"), Select(items, inner.item, where=in_cone(0, 2).expr))
    reference = CommonTableRef(1, "near", "t1", columns)
    item = Join(JoinKind.INNER, reference, table(world, "Object", 2).item, on=within(1, 2, 0.2).expr)
    one = Column(name="one", datatype=DataType.INT)
    body = Select((SelectItem(IntegerLiteral(1), column=one),), item)
    scans = plan(ResolvedQuery(With((common,), body), (one,)), world.lookup, visible_schemas={"sky"}).scans
    assert 0 < len(scans[2].files) < len(world.worlds["Object"].stored.partitions or ())


def test_a_small_separation_leaves_few_tiles() -> None:
    world = sky(0)
    source = join(JoinKind.INNER, table(world, "Object", 0), table(world, "Object", 1), within(0, 1, 1 / 3600))
    kept = kept_rows(world, source, planned(world, source, in_cone(0, 3)))
    inside = CONES[3].contains(world.worlds["Object"].ra, world.worlds["Object"].dec).sum()
    assert inside <= len(kept[1]) <= inside + 4
