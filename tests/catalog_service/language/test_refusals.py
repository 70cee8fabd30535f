"""Texts that would do harm if they reached the engine: each is refused here, with its place, naming the construct."""

import pytest

from catalog_service.exceptions import QueryError
from tests.catalog_service.language.store import Store

T = "sky.Object"

ATTACKS = [
    # (text, what the message names, column of the place)
    (f"COPY {T} TO '/tmp/x'", "COPY", 1),
    ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY", 1),
    ("ATTACH '/tmp/x.db' AS x", "ATTACH", 1),
    ("DETACH x", "DETACH", 1),
    ("SET memory_limit = '1TB'", "SET", 1),
    ("RESET threads", "RESET", 1),
    ("PRAGMA database_list", "PRAGMA", 1),
    ("INSTALL httpfs", "INSTALL", 1),
    ("LOAD httpfs", "LOAD", 1),
    ("FORCE INSTALL httpfs", "FORCE", 1),
    ("EXPORT DATABASE '/tmp/x'", "EXPORT", 1),
    ("IMPORT DATABASE '/tmp/x'", "IMPORT", 1),
    ("CREATE TABLE x AS SELECT 1", "CREATE", 1),
    ("CREATE MACRO f(a) AS a", "CREATE", 1),
    ("CREATE SECRET s (TYPE s3)", "CREATE", 1),
    ("DROP VIEW v", "DROP", 1),
    ("ALTER TABLE x ADD COLUMN y INT", "ALTER", 1),
    (f"INSERT INTO {T} VALUES (1)", "INSERT", 1),
    (f"UPDATE {T} SET n = 1", "UPDATE", 1),
    (f"DELETE FROM {T}", "DELETE", 1),
    ("TRUNCATE x", "TRUNCATE", 1),
    ("CALL pragma_version()", "CALL", 1),
    ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN", 1),
    ("DESCRIBE SELECT 1", "DESCRIBE", 1),
    (f"SUMMARIZE {T}", "SUMMARIZE", 1),
    ("SHOW TABLES", "SHOW", 1),
    ("PREPARE p AS SELECT 1", "PREPARE", 1),
    ("EXECUTE p", "EXECUTE", 1),
    ("USE x", "USE", 1),
    ("BEGIN TRANSACTION", "BEGIN", 1),
    ("COMMIT", "COMMIT", 1),
    ("CHECKPOINT", "CHECKPOINT", 1),
    ("VACUUM", "VACUUM", 1),
    ("VALUES (1)", "VALUES", 1),
    ("TABLE x", "TABLE", 1),
    (f"FROM {T}", "FROM", 1),
    (f"PIVOT {T} ON n", "PIVOT", 1),
    ("KILL 1", "KILL", 1),
    (f"SELECT n FROM {T}; DROP TABLE x", "second statement", 25),
    (f"SELECT n FROM {T};SELECT 1", "second statement", 25),
    (f"SELECT n FROM {T} ; -- a\n COPY x TO 'y'", "second statement", 26),
    (f"SELECT n INTO x FROM {T}", "INTO", 10),
    ("SELECT * FROM '/etc/passwd'", "files", 15),
    ("SELECT * FROM 'https://example.org/x.parquet'", "files", 15),
    ('SELECT * FROM "/etc/passwd"', "/etc/passwd", 15),
    ('SELECT * FROM "s3://bucket/x.parquet"', "s3://", 15),
    (f"SELECT n FROM {T} JOIN '/etc/passwd' ON 1 = 1", "files", 31),
    (f"SELECT n FROM {T}, 'x.csv'", "files", 27),
    ("SELECT * FROM read_csv('/etc/passwd')", "read_csv", 15),
    ("SELECT * FROM read_parquet('x')", "read_parquet", 15),
    ("SELECT * FROM read_text('/proc/self/environ')", "read_text", 15),
    ("SELECT * FROM glob('*')", "glob", 15),
    ("SELECT * FROM range(1000000000)", "range", 15),
    ("SELECT * FROM generate_series(1, 2)", "generate_series", 15),
    ("SELECT * FROM duckdb_settings()", "duckdb_settings", 15),
    ("SELECT * FROM query('SELECT 1')", "query", 15),
    ("SELECT * FROM pragma_table_info('x')", "pragma_table_info", 15),
    ("SELECT * FROM sqlite_master", "sqlite_master", 15),
    ("SELECT * FROM information_schema.tables", "information_schema", 15),
    ("SELECT * FROM pg_catalog.pg_class", "pg_catalog", 15),
    ("SELECT * FROM hidden.Secret", "hidden.Secret", 15),
    ("SELECT * FROM t0", "t0", 15),
    (f"SELECT read_text('/etc/passwd') FROM {T}", "read_text", 8),
    (f"SELECT range(1000000000) FROM {T}", "range", 8),
    (f"SELECT repeat('x', 1000000000) FROM {T}", "repeat", 8),
    (f"SELECT lpad('x', 1000000000, 'y') FROM {T}", "lpad", 8),
    (f"SELECT getenv('HOME') FROM {T}", "getenv", 8),
    (f"SELECT current_setting('threads') FROM {T}", "current_setting", 8),
    (f"SELECT sleep_ms(10000) FROM {T}", "sleep_ms", 8),
    (f"SELECT write_log('x') FROM {T}", "write_log", 8),
    (f"SELECT list_transform(n, n) FROM {T}", "list_transform", 8),
    (f"SELECT any_value(n) FROM {T}", "any_value", 8),
    (f"SELECT random() FROM {T}", "random", 8),
    (f"SELECT x.repeat('a') FROM {T} x", "function repeat", 10),
    (f"SELECT [1, 2] FROM {T}", "'['", 8),
    (f"SELECT {{'a': 1}} FROM {T}", "'{'", 8),
    (f"SELECT n::VARCHAR FROM {T}", "':'", 9),
    (f"SELECT $1 FROM {T}", "'$'", 8),
    (f"SELECT n FROM {T} WHERE n = ?", "'?'", 36),
    (f"SELECT \\x FROM {T}", "'\\'", 8),
    (f"SELECT COLUMNS(*) FROM {T}", "unexpected *", 16),
    (f"SELECT * EXCLUDE (n) FROM {T}", "EXCLUDE", 10),
    (f"SELECT * REPLACE (1 AS n) FROM {T}", "REPLACE", 10),
    (f"SELECT n FROM {T} USING SAMPLE 10", "USING", 26),
    (f"SELECT n FROM {T} QUALIFY 1 = 1", "1", 34),
    (f"SELECT x -> x + 1 FROM {T}", ">", 11),
    (f"SELECT SUM(n) OVER (GROUPS 2 PRECEDING) FROM {T}", "GROUPS", 21),
    (f"SELECT rowid FROM {T}", "rowid", 8),
    (f"SELECT file_row_number FROM {T}", "file_row_number", 8),
    (f"SELECT filename FROM {T}", "filename", 8),
    (f'SELECT "_healpix_29" FROM {T}', "_healpix_29", 8),
    (f"SELECT stored_flux FROM {T}", "stored_flux", 8),
    (f'SELECT "n"" FROM x; DROP TABLE y --" FROM {T}', "DROP TABLE", 8),
    (f"SELECT n FROM {T} WHERE name = '' OR '1'='1' --", "", None),  # legal, and only that
]


