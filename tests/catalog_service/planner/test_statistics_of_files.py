"""Statistics of a built table against its rows: a table of awkward values is built and published, and random
conditions are asked of all of its files and of those that the plan leaves.
"""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import QueryText, ResolvedQuery, ScanPlan
from catalog_service.models.schema import Table
from catalog_service.models.stored import StoredTable
from catalog_service.models.user import ANONYMOUS
from catalog_service.planner.plan import plan
from catalog_service.planner.statistics import wanted_statistics
from catalog_service.planner.totals import counted
from catalog_service.services.visibility import VisibleCatalogs
from catalog_service.storage.catalogs import Registry, SchemaRule, Snapshot
from catalog_service.storage.statistics import StatisticsCache
from partitioning.layout.manifest import ROW_GROUPS_FILE
from partitioning.layout.paths import MANIFEST_DIR
from partitioning.layout.statistics import read_statistics
from tests.harness import build_table, examples

N = 900
START = datetime(2020, 1, 1)  # noqa: DTZ001 - UTC, as stored
BIG = 2**53


def rows() -> pa.Table:
    """Return rows whose values grow with RA, so that tiles hold ranges of them; every 45 deg another awkwardness."""
    rng = np.random.default_rng(8)
    ra = np.sort(rng.uniform(0, 360, N))
    part = (ra // 45).astype(int)
    step = np.arange(N) // 30
    few = rng.random(N) < 0.1

    def mask(extra: np.ndarray) -> np.ndarray:
        return few | extra

    mag = np.round(10 + step * 0.3 + rng.uniform(0, 0.3, N), 1).astype(np.float32)
    mass = 10.0 ** (step / 3)
    mass[part == 2] = np.inf
    mass[part == 3] = -np.inf
    zero = np.where(part % 2, -0.0, 0.0)
    big = BIG - 30 + np.arange(N) // 15
    huge = np.where(part < 4, -(2**63) + step, 2**63 - 1 - step)
    texts = [
        ("é" if p == 1 else "") + f"n{s:02d}" + ("x" * 200 if p == 5 else "") for p, s in zip(part, step, strict=True)
    ]
    seen = [START + timedelta(microseconds=int(s)) for s in step]
    return pa.table(
        {
            "id": pa.array(np.arange(N)),
            "ra": ra,
            "dec": rng.uniform(-3, 3, N),
            "mag": pa.array(mag, mask=mask(part == 4)),
            "mass": pa.array(mass, mask=mask(part == 6)),
            "zero": pa.array(zero),
            "n": pa.array(step.astype(np.int16), mask=part == 7),
            "big": pa.array(big),
            "huge": pa.array(huge),
            "flag": pa.array(part == 5, mask=mask(part == 0)),
            "name": pa.array(texts, mask=mask(part == 7)),
            "seen": pa.array(seen, pa.timestamp("us"), mask=few),
            "fine": pa.array(np.arange(N) * 500, pa.timestamp("ns")),
            "none": pa.array([None] * N, pa.float64()),
        }
    )


class Published:
    """The table on disk, and a connection that reads it."""

    def __init__(self, root: Path) -> None:
        options = 'ra = "ra"\ndec = "dec"\nid = ["id"]\ntarget_rows = 40\nrow_group_rows = 16\n'
        self.rows = rows()
        build_table(root, "stars", [self.rows], options=options)
        self.snapshot: Snapshot = Registry(root, {"test": SchemaRule("public")}).snapshot
        self.stored = self.snapshot.stored["test.stars"]
        self.store = StatisticsCache()
        self.view = VisibleCatalogs(self.snapshot.schemas, ANONYMOUS)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(config={"threads": 1})

    def lookup(self, table: Table) -> StoredTable:
        return self.snapshot.stored[table.full_name]

    def resolve(self, text: str) -> ResolvedQuery:
        return resolve(parse(QueryText(text)), self.view)

    def plan(self, resolved: ResolvedQuery, *, with_statistics: bool = True) -> ScanPlan:
        wanted = wanted_statistics(resolved, self.lookup) if with_statistics else ()
        return plan(resolved, self.lookup, visible_schemas={"test"}, statistics=self.store.find(wanted))

    def answer(self, resolved: ResolvedQuery, scans: ScanPlan) -> list[tuple[object, ...]]:
        return self.connection.sql(emit(resolved, scans.scans, max_rows=10**6)).fetchall()

    def types(self, resolved: ResolvedQuery) -> list[str]:
        sql = emit(resolved, self.plan(resolved).scans, max_rows=10)
        return [str(kind) for kind in self.connection.sql(sql).types]

    def check(self, condition: str) -> ScanPlan:
        """Check that the pruned files give the rows that all files give; return the plan."""
        resolved = self.resolve(f"SELECT id FROM test.stars WHERE {condition}")
        pruned = self.plan(resolved)
        everything = self.answer(resolved, self.plan(resolved, with_statistics=False))
        assert sorted(self.answer(resolved, pruned)) == sorted(everything)
        return pruned

    def least_files(self, condition: str) -> int:
        """Return how many files hold a row that satisfies a condition."""
        resolved = self.resolve(f"SELECT TOP 1 id FROM test.stars WHERE {condition}")
        scan = self.plan(resolved, with_statistics=False).scans[0]
        each = (emit(resolved, {0: replace(scan, files=(file,))}, max_rows=1) for file in scan.files)
        return sum(len(self.connection.sql(sql).fetchall()) for sql in each)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("statistics") / "catalogs")


