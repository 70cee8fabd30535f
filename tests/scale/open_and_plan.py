"""Open a release and plan cones in a fresh process; print what it took as JSON.

``python -m tests.scale.open_and_plan ROOT``
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from catalog_service.models.query import ResolvedQuery
from catalog_service.models.tree import (
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Expr,
    FromItem,
    IntegerLiteral,
    Join,
    JoinKind,
    Point,
    RealLiteral,
    Select,
    SelectItem,
    TableRef,
)
from catalog_service.planner.plan import plan
from catalog_service.storage.catalogs import Registry, SchemaRule, Snapshot

__all__ = ["Planner", "main"]

_REPEATS = 300


class Planner:
    """Plans random cones on the tables of a simulated release."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._stored = snapshot.stored
        self._rng = np.random.default_rng(1)

    def cone(self, table: str, radius_deg: float) -> int:
        """Plan a cone on one table; return the number of files."""
        source = TableRef(0, self._stored[table].table, "t")
        return self._plan(source, self._cone(table, 0, radius_deg))

    def light_curves(self, radius_deg: float) -> int:
        """Plan the join of both tables on the key in a cone around objects."""
        refs = [TableRef(n, self._stored[name].table, "t") for n, name in enumerate(("sky.Object", "sky.ForcedSource"))]
        keys = [ColumnRef(ref.source, ref.table.columns_by_folded_name["objectid"]) for ref in refs]
        join = Join(JoinKind.INNER, refs[0], refs[1], on=Comparison("=", keys[0], keys[1]))
        return self._plan(join, self._cone("sky.Object", 0, radius_deg))

    def everything(self, table: str) -> int:
        """Plan a scan of a whole table."""
        return self._plan(TableRef(0, self._stored[table].table, "t"), None)

    def _cone(self, table: str, source: int, radius_deg: float) -> Expr:
        names = self._stored[table].table.columns_by_folded_name
        ra, dec = self._rng.uniform(0, 360), np.degrees(np.arcsin(self._rng.uniform(-1, 1)))
        centre = Point(RealLiteral(float(ra)), RealLiteral(float(dec)))
        own = Point(ColumnRef(source, names["ra"]), ColumnRef(source, names["dec"]))
        return Comparison("=", Contains(own, Circle(centre, RealLiteral(radius_deg))), IntegerLiteral(1))

    def _plan(self, source: FromItem, where: Expr | None) -> int:
        column = next(iter(self._stored.values())).table.columns[0]
        query = ResolvedQuery(Select((SelectItem(IntegerLiteral(1), column=column),), source, where=where), (column,))
        return plan(query, lambda table: self._stored[table.full_name], visible_schemas={"sky"}).files


def memory_mb(which: str) -> float:
    """Return the resident memory of this process (``VmRSS``) or the largest so far (``VmHWM``), in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(which))


def timed(action: Callable[[], int], repeats: int) -> dict[str, float]:
    """Return median time in ms, and median number of files, of an action."""
    times, files = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        files.append(action())
        times.append((time.perf_counter() - start) * 1000)
    return {
        "median_ms": statistics.median(times),
        "p95_ms": sorted(times)[int(0.95 * repeats)],
        "files": statistics.median(files),
    }


def main() -> None:
    """Measure, and print JSON."""
    gc.collect()
    before_mb = memory_mb("VmRSS")
    start = time.perf_counter()
    registry = Registry(Path(sys.argv[1]), {}, SchemaRule("public"))
    open_s = time.perf_counter() - start
    planner = Planner(registry.snapshot)
    figures = {
        "open_s": open_s,
        "resident_mb": memory_mb("VmRSS") - before_mb,
        "peak_mb": memory_mb("VmHWM") - before_mb,
        "rows": {name: stored.rows for name, stored in registry.snapshot.stored.items()},
        "files": {name: stored.file_count for name, stored in registry.snapshot.stored.items()},
        "object_cone_60_arcsec": timed(lambda: planner.cone("sky.Object", 1 / 60), _REPEATS),
        "cone_60_arcsec": timed(lambda: planner.cone("sky.ForcedSource", 1 / 60), _REPEATS),
        "cone_1_deg": timed(lambda: planner.cone("sky.ForcedSource", 1.0), _REPEATS),
        "light_curves_60_arcsec": timed(lambda: planner.light_curves(1 / 60), _REPEATS),
        "everything": timed(lambda: planner.everything("sky.ForcedSource"), 5),
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
