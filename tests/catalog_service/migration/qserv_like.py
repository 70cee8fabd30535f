"""A MariaDB that looks like a Qserv to what records, compares and dumps it: the synthetic survey with chunk columns.

Real are the protocol, the types and the SQL; ``chunkId`` and ``subChunkId`` follow Qserv's rule (stripes of declination
cut at equal steps of right ascension); rows without a position are left out, as Qserv's loader does. The functions of
scisql that users write most are stored functions here. ``qserv_areaspec_*`` cannot exist: Qserv's front end alone reads
them.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from tests.catalog_service.language.mariadb import MariaDb, await_mariadb, install_mariadb, start_mariadb
from tests.harness import free_port

__all__ = ["DATABASE", "TABLES", "QservLike", "running_qserv_like"]

DATABASE: Final = "survey"
TABLES: Final = ("Visit", "Object", "Source", "MatchesTruth", "TruthSummary")
"""What is loaded unless told: all but ForcedSource, whose 700 000 rows take five seconds."""

_STRIPES: Final = 340
_SUB_STRIPES: Final = 3
_TYPES: Final = {
    "BIGINT": "BIGINT",
    "INTEGER": "INT",
    "DOUBLE": "DOUBLE",
    "FLOAT": "FLOAT",
    "VARCHAR": "VARCHAR(64)",
    "BOOLEAN": "BIT(1)",
    "TIMESTAMP": "DATETIME(6)",
}
_KEYS: Final = {
    "Visit": "PRIMARY KEY (visit)",
    "Object": "PRIMARY KEY (objectId), KEY (chunkId)",
    "Source": "PRIMARY KEY (sourceId), KEY (chunkId)",
    "ForcedSource": "KEY (objectId), KEY (chunkId)",
    "MatchesTruth": "KEY (match_objectId), KEY (chunkId)",
    "TruthSummary": "KEY (id_truth_type), KEY (chunkId)",
}
_POSITIONS: Final = {
    "Object": "SELECT t.*, coord_ra AS at_ra, coord_dec AS at_dec FROM {t} t",
    "Source": "SELECT t.*, coord_ra AS at_ra, coord_dec AS at_dec FROM {t} t",
    "TruthSummary": "SELECT t.*, ra AS at_ra, dec AS at_dec FROM {t} t",
    "ForcedSource": "SELECT t.*, o.coord_ra AS at_ra, o.coord_dec AS at_dec FROM {t} t JOIN {o} o USING (objectId)",
    "MatchesTruth": (
        "SELECT t.*, o.coord_ra AS at_ra, o.coord_dec AS at_dec FROM {t} t JOIN {o} o ON objectId = match_objectId"
    ),
}
"""The position that decides the chunk: a child's is its parent's."""

_FUNCTIONS: Final = """
CREATE FUNCTION scisql_angSep(a1 DOUBLE, d1 DOUBLE, a2 DOUBLE, d2 DOUBLE) RETURNS DOUBLE DETERMINISTIC NO SQL RETURN
  DEGREES(2 * ASIN(LEAST(1, SQRT(POW(SIN(RADIANS(d2 - d1) / 2), 2)
    + COS(RADIANS(d1)) * COS(RADIANS(d2)) * POW(SIN(RADIANS(a2 - a1) / 2), 2)))));
CREATE FUNCTION scisql_s2PtInCircle(a DOUBLE, d DOUBLE, a0 DOUBLE, d0 DOUBLE, r DOUBLE) RETURNS INT DETERMINISTIC
  NO SQL RETURN IF(r < 0 OR r > 180, NULL, COALESCE(scisql_angSep(a, d, a0, d0) <= r, 0));
CREATE FUNCTION scisql_s2PtInBox(a DOUBLE, d DOUBLE, a1 DOUBLE, d1 DOUBLE, a2 DOUBLE, d2 DOUBLE) RETURNS INT
  DETERMINISTIC NO SQL RETURN COALESCE(d BETWEEN d1 AND d2 AND
    IF(a1 <= a2, a BETWEEN a1 AND a2, a >= a1 OR a <= a2), 0);
CREATE FUNCTION scisql_nanojanskyToAbMag(f DOUBLE) RETURNS DOUBLE DETERMINISTIC
  NO SQL RETURN IF(f > 0, -2.5 * LOG10(f) + 31.4, NULL);
CREATE FUNCTION scisql_nanojanskyToAbMagSigma(f DOUBLE, e DOUBLE) RETURNS DOUBLE DETERMINISTIC
  NO SQL RETURN IF(f > 0 AND e >= 0, 1.0857362047581296 * e / f, NULL);
