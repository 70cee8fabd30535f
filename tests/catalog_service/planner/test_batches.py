"""Batches of tiles: joins run batch by batch give the rows of the whole, or are refused."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.models.query import TableScan
from catalog_service.models.schema import Column, DataType
from catalog_service.models.tree import IntegerLiteral, JoinKind, Select, SelectItem, SubqueryRef
from catalog_service.models.walk import walk
from catalog_service.planner import surroundings
from catalog_service.planner.batches import BatchLimits, batches, tile_cuts
from tests.catalog_service.planner.test_join_pruning import (
    Both,
    From,
    QueryMaker,
    Sky,
    evaluate,
    in_cone,
    join,
    joined_by,
    kept_rows,
    on_key,
    planned,
    queries,
    sky,
    table,
    within,
)

KINDS = [JoinKind.INNER, JoinKind.LEFT, JoinKind.RIGHT, JoinKind.FULL]


@pytest.fixture(autouse=True, scope="module")
def large_tables() -> Iterator[None]:
    """No table of tiles is so small that every batch may read it whole, unless a test says so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surroundings, "MOST_REPEATED_ROWS", 0)
        yield


def ways(
    world: Sky, source: From, where: Both | None, limits: BatchLimits
) -> Iterator[tuple[Mapping[int, TableScan], ...] | str]:
    """Yield the batches of each way to cut a query."""
    column = Column(name="one", datatype=DataType.INT)
    items = (SelectItem(IntegerLiteral(1), column=column),)
    select = Select(items, source.item, where=None if where is None else where.expr)
    tables = {
        number: world.visits if name == "Visit" else world.worlds[name].stored for number, name in source.tables.items()
    }
    scan = planned(world, source, where)
    cuts = tile_cuts(select, scan, tables)
    if isinstance(cuts, str):
        yield cuts
    else:
        yield from (batches(cut, scan, tables, limits) for cut in cuts)


def cut(world: Sky, source: From, where: Both | None, limits: BatchLimits) -> tuple[Mapping[int, TableScan], ...] | str:
    return next(ways(world, source, where, limits))


def check(
    world: Sky,
    seed: int,
    source: From,
    where: Both | None,
    parts: tuple[Mapping[int, TableScan], ...],
    *,
    once: bool = True,
) -> None:
    """Check that the batches give the rows of the whole; and that they read each file once, or those of one table."""
    scan = planned(world, source, where)
    answers = [
        evaluate(seed, source, where, kept_rows(world, source, replace(scan, scans={**scan.scans, **part})))
        for part in parts
    ]
    whole = evaluate(seed, source, where, None)
    assert sum(count for count, _ in answers) == whole[0]
    assert sum(total or 0 for _, total in answers) == (whole[1] or 0)
    read_once = []
    for number, name in source.tables.items():
        if name != "Visit":
            read = [part[number] for part in parts if part[number].healpix_ranges != ((0, 0),)]
            files = [file for one in read for file in one.files]
            assert set(files) <= set(scan.scans[number].files)
            read_once.append(sorted(files) == sorted(scan.scans[number].files))
    assert all(read_once) if once else any(read_once)


@st.composite
def key_joins(draw: st.DrawFn) -> tuple[int, From, Both | None]:
    """Draw Object joined with children on its key, and with Visit; with other conditions besides."""
    seed = draw(st.integers(0, 5))
    world = sky(seed)
    maker = QueryMaker(draw, world)
    source = table(world, "Object", 0)
    for number in range(1, draw(st.integers(2, 4))):
        name = draw(st.sampled_from(["DiaSource", "ForcedSource", "Visit"]))
        kinds = [JoinKind.INNER, JoinKind.LEFT] if name == "Visit" else [*KINDS, JoinKind.INNER]
        other = table(world, name, number)
        tables = From(source.item, "", source.tables | other.tables)
        conditions = [] if name == "Visit" else [on_key(world, tables, 0, number)]
        if not conditions or draw(st.booleans()):
            conditions.append(maker.condition(tables.tables, 1))
        on = conditions[0] if len(conditions) == 1 else joined_by("AND", conditions)
        source = join(draw(st.sampled_from(kinds)), source, other, on)
    return seed, source, maker.condition(source.tables, 1) if draw(st.booleans()) else None