# --- random conditions ------------------------------------------------------------------------------

NUMBERS = {
    "mag": st.sampled_from(["10", "12.5", "13.4", "15.1", "19", "0", "1e40", "-1", "18.1", "3e39"]),
    "mass": st.sampled_from(["1", "100.0", "1e5", "-1e300", "1e308", "46415.888336127725"]),
    "zero": st.sampled_from(["0", "0.0", "-0.0", "1e-300"]),
    "n": st.sampled_from(["0", "7", "12.5", "29", "-1", "40000", "12.0", "1e300"]),
    "big": st.sampled_from([*(str(BIG + k) for k in range(-3, 4)), f"{BIG}.0", f"{BIG + 2}.0", f"{BIG - 9}.5"]),
    "huge": st.sampled_from(
        ["0", "-9223372036854775807", "9223372036854775807", "9223372036854775790", "9.3e18", "-9.3e18", "9.2e18"]
    ),
}
TEXTS = st.sampled_from(["'n05'", "'n'", "'én05'", "'z'", "''", "'n24" + "x" * 200 + "'", "'n99'"])
MOMENTS = st.sampled_from(
    ["'2020-01-01T00:00:00'", "'2020-01-01T00:00:00.000007'", "'2020-01-01 00:00:00.000020'", "'2019-12-31'"]
)
FINE = st.sampled_from(
    ["'1970-01-01T00:00:00'", "'1970-01-01T00:00:00.000100'", "'1970-01-01T00:00:00.000449'", "'1969-12-31'"]
)
CONSTANTS = {**NUMBERS, "name": TEXTS, "seen": MOMENTS, "fine": FINE}


@st.composite
def atoms(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from([*CONSTANTS, "none", "flag"]))
    if column in {"none", "flag"} or draw(st.integers(0, 5)) == 0:
        tests = [f"{column} IS NULL", f"{column} IS NOT NULL"]
        flags = ["flag = 1", "0 = flag", "flag <> 1", "flag", "flag IN (1, 5)", "flag = 7"] if column == "flag" else []
        return draw(st.sampled_from([*flags, *tests]))
    one, two, three = (draw(CONSTANTS[column]) for _ in range(3))
    op = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    word = draw(st.sampled_from(["", "NOT "]))
    forms = [
        f"{column} {op} {one}",
        f"{one} {op} {column}",
        f"{column} {word}BETWEEN {one} AND {two}",
        f"{column} {word}IN ({one}, {two}, {three})",
    ]
    return draw(st.sampled_from(forms))


