"""The pieces that the generator is made of, each against an independent calculation."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sample_catalogs.generate import SurveyConfig
from sample_catalogs.survey.arrays import Stream, random_stream
from sample_catalogs.survey.camera import COMCAM, LSSTCAM, Camera
from sample_catalogs.survey.footprint import make_tracts
from sample_catalogs.survey.photometry import magnitude_error, magnitude_to_njy, njy_to_magnitude
from sample_catalogs.survey.sphere import galactic_to_icrs, offset, tangent_plane, uniform_in_discs, unit_vectors

RNG = np.random.default_rng(20260522)


def test_galactic_coordinates_agree_with_astropy() -> None:
    lon, lat = RNG.uniform(0, 360, 500), RNG.uniform(-90, 90, 500)
    ours = SkyCoord(*galactic_to_icrs(lon, lat), unit="deg")
    theirs = SkyCoord(lon, lat, unit="deg", frame="galactic").icrs
    assert ours.separation(theirs).to_value(units.arcsec).max() < 0.1


def test_tangent_plane_agrees_with_astropy() -> None:
    ra, dec = uniform_in_discs(np.full(500, 359.5), np.full(500, -71.0), 2.0, RNG)
    east, north = tangent_plane(unit_vectors(ra, dec), 359.5, -71.0)
    centre, points = SkyCoord(359.5, -71.0, unit="deg"), SkyCoord(ra, dec, unit="deg")
    distance = np.degrees(np.tan(centre.separation(points).to_value(units.rad)))
    angle = centre.position_angle(points).to_value(units.rad)
    assert_allclose(np.stack([east, north]), distance * np.stack([np.sin(angle), np.cos(angle)]), atol=1e-9)


@given(st.floats(0, 360), st.floats(-90, 90), st.floats(-3, 3), st.floats(-3, 3))
def test_offsets_stay_on_the_sphere(ra: float, dec: float, dx: float, dy: float) -> None:
    new_ra, new_dec = offset(np.array([ra]), np.array([dec]), np.array([dx]), np.array([dy]))
    assert 0 <= new_ra[0] < 360
    assert -90 <= new_dec[0] <= 90


def test_unit_vectors_of_unusable_positions_are_nan() -> None:
    xyz = unit_vectors(np.array([np.nan, 10.0, 0.0]), np.array([10.0, np.nan, 0.0]))
    assert np.isnan(xyz[:2]).all()
    assert_array_equal(xyz[2], [1, 0, 0])


@pytest.mark.parametrize(("camera", "n_detector"), [(LSSTCAM, 189), (COMCAM, 9)])
def test_every_detector_is_hit_and_gaps_take_nine_percent(camera: Camera, n_detector: int) -> None:
    half = camera.detectors_per_side * 4225 * 0.2 / 3600 / 2
    dx, dy = RNG.uniform(-half, half, (2, 200_000))
    detector, x, y = camera.locate(dx, dy)
    hit = detector >= 0
    assert set(detector[hit].tolist()) == set(range(n_detector))
    assert hit.mean() == pytest.approx(n_detector / camera.detectors_per_side**2 * 4072 * 4000 / 4225**2, abs=0.005)
    assert x[hit].min() >= 0
    assert x[hit].max() < 4072
    assert y[hit].max() < 4000
    assert np.hypot(dx, dy)[hit].max() <= camera.radius_deg


def test_points_outside_the_camera_hit_nothing() -> None:
    detector, _, _ = LSSTCAM.locate(np.array([0.0, 5.0, -5.0, 1.7]), np.array([0.0, 0.0, 5.0, 1.7]))
    assert_array_equal(detector, [94, -1, -1, -1])


def test_magnitudes_of_odd_fluxes() -> None:
    flux = np.array([1.0, 10**12.56, 0.0, -1.0, np.nan])
    assert_allclose(njy_to_magnitude(flux), [31.4, 0.0, np.inf, np.nan, np.nan], atol=1e-12)
    assert_allclose(
        magnitude_error(flux, np.full(5, 0.1)), [0.1085736, 0, np.inf, np.nan, np.nan], rtol=1e-6, atol=1e-9
    )
    assert_allclose(njy_to_magnitude(magnitude_to_njy(np.array([14.0, 27.5]))), [14.0, 27.5])


def test_random_streams_do_not_depend_on_each_other() -> None:
    keys = [(stream, *key) for stream in Stream for key in ((), (0,), (1,), (0, 0), (2700, 3))]
    first = [random_stream(1, *key).integers(0, 2**62) for key in keys]
    assert len(set(first)) == len(keys)
    assert random_stream(1, *keys[3]).integers(0, 2**62) == first[3]


@pytest.mark.parametrize(
    ("footprint", "numbers"),
    [
        ("dc2", range(2700, 2821)),
        ("dc2strip", [2700]),
        ("dp1", range(5000, 5007)),
        ("allsky", [*range(9000, 9064), 9999]),
    ],
)
def test_tracts_share_the_objects(footprint: str, numbers: list[int]) -> None:
    tracts = make_tracts(SurveyConfig(footprint=footprint, n_object=100_000))  # type: ignore[arg-type]
    assert [tract.number for tract in tracts] == list(numbers)
    total = sum(tract.n_object for tract in tracts if tract.number != 9999)
    assert total == pytest.approx(100_000, abs=len(tracts))


def test_field_of_the_globular_cluster_has_a_dense_core() -> None:
    tract = make_tracts(SurveyConfig(footprint="dp1", n_object=50_000))[0]
    positions = tract.shape.draw(tract.n_object, RNG)
    distance = np.hypot((positions.ra - 6.0224) * np.cos(np.radians(72.0815)), positions.dec + 72.0815)
    density = [np.count_nonzero(distance < radius) / radius**2 for radius in (0.02, 0.5)]
    assert density[0] > 100 * density[1]


def test_all_sky_footprint_is_densest_towards_the_galactic_centre() -> None:
    tracts = make_tracts(SurveyConfig(footprint="allsky", n_object=200_000))[:-1]
    drawn = [tract.shape.draw(tract.n_object, RNG) for tract in tracts]
    sky = SkyCoord(np.concatenate([p.ra for p in drawn]), np.concatenate([p.dec for p in drawn]), unit="deg").galactic
    lat = np.abs(sky.b.to_value(units.deg))
    from_centre = np.abs(sky.l.wrap_at(180 * units.deg).to_value(units.deg))
    bulge = np.count_nonzero((lat < 2) & (from_centre < 10))
    anticentre = np.count_nonzero((lat < 2) & (from_centre > 170))
    poles = np.count_nonzero(lat > 60)
    assert bulge > 1.3 * anticentre
    assert np.count_nonzero(lat < 20) / np.sin(np.radians(10)) > 10 * poles / (1 - np.sin(np.radians(60)))
