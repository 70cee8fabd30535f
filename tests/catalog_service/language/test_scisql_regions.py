"""scisql's boxes and ellipses against the same in Python, at poles, over RA 0, and by their rules for NULL and nonsense."""

import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from catalog_service.planner.scisql_regions import scisql_region
from partitioning.exceptions import RegionError
from partitioning.sky.regions import Region
from tests.catalog_service.language.store import Store

Number = float | None

POSITIONS: list[tuple[Number, Number]] = [
    (lon, lat)
    for lon in (0.0, 10.0, 19.9999999, 350.0, 359.9999999, 360.0, -5.0, 725.0)
    for lat in (0.0, 5.0, 90.0, -90.0)
]
POSITIONS += [(10.0, 91.0), (725.0, 91.0), (10.0, None), (None, 0.0), (None, 90.0), (None, 91.0), (None, None)]

BOXES = [
    (10, -5, 20, 5),
    (350, -5, 10, 5),
    (10, -5, 360, 5),
    (0, -90, 360, 90),
    (-10, -5, 10, 5),
    (20, -5, -10, 5),
    (10, 5, 20, -5),
    (10, -91, 20, 5),
    (700, 0, 730, 90),
    (0, 0, 0, 0),
    (10, None, 20, 5),
    (10, -5, math.inf, 5),
]

ELLIPSES = [
    (10, 0, 36000, 18000, 0),
    (10, 0, 36000, 18000, 90),
    (355, 5, 36000, 1, 45),
    (0, 90, 36000, 36000, 10),
    (0, -90, 36000, 18000, 10),
    (20, 5, 1e-3, 1e-3, 0),
    (10, 0, 100, 200, 0),
    (10, 0, 40000, 200, 0),
    (10, 0, 100, 0, 0),
    (10, 0, 100, -1, 0),
    (10, None, 100, 10, 0),
    (10, 95, 100, 10, 0),
]


def folded(lon: float) -> float:
    lon = math.fmod(lon, 360)
    return lon + 360 if lon < 0 else lon


def in_box(lon: float, lat: float, lon_min: float, lat_min: float, lon_max: float, lat_max: float) -> int | None:
    if max(abs(lat), abs(lat_min), abs(lat_max)) > 90:
        return None
    if lon_max < lon_min and not (lon_max >= 0 and lon_min <= 360):
        return None
    if not lat_min <= lat <= lat_max:
        return 0
    if lon_max - lon_min >= 360:
        return 1
    a, b, x = folded(lon_min), folded(lon_max), folded(lon)
    return int(a <= x <= b if a <= b else x >= a or x <= b)


def in_ellipse(lon: float, lat: float, clon: float, clat: float, a: float, b: float, angle: float) -> int | None:
    if abs(lat) > 90 or abs(clat) > 90 or not 0 <= b <= a <= 36000:
        return None
    if b == 0:
        return 0
    turn = np.radians
    x, y = vector(lon, lat), vector(clon, clat)
    east = np.array([-np.sin(turn(clon)), np.cos(turn(clon)), 0])
    north = np.cross(y, east)
    along = east * np.sin(turn(angle)) + north * np.cos(turn(angle))
    across = east * np.cos(turn(angle)) - north * np.sin(turn(angle))
    size = (x @ along / turn(a / 3600)) ** 2 + (x @ across / turn(b / 3600)) ** 2
    return int(x @ y > 0 and size <= 1)


def vector(lon: float, lat: float) -> np.ndarray:
    lon, lat = np.radians(lon), np.radians(lat)
    return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def expected(test: Any, numbers: list[Number]) -> int | None:
    if None in numbers:
        return 0
    return test(*numbers) if all(math.isfinite(number) for number in numbers if number is not None) else None


def written(number: Number) -> str:
    return "NULL" if number is None else "(1e308 * 1e308)" if math.isinf(number) else repr(float(number))


@pytest.mark.parametrize(
    ("name", "test", "shapes"), [("InBox", in_box, BOXES), ("InEllipse", in_ellipse, ELLIPSES)], ids=["box", "ellipse"]
)
def test_values(store: Store, name: str, test: Any, shapes: list[tuple[Number, ...]]) -> None:
    cases = [[*position, *shape] for position in POSITIONS for shape in shapes if math.inf not in position + shape]
    calls = [f"scisql_s2Pt{name}({', '.join(map(written, case))})" for case in cases]
    answers: list[Any] = []
    for start in range(0, len(calls), 50):
        answers += store.run(f"SELECT {', '.join(calls[start : start + 50])}").rows[0]
    wrong = [(c, a, expected(test, n)) for c, a, n in zip(calls, answers, cases, strict=True) if a != expected(test, n)]
    assert not wrong, wrong[:5]
    assert {0, 1, None} == set(answers)


@pytest.mark.parametrize(("name", "shape"), [("Box", (350, -90, 10, 90)), ("Ellipse", (150, 2, 300, 100, 30))])
def test_stored_positions(store: Store, name: str, shape: tuple[float, ...]) -> None:
    test = in_box if name == "Box" else in_ellipse
    numbers = ", ".join(map(str, shape))
    query = f"SELECT objectId FROM sky.Object WHERE scisql_s2PtIn{name}(lon, lat, {numbers}) = 1"
    rows = zip(store.objects["objectId"].tolist(), store.objects["lon"], store.objects["lat"].tolist(), strict=True)
    inside = [ident for ident, lon, lat in rows if expected(test, [lon, lat, *shape]) == 1]
    assert sorted(store.run(query).column()) == inside
    assert len(inside) > 20


@pytest.mark.parametrize(
    ("name", "shape", "test"),
    [("scisql_s2ptinbox", shape, in_box) for shape in BOXES]
    + [("scisql_s2ptinellipse", shape, in_ellipse) for shape in ELLIPSES],
)
def test_the_planner_knows_a_region_that_holds_them(name: str, shape: tuple[Number, ...], test: Any) -> None:
    numbers = [number for number in shape if number is not None and math.isfinite(number)]
    if len(numbers) < len(shape):
        return
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    near = shape[0] or 0.0, shape[1] or 0.0
    lon = np.concatenate([lon, near[0] + rng.normal(0, 6, 3000)])
    lat = np.concatenate([lat, np.clip(near[1] + rng.normal(0, 6, 3000), -90, 90)])
    inside = np.array([test(x, y, *numbers) == 1 for x, y in zip(lon.tolist(), lat.tolist(), strict=True)])
    region: Region | None = None
    with suppress(RegionError):  # then no row may be inside
        region = scisql_region(name, numbers)
    assert not inside.any() if region is None else region.contains(lon[inside], lat[inside]).all()
