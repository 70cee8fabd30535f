"""Small inputs, and what builds of them published."""

import io
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.cli import main
from partitioning.config import BuildConfig, TableConfig
from partitioning.layout.paths import COLLECTION_PROPERTIES, PLAIN_PROPERTIES
from partitioning.layout.properties import parse_properties
from partitioning.pipeline import BuiltTable, build

CREATED = "2026-01-02T03:04:05Z"
BIG = 1 << 53
"""Integers above this are not exact as float64."""

EDGES = [
    (0.0, 0.0),
    (360.0, 0.0),
    (-0.0, 10.0),
    (-90.0, 45.0),
    (90.0, 0.0),
    (12.5, 90.0),
    (77.0, 90.0),
    (12.5, -90.0),
    (359.9999999999, 1e-12),
    (45.0, 41.8103148957786),
    (10.0, 20.0),
    (10.0, 20.0),
    (10.0, 20.0),
]
"""Positions that break naive code; the last ones are duplicates."""


def sky_rows(count: int, seed: int = 1, first_id: int = BIG + 1) -> pa.Table:
    """Return rows all over the sky, a third of them in two clumps, edge positions first; NaN and NULL in ``mag``."""
    rng = np.random.default_rng(seed)
    ra = rng.uniform(-180, 360, count)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    clump = slice(count // 3, 2 * count // 3)
    ra[clump] = 120 + rng.normal(0, 0.01, count)[clump] + 60 * rng.integers(0, 2, count)[clump]
    dec[clump] = -45 + rng.normal(0, 0.01, count)[clump]
    edges = EDGES[:count]
    ra[: len(edges)], dec[: len(edges)] = np.array(edges).T
    mag = rng.normal(22, 2, count)
    mag[rng.random(count) < 0.3] = np.nan
    values: Mapping[str, Any] = {
        "id": first_id + rng.permutation(count),
        "ra": ra,
        "dec": dec,
        "mag": pa.array(mag, mask=rng.random(count) < 0.1),
        "flux": np.where(rng.random(count) < 0.01, np.inf, rng.normal(0, 1, count)).astype("f4"),
        "zero": np.where(rng.random(count) < 0.5, -0.0, 0.0),
        "band": pa.array(np.array(["u", "g", "r"])[rng.integers(0, 3, count)]),
        "curve": pa.array(
            [[1.0, float("nan"), None], None] * (count // 2) + [[]] * (count % 2), pa.list_(pa.float32())
        ),
        "flag": rng.random(count) < 0.2,
    }
    return pa.table(values)


def write_files(directory: Path, table: pa.Table, files: int = 3) -> None:
    """Write a table to several Parquet files."""
    directory.mkdir(parents=True, exist_ok=True)
    size = -(-table.num_rows // files)
    for number in range(files):
        pq.write_table(table.slice(number * size, size), directory / f"part{number}.parquet", write_page_checksum=True)


def config(base: Path, *tables: TableConfig, **options: Any) -> BuildConfig:
    """Return a configuration that reads and writes below `base`."""
    defaults: dict[str, Any] = {"root": base / "catalogs", "schema": "survey", "input_dir": base, "workers": 2}
    return BuildConfig(tables=tables, **{**defaults, **options})


def sky_table(name: str = "Object", **options: Any) -> TableConfig:
    """Return the configuration of a table of `sky_rows` in directory `name`."""
    defaults: dict[str, Any] = {"input": (f"{name}/*.parquet",), "ra": "ra", "dec": "dec", "id": ("id",)}
    return TableConfig(name=name, **{**defaults, **options})


def build_all(base: Path, *tables: TableConfig, **options: Any) -> dict[str, BuiltTable]:
    """Build tables and return them by name."""
    return {table.name: table for table in build(config(base, *tables, **options), created=CREATED)}


def stored(release: Path) -> pa.Table:
    """Return all rows of a release, leaf by leaf in HEALPix order."""
    return pa.concat_tables(pq.read_table(path, partitioning=None) for path in leaves(release))


def leaves(release: Path) -> list[Path]:
    """Return the leaves of a release in HEALPix order."""

    def start(path: Path) -> int:
        order, number = int(path.parts[-3].split("=")[1]), int(path.stem.split("=")[1])
        return number << (2 * (29 - order))

    return sorted(release.glob("dataset/Norder=*/Dir=*/Npix=*.parquet"), key=start)


def published(table: Path) -> Path:
    """Return the release that a table's pointer file names."""
    pointer = next(table / name for name in (COLLECTION_PROPERTIES, PLAIN_PROPERTIES) if (table / name).exists())
    return table / parse_properties(pointer.read_text(encoding="utf-8"))["hats_primary_table_url"]


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def visible(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory that is not hidden, nor below a hidden one."""
    return {name: content for name, content in tree(directory).items() if "/." not in f"/{name}"}


def commanded(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process: a process of its own would take a second to start."""
    command, out, err = ["catalog-partition", *map(str, arguments)], io.StringIO(), io.StringIO()
    code: Any = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.setattr(sys, "meta_path", sys.meta_path.copy())  # pandas is hidden from this command alone
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code
    return subprocess.CompletedProcess(command, code or 0, out.getvalue(), err.getvalue())


def by_id(table: pa.Table, columns: Iterable[str], key: str = "id") -> list[Any]:
    """Return rows as comparable values, sorted by id; ``repr`` tells -0.0 from 0.0."""
    rows = table.select([key, *columns]).to_pylist()
    return sorted(tuple(repr(value) for value in row.values()) for row in rows)