TERMS = st.recursive(
    st.sampled_from(["mag", "mass", "zero", "n", "big", "(huge * 1.0)", "none", "2", "1e5", "0.1"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda term: f"ABS({term})"),
        inner.map(lambda term: f"(- {term})"),
    ),
    max_leaves=3,
)
"""Arithmetic of columns, which does not overflow 64-bit integers."""


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    one, two, three = (draw(TERMS) for _ in range(3))
    limit = draw(st.sampled_from(["0", "5.5", "-3", "1e6", "9e15", "25"]))
    op = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    return draw(st.sampled_from([f"{one} {op} {limit}", f"{one} {op} {two}", f"{one} BETWEEN {two} AND {three}"]))


conditions = st.recursive(
    atoms() | comparisons(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' AND '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})"),
        inner.map(lambda part: f"NOT ({part})"),
    ),
    max_leaves=5,
)


@settings(max_examples=examples(80, 250), deadline=None)
@given(condition=conditions)
def test_pruned_files_give_the_same_rows(published: Published, condition: str) -> None:
    published.check(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "mass > 5e4",
        "mag BETWEEN 12 AND 12.5",
        "mag > 18.1",
        "mag <= 10.1 OR mag > 18.5",
        "flag = 1",
        "flag",
        "n IN (3, 4)",
        "n IN (3, 4, 5.5)",
        "n IS NULL",
        "mag IS NOT NULL",
        "name = 'n03'",
        "name < 'n02'",
        "none IS NOT NULL",
        "none > 1",
        "seen >= '2020-01-01T00:00:00.000025'",
        f"big = {BIG - 25}",
        "huge > 0",
        "NOT (n < 20)",
        "mag > 1e40",
        "mag - n > 9.5",
        "mag + n < 12",
        "NOT (n - mag < 5)",
        "ABS(mag - n) < 1 AND n > 2",
        "mag * mag BETWEEN 100 AND 120",
        "n * mag > 400",
        "n > mag + 2",
        "2 * n - zero = 40",
        "n + none > 0",
        "-mag - n > -11",
    ],
)
def test_files_without_such_rows_are_left_out(published: Published, condition: str) -> None:
    pruned = published.check(condition)
    least = published.least_files(condition)
    assert least < pruned.files_total
    # the range of a file may hold a value that none of its rows has, and 13 files hold long texts
    assert least <= pruned.files <= least + 14
    assert "statistics of" in pruned.tables[0].reason
    assert pruned.rows < N


def test_large_integers_are_compared_exactly(published: Published) -> None:
    """As doubles, 2**53 + 1 is 2**53; among decimals, IN compares doubles."""
    exactly, rounded = published.check(f"big = {BIG + 1}"), published.check(f"big IN ({BIG + 1}, 0.5)")
    assert exactly.files < rounded.files < exactly.files_total
    assert rounded.files >= published.least_files(f"big IN ({BIG}, {BIG + 1})")


def test_long_texts_leave_a_file_unbounded(published: Published) -> None:
    statistics = read_statistics(published.stored.directory, "name")
    assert statistics is not None
    assert 0 < np.count_nonzero(~statistics.known) < published.stored.file_count
    assert published.check("name = 'ü'").files == np.count_nonzero(~statistics.known)


def test_statistics_that_are_absent_or_broken_bound_nothing(published: Published, tmp_path: Path) -> None:
    stored = published.stored
    assert read_statistics(stored.directory, "nobody") is None
    path = tmp_path / MANIFEST_DIR / ROW_GROUPS_FILE
    path.parent.mkdir()
    for content in (b"no Parquet file", (stored.directory / MANIFEST_DIR / ROW_GROUPS_FILE).read_bytes()[:-5]):
        path.write_bytes(content)
        resolved = published.resolve("SELECT id FROM test.stars WHERE n = 3")
        (key,) = wanted_statistics(resolved, published.lookup)
        assert StatisticsCache().find([key._replace(directory=tmp_path)]) == {}


