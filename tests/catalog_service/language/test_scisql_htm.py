"""scisql's HTM numbers against LSST's sphgeom, its angles of vectors against Python, its polygons as bytes."""

import math
from typing import Any

import numpy as np
import pytest
from lsst.sphgeom import HtmPixelization, LonLat, UnitVector3d

from catalog_service.exceptions import QueryError
from catalog_service.language.pipeline import parse, resolve
from catalog_service.models.query import Language, QueryText
from tests.catalog_service.language.store import VIEW, Store

BOTH = pytest.mark.parametrize("language", Language)


def answer(store: Store, query: str, language: Language) -> list[tuple[Any, ...]]:
    return store.execute(resolve(parse(QueryText(query, language)), VIEW)).rows


@BOTH
@pytest.mark.parametrize("level", [0, 1, 4, 13, 20, 24])
def test_numbers_are_those_of_sphgeom(store: Store, level: int, language: Language) -> None:
    mesh = HtmPixelization(level)
    rows = answer(store, f"SELECT ra, dec, scisql_s2HtmId(ra, dec, {level}) FROM sky.Object", language)
    expected = [mesh.index(UnitVector3d(LonLat.fromDegrees(ra, dec))) for ra, dec, _ in rows]
    wrong = [(row, index) for row, index in zip(rows, expected, strict=True) if row[2] != index]
    assert not wrong, wrong[:5]
    assert len(set(expected)) == 8 if level == 0 else len(set(expected)) > 30


@BOTH
def test_levels_of_numbers_and_numbers_of_levels_in_columns(store: Store, language: Language) -> None:
    rows = answer(store, "SELECT n, scisql_s2HtmLevel(scisql_s2HtmId(ra, dec, n)) FROM sky.Object", language)
    assert all(level == (n if n is not None and n >= 0 else None) for n, level in rows)
    assert len({level for _, level in rows}) == 9
    numbers = "8, 15, 16, 31, 32, 63, 7, 0, -8, 2251799813685248, 4503599627370495, 4503599627370496"
    calls = ", ".join(f"scisql_s2HtmLevel({number}) AS a{n}" for n, number in enumerate(numbers.split(", ")))
    known = (0, 0, None, None, 1, 1, None, None, None, 24, 24, None)
    assert answer(store, f"SELECT {calls} FROM sky.Visit", language)[0] == known


@BOTH
def test_no_number_where_there_is_no_position_or_level(store: Store, language: Language) -> None:
    arguments = ["NULL, 0, 1", "0, NULL, 1", "0, 0, NULL", "0, 90.1, 3", "0, -91, 3", "0, 0, -1", "0, 0, 25"]
    calls = ", ".join(f"scisql_s2HtmId({each}) AS a{n}" for n, each in enumerate(arguments))
    assert set(answer(store, f"SELECT {calls} FROM sky.Visit", language)[0]) == {None}
    rows = answer(store, "SELECT lon, lat, scisql_s2HtmId(lon, lat, 3) FROM sky.Object", language)
    assert all((index is None) == (lon is None or not math.isfinite(lon + lat)) for lon, lat, index in rows)


@BOTH
def test_angles_of_vectors(store: Store, language: Language) -> None:
    rows = answer(store, "SELECT ra, m, n, scisql_angSep(ra, m, 1, 2, n, -3) FROM sky.Object", language)
    for ra, m, n, angle in rows:
        if m is None or n is None:
            assert angle is None
            continue
        a, b = np.array([ra, m, 1]), np.array([2, n, -3])
        assert angle == pytest.approx(math.degrees(math.atan2(np.linalg.norm(np.cross(a, b)), a @ b)), abs=1e-9)
    calls = "scisql_angSep(0, 0, 2, 0, 0, 3), scisql_angSep(0, 0, 2, 0, 0, -3), scisql_angSep(0, 0, 1, 0, 7, 0)"
    assert answer(store, f"SELECT {calls} FROM sky.Visit", language)[0] == pytest.approx((0, 180, 90))


@BOTH
def test_polygons_as_bytes(store: Store, language: Language) -> None:
    corners = "149.95, 1.95, 150.05, 1.95, 150.05, 2.05, 149.95, 2.05"
    query = "SELECT objectId FROM sky.Object WHERE scisql_s2PtInCPoly(ra, dec, {}) = 1"
    plain, packed = (query.format(one) for one in (corners, f"scisql_s2CPolyToBin({corners})"))
    assert (
        resolve(parse(QueryText(packed, language)), VIEW).tree == resolve(parse(QueryText(plain, language)), VIEW).tree
    )
    assert len(answer(store, packed, language)) > 100


@BOTH
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("scisql_s2CPolyToBin(1, 1, 3, 1, 2, 4)", "its bytes are no result here"),
        ("scisql_s2CPolyToBin(1, 1, 3, 1)", "Write scisql_s2CPolyToBin"),
        ("scisql_s2PtInCPoly(ra, dec, 3)", "Write scisql_s2PtInCPoly"),
        ("scisql_angSep(1, 2, 3)", "or scisql_angSep(x1, y1, z1, x2, y2, z2)"),
        ("scisql_s2HtmId(ra, dec)", "3 arguments"),
        ("scisql_s2HtmId(ra, dec, 1.5)", "needs an integer"),
    ],
)
def test_refusals(call: str, message: str, language: Language) -> None:
    with pytest.raises(QueryError) as raised:
        resolve(parse(QueryText(f"SELECT {call} FROM sky.Object", language)), VIEW)
    assert message in f"{raised.value.message} {raised.value.remedy}"