@settings(max_examples=200, deadline=None)
@given(st.one_of(queries(), key_joins(), key_joins()))
def test_random_joins(query: tuple[int, From, Both | None]) -> None:
    seed, source, where = query
    world = sky(seed)
    if any(isinstance(node, SubqueryRef) for node in walk(source.item)):
        return  # they are written out by hand in `evaluate`, whose tables no scan cuts
    for files, repeated in ((1, 0), (3, 10**6)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surroundings, "MOST_REPEATED_ROWS", repeated)
            for parts in ways(world, source, where, BatchLimits(files=files)):
                if not isinstance(parts, str):
                    ACCEPTED.append(len(source.tables))
                    check(world, seed, source, where, parts, once=False)


ACCEPTED: list[int] = []
"""Number of tables of each random query that was cut."""


def test_joins_were_among_the_random_ones() -> None:
    assert sum(count > 1 for count in ACCEPTED) > 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("child", ["DiaSource", "ForcedSource"])
def test_joins_on_the_key_of_a_parent(kind: JoinKind, child: str) -> None:
    for seed in range(4):
        world = sky(seed)
        left, right = table(world, "Object", 0), table(world, child, 1)
        source = join(kind, left, right, on_key(world, From(left.item, "", left.tables | right.tables), 0, 1))
        parts = cut(world, source, None, BatchLimits(files=3))
        assert not isinstance(parts, str), parts
        check(world, seed, source, None, parts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("child", ["DiaSource", "ForcedSource"])
def test_joins_on_a_separation(kind: JoinKind, child: str) -> None:
    """One table leads, each of its files is read once; an outer join has it where all rows are kept."""
    for seed in range(4):
        world = sky(seed)
        left, right = table(world, "Object", 0), table(world, child, 1)
        source = join(kind, left, right, within(0, 1, 0.2))
        parts = cut(world, source, None, BatchLimits(files=3))
        if kind is JoinKind.FULL or world.worlds[child].stored.table.position is None:
            assert isinstance(parts, str)
            assert "something else" in parts
            continue
        assert not isinstance(parts, str), parts
        check(world, seed, source, None, parts, once=False)
        rows = [sum(len(part[number].files) for part in parts) for number in (0, 1)]
        assert len(parts) > 1
        assert max(rows) <= 4 * sum(len(one.files) for one in planned(world, source, None).scans.values())


def test_a_table_may_follow_one_that_follows() -> None:
    """Neighbours of Object with their children: those of other batches are read as well."""
    for seed in range(4):
        world = sky(seed)
        child = table(world, "ForcedSource", 2)
        pair = join(JoinKind.INNER, table(world, "Object", 0), table(world, "Object", 1), within(0, 1, 0.1))
        key = on_key(world, From(pair.item, "", pair.tables | child.tables), 1, 2)
        for kind in (JoinKind.INNER, JoinKind.LEFT):
            source = join(kind, pair, child, key)
            parts = cut(world, source, None, BatchLimits(files=2))
            assert not isinstance(parts, str), parts
            check(world, seed, source, None, parts, once=False)


def test_neighbours_do_not_multiply_rows_that_are_kept_without_them() -> None:
    world = sky(1)
    pair = join(JoinKind.INNER, table(world, "Object", 0), table(world, "Object", 1), within(0, 1, 0.1))
    on = Both(in_cone(0, 0).expr, "t0.in0")
    for kind, refused in ((JoinKind.LEFT, True), (JoinKind.RIGHT, False), (JoinKind.INNER, False)):
        source = join(kind, table(world, "Visit", 2), pair, on)
        parts = cut(world, source, None, BatchLimits(files=2))
        assert isinstance(parts, str) == refused
        if not isinstance(parts, str):
            check(world, 1, source, None, parts, once=False)


def test_rows_limit_a_batch_of_neighbours() -> None:
    world = sky(2)
    source = join(JoinKind.INNER, table(world, "Object", 0), table(world, "Object", 1), within(0, 1, 0.1))
    parts = cut(world, source, None, BatchLimits(near_rows=1))
    assert not isinstance(parts, str)
    assert min(max(len(part[number].files) for part in parts) for number in (0, 1)) == 1
    assert "one batch" in str(cut(world, source, None, BatchLimits()))


def test_rows_do_not_limit_joins_on_a_key() -> None:
    """One statement is twice as fast as batches that are small for the sake of neighbours."""
    world = sky(2)
    left, right = table(world, "Object", 0), table(world, "ForcedSource", 1)
    on = on_key(world, From(left.item, "", left.tables | right.tables), 0, 1)
    found = list(ways(world, join(JoinKind.INNER, left, right, on), None, BatchLimits(near_rows=1)))
    assert found == ["one batch holds all files"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(JoinKind.INNER, None), (JoinKind.LEFT, None), (JoinKind.RIGHT, "RIGHT JOIN"), (JoinKind.FULL, "FULL JOIN")],
)
def test_a_table_without_tiles_is_read_by_every_batch(kind: JoinKind, reason: str | None) -> None:
    world = sky(1)
    on = Both(in_cone(0, 0).expr, "t0.in0")
    source = join(kind, table(world, "Object", 0), table(world, "Visit", 1), on)
    parts = cut(world, source, None, BatchLimits(files=2))
    if reason is not None:
        assert isinstance(parts, str)
        assert reason in parts
        return
    assert not isinstance(parts, str)
    assert all(part[1].files == parts[0][1].files for part in parts)
    check(world, 1, source, None, parts)


