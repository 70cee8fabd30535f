"""Open a wide release and go from query texts to SQL in a fresh process; print what it took as JSON.

``python -m tests.scale.plan_texts ROOT STATE``
"""

import gc
import json
import sys
import time
from pathlib import Path

import numpy as np

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import Language, QueryText
from catalog_service.models.user import ANONYMOUS
from catalog_service.planner.ids import wanted_ids
from catalog_service.planner.plan import plan
from catalog_service.planner.statistics import wanted_statistics
from catalog_service.planner.totals import counted
from catalog_service.services.catalogs import Catalogs, Published
from catalog_service.storage.catalogs import Registry, SchemaRule
from tests.scale.open_and_plan import memory_mb

_REPEATS = 1000
_WARM = 50
_CONE = """SELECT objectId, ra, dec, flux7, flux1200 FROM sky.Wide
WHERE CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius})) = 1 AND flux3 > 2.5"""
_STAR = "SELECT * FROM sky.Wide WHERE CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius})) = 1"


def written(text: str, published: Published) -> int:
    """Return the number of files that the SQL of a query reads; everything is done but asking the engine."""
    resolved = counted(resolve(parse(QueryText(text, Language.ADQL)), published.visible(ANONYMOUS)), published.lookup)
    assert wanted_ids(resolved, published.lookup) == ()
    statistics = published.statistics.find(wanted_statistics(resolved, published.lookup))
    scan = plan(resolved, published.lookup, visible_schemas={"sky"}, statistics=statistics)
    assert emit(resolved, scan.scans, max_rows=1_000_000).startswith("SELECT")
    return scan.files


def timed(template: str, radius_deg: float, published: Published, repeats: int = _REPEATS) -> dict[str, float]:
    """Return times in ms of random cones, and the median number of files.

    ``cpu`` are those of the processor, which other jobs of the machine lengthen less.
    """
    rng = np.random.default_rng(3)
    times, cpu, files = [], [], []
    for _ in range(repeats):
        text = template.format(
            ra=rng.uniform(0, 360), dec=np.degrees(np.arcsin(rng.uniform(-0.4, 0.4))), radius=radius_deg
        )
        start, cpu_start = time.perf_counter(), time.thread_time()
        files.append(written(text, published))
        times.append((time.perf_counter() - start) * 1000)
        cpu.append((time.thread_time() - cpu_start) * 1000)
    figures = {"files": float(np.median(files))}
    for name, values in (("", times), ("cpu_", cpu)):
        for percent in (50, 99):
            figures[f"{name}p{percent}_ms"] = float(np.percentile(values[_WARM:], percent))
    return figures


def main() -> None:
    """Measure, and print JSON."""
    parse(QueryText("SELECT 1", Language.ADQL))  # the grammar is read once
    gc.collect()
    before_mb = memory_mb("VmRSS")
    start = time.perf_counter()
    registry = Registry(Path(sys.argv[1]), {}, SchemaRule("public"))
    open_s = time.perf_counter() - start
    registry_mb = memory_mb("VmRSS") - before_mb
    published = Catalogs(registry, Path(sys.argv[2])).published
    gc.collect()
    gc.freeze()  # as the service does
    figures = {
        "open_s": open_s,
        "registry_mb": registry_mb,
        "with_tap_schema_mb": memory_mb("VmRSS") - before_mb,
        "cone_60_arcsec": timed(_CONE, 1 / 60, published),
        "cone_1_deg": timed(_CONE, 1.0, published),
        "cone_60_arcsec_all_columns": timed(_STAR, 1 / 60, published, 100),
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
