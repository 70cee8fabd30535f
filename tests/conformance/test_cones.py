"""Cone searches through every door equal brute force over the input files."""

import math

import numpy as np
import pytest
import pyvo

from catalog_service.client import CatalogClient
from tests.conformance.oracle import Sky
from tests.harness import SampleStore, examples

ARCSEC = 1 / 3600

# centre RA, centre Dec, radius: what breaks naive code
AWKWARD = [
    (0.0, 90.0, 3.0),
    (123.4, 90.0, 1.5),
    (0.0, -90.0, 3.0),
    (300.0, -89.9, 0.5),
    (0.0, 0.0, 2.0),
    (360.0, 0.0, 2.0),
    (359.9999, 41.8103148957786, 1.0),
    (1e-9, -27.5, 5.0),
    (-10.0, 10.0, 3.0),
    (725.0, 10.0, 3.0),
    (45.0, 41.8103148957786, 1.0),
    (90.0, 0.0, 1.0),
    (200.0, 88.0, 20.0),
    (10.0, -70.0, 20.0),
]


def random_cones(sky: Sky, count: int, seed: int, largest_deg: float) -> list[tuple[float, float, float]]:
    """Return cones of 1 arcsec to `largest_deg`: half around rows, half anywhere; radii log-uniform."""
    rng = np.random.default_rng(seed)
    radii = np.exp(rng.uniform(math.log(ARCSEC), math.log(largest_deg), count))
    rows = rng.integers(0, len(sky.ids), count)
    near_ra = sky.ra[rows] + rng.normal(0, 1, count) * radii / 2
    near_dec = np.clip(sky.dec[rows] + rng.normal(0, 1, count) * radii / 2, -90, 90)
    any_ra, any_dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    around = rng.uniform(size=count) < 0.5
    ra, dec = np.where(around, near_ra, any_ra), np.where(around, near_dec, any_dec)
    return list(zip(ra.tolist(), dec.tolist(), radii.tolist(), strict=True))


@pytest.fixture(scope="module")
def stars(sample_store: SampleStore) -> Sky:
    return Sky([sample_store.tycho2], "tyc_row", "ra", "dec")


@pytest.fixture(scope="module")
def objects(sample_store: SampleStore) -> Sky:
    return Sky(sorted((sample_store.survey / "Object").glob("*.parquet")), "objectId", "coord_ra", "coord_dec")


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


def cone_ids(client: CatalogClient, cone: tuple[float, float, float], table: str, ident: str) -> np.ndarray:
    result = client.cone(*cone, table=table, columns=[ident], maxrec=1_000_000)
    assert not result.overflow
    return result.to_arrow().column(ident).to_numpy()


def adql_ids(client: CatalogClient, condition: str, table: str, ident: str) -> np.ndarray:
    result = client.query(f"SELECT {ident} FROM {table} WHERE {condition}", maxrec=1_000_000)
    assert not result.overflow
    return result.to_arrow().column(ident).to_numpy()


@pytest.mark.slow
def test_random_cones_on_real_stars(client: CatalogClient, stars: Sky) -> None:
    count = examples(350, 700)
    cones = random_cones(stars, count, seed=1, largest_deg=20) + AWKWARD
    rows = [stars.check_cone(*cone, cone_ids(client, cone, "tycho2.stars", "tyc_row")) for cone in cones]
    assert sum(found > 0 for found in rows) > count * 3 // 7


@pytest.mark.slow
def test_random_cones_on_the_survey(client: CatalogClient, objects: Sky) -> None:
    cones = random_cones(objects, 250, seed=2, largest_deg=0.3) + random_cones(objects, 50, seed=3, largest_deg=20)
    cones += [*AWKWARD, (0.0, 90.0, ARCSEC), (0.0, 0.0, ARCSEC), (62.0, -37.0, 3 * ARCSEC)]
    rows = [objects.check_cone(*cone, cone_ids(client, cone, "survey.Object", "objectId")) for cone in cones]
    assert sum(count > 0 for count in rows) > 150


