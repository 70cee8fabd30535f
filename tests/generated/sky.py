"""One small sky, stored twice in tiles of different sizes, and once more as plain files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog_service.models.query import TableScan
from catalog_service.models.schema import Table
from catalog_service.services.catalogs import Catalogs, Published
from catalog_service.storage.catalogs import Registry, SchemaRule
from partitioning.config import load_config
from partitioning.pipeline import build
from tests.generated.queries import IDS, SPOTS

__all__ = ["Sky", "make_sky"]

OBJECTS, SOURCES, VISITS = 500, 900, 30

_CONFIG = """[release]
root = "{root}"
schema = "sky"
[[table]]
name = "Object"
input = ["{inputs}/Object.parquet"]
ra = "ra"
dec = "dec"
id = ["id", "code"]
target_rows = {rows}
row_group_rows = 32
[[table]]
name = "Source"
input = ["{inputs}/Source.parquet"]
ra = "ra"
dec = "dec"
position_from = {{ parent = "Object", key = ["id", "id"] }}
id = ["sid"]
target_rows = {children}
row_group_rows = {group}
[[table]]
name = "Visit"
input = ["{inputs}/Visit.parquet"]
"""


@dataclass(frozen=True)
class Sky:
    """The same rows, stored in three ways."""

    coarse: Published
    fine: Published
    plain: Mapping[str, Path]
    """One file for each table."""

    def plain_scan(self, table: Table) -> TableScan:
        """Return a scan of all rows of a table, without any help."""
        return TableScan(table, (str(self.plain[table.name]),))


def make_sky(directory: Path) -> Sky:
    """Write inputs and build both stores."""
    inputs = directory / "inputs"
    inputs.mkdir(parents=True)
    plain = {}
    for name, table in _tables().items():
        pq.write_table(table, inputs / f"{name}.parquet")
        plain[name] = inputs / f"{name}.plain.parquet"
        pq.write_table(table if name == "Visit" else _with_parents(table, _tables()["Object"]), plain[name])
    sizes = {"coarse": (2000, 4000, 1000), "fine": (80, 200, 40)}
    published = {name: _published(directory / name, inputs, *rows) for name, rows in sizes.items()}
    return Sky(published["coarse"], published["fine"], plain)


def _published(directory: Path, inputs: Path, rows: int, children: int, group: int) -> Published:
    config, state = directory / "build.toml", directory / "state"
    state.mkdir(parents=True)
    sizes = {"rows": rows, "children": children, "group": group}
    config.write_text(_CONFIG.format(root=directory / "catalogs", inputs=inputs, **sizes))
    build(load_config(config))
    return Catalogs(Registry(directory / "catalogs", {}, SchemaRule("public")), state).published


def _tables() -> dict[str, pa.Table]:
    """Return tables whose numbers add up exactly in any order: multiples of powers of two."""
    rng = np.random.default_rng(20)
    ra, dec = _positions(rng, OBJECTS)
    objects = {
        "id": IDS + 3 * rng.permutation(OBJECTS),
        "code": [f"J{number:04d}" for number in rng.permutation(OBJECTS)],
        "ra": ra,
        "dec": dec,
        "mag": _some(rng, (rng.integers(128, 208, OBJECTS) / 8).astype(np.float32)),
        "flux": _some(rng, rng.integers(-400, 800, OBJECTS) / 16),
        "n": _some(rng, rng.integers(-5, 10, OBJECTS).astype(np.int16)),
        "m": _some(rng, rng.integers(-90, 90, OBJECTS).astype(np.int32)),
        "name": _some(rng, np.array([f"{'Star' if n % 2 else 'star'} {n % 5}" for n in range(OBJECTS)])),
    }
    parent = rng.integers(0, OBJECTS, SOURCES)
    ids = np.where(rng.random(SOURCES) < 0.05, IDS + 1 + 3 * parent, objects["id"][parent])
    sources = {
        "sid": np.arange(SOURCES),
        "id": _some(rng, ids, 0.03),
        "visit": rng.integers(0, VISITS + 4, SOURCES).astype(np.int32),
        "flux": _some(rng, rng.integers(-400, 800, SOURCES) / 16),
        "band": _some(rng, rng.choice(np.array(["r", "i", "R", "z"]), SOURCES)),
        "ra": (ra[parent] + rng.normal(0, 1e-3, SOURCES)) % 360,
        "dec": np.clip(dec[parent] + rng.normal(0, 1e-3, SOURCES), -90, 90),
    }
    visits = {"visit": np.arange(VISITS, dtype=np.int32), "band": list("rizy" * VISITS)[:VISITS]}
    visits["mjd"] = 60000 + rng.integers(0, 64, VISITS) / 4
    return {"Object": pa.table(objects), "Source": pa.table(sources), "Visit": pa.table(visits)}


def _with_parents(table: pa.Table, objects: pa.Table) -> pa.Table:
    """Return `table` with the positions that place its rows: of the object of each, or their own."""
    places = dict(
        zip(objects["id"].to_pylist(), zip(*(objects[n].to_pylist() for n in ("ra", "dec")), strict=True), strict=True)
    )
    own = zip(*(table[name].to_pylist() for name in ("id", "ra", "dec")), strict=True)
    placed = [places.get(ident, (ra, dec)) for ident, ra, dec in own]
    for number, name in enumerate(("_parent_ra", "_parent_dec")):
        table = table.append_column(name, pa.array([place[number] for place in placed]))
    return table


def _positions(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions all over the sky and crowded where queries look."""
    ra, dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    for number, (lon, lat) in enumerate(SPOTS):
        at = slice(60 * number, 60 * number + 60)
        ra[at] = (lon + rng.normal(0, 0.4, 60) / np.cos(np.radians(lat))) % 360
        dec[at] = np.clip(lat + rng.normal(0, 0.4, 60), -90, 90)
        ra[at.start], dec[at.start] = lon, lat
    return ra, dec


def _some(rng: np.random.Generator, values: np.ndarray, share: float = 0.1) -> pa.Array:
    return pa.array(values, mask=rng.random(len(values)) < share)