def test_row_groups_without_statistics_leave_their_file_unbounded(published: Published, tmp_path: Path) -> None:
    """As in files that are older than a column."""
    groups = pq.read_table(published.stored.directory / MANIFEST_DIR / ROW_GROUPS_FILE)
    some = groups["file"].to_numpy() == 2
    for name in ("n.min", "n.max", "n.nulls"):
        values = pa.array(groups[name].to_pylist(), groups[name].type)
        column = pa.array([None if gone else one.as_py() for gone, one in zip(some, values, strict=True)], values.type)
        groups = groups.set_column(groups.schema.get_field_index(name), name, column)
    groups = groups.filter(groups["file"].to_numpy() != 3)
    (tmp_path / MANIFEST_DIR).mkdir()
    pq.write_table(groups, tmp_path / MANIFEST_DIR / ROW_GROUPS_FILE)
    shutil.copy(published.stored.directory / MANIFEST_DIR / "files.parquet", tmp_path / MANIFEST_DIR)
    statistics = read_statistics(tmp_path, "n")
    assert statistics is not None
    for file in (2, 3):
        assert not statistics.known[file]
        assert not statistics.empty[file]
        assert statistics.nulls is not None
        assert statistics.nulls[file]
    assert statistics.known[[0, 1, 4]].all()


def test_positions_and_statistics_are_joined(published: Published) -> None:
    pruned = published.check("DISTANCE(POINT(ra, dec), POINT(40, 0)) < 20 AND n > 3")
    alone = published.check("DISTANCE(POINT(ra, dec), POINT(40, 0)) < 20")
    assert pruned.files < alone.files < pruned.files_total
    assert pruned.tables[0].reason == "the region of its position and the statistics of n"


# --- totals of the whole table ----------------------------------------------------------------------

EXACT = {"id", "mag", "zero", "n", "big", "huge", "none"}
"""Columns of finite numbers, or of none."""


@pytest.mark.parametrize("name", [*sorted(EXACT), "mass", "flag", "name", "seen"])
def test_totals_are_those_of_the_rows(published: Published, name: str) -> None:
    functions = "COUNT" if name == "flag" else "COUNT MIN MAX"
    for function in functions.split():
        resolved = published.resolve(f"SELECT {function}({name}) AS a, COUNT(*) FROM test.stars")
        known = counted(resolved, published.lookup)
        answers = [published.answer(one, published.plan(one)) for one in (resolved, known)]
        assert answers[0] == answers[1]
        assert published.types(resolved) == published.types(known)
        is_exact = function == "COUNT" or name in EXACT
        assert (published.plan(known).files == 0) == is_exact, function


@pytest.mark.parametrize(
    ("items", "reads"),
    [
        ("MIN(mag), MAX(mag), COUNT(mag), COUNT(*), MAX(n)", False),
        ("MAX(DISTINCT n)", False),
        ("COUNT(DISTINCT n)", True),
        ("MIN(mag), AVG(mag)", True),
        ("MIN(mag + 1)", True),
        ("MIN(mag) + 1", True),
    ],
)
def test_which_totals_are_known(published: Published, items: str, reads: bool) -> None:
    for rest in ("", " WHERE n > 3", " HAVING COUNT(*) > 5"):
        resolved = published.resolve(f"SELECT {items} FROM test.stars{rest}")
        known = counted(resolved, published.lookup)
        assert (published.plan(known).files > 0) == (reads or bool(rest))
        assert published.answer(known, published.plan(known)) == published.answer(resolved, published.plan(resolved))
