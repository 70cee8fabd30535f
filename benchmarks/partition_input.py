"""Seeded input for the benchmarks of the partitioner: unsorted Parquet files, as surveys deliver them.

26 columns stand for a plain object table, 991 for the Object table of Rubin's data releases.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["KINDS", "InputKind", "write_input"]

BANDS = np.array(["u", "g", "r", "i", "z", "y"])


@dataclass(frozen=True)
class InputKind:
    """How one kind of input looks."""

    make_rows: Callable[[np.random.Generator, int, int], pa.Table]
    file_rows: int
    group_rows: int
    """Rows of a row group: several to a file."""


def write_input(directory: Path, kind: InputKind, rows: int, seed: int) -> int:
    """Write the input files and return their size in bytes."""
    directory.mkdir()
    for number, start in enumerate(range(0, rows, kind.file_rows)):
        table = kind.make_rows(np.random.default_rng([seed, number]), start, min(kind.file_rows, rows - start))
        path = directory / f"part_{number:05d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=kind.group_rows)
    return sum(path.stat().st_size for path in directory.iterdir())


def _positions(rng: np.random.Generator, start: int, count: int) -> dict[str, Any]:
    """Return ids and positions on a patch of 20 x 20 degrees, a tenth of the rows in dense clumps, unsorted."""
    clumped = rng.random(count) < 0.1
    centre = rng.integers(0, 20, count)
    ra = np.where(clumped, 50 + centre + rng.normal(0, 0.02, count), rng.uniform(50, 70, count))
    dec = np.where(clumped, -40 + centre + rng.normal(0, 0.02, count), rng.uniform(-40, -20, count))
    return {"objectId": rng.permutation(np.arange(start, start + count)) * 7 + (1 << 55), "ra": ra, "dec": dec}


def _narrow(rng: np.random.Generator, start: int, count: int) -> pa.Table:
    """Return rows of 26 columns: id, position, 14 fluxes and errors with NaN, integers, a band, flags."""
    columns = _positions(rng, start, count) | {
        "tract": rng.integers(2000, 5000, count),
        "band": pa.array(BANDS[rng.integers(0, 6, count)]),
        "nobs": rng.integers(0, 200, count).astype(np.int32),
        "mjd": rng.uniform(60_000, 62_000, count),
        "detect_isPrimary": rng.random(count) < 0.85,
        "flag": rng.random(count) < 0.02,
        "ebv": rng.gamma(2.0, 0.02, count).astype(np.float32),
        "z": rng.gamma(3.0, 0.3, count),
        "extendedness": rng.integers(0, 2, count).astype(np.float32),
    }
    for number in range(7):
        measured = rng.random(count) > 0.05
        columns[f"flux{number}"] = np.where(measured, rng.lognormal(5, 2, count), np.nan).astype(np.float32)
        columns[f"fluxErr{number}"] = np.where(measured, rng.lognormal(1, 0.5, count), np.nan).astype(np.float32)
    return pa.table(columns)


def _wide(rng: np.random.Generator, start: int, count: int) -> pa.Table:
    """Return rows of 991 columns: id, position, 708 float32 (some with NaN), 200 flags, 80 integers."""
    columns = _positions(rng, start, count)
    for number in range(708):
        values = rng.standard_normal(count, dtype=np.float32)
        if number % 4 == 0:
            values[rng.random(count, dtype=np.float32) < 0.05] = np.nan
        columns[f"measure{number}"] = values
    for number in range(200):
        columns[f"flag{number}"] = rng.random(count, dtype=np.float32) < 0.02
    for number in range(80):
        columns[f"count{number}"] = rng.integers(0, 1000, count, dtype=np.int32)
    return pa.table(columns)


KINDS: Mapping[int, InputKind] = {
    26: InputKind(_narrow, file_rows=1_000_000, group_rows=250_000),
    991: InputKind(_wide, file_rows=50_000, group_rows=12_500),
}
"""Kinds of input by their number of columns."""
