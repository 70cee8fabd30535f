"""From query text to plan: every common spelling of a region prunes, through joins as well."""

import numpy as np
import pytest

from catalog_service.language.pipeline import parse, resolve
from catalog_service.models.query import QueryText, ScanPlan
from catalog_service.models.schema import Schema
from catalog_service.models.user import ANONYMOUS
from catalog_service.planner.plan import plan
from catalog_service.services.visibility import VisibleCatalogs
from partitioning.layout.manifest import Placement
from tests.catalog_service.planner.worlds import World, anywhere, make_table, make_world

TILES = 192


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    """Publish Object, and ForcedSource placed by it."""
    rng = np.random.default_rng(2)
    positions = anywhere(rng, 10_000)
    objects = make_world(rng, make_table("Object", "objectId"), positions, finest=2, splitting=1.0)
    placement = Placement(
        ra_column="_parent_ra",
        dec_column="_parent_dec",
        own_ra_column=None,
        own_dec_column=None,
        parent="Object",
        parent_key=("objectId", "objectId"),
        parent_release=1,
    )
    forced = make_world(
        rng,
        make_table("ForcedSource", "objectId", "visit", position=None),
        (np.full(10_000, np.nan), np.full(10_000, np.nan)),
        placed=positions,
        placement=placement,
        finest=2,
        splitting=1.0,
    )
    return {"Object": objects, "ForcedSource": forced}


def planned(worlds: dict[str, World], text: str) -> ScanPlan:
    schema = Schema("sky", tuple(world.table for world in worlds.values()), access="public")
    visible = VisibleCatalogs((schema,), ANONYMOUS)
    resolved = resolve(parse(QueryText(text)), visible)
    return plan(resolved, lambda table: worlds[table.name].stored, visible_schemas=visible.schema_names)


@pytest.mark.parametrize(
    "where",
    [
        "CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 10, -20, 0.1)) = 1",
        "1 = CONTAINS(POINT(ra, dec), CIRCLE(10, -20, 0.1))",
        "CONTAINS(POINT(ra, dec), CIRCLE(POINT(10, -20), 6 / 60e0)) = 1",
        "CONTAINS(POINT(o.ra, o.dec), CIRCLE(370., -(15 + 5), 1e-1)) = 1",
        "INTERSECTS(CIRCLE(10, -20, 0.1), POINT(ra, dec)) = 1",
        "DISTANCE(POINT(ra, dec), POINT(10, -20)) < 0.1",
        "scisql_angSep(ra, dec, 10, -20) < 0.1",
        "0.1 >= scisql_angsep(10, -20, ra, dec)",
        "scisql_s2PtInCircle(ra, dec, 10, -20, 0.1) = 1",
        "1 = scisql_s2PtInCPoly(ra, dec, 9.9, -20.1, 10.1, -20.1, 10.1, -19.9, 9.9, -19.9)",
        "DISTANCE(ra, dec, 10, -20) <= 0.1",
        "0.1 > DISTANCE(10, -20, ra, dec)",
        "CONTAINS(POINT(ra, dec), BOX(10, -20, 0.2, 0.1)) = 1",
        "CONTAINS(POINT(ra, dec), POLYGON(10, -20, 10.1, -20, 10.1, -20.1)) = 1",
        "CONTAINS(POINT(ra, dec), POLYGON('ICRS', 10, -20, 10.1, -20, 10.05, -19.95, 10.1, -19.9, 10, -19.9)) = 1",
        "CONTAINS(POINT(ra, dec), REGION('CIRCLE ICRS 10 -20 0.1')) = 1",
        "NOT (DISTANCE(ra, dec, 10, -20) > 0.1 OR objectId < 5)",
        "NOT NOT CONTAINS(POINT(ra, dec), CIRCLE(10, -20, 0.1)) <> 0",
        "0 < CONTAINS(POINT(ra, dec), CIRCLE(10, -20, 0.1))",
        "NOT CONTAINS(POINT(ra, dec), CIRCLE(10, -20, 0.1)) = 0",
        "DISTANCE(ra, dec, 10, -20) BETWEEN 0 AND 0.1",
        "NOT DISTANCE(ra, dec, 10, -20) NOT BETWEEN 0 AND 0.1",
        "INTERSECTS(CIRCLE(10, -20, 0.06), CIRCLE(ra, dec, 0.04)) = 1",
        "INTERSECTS(CIRCLE(ra, dec, 0.04), BOX(10, -20, 0.2, 0.1)) = 1",
        "INTERSECTS(POLYGON(10, -20, 10.1, -20, 10.1, -20.1), CIRCLE(ra, dec, 0.04)) <> 0",
        "CONTAINS(CIRCLE(ra, dec, 0.04), BOX(10, -20, 0.2, 0.1)) = 1",
        "dec BETWEEN -20.1 AND -20 AND (ra > 359.9 OR ra < 0.1)",
        "dec BETWEEN -20.1 AND -20 AND NOT (ra <= 359.9 AND ra >= 0.1)",
        "ra BETWEEN 10 AND 10.1 AND dec BETWEEN -20 AND -19.9",
        "ra >= 10 AND dec > -20 AND ra < 10.1 AND -19.9 > dec",
        "(DISTANCE(ra, dec, 10, -20) < 0.1 OR DISTANCE(ra, dec, 10.1, -20) < 0.1) AND objectId > 5",
    ],
)
def test_spellings_of_regions_prune(worlds: dict[str, World], where: str) -> None:
    one = planned(worlds, f"SELECT objectId FROM sky.Object AS o WHERE {where}")
    assert 1 <= one.files <= 4
    assert one.files_total == TILES


@pytest.mark.parametrize(
    "source",
    [
        "sky.Object AS o JOIN sky.ForcedSource AS f ON f.objectId = o.objectId",
        "sky.Object AS o LEFT OUTER JOIN sky.ForcedSource AS f ON o.objectId = f.objectId",
        "sky.ForcedSource AS f RIGHT JOIN sky.Object AS o ON o.objectId = f.objectId AND f.visit > 3",
        "sky.Object AS o JOIN sky.ForcedSource AS f USING (objectId)",
        "sky.Object AS o NATURAL JOIN sky.ForcedSource AS f",
    ],
)
def test_light_curves_read_the_tiles_of_their_objects(worlds: dict[str, World], source: str) -> None:
    two = planned(worlds, f"SELECT visit FROM {source} WHERE DISTANCE(o.ra, o.dec, 10, -20) < 0.1")
    assert [len(scan.files) <= 4 for scan in two.scans.values()] == [True, True]


def test_light_curves_by_comma_join(worlds: dict[str, World]) -> None:
    where = "o.objectId = f.objectId AND DISTANCE(ra, dec, 1, 2) < 1"
    two = planned(worlds, f"SELECT visit FROM sky.Object o, sky.ForcedSource f WHERE {where}")
    assert all(len(scan.files) <= 6 for scan in two.scans.values())


def test_other_joins_read_all_of_the_other_table(worlds: dict[str, World]) -> None:
    source = "sky.Object o JOIN sky.ForcedSource f ON f.visit = o.objectId"
    scans = planned(worlds, f"SELECT visit FROM {source} WHERE DISTANCE(ra, dec, 1, 2) < 1").scans
    assert sorted(len(scan.files) for scan in scans.values())[1] == TILES