@pytest.mark.parametrize(("text", "named", "place"), ATTACKS)
def test_attack(store: Store, text: str, named: str, place: int | None) -> None:
    if place is None:
        assert store.run(text).sql.count(";") == 0
        return
    with pytest.raises(QueryError) as caught:
        store.resolve(text)
    assert named in str(caught.value)
    assert (caught.value.line, caught.value.column) == (1, place)
    assert caught.value.status == 400


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 60


@pytest.mark.parametrize(
    "literal",
    [
        "it's",
        "'; DROP TABLE x; --",
        "\\'",
        "a\nb",
        'double "quotes"',
        "ünï ☃",
        "%_\\",
        "$$x$$",
        "E'\\n'",
        "--",
        "/* */",
        "{0}",
    ],
)
def test_literals_come_back_as_they_were(store: Store, literal: str) -> None:
    quoted = literal.replace("'", "''")
    answer = store.run(f"SELECT TOP 1 '{quoted}' AS x, name || '{quoted}' AS y FROM {T} WHERE NOT name = '{quoted}'")
    assert answer.rows[0][0] == literal
    assert answer.rows[0][1].endswith(literal)


@pytest.mark.parametrize("alias", ['x" FROM y; --', "select", "a b", "ünï", "'", "{0}", "x;y", "t0"])
def test_aliases_come_back_as_they_were(store: Store, alias: str) -> None:
    quoted = alias.replace('"', '""')
    answer = store.run(f'SELECT TOP 1 "{quoted}" FROM (SELECT n AS "{quoted}" FROM {T}) AS q')
    assert answer.names == [alias]
