"""Rows read without SQL: the same as by SQL, and as by comparing every row."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.engines.base import QueryCancelledError, SqlNeededError
from catalog_service.engines.duckdb import DuckDBEngine
from catalog_service.engines.excerpt_engine import ExcerptEngine
from catalog_service.engines.excerpt_files import DamagedPageError
from catalog_service.engines.excerpts import ExcerptReader
from catalog_service.engines.pool import WorkerPool
from catalog_service.exceptions import QueryTimeoutError, StorageError
from catalog_service.language.pipeline import emit, excerpt, parse, resolve
from catalog_service.models.excerpt import ConeTest, Excerpt, IdTest
from catalog_service.models.query import EngineQuery, Language, QueryText, TableScan
from catalog_service.models.schema import Column, DataType, SkyPosition, Table
from partitioning.layout.paths import HEALPIX_COLUMN
from partitioning.sky.healpix import radec_to_index
from partitioning.sky.separation import separation_deg
from tests.catalog_service.engines.queries import make_config, query
from tests.catalog_service.language.store import View, positions

ROW_GROUP = 300
TYPES: dict[str, tuple[DataType, pa.DataType]] = {
    "id": (DataType.LONG, pa.int64()),
    "ra": (DataType.DOUBLE, pa.float64()),
    "dec": (DataType.DOUBLE, pa.float64()),
    "mag": (DataType.FLOAT, pa.float32()),
    "n": (DataType.SHORT, pa.int16()),
    "tiny": (DataType.BYTE, pa.uint8()),
    "flag": (DataType.BOOLEAN, pa.bool_()),
    "name": (DataType.TEXT, pa.string()),
    "ra2": (DataType.FLOAT, pa.float32()),
    "dec2": (DataType.DOUBLE, pa.float64()),
    "seen": (DataType.TIMESTAMP, pa.timestamp("us")),
}


def table_of(**details: Any) -> Table:
    columns = tuple(Column(name=name, datatype=kind, stored_name=name) for name, (kind, _) in TYPES.items())
    return Table("sky", "Object", columns, **{"position": SkyPosition("ra", "dec"), **details})


TABLE = table_of()


@dataclass(frozen=True)
class Sky:
    """A table in three files, sorted by the HEALPix index."""

    files: tuple[str, ...]
    rows: dict[str, list[Any]]
    indices: np.ndarray
    engine: duckdb.DuckDBPyConnection

    def asked(
        self, text: str, *, language: Language = Language.ADQL, max_rows: int = 1000, table: Table = TABLE
    ) -> tuple[Excerpt | None, str]:
        """Return a query as an excerpt, if it is one, and as SQL."""
        resolved = resolve(parse(QueryText(text, language)), View((table,)))
        scans = {0: TableScan(table, self.files)}
        return excerpt(resolved, scans, max_rows=max_rows), emit(resolved, scans, max_rows=max_rows)

    def excerpt(self, text: str, **details: Any) -> Excerpt:
        found, _ = self.asked(text, **details)
        assert found is not None, text
        return found


def stored(rows: int = 4000) -> tuple[pa.Table, np.ndarray]:
    rng = np.random.default_rng(11)
    ra, dec = (values[:rows] for values in positions())
    indices = radec_to_index(ra, dec)
    ids = 2**60 + 3 * rng.permutation(len(ra))
    columns: dict[str, Any] = {
        "id": ids.tolist(),
        "ra": ra.tolist(),
        "dec": dec.tolist(),
        "mag": rng.normal(20, 2, len(ra)).tolist(),
        "n": rng.integers(-9, 9, len(ra)).tolist(),
        "tiny": rng.integers(0, 256, len(ra)).tolist(),
        "flag": (rng.uniform(size=len(ra)) < 0.5).tolist(),
        "name": [f"star {number} ω" for number in range(len(ra))],
        "ra2": (ra + rng.normal(0, 0.1, len(ra))).tolist(),
        "dec2": dec.tolist(),
        "seen": rng.integers(0, 10**15, len(ra)).tolist(),
    }
    for name in ("id", "mag", "n", "flag", "name", "ra2", "dec2"):
        for row in rng.choice(len(ra), 200).tolist():
            columns[name][row] = None
    arrays = {name: pa.array(columns[name]).cast(kind) for name, (_, kind) in TYPES.items()}
    table = pa.table({HEALPIX_COLUMN: indices, **arrays})
    return table.sort_by(HEALPIX_COLUMN), np.sort(indices)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sky]:
    directory, (table, indices) = tmp_path_factory.mktemp("excerpts"), stored()
    files = []
    for number, rows in enumerate(np.array_split(np.arange(table.num_rows), 3)):
        path = directory / f"tile {number}.parquet"
        pq.write_table(table.slice(int(rows[0]), len(rows)), path, row_group_size=ROW_GROUP)
        files.append(str(path))
    with duckdb.connect(config={"threads": 1}) as engine:
        yield Sky(tuple(files), table.to_pydict(), indices, engine)


def rows_of(found: tuple[pa.Schema, list[pa.RecordBatch]] | None) -> list[tuple[Any, ...]]:
    assert found is not None
    schema, batches = found
    columns = pa.Table.from_batches(batches, schema).columns
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


CONE = "SELECT id, ra, dec FROM sky.Object WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {}, {}, {}))"


@given(
    centre=st.sampled_from([(0.0, 90.0), (123.0, -90.0), (0.0, 0.0), (359.99, 0.3), (150.0, 2.0), (200.0, 40.0)]),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    radius=st.one_of(st.floats(0, 2), st.sampled_from([0.0, 1e-9, 20.0, 89.0])),
    is_narrowed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_cones_have_just_the_rows_within(
    sky: Sky, centre: tuple[float, float], shift: tuple[float, float], radius: float, *, is_narrowed: bool
) -> None:
    ra, dec = centre[0] + shift[0], float(np.clip(centre[1] + shift[1], -90, 90))
    asked = sky.excerpt(CONE.format(ra, dec, radius), max_rows=5000)
    separations = separation_deg(sky.rows["ra"], sky.rows["dec"], ra, dec)
    inside = separations <= radius + 1e-11
    if is_narrowed and inside.any():  # as the planner does, here as close as can be
        within = sky.indices[inside]
        asked = replace(asked, ranges=((int(within.min()), int(within.max()) + 1),))
    reader = ExcerptReader(0)
    expected = [(sky.rows["id"][row], sky.rows["ra"][row], sky.rows["dec"][row]) for row in np.flatnonzero(inside)]
    found = reader.read(asked)
    if found is None:
        assert len(asked.files) * 5 > 8  # without ranges there are too many row groups
        one_file = [reader.read(replace(asked, files=(path,))) for path in asked.files]
        assert [row for rows in one_file for row in rows_of(rows)] == expected
    else:
        assert rows_of(found) == expected


FORMS = (
    "SELECT * FROM sky.Object WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 150, 2, 0.02))",
    "SELECT name, id, mag FROM sky.Object WHERE DISTANCE(POINT(ra, dec), POINT(150, 2)) < 0.01",
    "SELECT flag, n, tiny, mag, mag AS again FROM sky.Object WHERE 0.01 >= DISTANCE(POINT(150, 2), POINT(ra, dec))",
    "SELECT TOP 7 id, ra FROM sky.Object WHERE CONTAINS(POINT(ra, dec), CIRCLE(150, 2, 0.02)) = 1",
    "SELECT id, ra2 FROM sky.Object WHERE DISTANCE(POINT(ra2, dec2), POINT(150, 2)) <= 0.1",
    "SELECT id, name FROM sky.Object WHERE id = 1152921504606846979",
    "SELECT id FROM sky.Object WHERE id IN (1152921504606846979, -1, 1152921504606847003, 9223372036854775807)",
    "SELECT id, n FROM sky.Object WHERE n = -3 AND 1 = CONTAINS(POINT(ra, dec), CIRCLE(150, 2, 0.02))",
    "SELECT tiny FROM sky.Object WHERE tiny IN (300, 255, 0)",
    "SELECT TOP 301 id, mag, name FROM sky.Object",
    "SELECT TOP 0 id FROM sky.Object WHERE id = 1152921504606846979",
)


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_are_excerpts_give_what_sql_gives(sky: Sky, form: str) -> None:
    form = form.replace("*", "id, ra, dec, mag, n, tiny, flag, name, ra2, dec2")
    asked, sql = sky.asked(form)
    assert asked is not None
    reader, rows = ExcerptReader(1 << 20), []
    for path in sky.files:  # one at a time, for all of them have more row groups than are read
        rows += rows_of(reader.read(replace(asked, files=(path,))))
    assert rows[: asked.rows] == sky.engine.execute(sql).fetchall()
    assert rows or asked.rows == 0


NO_EXCERPTS = (
    "SELECT COUNT(*) FROM sky.Object WHERE id = 3",
    "SELECT id + 1 FROM sky.Object WHERE id = 3",
    "SELECT DISTINCT id FROM sky.Object WHERE id = 3",
    "SELECT id FROM sky.Object WHERE id = 3 ORDER BY ra",
    "SELECT id FROM sky.Object WHERE id = 3 OFFSET 2",
    "SELECT id FROM sky.Object WHERE id = 3 OR mag > 2",
    "SELECT id FROM sky.Object WHERE id = 3 AND mag > 2",
    "SELECT id FROM sky.Object WHERE id = 3.5",
    "SELECT id FROM sky.Object WHERE id = n",
    "SELECT id FROM sky.Object WHERE id NOT IN (3)",
    "SELECT id FROM sky.Object WHERE name = 'star 3'",
    "SELECT seen FROM sky.Object WHERE id = 3",
    "SELECT id FROM sky.Object WHERE 0 = CONTAINS(POINT(ra, dec), CIRCLE(150, 2, 0.02))",
    "SELECT id FROM sky.Object WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(150, 2, 90))",
    "SELECT id FROM sky.Object WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(150, 2, mag))",
    "SELECT id FROM sky.Object WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(ra2, 2, 1))",
    "SELECT id FROM sky.Object WHERE DISTANCE(POINT(ra, dec), POINT(150, 2)) > 0.01",
    "SELECT a.id FROM sky.Object AS a JOIN sky.Object AS b ON a.id = b.id WHERE a.id = 3",
    "SELECT id FROM sky.Object WHERE id = 3 UNION ALL SELECT id FROM sky.Object WHERE id = 4",
    "SELECT id FROM (SELECT id FROM sky.Object WHERE id = 3) AS t",
    "SELECT id FROM sky.Object",
)


@pytest.mark.parametrize("text", NO_EXCERPTS)
def test_all_else_is_left_to_sql(sky: Sky, text: str) -> None:
    resolved = resolve(parse(QueryText(text)), View((TABLE,)))
    scans = {number: TableScan(TABLE, sky.files) for number in range(3)}
    assert excerpt(resolved, scans, max_rows=200_000) is None


def test_columns_that_may_hold_nan_are_left_to_sql(sky: Sky) -> None:
    guarded = tuple(replace(column, may_be_nan=column.name == "mag") for column in TABLE.columns)
    table = replace(TABLE, columns=guarded)
    assert sky.asked("SELECT mag FROM sky.Object WHERE id = 3", table=table)[0] is None
    assert sky.asked("SELECT id FROM sky.Object WHERE id = 3", table=table)[0] is not None


def test_qserv_forms(sky: Sky) -> None:
    for text in (
        "SELECT id FROM sky.Object WHERE scisql_s2PtInCircle(ra, dec, 150, 2, 0.02) = 1",
        "SELECT * FROM sky.Object WHERE id = 5",
    ):
        table = replace(TABLE, columns=tuple(one for one in TABLE.columns if one.name != "seen"))
        found, _ = sky.asked(text, language=Language.QSERV, table=table)
        assert found is not None, text


def small(path: Path, table: pa.Table, **options: Any) -> Excerpt:
    pq.write_table(table, path, row_group_size=100, **options)
    return Excerpt((str(path),), ("id", "name"), HEALPIX_COLUMN, (), 10**6, ids=(IdTest("id", (2, 5)),))


def sorted_table(first: int = 0) -> pa.Table:
    ids = list(range(first, first + 300))
    return pa.table({HEALPIX_COLUMN: ids, "id": ids, "name": [str(one) for one in ids]})


def test_what_is_kept_is_used_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    asked = small(path, sorted_table())
    reader = ExcerptReader(10**6)
    assert rows_of(reader.read(asked)) == [(2, "2"), (5, "5")]
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)  # not looked at, since it seems unchanged
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert rows_of(reader.read(replace(asked, columns=("name",)))) == [("2",), ("5",)]
    tight = ExcerptReader(15_000)  # one row group of three
    for number in range(5):
        other = small(tmp_path / f"{number}.parquet", sorted_table())
        assert rows_of(tight.read(other)) == [(2, "2"), (5, "5")]
        assert 0 < tight.kept_bytes <= 15_000
    assert reader.kept_bytes > 15_000


def test_small_columns_count_with_what_keeping_them_takes(tmp_path: Path) -> None:
    reader = ExcerptReader(10**6)
    reader.read(small(tmp_path / "a.parquet", sorted_table().slice(0, 1)))
    assert reader.kept_bytes > 3 * 2000


def test_a_file_made_anew_is_read_anew(tmp_path: Path) -> None:
    reader = ExcerptReader(10**6)
    assert rows_of(reader.read(small(tmp_path / "a.parquet", sorted_table()))) == [(2, "2"), (5, "5")]
    assert rows_of(reader.read(small(tmp_path / "a.parquet", sorted_table(5)))) == [(5, "5")]


@pytest.mark.parametrize(
    "reason",
    ["unsorted", "no statistics", "another type", "list", "missing", "no UTF-8", "damaged", "name damaged", "gone"],
)
def test_what_is_not_as_expected_is_left_to_sql(tmp_path: Path, reason: str) -> None:
    table, options, path = sorted_table(), dict[str, Any](), tmp_path / "a.parquet"
    match reason:
        case "unsorted":
            table = table.take(pa.array(range(299, -1, -1)))
        case "no statistics":
            options = {"write_statistics": False}
        case "another type":
            table = table.set_column(2, "name", table["name"].dictionary_encode())
        case "list":
            table = table.set_column(2, "name", pa.array([[text] for text in table["name"].to_pylist()]))
        case "missing":
            table = table.drop_columns(["name"])
        case "no UTF-8":
            table = table.set_column(2, "name", pa.array([b"\xff"] * 300).view(pa.string()))
        case _:
            pass
    asked = small(path, table, **options)
    if reason == "damaged":
        content = bytearray(path.read_bytes())
        content[4:400] = b"\xff" * 396
        path.write_bytes(content)
    if reason == "name damaged":
        path.write_bytes(path.read_bytes().replace(b"name", b"n\xffme"))
    if reason == "gone":
        path.unlink()
    assert ExcerptReader(10**6).read(asked) is None


def test_damage_in_what_a_footer_tells_of_columns_does_not_end_the_process(tmp_path: Path) -> None:
    asked = small(tmp_path / "a.parquet", sorted_table().slice(0, 100))
    path = Path(asked.files[0])
    good = path.read_bytes()
    first = good.index(b"id", good.rindex(HEALPIX_COLUMN.encode()))
    for at in range(first, good.index(b"ARROW:schema")):  # the column chunks of `id` and `name`
        content = bytearray(good)
        content[at] ^= 1 << 5
        path.write_bytes(content)
        ExcerptReader(0).read(asked)


def test_damaged_pages_are_an_error(tmp_path: Path) -> None:
    asked = small(tmp_path / "a.parquet", sorted_table(), write_page_checksum=True, compression="none")
    content = bytearray(Path(asked.files[0]).read_bytes())
    content[content.index((77).to_bytes(8, "little"))] ^= 1
    Path(asked.files[0]).write_bytes(content)
    reader = ExcerptReader(10**6)
    with pytest.raises(DamagedPageError, match="row group 0"):
        reader.read(asked)
    assert reader.kept_bytes == 0
    task = replace(query("SELECT 1 AS i"), excerpt=asked)
    with closing(DuckDBEngine(make_config(tmp_path))) as engine, pytest.raises(StorageError, match="damaged"):
        ExcerptEngine(engine, 0).stream(task, timeout_s=10, batch_rows=10)


def test_files_of_different_types_are_left_to_sql(tmp_path: Path) -> None:
    one = small(tmp_path / "a.parquet", sorted_table())
    table = sorted_table().set_column(1, "id", pa.array(range(300), pa.int32()))
    other = small(tmp_path / "b.parquet", table)
    assert ExcerptReader(0).read(replace(one, files=one.files + other.files)) is None


def test_large_ones_are_left_to_sql(tmp_path: Path) -> None:
    asked = small(tmp_path / "a.parquet", pa.concat_tables([sorted_table(300 * number) for number in range(4)]))
    assert ExcerptReader(0).read(asked) is None  # of 12 row groups
    assert rows_of(ExcerptReader(0).read(replace(asked, ranges=((0, 750),)))) == [(2, "2"), (5, "5")]


def test_what_takes_more_than_it_looks_like_is_left_to_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog_service.engines.excerpts._MOST_BYTES", 50_000)
    table = sorted_table()
    numbers = table.append_column("zero", pa.array([0] * 300))  # a few bytes, encoded
    asked = replace(small(tmp_path / "a.parquet", numbers), columns=("id", "name", "zero"))
    assert ExcerptReader(0).read(asked) is not None
    numbers = pa.table(
        {**dict(zip(table.column_names, table.columns, strict=True)), **{f"z{k}": [0] * 300 for k in range(30)}}
    )
    asked = replace(small(tmp_path / "b.parquet", numbers), columns=("id", *(f"z{k}" for k in range(30))))
    assert ExcerptReader(0).read(asked) is None
    texts = table.set_column(2, "name", pa.array(["long" * 150] * 300))
    reader = ExcerptReader(10**6)
    assert reader.read(small(tmp_path / "c.parquet", texts)) is None
    assert reader.kept_bytes < 100_000  # one row group of three


def test_few_rows_of_several_row_groups_are_one_piece(tmp_path: Path) -> None:
    asked = small(tmp_path / "a.parquet", sorted_table())
    found = ExcerptReader(0).read(replace(asked, ids=(IdTest("id", (2, 150, 299)),)))
    assert found is not None
    assert [batch.num_rows for batch in found[1]] == [3]
    assert rows_of(found) == [(2, "2"), (150, "150"), (299, "299")]


def test_overlapping_ranges_double_nothing(tmp_path: Path) -> None:
    asked = small(tmp_path / "a.parquet", sorted_table())
    found = ExcerptReader(0).read(replace(asked, ranges=((4, 9), (0, 7), (5, 6))))
    assert rows_of(found) == [(2, "2"), (5, "5")]


def test_rows_on_the_edge_are_left_to_sql(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({HEALPIX_COLUMN: [1], "ra": [0.0], "dec": [2.0]}), path)
    edge = float(np.sin(np.radians(0.5 * 2.0)) ** 2)
    asked = Excerpt((str(path),), ("dec",), HEALPIX_COLUMN, (), 10)
    for haversine, expected in ((edge, None), (edge * (1 + 1e-15), None), (edge * 1.001, 1), (edge * 0.999, 0)):
        found = ExcerptReader(0).read(replace(asked, cones=(ConeTest("ra", "dec", 0.0, 0.0, haversine),)))
        assert found is None if expected is None else len(rows_of(found)) == expected


def test_rows_end_when_they_are_cancelled_or_their_time_is_up(tmp_path: Path) -> None:
    task = replace(query("SELECT 1 AS i"), excerpt=small(tmp_path / "a.parquet", sorted_table()))
    with closing(DuckDBEngine(make_config(tmp_path))) as other:
        engine = ExcerptEngine(other, 0)
        with engine.stream(task, timeout_s=10, batch_rows=1) as stream:
            batches = iter(stream)
            assert next(batches).num_rows == 1
            engine.cancel()
            with pytest.raises(QueryCancelledError):
                next(batches)
        with engine.stream(task, timeout_s=10, batch_rows=1) as stream:  # the next one is not cancelled
            assert [batch.num_rows for batch in stream] == [1, 1]
        with engine.stream(task, timeout_s=0, batch_rows=1) as stream, pytest.raises(QueryTimeoutError, match="30 s"):
            list(stream)


def test_workers_answer_without_sql_if_they_can(runner: asyncio.Runner, pool: WorkerPool, place: Path) -> None:
    asked = small(place / "shards" / "excerpt.parquet", sorted_table())
    columns = (Column(name="i", datatype=DataType.LONG), Column(name="s", datatype=DataType.TEXT))
    task = replace(query("SELECT 1 AS i, 'by SQL' AS s", *columns), excerpt=asked)

    async def rows(one: Excerpt) -> list[dict[str, Any]]:
        async with await pool.run(replace(task, excerpt=one)) as result:
            content = b"".join([piece async for piece in result])
        table: list[dict[str, Any]] = pa.ipc.open_stream(content).read_all().to_pylist()
        return table

    assert runner.run(rows(asked)) == [{"i": 2, "s": "2"}, {"i": 5, "s": "5"}]
    assert runner.run(rows(replace(asked, columns=("id", "nothing")))) == [{"i": 1, "s": "by SQL"}]


def test_workers_ask_for_sql_that_they_need(runner: asyncio.Runner, pool: WorkerPool, place: Path) -> None:
    asked = small(place / "shards" / "excerpt.parquet", sorted_table())
    columns = (Column(name="i", datatype=DataType.LONG), Column(name="s", datatype=DataType.TEXT))
    task = replace(query("", *columns), excerpt=replace(asked, columns=("id", "nothing")))

    async def asks(task: EngineQuery) -> None:
        before = pool.stats()
        with pytest.raises(SqlNeededError):
            await pool.run(task)
        async with await pool.run(replace(task, sql="SELECT 1 AS i, 'by SQL' AS s", excerpt=None)) as result:
            assert b"by SQL" in b"".join([piece async for piece in result])
        after = pool.stats()
        assert (after.crashes, after.restarts, after.idle) == (before.crashes, before.restarts, before.idle)

    runner.run(asks(task))
