"""A table of values that dumps tend to spoil, in a real MariaDB."""

from collections.abc import Sequence

import numpy as np

from tests.catalog_service.language.mariadb import MariaDb, insert

TABLE = """
CREATE TABLE nasty.T (
  id BIGINT NOT NULL PRIMARY KEY, chunkId INT NOT NULL, subChunkId INT NOT NULL,
  f FLOAT, f2 FLOAT(9,3), d DOUBLE, d2 DOUBLE(12,4), u BIGINT UNSIGNED, t TINYINT, z INT(8) ZEROFILL,
  n DECIMAL(30,10), w DECIMAL(65,10), b BIT(1), bits BIT(64), y YEAR,
  day DATE, at DATETIME(6), moment TIMESTAMP(3) NULL, span TIME,
  c CHAR(4), v VARCHAR(40), wide VARCHAR(40) CHARACTER SET utf8mb4, kind ENUM('star', 'galaxy'),
  raw BINARY(3), bytes VARBINARY(40), lob BLOB
) ENGINE=MyISAM
"""

ROWS = [
    (
        "1, 7, 0, 0.1, 1.5, 0.1, 1.5, 18446744073709551615, -128, 42, 12345678901234567890.0123456789, "
        "1234567890123456789012345678901234567890123456789012345.0123456789, 1, 18446744073709551615, 2026, "
        "'2026-11-26', '2026-11-26 01:02:03.456789', '2026-11-26 01:02:03.456', '-12:34:56', "
        "'ab', 'caf\xe9', CONVERT(0xF09F8C8C USING utf8mb4), 'star', 0x000000, 0x00FF0A0D27, 0xFF00"
    ),
    "2, 7, 1" + ", NULL" * 23,
    (
        "3, 8, 0, -0e0, 0, -0e0, 0, 0, 127, 0, -0.0000000001, -1, 0, 0, 0, '1000-01-01', '9999-12-31 23:59:59.999999', "
        "'1970-01-02 00:00:01', '838:59:59', '', '', '', 'galaxy', 0xFF0000, '', ''"
    ),
    (
        "4, 9, 0, 3.4028234663852886e38, 1, 1.7976931348623157e308, -1.5, 9223372036854775808, 1, 99999999, 0, 0, 1, "
        "1, 1999, '2000-02-29', '2000-02-29 00:00:00', '2000-02-29 00:00:00', '00:00:00', "
        "'NULL', 'a\\\\b\\nc,\"d\\'', 'x ', NULL, 0x4E554C, 'NULL', 'nan'"
    ),
]


def make_nasty(mariadb: MariaDb) -> None:
    mariadb.execute("DROP DATABASE IF EXISTS nasty; CREATE DATABASE nasty CHARACTER SET latin1;" + TABLE)
    mariadb.execute(
        "SET NAMES latin1; SET time_zone = '+00:00';" + "".join(f"INSERT INTO nasty.T VALUES ({row});" for row in ROWS)
    )


def random_floats(count: int, seed: int) -> np.ndarray:
    """Return finite numbers of FLOAT over all bit patterns, denormals too; -0.0 is not among them: MariaDB keeps 0."""
    bits = np.random.default_rng(seed).integers(0, 1 << 32, count, dtype=np.uint32)
    bits[:3] = [0, 1, 0x7F7FFFFF]
    floats = bits.view(np.float32)
    return floats[np.isfinite(floats)]


def random_doubles(count: int, seed: int) -> np.ndarray:
    bits = np.random.default_rng(seed).integers(0, 1 << 63, count, dtype=np.uint64)
    bits[: count // 2] |= np.uint64(1 << 63)
    doubles = bits.view(np.float64)
    return doubles[np.isfinite(doubles)]


def make_floats(mariadb: MariaDb, floats: Sequence[float], doubles: Sequence[float]) -> None:
    mariadb.execute(
        "DROP DATABASE IF EXISTS reals; CREATE DATABASE reals;"
        "CREATE TABLE reals.T (id INT PRIMARY KEY, f FLOAT, d DOUBLE) ENGINE=MyISAM;"
        + insert("reals.T", ((at, f, d) for at, (f, d) in enumerate(zip(floats, doubles, strict=True))))
    )
