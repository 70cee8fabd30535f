"""One small release of three tables, completed by brute force, that the tests of verify and repair copy and break."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from partitioning.checks.report import Finding, Full, Report, Scope
from partitioning.checks.verify import verify_release
from partitioning.config import PositionFrom
from partitioning.sky.healpix import Pixel
from tests.partitioning.builders import build_all, sky_rows, sky_table, write_files
from tests.partitioning.checks.complete import complete

ROWS = 420
THRESHOLD_ARCSEC = 10.0
FILES = 3


def child_rows(parents: pa.Table) -> pa.Table:
    """Return two rows a parent, a little off its position, and ten orphans."""
    rng = np.random.default_rng(9)
    at = rng.permutation(np.repeat(np.arange(len(parents)), 2))
    count, orphans = len(at), 10
    lost = pa.array([None if n % 2 else n for n in range(orphans)], pa.int64())
    ra, dec = (parents[name].to_numpy()[at] + rng.uniform(-0.002, 0.002, count) for name in ("ra", "dec"))
    return pa.table(
        {
            "n": np.arange(count + orphans),
            "parent_id": pa.concat_arrays([lost, pa.array(parents["id"].to_numpy()[at])]),
            "ra": np.concatenate([rng.uniform(0, 360, orphans), ra]),
            "dec": np.concatenate([rng.uniform(-90, 90, orphans), np.clip(dec, -90, 90)]),
        }
    )


def build_release(base: Path) -> Path:
    """Build Object with margin and indexes, and its children Dia (own positions) and Forced (its positions)."""
    parents = sky_rows(ROWS)
    dia = child_rows(parents)
    at = np.random.default_rng(5).integers(0, ROWS, 2 * ROWS)
    forced = pa.table(
        {
            "n": np.arange(len(at)),
            "parent_id": parents["id"].to_numpy()[at],
            "ra": parents["ra"].to_numpy()[at],
            "dec": parents["dec"].to_numpy()[at],
        }
    )
    for name, rows in (("Object", parents), ("Dia", dia), ("Forced", forced)):
        write_files(base / name, rows, files=FILES)
    children = [
        sky_table(
            name,
            id=("n",),
            target_rows=200,
            row_group_rows=64,
            position_from=PositionFrom(parent="Object", child_key="parent_id", parent_key="id", same_position=same),
        )
        for name, same in (("Dia", False), ("Forced", True))
    ]
    built = build_all(base, sky_table(target_rows=100, row_group_rows=64), *children)
    for name, table in built.items():
        indexes = ("id", "band") if name == "Object" else ()
        threshold = THRESHOLD_ARCSEC if name != "Forced" else 0.0
        complete(table.directory, threshold_arcsec=threshold, index_columns=indexes)
    return base / "catalogs/survey"


def copied(store: Path, target: Path) -> Path:
    """Return a copy of the schema's directory."""
    shutil.copytree(store, target)
    return target


def checked(release: Path, scope: Scope | None = None) -> Report:
    return verify_release(release, scope=scope or Full())


def found(report: Report, check: str, path: str = "", tile: Pixel | None = None) -> list[Finding]:
    """Return the findings of a check whose path contains `path`, about `tile` if given."""
    return [
        finding
        for finding in report.findings
        if finding.check == check and path in finding.path and tile in (None, finding.tile)
    ]
