"""DuckDB's own switches, tried behind the back of every other defence: the text goes straight to the instance."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from catalog_service.engines.duckdb import DuckDBEngine, _connect
from catalog_service.exceptions import CatalogServiceError, QueryRefusedError
from tests.catalog_service.engines.queries import make_config, names_in, query, write_shard


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lockdown")
    make_config(directory)
    write_shard(directory / "shards" / "a.parquet", rows=10)
    (directory / "secret").mkdir()
    (directory / "secret" / "s.csv").write_text("secret\n1\n")
    (directory / "shards" / "link.csv").symlink_to(directory / "secret" / "s.csv")
    (directory / "shards_too").mkdir()
    (directory / "shards_too" / "s.csv").write_text("secret\n1\n")
    return directory


@pytest.fixture(scope="module")
def connection(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with _connect(make_config(place)) as locked:
        yield locked


def test_shards_can_be_read(connection: duckdb.DuckDBPyConnection, place: Path) -> None:
    rows = connection.execute(f"SELECT count(*) FROM read_parquet('{place}/shards/a.parquet')").fetchall()
    assert rows == [(10,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_parquet('{place}/secret/x.parquet')",
        "SELECT * FROM '{place}/secret/s.csv'",
        "SELECT * FROM read_csv('{place}/shards/../secret/s.csv')",
        "SELECT * FROM read_csv('{place}/shards/link.csv')",
        "SELECT * FROM read_csv('{place}/shards_too/s.csv')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM parquet_metadata('{place}/secret/x.parquet')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    ],
)
def test_nothing_else_can_be_read(connection: duckdb.DuckDBPyConnection, place: Path, sql: str) -> None:
    with pytest.raises(duckdb.Error, match="Permission Error"):
        connection.execute(sql.format(place=place)).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{place}/out.csv'",
        "COPY (SELECT 1) TO '{place}/shards/../out.csv'",
        "EXPORT DATABASE '{place}/out'",
        "ATTACH '{place}/out.db'",
        "ATTACH '{place}/out.db' AS other (READ_ONLY)",
    ],
)
def test_nothing_can_be_written_elsewhere(connection: duckdb.DuckDBPyConnection, place: Path, sql: str) -> None:
    with pytest.raises(duckdb.Error, match="Permission Error"):
        connection.execute(sql.format(place=place))
    assert not [name for name in names_in(place) if name.startswith("out")]


@pytest.mark.parametrize(
    "sql",
    [
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET lock_configuration",
        "SET allowed_directories = ['/']",
        "SET allowed_paths = ['/etc/passwd']",
        "SET allowed_configs = ['threads']",
        "SET threads = 64",
        "SET GLOBAL memory_limit = '100GB'",
        "RESET memory_limit",
        "SET temp_directory = '/tmp'",
        "SET max_temp_directory_size = '100GB'",
        "SET python_enable_replacements = true",
        "SET autoload_known_extensions = true",
        "SET allow_community_extensions = true",
        "SET log_query_path = '/tmp/log'",
        "SET home_directory = '/etc'",
        "SET profiling_output = '/tmp/profile'",
        "PRAGMA enable_profiling",
        "PRAGMA threads = 64",
        "PRAGMA memory_limit = '100GB'",
    ],
)
def test_settings_are_locked(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(duckdb.Error, match=r"locked|Cannot change|Permission"):
        connection.execute(sql)


@pytest.mark.parametrize(
    "sql", ["INSTALL httpfs", "FORCE INSTALL httpfs", "LOAD httpfs", "LOAD '/tmp/x.duckdb_extension'"]
)
def test_no_extension_can_come_in(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(duckdb.Error, match="Permission Error"):
        connection.execute(sql)


def test_no_secrets(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="Permission Error"):
        connection.execute("CREATE PERSISTENT SECRET s (TYPE http)")
    with pytest.raises(duckdb.Error, match="getenv does not exist"):
        connection.execute("SELECT getenv('HOME')")


def test_variables_of_this_process_are_no_tables(connection: duckdb.DuckDBPyConnection) -> None:
    variable = pa.table({"secret": [1]})
    assert variable.num_rows == 1
    with pytest.raises(duckdb.CatalogException, match="variable does not exist"):
        connection.sql("SELECT * FROM variable").fetchall()


def test_settings_in_force(connection: duckdb.DuckDBPyConnection, place: Path) -> None:
    expected = {
        "allow_community_extensions": "false",
        "allowed_configs": "[max_execution_time, parquet_metadata_cache]",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "enable_external_access": "false",
        "lock_configuration": "true",
        "max_temp_directory_size": "10.0 GiB",
        "memory_limit": "381.4 MiB",
        "python_enable_replacements": "false",
        "temp_directory": f"{place}/temp",
        "threads": "2",
        "TimeZone": "UTC",
    }
    rows = connection.execute("SELECT name, value FROM duckdb_settings()").fetchall()
    found = {name: value for name, value in rows if name in expected}
    found["allowed_configs"] = f"[{', '.join(sorted(found['allowed_configs'][1:-1].split(', ')))}]"
    assert found == expected


def test_the_time_limit_stays_ours_to_set(connection: duckdb.DuckDBPyConnection) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION max_execution_time = 100")
    with pytest.raises(duckdb.InterruptException, match="maximum execution time"):
        cursor.sql("SELECT count(*) FROM range(100000000000) t(i) WHERE hash(i) = 7").to_arrow_reader(10).read_all()


@pytest.mark.parametrize(
    "sql",
    [
        "",
        ";",
        "SELECT 1; SELECT 2",
        "SELECT 1 AS i; COPY (SELECT 1) TO 'x'",
        "COPY (SELECT 1) TO '{place}/shards/out.csv'",
        "ATTACH ':memory:' AS other",
        "SET threads = 1",
        "SET SESSION max_execution_time = 0",
        "RESET threads",
        "PRAGMA database_list",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "CREATE TABLE t (i INT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE MACRO m(a) AS a",
        "DROP VIEW v",
        "INSERT INTO t VALUES (1)",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "CALL range(3)",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "BEGIN",
        "CHECKPOINT",
        "EXPORT DATABASE '{place}/shards/out'",
        "SET VARIABLE a = 1",
    ],
)
def test_the_engine_runs_nothing_but_one_select(place: Path, sql: str) -> None:
    engine = DuckDBEngine(make_config(place))
    with pytest.raises(QueryRefusedError, match="single SELECT"):
        engine.stream(query(sql.format(place=place)), timeout_s=5, batch_rows=10)
    engine.close()
    assert names_in(place / "shards") == ["a.parquet", "link.csv"]


def test_a_select_that_reads_elsewhere_tells_no_path(place: Path) -> None:
    engine = DuckDBEngine(make_config(place))
    with pytest.raises(CatalogServiceError) as caught:
        engine.stream(query(f"SELECT * FROM read_text('{place}/secret/s.csv')"), timeout_s=5, batch_rows=10)
    engine.close()
    assert str(place) not in str(caught.value)
    assert "secret" not in str(caught.value)