ADQL_FORMS = [
    "1 = CONTAINS(POINT({ra}, {dec}), CIRCLE({x}, {y}, {r}))",
    "CONTAINS(POINT('ICRS', {ra}, {dec}), CIRCLE('ICRS', {x}, {y}, {r})) = 1",
    "CONTAINS(POINT({ra}, {dec}), CIRCLE(POINT({x}, {y}), {r})) = 1",
    "DISTANCE(POINT({ra}, {dec}), POINT({x}, {y})) <= {r}",
    "DISTANCE({x}, {y}, {ra}, {dec}) <= {r}",
    "{r} >= DISTANCE(POINT({x}, {y}), POINT({ra}, {dec}))",
]


@pytest.mark.parametrize("form", ADQL_FORMS)
def test_every_adql_form_of_a_cone(client: CatalogClient, stars: Sky, form: str) -> None:
    for x, y, r in [*random_cones(stars, 10, seed=len(form), largest_deg=10), *AWKWARD]:
        condition = form.format(ra="ra", dec="dec", x=repr(x), y=repr(y), r=repr(r))
        stars.check_cone(x, y, r, adql_ids(client, condition, "tycho2.stars", "tyc_row"))


def test_radius_zero_finds_the_exact_position(client: CatalogClient, stars: Sky, objects: Sky) -> None:
    for row in range(0, len(stars.ids), 40_000):
        here = (float(stars.ra[row]), float(stars.dec[row]), 0.0)
        assert stars.ids[row] in cone_ids(client, here, "tycho2.stars", "tyc_row")
        condition = f"DISTANCE(POINT(ra, dec), POINT({here[0]!r}, {here[1]!r})) <= 0"
        assert stars.ids[row] in adql_ids(client, condition, "tycho2.stars", "tyc_row")
    # RA 0, 360 and -0 are one place, and so is a pole at any RA
    for ra, dec in [(0.0, 0.0), (360.0, 0.0), (17.0, 90.0), (200.0, -90.0)]:
        count = objects.check_cone(ra, dec, 0.0, cone_ids(client, (ra, dec, 0.0), "survey.Object", "objectId"))
        assert count >= 2


def test_radius_180_is_the_whole_sky(client: CatalogClient, stars: Sky, objects: Sky) -> None:
    for ra, dec in [(0.0, 0.0), (123.0, 90.0), (56.75, 24.12)]:
        assert (
            stars.check_cone(ra, dec, 180.0, cone_ids(client, (ra, dec, 180.0), "tycho2.stars", "tyc_row")) == 199_217
        )
    assert len(cone_ids(client, (62.0, -37.0, 180.0), "survey.Object", "objectId")) == len(objects.ids)


@pytest.mark.parametrize("radius", [90.0, 150.0, 179.0, 179.999, 179.9999999])
def test_radii_beyond_a_hemisphere(client: CatalogClient, stars: Sky, radius: float) -> None:
    row = 4242
    antipode = (float(stars.ra[row]) + 180.0, -float(stars.dec[row]), radius)
    stars.check_cone(*antipode, cone_ids(client, antipode, "tycho2.stars", "tyc_row"))


def test_an_empty_region_is_an_empty_table(client: CatalogClient) -> None:
    result = client.cone(62.0, -36.0, 0.001, table="survey.Object")
    assert len(result) == 0
    assert not result.overflow
    assert "objectId" in result.to_arrow().column_names


def test_simple_cone_search_through_pyvo(server_url: str, stars: Sky) -> None:
    for ra, dec, radius in [*random_cones(stars, 10, seed=9, largest_deg=5), *AWKWARD[:4]]:
        service = pyvo.dal.SCSService(f"{server_url}/cone/tycho2.stars?")
        found = service.search(pos=(ra % 360, dec), radius=radius, maxrec=1_000_000).to_table()
        stars.check_cone(ra, dec, radius, np.asarray(found["tyc_row"], dtype=np.int64))


def test_simple_cone_search_with_radius_zero_is_metadata_only(server_url: str, stars: Sky) -> None:
    service = pyvo.dal.SCSService(f"{server_url}/cone/tycho2.stars?")
    found = service.search(pos=(float(stars.ra[0]), float(stars.dec[0])), radius=0.0)
    assert len(found) == 0
    assert {"tyc_row", "ra", "dec"} <= set(found.fieldnames)
