"""Functions of the IVOA's catalogue: its own examples, healpy and astropy as judges."""

import math
import re
from pathlib import Path

import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import Distance, SkyCoord
from astropy.time import Time
from numpy.typing import NDArray

from catalog_service.exceptions import QueryError, QueryNameError
from catalog_service.language.functions import declared_features
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import QueryText, TableScan
from catalog_service.models.schema import DataType, SkyPosition, Table
from partitioning.sky.healpix import radec_to_index
from tests.catalog_service.language.store import Store, View, column

POSITIONS = Table(
    "sky",
    "Spot",
    (column("ra", DataType.DOUBLE), column("dec", DataType.DOUBLE), column("cell", DataType.LONG)),
    position=SkyPosition("ra", "dec"),
)

Vector = NDArray[np.float64]


class Positions:
    """A table of awkward positions on disk."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store = store
        self.path = str(path)
        self.ra, self.dec = awkward()
        self.index = radec_to_index(self.ra, self.dec)
        columns = {"ra": self.ra, "dec": self.dec, "cell": self.index, "_healpix_29": self.index[::-1]}
        pq.write_table(pa.table(columns), path)

    def rows(self, items: str, *, own_index: bool = False) -> list[tuple[object, ...]]:
        resolved = resolve(parse(QueryText(f"SELECT {items} FROM sky.Spot")), View((POSITIONS,)))
        scan = TableScan(POSITIONS, (self.path,), own_index=own_index)
        return self.store.connection.execute(emit(resolved, {0: scan}, max_rows=10**6)).fetchall()


def awkward() -> tuple[Vector, Vector]:
    """Return positions all over the sky, thick at the poles and the seam of RA, and on borders of base cells."""
    rng = np.random.default_rng(11)
    ra, dec = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    dec[:2000], dec[2000:4000] = 90 - rng.exponential(0.5, 2000), -90 + rng.exponential(0.5, 2000)
    ra[4000:5000] = rng.normal(0, 1e-7, 1000) % 360
    latitude = math.degrees(math.asin(2 / 3))
    borders = [(45.0 * k, lat) for k in range(8) for lat in (90.0, -90.0, 0.0, latitude, -latitude, 20.0)]
    ra[5000 : 5000 + len(borders)], dec[5000 : 5000 + len(borders)] = np.array(borders).T
    return ra, dec


@pytest.fixture(scope="module")
def positions(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Positions:
    return Positions(store, tmp_path_factory.mktemp("ivo") / "positions.parquet")


# --- HEALPix ---


@pytest.mark.parametrize("order", [0, 1, 7, 17])
def test_index_is_that_of_healpy(positions: Positions, order: int) -> None:
    rows = positions.rows(f"ivo_healpix_index({order}, ra, dec), ivo_healpix_index({order}, POINT('ICRS', ra, dec))")
    expected = healpy.ang2pix(1 << order, positions.ra, positions.dec, nest=True, lonlat=True)
    assert np.array_equal(np.array(rows), np.stack([expected, expected], axis=1))


def test_index_of_order_29_is_the_stored_one(positions: Positions) -> None:
    found = np.array(positions.rows("ivo_healpix_index(29, ra, dec)"))[:, 0]
    assert np.count_nonzero(found != positions.index) <= 2  # the rounding of one sine near a pole


def test_right_ascensions_of_other_turns(positions: Positions) -> None:
    rows = positions.rows(
        "ivo_healpix_index(9, ra, dec), ivo_healpix_index(9, ra - 360, dec), ivo_healpix_index(9, ra + 720, dec)"
    )
    here, before, after = np.array(rows).T
    assert np.count_nonzero((here != before) | (here != after)) <= 5  # RA is rounded by the turns


def test_own_positions_have_their_index_stored(positions: Positions) -> None:
    """The stored index is wrong on purpose: it can be told from a computed one."""
    order_10 = (positions.index[::-1] >> 38).tolist()
    for call in ("ivo_healpix_index(10, ra, dec)", "ivo_healpix_index(10, POINT('ICRS', ra, dec))"):
        assert [row[0] for row in positions.rows(call, own_index=True)] == order_10
        assert [row[0] for row in positions.rows(call)] == (positions.index >> 38).tolist()
    swapped = positions.rows("ivo_healpix_index(10, dec, ra)", own_index=True)
    assert [row[0] for row in swapped][:100] != order_10[:100]


def test_stored_indices_group(positions: Positions) -> None:
    resolved = resolve(
        parse(
            QueryText(
                "SELECT ivo_healpix_index(2, ra, dec) AS c, COUNT(*) AS k FROM sky.Spot GROUP BY ivo_healpix_index(2, ra, dec)"
            )
        ),
        View((POSITIONS,)),
    )
    sql = emit(resolved, {0: TableScan(POSITIONS, (positions.path,), own_index=True)}, max_rows=1000)
    assert '"_healpix_29"' in sql
    counts = np.bincount(positions.index >> 54, minlength=192)
    assert dict(positions.store.connection.execute(sql).fetchall()) == {
        c: k for c, k in enumerate(counts.tolist()) if k
    }


@pytest.mark.parametrize("order", [0, 1, 3, 17, 29])
def test_centres_are_those_of_healpy(positions: Positions, order: int) -> None:
    rows = positions.rows(
        f"ivo_healpix_center({order}, ivo_healpix_index({order}, ra, dec)), COORD2(ivo_healpix_center({order}, ivo_healpix_index({order}, ra, dec)))"
    )
    cells = healpy.ang2pix(1 << order, positions.ra, positions.dec, nest=True, lonlat=True)
    ra, dec = healpy.pix2ang(1 << order, cells, nest=True, lonlat=True)
    found = np.array([row[0] for row in rows])
    off = np.abs((found[:, 0] - ra + 180) % 360 - 180) * np.cos(np.radians(dec))
    same = np.abs(found[:, 1] - dec) + off < 1e-9
    assert np.count_nonzero(~same) <= (2 if order == 29 else 0)
    assert ((found[:, 0] >= 0) & (found[:, 0] < 360)).all()
    assert [row[1] for row in rows] == found[:, 1].tolist()


def test_examples_of_the_catalogue(store: Store) -> None:
    row = store.run(
        "SELECT ivo_healpix_index(0, 1, 1), ivo_healpix_index(17, POINT('ICRS', 1, 1)),"
        " ivo_healpix_index(17, CENTROID(CIRCLE(359, -1, 3))), ivo_healpix_center(0, 6),"
        " ivo_healpix_center(17, ivo_healpix_index(17, 23.4, 56.7))"
    ).rows[0]
    assert row[:4] == (4, 81609757711, 73009064944, (180.0, 0.0))
    assert row[4] == pytest.approx((23.399843462947466, 56.70016214363192), abs=1e-11)


@pytest.mark.parametrize(
    "call",
    ["ivo_healpix_index(-1, ra, dec)", "ivo_healpix_index(3, ra, 90.5 + 0 * dec)", "ivo_healpix_index(3, NULL, dec)"]
    + [f"ivo_healpix_index({a}, ra, dec)" for a in ("objectId", "0 - n * n - 1", "30 + tiny")]
    + [f"COORD1(ivo_healpix_center({a}))" for a in ("3, -1", "3, 768", "-2, 0", "0, objectId", "objectId, 0", "3, NULL")],
)  # fmt: skip
def test_what_is_no_cell_is_null(store: Store, call: str) -> None:
    assert {value for (value,) in store.run(f"SELECT {call} FROM sky.Object").rows} == {None}


def test_points_of_cells_are_geometry(store: Store) -> None:
    inside = store.run(
        "SELECT ivo_healpix_index(4, ra, dec) FROM sky.Object WHERE 1 = CONTAINS(ivo_healpix_center(4, ivo_healpix_index(4, ra, dec)), CIRCLE(10, 89, 8))"
    )
    ra, dec = healpy.pix2ang(16, np.array(inside.column()), nest=True, lonlat=True)
    centre = SkyCoord(10, 89, unit="deg")
    assert (SkyCoord(ra, dec, unit="deg").separation(centre).deg <= 8).all()
    everywhere = healpy.ang2pix(16, store.objects["ra"], store.objects["dec"], nest=True, lonlat=True)
    near = SkyCoord(*healpy.pix2ang(16, everywhere, nest=True, lonlat=True), unit="deg").separation(centre).deg <= 8
    assert len(inside.rows) == np.count_nonzero(near) > 50


# --- motion ---


def moved(store: Store, *numbers: float | None) -> tuple[float, float]:
    written = ", ".join("NULL" if number is None else repr(number) for number in numbers)
    point = store.run(f"SELECT ivo_epoch_prop_pos({written})").rows[0][0]
    assert isinstance(point, tuple)
    return point


@pytest.mark.parametrize(
    ("ra", "dec", "parallax", "pmra", "pmdec", "velocity", "years"),
    [
        (10.0, 20.0, 10.0, 100.0, -50.0, 0.0, 25.0),
        (359.99999, -45.0, 5.0, 250.0, 30.0, 20.0, 16.0),
        (0.00001, 0.0, 3.0, -400.0, 0.0, -30.0, 50.0),
        (200.0, 89.9999, 8.0, 300.0, 200.0, 10.0, -30.0),
        (120.0, -89.99999, 2.0, -100.0, -900.0, 5.0, 20.0),
        (269.452, 4.694, 546.98, -801.55, 10362.39, -110.5, 10.0),
    ],
)
def test_motion_is_that_of_astropy(
    store: Store, ra: float, dec: float, parallax: float, pmra: float, pmdec: float, velocity: float, years: float
) -> None:
    star = SkyCoord(
        ra * units.deg,
        dec * units.deg,
        distance=Distance(parallax=parallax * units.mas),
        pm_ra_cosdec=pmra * units.mas / units.yr,
        pm_dec=pmdec * units.mas / units.yr,
        radial_velocity=velocity * units.km / units.s,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    later = star.apply_space_motion(new_obstime=Time(2016.0 + years, format="jyear", scale="tdb"))
    found = moved(store, ra, dec, parallax, pmra, pmdec, velocity, 2016.0, 2016.0 + years)
    # astropy's way (SOFA's starpm) takes account of the light's travel time, which plain linear motion does not
    limit_deg = 1e-9 if math.hypot(pmra, pmdec) < 1000 else 1e-6
    assert SkyCoord(*found, unit="deg").separation(later).deg < limit_deg
    assert 0 <= found[0] < 360


def test_motion_without_parts(store: Store) -> None:
    assert moved(store, 10.0, 20.0, None, None, None, None, 2000.0, 2020.0) == pytest.approx((10.0, 20.0), abs=1e-12)
    assert moved(store, 10.0, 0.0, None, 3600.0, None, 99.0, 2000.0, 2100.0) == pytest.approx((10.1, 0.0), abs=1e-6)
    assert moved(store, 370.0, 0.0, None, 0.0, 0.0, None, 2000.0, 2000.0) == pytest.approx((10.0, 0.0), abs=1e-12)
    nowhere = "SELECT COORD1(ivo_epoch_prop_pos({}, 0, 0, 0, 0, 2000, {})) FROM sky.Visit WHERE visit = 1"
    for start, end in [("NULL, 1", "2001"), ("1, NULL", "2001"), ("1, 1", "NULL"), ("1, 95 + mjd", "2001")]:
        assert store.run(nowhere.format(start, end)).rows == [(None,)]


def test_moved_positions_are_matched(store: Store) -> None:
    query = "SELECT COUNT(*) FROM sky.Small WHERE DISTANCE(ivo_epoch_prop_pos(ra, dec, NULL, 360000, 0, NULL, 2000, 2010), POINT(ra, dec)) BETWEEN 0.999 AND 1"
    assert store.run(query).rows == [(len(store.run("SELECT ra FROM sky.Small").rows),)]


# --- intervals and texts ---


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("ivo_interval_overlaps(-2, -3, 2, 3)", 0),
        ("ivo_interval_overlaps(-2, 55.3, 2, 3)", 1),
        ("ivo_interval_overlaps(2, 3, -2, 55.3)", 1),
        ("ivo_interval_overlaps(-2, 55.3, 3, 2)", 0),
        ("ivo_interval_overlaps(-2, 2, 2, 3)", 1),
        (
            "ivo_interval_overlaps(9223372036854775806, 9223372036854775806, 9223372036854775807, 9223372036854775807)",
            0,
        ),
        ("ivo_interval_overlaps(NULL, 2, 2, 3)", None),
        ("ivo_hasword('Miller and Urey have', 'miller')", 1),
        ("ivo_hasword('shown that a primordial', 'soup')", 0),
        ("ivo_hasword('shown that a primordial', 'shown primordial')", 1),
        ("ivo_hasword('shown that a primordial', 'shown soup')", 0),
        ("ivo_hasword('M31 (Andromeda)', 'ANDROMEDA, m31')", 1),
        ("ivo_hasword('Étoile de Müller', 'müller')", 1),
        ("ivo_hasword(NULL, 'a')", None),
        ("ivo_hashlist_has('red#green#blue', 'red')", 1),
        ("ivo_hashlist_has('Red#green#blue', 'rED')", 1),
        ("ivo_hashlist_has('red#green#blue', 're')", 0),
        ("ivo_hashlist_has('red#green#blue', 'red#green')", 0),
        ("ivo_nocasematch('ABcabc', 'ab__bc')", 1),
        ("ivo_nocasematch('abcabc', 'abcab')", 0),
    ],
)
def test_intervals_and_texts(store: Store, call: str, expected: int | None) -> None:
    answer = store.run(f"SELECT {call} AS x")
    assert answer.rows == [(expected,)]
    assert answer.resolved.columns[0].datatype is DataType.INT


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("ivo_healpix_index(30, ra, dec)", "30 is no order of HEALPix cells; they are 0 to 29"),
        ("ivo_healpix_index(3)", "IVO_HEALPIX_INDEX does not take 1 arguments. Its form is ivo_healpix_index(hpxOrder"),
        ("ivo_healpix_index(3, name)", "needs a geometry such as POINT(ra, dec), not a text"),
        ("ivo_healpix_index(3, POINT('GALACTIC', ra, dec))", "'GALACTIC' is not supported"),
        ("ivo_healpix_center(3, 2.5)", "IVO_HEALPIX_CENTER needs an integer here"),
        ("ivo_epoch_prop_pos(ra, dec)", "radial_velocity DOUBLE PRECISION, ref_epoch"),
        ("ivo_hasword(name)", "IVO_HASWORD takes 2 arguments, not 1"),
        ("ivo_hasword(name, n)", "IVO_HASWORD needs texts, not a number"),
        ("ivo_haswords(name, name)", "Did you mean 'IVO_HASWORD'?"),
    ],
)
def test_what_does_not_fit_is_told(store: Store, call: str, message: str) -> None:
    with pytest.raises(QueryError, match=re.escape(message)):
        store.run(f"SELECT {call} FROM sky.Object")


def test_hidden_functions_cannot_be_called(store: Store) -> None:
    with pytest.raises(QueryError):
        store.run('SELECT "ivo_healpix_center.ra"(3, 4) FROM sky.Object')
    with pytest.raises(QueryNameError):
        store.run("SELECT ivo_healpix_center_ra(3, 4) FROM sky.Object")


def test_they_are_declared(store: Store) -> None:
    forms = dict(declared_features())["features-udf"]
    assert "ivo_healpix_index(hpxOrder INTEGER, p POINT) -> BIGINT" in forms
    assert "ivo_hasword(haystack VARCHAR, needle VARCHAR) -> INTEGER" in forms
    assert len(forms) == len(set(forms))
