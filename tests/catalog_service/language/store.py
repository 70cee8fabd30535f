"""Small tables with every type, NULLs and awkward positions, as arrays and as Parquet files that DuckDB reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import QueryText, ResolvedQuery, TableScan
from catalog_service.models.schema import Column, DataType, SkyPosition, Table
from catalog_service.models.tree import TableRef

N = 4000


def column(name: str, datatype: DataType, **details: Any) -> Column:
    return Column(name=name, datatype=datatype, **{"stored_name": name, **details})


OBJECT = Table(
    "sky",
    "Object",
    (
        column("objectId", DataType.LONG, ucd="meta.id;meta.main", indexed=True),
        column("ra", DataType.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main"),
        column("dec", DataType.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main"),
        column("mag", DataType.FLOAT, unit="mag", ucd="phot.mag;em.opt.R"),
        column("flux", DataType.DOUBLE, unit="nJy", ucd="phot.flux", stored_name="stored_flux"),
        column("n", DataType.SHORT),
        column("m", DataType.INT),
        column("tiny", DataType.BYTE),
        column("flag", DataType.BOOLEAN),
        column("name", DataType.TEXT, length=20),
        column("seen", DataType.TIMESTAMP),
        column("lon", DataType.DOUBLE, unit="deg"),
        column("lat", DataType.DOUBLE, unit="deg"),
        column("size", DataType.DOUBLE),
        column("samples", DataType.DOUBLE, is_array=True),
    ),
    position=SkyPosition("ra", "dec"),
    primary_key=("objectId",),
)

SMALL = replace(OBJECT, name="Small")
"""The first `SMALL_ROWS` rows of Object."""

SMALL_ROWS = 250

SOURCE = Table(
    "sky",
    "Source",
    (
        column("sourceId", DataType.LONG),
        column("objectId", DataType.LONG),
        column("visit", DataType.INT),
        column("flux", DataType.DOUBLE, unit="nJy"),
    ),
)

VISIT = Table(
    "sky", "Visit", (column("visit", DataType.INT), column("band", DataType.TEXT), column("mjd", DataType.DOUBLE))
)

OTHER_VISIT = Table("other", "Visit", (column("visit", DataType.INT),))

SECRET = Table("hidden", "Secret", (column("id", DataType.LONG),))


@dataclass(frozen=True)
class View:
    """What one caller sees: the tables given."""

    tables: tuple[Table, ...]

    def find(self, schema: str | None, table: str) -> list[Table]:
        return [
            one
            for one in self.tables
            if one.name.lower() == table.lower() and (schema is None or one.schema_name.lower() == schema.lower())
        ]

    def table_names(self) -> Iterable[str]:
        return [table.full_name for table in self.tables]


VIEW = View((OBJECT, SMALL, SOURCE, VISIT, OTHER_VISIT))


FIRST_SEEN = datetime.fromisoformat("2026-01-01")


def positions() -> tuple[np.ndarray, np.ndarray]:
    """Return positions all over the sky, thick around the poles, RA 0 and one dense spot, with some special ones."""
    rng = np.random.default_rng(42)
    ra, dec = rng.uniform(0, 360, N), np.degrees(np.arcsin(rng.uniform(-1, 1, N)))
    dec[100:400], dec[400:700] = 90 - rng.exponential(1.5, 300), -90 + rng.exponential(1.5, 300)
    ra[700:1000], dec[700:1000] = rng.normal(0, 1.5, 300) % 360, rng.normal(0, 1.5, 300)
    ra[1000:1400], dec[1000:1400] = rng.normal(150, 0.02, 400), rng.normal(2, 0.02, 400)
    special = [(0, 90), (123, 90), (0, -90), (0, 0), (359.9999999999, 0), (180, 0), (10, 20), (190, -20), (45, 45)]
    ra[: len(special)], dec[: len(special)] = np.array(special, float).T
    return ra, dec


def object_arrays() -> dict[str, Any]:
    """Return columns of Object by name: numpy arrays, or lists with None where NULLs are."""
    rng = np.random.default_rng(7)
    ra, dec = positions()
    mag = rng.normal(20, 2, N).astype(np.float32)
    mag[:50] = np.round(mag[:50], 1)
    flux = rng.normal(50, 100, N)
    flux[:5] = [0.0, -0.0, 1.0, 1e300, -1e-300]
    lon, lat = ra.copy(), dec.copy()
    lon[50:60], lat[60:70] = np.inf, -np.inf
    return {
        "objectId": np.arange(N) * 3 + 2**60 + 1,
        "ra": ra,
        "dec": dec,
        "mag": _with_nulls(mag, rng, 0.1),
        "flux": _with_nulls(flux, rng, 0.1),
        "n": _with_nulls(rng.integers(-5, 8, N).astype(np.int16), rng, 0.1),
        "m": _with_nulls(rng.integers(-100, 100, N).astype(np.int32), rng, 0.05),
        "tiny": rng.integers(0, 256, N).tolist(),
        "flag": _with_nulls(rng.uniform(size=N) < 0.3, rng, 0.1),
        "name": _with_nulls(np.array([f"{'Star' if i % 2 else 'star'} {i % 11}" for i in range(N)]), rng, 0.1),
        "seen": [FIRST_SEEN + timedelta(hours=int(h)) for h in rng.integers(0, 1000, N)],
        "lon": _with_nulls(lon, rng, 0.02),
        "lat": lat,
        "size": rng.uniform(0, 3, N).tolist(),
        "samples": [[float(i), float(i) / 2] for i in range(N)],
    }


def _with_nulls(values: np.ndarray, rng: np.random.Generator, share: float) -> list[Any]:
    return [None if null else value for value, null in zip(values.tolist(), rng.uniform(size=N) < share, strict=True)]


ARROW_TYPES = {"mag": pa.float32(), "n": pa.int16(), "m": pa.int32(), "tiny": pa.uint8(), "seen": pa.timestamp("us")}


@dataclass(frozen=True)
class Answer:
    """What a query gave."""

    rows: list[tuple[Any, ...]]
    resolved: ResolvedQuery
    sql: str

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.resolved.columns]

    def column(self, index: int = 0) -> list[Any]:
        return [row[index] for row in self.rows]


class Store:
    """The tables on disk, and a connection that reads them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.objects = object_arrays()

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(config={"threads": 1})

    @cached_property
    def sources(self) -> dict[str, Any]:
        rng = np.random.default_rng(3)
        ids = self.objects["objectId"][rng.integers(0, N // 2, 3000)].tolist()
        ids[:20] = [None] * 20
        return {
            "sourceId": list(range(3000)),
            "objectId": ids,
            "visit": rng.integers(0, 12, 3000).tolist(),
            "flux": rng.normal(10, 30, 3000).tolist(),
        }

    @cached_property
    def visits(self) -> dict[str, Any]:
        return {
            "visit": list(range(10)),
            "band": [*"ugrizy", None, "g", "r", "i"],
            "mjd": [60000.5 + i for i in range(10)],
        }

    @cached_property
    def files(self) -> Mapping[str, tuple[str, ...]]:
        """Write the tables; return the files of each by full name."""
        arrays = {name: pa.array(values, ARROW_TYPES.get(name)) for name, values in self.objects.items()}
        arrays["stored_flux"] = arrays.pop("flux")
        objects = pa.table(arrays)
        paths: dict[str, tuple[str, ...]] = {}
        paths["sky.Object"] = (self._write("o1", objects[: N // 3]), self._write("o2", objects[N // 3 :]))
        paths["sky.Small"] = (self._write("small", objects[:SMALL_ROWS]),)
        paths["sky.Source"] = (self._write("s", pa.table(self.sources)),)
        visits = pa.table(self.visits, schema=pa.schema([("visit", pa.int32()), ("band", "string"), ("mjd", "double")]))
        paths["sky.Visit"] = paths["other.Visit"] = (self._write("v", visits),)
        return paths

    def _write(self, name: str, table: pa.Table) -> str:
        path = self.directory / f"it's {name}.parquet"
        pq.write_table(table, path, row_group_size=500)
        return str(path)

    def resolve(self, query: str) -> ResolvedQuery:
        return resolve(parse(QueryText(query)), VIEW)

    def run(self, query: str, *, max_rows: int = 1_000_000) -> Answer:
        """Run a query as the service does, files unpruned."""
        return self.execute(self.resolve(query), max_rows=max_rows)

    def execute(self, resolved: ResolvedQuery, *, max_rows: int = 1_000_000) -> Answer:
        tables = [node for node in walk(resolved.tree) if isinstance(node, TableRef)]
        scans = {node.source: TableScan(node.table, self.files[node.table.full_name]) for node in tables}
        sql = emit(resolved, scans, max_rows=max_rows)
        statements = duckdb.extract_statements(sql)
        assert [statement.type for statement in statements] == [duckdb.StatementType.SELECT]
        relation = self.connection.sql(sql)
        assert relation.columns == [one.name for one in resolved.columns]
        return Answer(relation.fetchall(), resolved, sql)