def test_refusals() -> None:
    world = sky(0)
    two = table(world, "Object", 0), table(world, "Object", 1)
    itself = join(JoinKind.CROSS, *two, None)
    assert "something else" in str(cut(world, itself, None, BatchLimits(files=1)))
    children = table(world, "DiaSource", 0), table(world, "ForcedSource", 1)
    pair = on_key(world, From(children[0].item, "", children[0].tables | children[1].tables), 0, 1)
    assert "something else" in str(cut(world, join(JoinKind.INNER, *children, pair), None, BatchLimits(files=1)))
    assert "no table has tiles" in str(cut(world, table(world, "Visit", 0), None, BatchLimits(files=1)))
    assert "one batch" in str(cut(world, table(world, "Object", 0), None, BatchLimits()))


def test_the_order_of_from_does_not_matter() -> None:
    """Two children and their parent, in any order of inner joins."""
    world = sky(1)
    tables = [table(world, name, number) for number, name in enumerate(("Object", "DiaSource", "ForcedSource"))]
    known = From(tables[0].item, "", {number: name for one in tables for number, name in one.tables.items()})
    first, second = (on_key(world, known, 0, number) for number in (1, 2))
    for order in itertools.permutations(tables):
        source = join(JoinKind.CROSS, join(JoinKind.CROSS, order[0], order[1], None), order[2], None)
        where = joined_by("AND", [first, second])
        parts = cut(world, source, where, BatchLimits(files=2))
        assert not isinstance(parts, str), parts
        check(world, 1, source, where, parts)


def test_a_small_table_of_tiles_is_read_by_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "MOST_REPEATED_ROWS", 10**6)
    world = sky(0)
    source = join(JoinKind.CROSS, table(world, "Object", 0), table(world, "DiaSource", 1), None)
    parts = cut(world, source, None, BatchLimits(files=2))
    assert not isinstance(parts, str)
    check(world, 0, source, None, parts, once=False)


def test_limits_of_a_batch() -> None:
    world = sky(2)
    source = table(world, "Object", 0)
    scan = planned(world, source, None).scans[0]
    for files in (1, 3, 7):
        parts = cut(world, source, None, BatchLimits(files=files))
        assert not isinstance(parts, str)
        assert [len(part[0].files) for part in parts[:-1]] == [files] * (len(parts) - 1)
        assert [file for part in parts for file in part[0].files] == list(scan.files)
    single = cut(world, source, None, BatchLimits(size_bytes=1))
    assert not isinstance(single, str)
    assert all(len(part[0].files) == 1 for part in single)