CREATE FUNCTION nap(seconds DOUBLE) RETURNS INT NO SQL SQL SECURITY INVOKER RETURN SLEEP(seconds);
"""

_ACCOUNT: Final = """
CREATE USER 'reader'@'%' IDENTIFIED BY '{password}';
GRANT SELECT, EXECUTE ON *.* TO 'reader'@'%';
"""


@dataclass
class QservLike:
    """A running server, to be asked as its user ``reader``, who may only read."""

    database: MariaDb
    """For statements of its owner."""
    directory: Path
    port: int
    process: subprocess.Popen[bytes]
    user: str = "reader"
    password: str = "known to tests only"

    @property
    def socket(self) -> Path:
        """Path of its socket."""
        return self.directory / "socket"

    @property
    def url(self) -> str:
        """Its address as ``migrate record`` takes it: without the password."""
        return f"mysql://{self.user}@127.0.0.1:{self.port}/{DATABASE}"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Start it again on its data and port."""
        self.process = start_mariadb(self.directory, _network(self.port))
        await_mariadb(self.directory, self.process)


@contextmanager
def running_qserv_like(directory: Path, survey: Path, tables: tuple[str, ...] = TABLES) -> Iterator[QservLike]:
    """Start a server with the survey in it, on a port of 127.0.0.1 and a socket.

    Parameters
    ----------
    directory
        Where it lives; a short path, because a socket is in it.
    survey
        Directory of the survey's Parquet files, as `SampleStore.survey`.
    tables
        Tables to load.
    """
    install_mariadb(directory)
    port = free_port()
    server = start_mariadb(directory, _network(port))
    found = QservLike(await_mariadb(directory, server), directory, port, server)
    try:
        found.database.execute(f"CREATE DATABASE {DATABASE}; USE {DATABASE};" + _FUNCTIONS)
        found.database.execute(_ACCOUNT.format(password=found.password))
        for table in tables:
            _load(found, survey, table)
        yield found
    finally:
        found.process.terminate()
        found.process.wait(30)


def _network(port: int) -> list[str]:
    return ["--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve"]


def _load(server: QservLike, survey: Path, table: str) -> None:
    file = server.directory / f"{table}.tsv"
    with duckdb.connect() as engine:
        rows = engine.sql(_chunked(survey, table))
        types = {name: _TYPES[str(one)] for name, one in zip(rows.columns, rows.types, strict=True)}
        values = ", ".join(_finite(name, types[name]) for name in types)
        engine.sql(
            f"COPY (SELECT {values} FROM rows) TO '{file}' (HEADER false, DELIMITER '\t', NULLSTR '\\N', QUOTE '')"
        )
    columns = ", ".join(f"`{name}` {one}" for name, one in types.items())
    bits = [name for name, one in types.items() if one == "BIT(1)"]
    names = ", ".join(f"@{name}" if name in bits else f"`{name}`" for name in types)
    given = ", ".join(f"`{name}` = CAST(@{name} AS UNSIGNED)" for name in bits)
    server.database.execute(
        f"USE {DATABASE}; CREATE TABLE {table} ({columns}, {_KEYS[table]}) ENGINE=Aria;"
        f"LOAD DATA INFILE '{file}' INTO TABLE {table} CHARACTER SET latin1 ({names})"
        + (f" SET {given};" if bits else ";")
    )
    file.unlink()


def _finite(name: str, mysql_type: str) -> str:
    """MySQL has no NaN and no infinity: they are NULL, as in a Qserv."""
    if mysql_type in {"FLOAT", "DOUBLE"}:
        return f'CASE WHEN isfinite("{name}") THEN "{name}" END'
    return f'"{name}"::INT' if mysql_type == "BIT(1)" else f'"{name}"'


def _chunked(survey: Path, table: str) -> str:
    files = {
        "t": f"read_parquet('{survey}/{table}/**/*.parquet')",
        "o": f"read_parquet('{survey}/Object/**/*.parquet')",
    }
    if table not in _POSITIONS:
        return "SELECT * FROM " + files["t"]
    height = f"(180e0 / {_STRIPES})"
    sub_height = f"(180e0 / {_STRIPES * _SUB_STRIPES})"
    return f"""
        WITH given AS ({_POSITIONS[table].format(**files)}),
        placed AS (SELECT * REPLACE (at_ra - 360 * floor(at_ra / 360) AS at_ra) FROM given
            WHERE isfinite(at_ra + at_dec)),
        striped AS (SELECT *, floor((at_dec + 90) / {height})::INT AS stripe,
            floor((at_dec + 90) / {sub_height})::INT % {_SUB_STRIPES} AS sub FROM placed),
        measured AS (SELECT *, greatest(1, floor(360 * cos(radians(greatest(abs(stripe * {height} - 90),
            abs((stripe + 1) * {height} - 90)))) / {height}))::INT AS chunks FROM striped),
        cut AS (SELECT *, least(chunks - 1, floor(at_ra / (360 / chunks)))::INT AS chunk FROM measured)
        SELECT * EXCLUDE (at_ra, at_dec, stripe, sub, chunks, chunk), stripe * {2 * _STRIPES} + chunk AS chunkId,
            sub * 100 + floor((at_ra - chunk * 360 / chunks) * chunks / 120)::INT AS subChunkId FROM cut"""
