"""Attacks in many spellings through the real door: none is executed, and no message tells what is inside."""

import http.client
import re
import urllib.parse
from collections.abc import Iterator

from tests.harness import RunningServer, SampleStore

CALLS = {
    # files and what lies beside them
    "read_csv": "'x'",
    "read_csv_auto": "'x'",
    "read_json": "'x'",
    "read_parquet": "'x'",
    "parquet_scan": "'x'",
    "parquet_metadata": "'x'",
    "parquet_file_metadata": "'x'",
    "parquet_schema": "'x'",
    "parquet_kv_metadata": "'x'",
    "read_text": "'x'",
    "read_blob": "'x'",
    "glob": "'*'",
    "sniff_csv": "'x'",
    "iceberg_scan": "'x'",
    "sqlite_scan": "'x', 'y'",
    "postgres_query": "'x', 'y'",
    # settings, secrets and the engine's own tables
    "getenv": "'HOME'",
    "getvariable": "'x'",
    "current_setting": "'temp_directory'",
    "duckdb_settings": "",
    "duckdb_secrets": "",
    "duckdb_tables": "",
    "duckdb_functions": "",
    "duckdb_temporary_files": "",
    "duckdb_extensions": "",
    "pragma_database_size": "",
    "current_database": "",
    "current_query": "",
    "pg_typeof": "1",
    "which_secret": "'x', 'y'",
    # other ways to run a text
    "query": "'SELECT 1'",
    "query_table": "'x'",
    "json_execute_serialized_sql": "'x'",
    "json_serialize_sql": "'SELECT 1'",
    "load_extension": "'x'",
    "nextval": "'x'",
    "set_config": "'x', 'y', 'z'",
    # time and memory
    "sleep": "10",
    "sleep_ms": "10000",
    "repeat": "'x', 2000000000",
    "range": "1000000000",
    "generate_series": "1, 1000000000",
    "lpad": "'x', 2000000000, 'y'",
    "list_value": "1",
    "write_log": "'x'",
}
STATEMENTS = (
    "SET memory_limit = 1",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "COPY tycho2.stars TO 'x'",
    "ATTACH 'x'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "EXPORT DATABASE 'x'",
    "CREATE MACRO f() AS 1",
    "DROP TABLE tycho2.stars",
    "DELETE FROM tycho2.stars",
    "UPDATE tycho2.stars SET ra = 0",
    "CHECKPOINT",
    "PREPARE p AS SELECT 1",
    "SHOW TABLES",
)
INSIDES = ("Traceback", "site-packages", "Parser Error", "Binder Error", "Catalog Error", r"\.parquet\b", r"\bdataset/")


def wide(text: str) -> str:
    """Return a text in full-width letters, which normalise to the usual ones."""
    return "".join(chr(ord(letter) + 0xFEE0) if letter.isalpha() else letter for letter in text)


def calls() -> Iterator[str]:
    """Yield each function in many spellings."""
    for name, arguments in CALLS.items():
        spelt = (
            name,
            name.upper(),
            f'"{name}"',
            f"{name} ",
            f"{name}-- \n",
            f"{name}/**/",
            f"main.{name}",
            f'"system"."main"."{name}"',
            f"{name[0]}\u200b{name[1:]}",
            wide(name),
            f"\ufeff{name}",
        )
        for one in spelt:
            yield f"SELECT TOP 1 {one}({arguments}) FROM tycho2.stars"
        yield f"SELECT * FROM {name}({arguments})"
        yield f"SELECT TOP 1 ra FROM tycho2.stars WHERE {name}({arguments}) IS NOT NULL"


def statements() -> Iterator[str]:
    """Yield each statement alone, hidden, and behind a query."""
    for text in STATEMENTS:
        yield from (text, text.lower(), f"/* x */ {text}", f"-- x\n{text}", f"({text})", f"\u00a0{text}")
        yield f"SELECT TOP 1 ra FROM tycho2.stars; {text}"
        yield f"SELECT TOP 1 ra FROM tycho2.stars --\n; {text}"
        yield f"SELECT TOP 1 ra FROM ({text}) AS t"
        yield f"WITH t AS ({text}) SELECT * FROM t"


def test_no_attack_is_executed_and_no_message_tells_of_the_inside(
    server: RunningServer, sample_store: SampleStore
) -> None:
    attacks = [*calls(), *statements()]
    assert len(attacks) > 600
    paths = (re.escape(str(path)) for path in (sample_store.root, server.log.parent))
    inside = re.compile("|".join((*INSIDES, *paths)))
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    wrong = []
    for attack in attacks:
        words = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": attack})
        connection.request("POST", "/tap/sync", words, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 400 or inside.search(text):
            wrong.append((attack, answer.status, text[:400]))
    connection.close()
    assert not wrong
