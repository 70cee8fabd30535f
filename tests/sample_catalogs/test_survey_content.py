from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from sample_catalogs.generate import SurveyConfig
from sample_catalogs.survey.footprint import EDGE_TRACT
from sample_catalogs.survey.shapes import edge_points
from sample_catalogs.survey.tables import table_schemas

Tables = dict[str, pa.Table]
BANDS = "ugrizy"


def column(tables: Tables, table: str, name: str) -> NDArray[Any]:
    return np.asarray(tables[table][name].to_numpy())


def unit_vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    ra_rad, dec_rad = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec_rad) * np.cos(ra_rad), np.cos(dec_rad) * np.sin(ra_rad), np.sin(dec_rad)], axis=1)


def separation_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle between unit vectors, exact for small angles too."""
    return np.asarray(np.degrees(2 * np.arcsin(np.linalg.norm(a - b, axis=1) / 2)))


def rows_of(keys: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Row of each wanted key in a column of unique keys."""
    order = np.argsort(keys)
    found = order[np.searchsorted(keys[order], wanted)]
    assert_array_equal(keys[found], wanted)
    return found


def test_schemas_are_as_declared(survey: Tables, survey_config: SurveyConfig) -> None:
    expected = table_schemas(survey_config)
    assert set(survey) == set(expected)
    for name, schema in expected.items():
        assert survey[name].schema.equals(schema), name
        assert survey[name].num_rows > 0, name
    assert len(expected["Object"]) == 82


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("Object", ["objectId"]),
        ("Visit", ["visit"]),
        ("Source", ["sourceId"]),
        ("ForcedSource", ["objectId", "visit"]),
        ("DiaObject", ["diaObjectId"]),
        ("DiaSource", ["diaSourceId"]),
        ("TruthSummary", ["id_truth_type"]),
        ("MatchesTruth", ["id_truth_type"]),
        ("MatchesTruth", ["match_objectId"]),
    ],
)
def test_keys_are_unique(survey: Tables, table: str, key: list[str]) -> None:
    assert survey[table].group_by(key).aggregate([]).num_rows == survey[table].num_rows


@pytest.mark.parametrize(
    ("child", "key", "parent", "parent_key"),
    [
        ("ForcedSource", "objectId", "Object", "objectId"),
        ("ForcedSource", "visit", "Visit", "visit"),
        ("Source", "visit", "Visit", "visit"),
        ("DiaSource", "diaObjectId", "DiaObject", "diaObjectId"),
        ("DiaSource", "visit", "Visit", "visit"),
        ("MatchesTruth", "match_objectId", "Object", "objectId"),
        ("MatchesTruth", "id_truth_type", "TruthSummary", "id_truth_type"),
    ],
)
def test_no_row_is_an_orphan(survey: Tables, child: str, key: str, parent: str, parent_key: str) -> None:
    known = pc.is_in(survey[child][key], value_set=survey[parent][parent_key].combine_chunks())
    assert pc.all(known).as_py()


def test_parents_of_objects_are_zero_or_absent(survey: Tables) -> None:
    parent = column(survey, "Object", "parentObjectId")
    assert 0 < np.count_nonzero(parent) < len(parent)
    assert not np.isin(parent[parent != 0], column(survey, "Object", "objectId")).any()


def test_edge_tract_holds_every_edge_position_in_order(survey: Tables) -> None:
    edge = survey["Object"].filter(pc.equal(survey["Object"]["tract"], EDGE_TRACT)).sort_by("objectId")
    ra, dec = np.asarray(edge["coord_ra"]), np.asarray(edge["coord_dec"])
    assert_array_equal(np.stack([ra, dec], axis=1), edge_points())
    assert len(ra) == 32
    assert 360.0 in ra
    assert np.signbit(ra[ra == 0]).sum() == 1
    assert {-90.0, 90.0} <= set(dec.tolist())
    assert np.count_nonzero(np.isnan(ra) | np.isnan(dec)) == 3
    assert np.count_nonzero((ra == 62.0) & (dec == -37.0)) == 6


def test_rows_without_position_are_never_observed_but_matched(survey: Tables) -> None:
    bad = np.isnan(column(survey, "Object", "coord_ra")) | np.isnan(column(survey, "Object", "coord_dec"))
    bad_ids = column(survey, "Object", "objectId")[bad]
    assert len(bad_ids) == 3
    assert not np.isin(column(survey, "ForcedSource", "objectId"), bad_ids).any()
    assert np.isin(bad_ids, column(survey, "MatchesTruth", "match_objectId")).any()
    assert np.isnan(column(survey, "TruthSummary", "ra")).any()


def test_edge_tract_has_light_curves_at_the_wrap_and_at_the_poles(survey: Tables) -> None:
    forced = survey["ForcedSource"].filter(pc.equal(survey["ForcedSource"]["tract"], EDGE_TRACT))
    ra, dec = np.asarray(forced["coord_ra"]), np.asarray(forced["coord_dec"])
    assert {0.0, 360.0} <= set(ra[dec == 0].tolist())
    assert {-90.0, 90.0} <= set(dec.tolist())


@pytest.mark.parametrize("kind", ["psf", "cModel"])
@pytest.mark.parametrize("band", BANDS)
def test_magnitudes_follow_from_fluxes(survey: Tables, band: str, kind: str) -> None:
    flux, mag = (column(survey, "Object", f"{band}_{kind}{what}").astype(np.float64) for what in ("Flux", "Mag"))
    good = flux > 0
    assert_allclose(mag[good], 31.4 - 2.5 * np.log10(flux[good]), atol=1e-5)
    assert np.isnan(mag[(flux < 0) | np.isnan(flux)]).all()
    assert np.isposinf(mag[flux == 0]).all()
    assert np.isnan(flux).any()


def test_values_that_need_care_are_present(survey: Tables) -> None:
    infinite = sum(np.isposinf(column(survey, "Object", f"{band}_cModelMag")).sum() for band in BANDS)
    assert infinite > 0
    assert (column(survey, "Object", "u_psfFlux") < 0).any()
    assert 0.10 < np.isnan(column(survey, "Object", "u_psfFlux")).mean() < 0.18
    assert np.isnan(column(survey, "Object", "refExtendedness")).any()
    assert np.isnan(column(survey, "ForcedSource", "psfFlux")).any()
    assert survey["Object"]["refBand"].null_count > 0
    nulls = {(name, field) for name, table in survey.items() for field in table.column_names if table[field].null_count}
    assert nulls == {("Object", "refBand")}


def test_objects_fill_the_strip_at_the_density_of_the_release(survey: Tables, survey_config: SurveyConfig) -> None:
    main = column(survey, "Object", "tract") != EDGE_TRACT
    ra, dec = (column(survey, "Object", f"coord_{name}")[main] for name in ("ra", "dec"))
    height = np.ptp(dec)
    area_deg2 = np.degrees(np.ptp(np.sin(np.radians(dec)))) * np.ptp(ra)
    assert len(ra) / area_deg2 == pytest.approx(survey_config.objects_per_deg2, rel=0.02)
    assert height == pytest.approx(np.ptp(ra) * np.cos(np.radians(37)), rel=0.01)
    assert (ra.min() + ra.max()) / 2 == pytest.approx(62, abs=0.01)


def test_objects_are_in_patch_order_within_their_tract(survey: Tables) -> None:
    main = survey["Object"].filter(pc.not_equal(survey["Object"]["tract"], EDGE_TRACT))
    assert np.all(np.diff(np.asarray(main["patch"])) >= 0)
    assert np.all(np.diff(np.asarray(main["objectId"])) > 0)
    assert set(np.asarray(main["patch"]).tolist()) == set(range(49))


def test_visit_numbers_tell_the_date_and_times_agree(survey: Tables) -> None:
    visit, mjd = column(survey, "Visit", "visit"), column(survey, "Visit", "expMidptMJD")
    assert len(visit) == 12 + 8
    dates = [np.datetime64("1858-11-17") + int(day) for day in np.floor(mjd)]
    assert [int(str(date).replace("-", "")) for date in dates] == (visit // 100_000).tolist()
    assert np.all(np.diff(visit) > 0)
    midpoint = column(survey, "Visit", "expMidpt").astype("datetime64[us]")
    since_epoch = (midpoint - np.datetime64("1858-11-17")) / np.timedelta64(1, "D")
    assert_allclose(since_epoch, mjd, rtol=0, atol=1e-10)
    start = column(survey, "Visit", "obsStart").astype("datetime64[us]")
    assert_allclose((midpoint - start) / np.timedelta64(1, "s"), 15, atol=1e-5)
    seeing = column(survey, "Visit", "seeing")
    assert 0.4 < seeing.min() < seeing.max() < 2.5


def test_forced_sources_repeat_their_object_and_lie_in_view(survey: Tables) -> None:
    objects = rows_of(column(survey, "Object", "objectId"), column(survey, "ForcedSource", "objectId"))
    for name in ("coord_ra", "coord_dec", "parentObjectId", "tract", "patch", "detect_isPrimary"):
        assert_array_equal(column(survey, "ForcedSource", name), column(survey, "Object", name)[objects])
    visits = rows_of(column(survey, "Visit", "visit"), column(survey, "ForcedSource", "visit"))
    assert_array_equal(column(survey, "ForcedSource", "band"), column(survey, "Visit", "band")[visits])
    sky = unit_vectors(column(survey, "ForcedSource", "coord_ra"), column(survey, "ForcedSource", "coord_dec"))
    axis = unit_vectors(column(survey, "Visit", "ra"), column(survey, "Visit", "dec"))[visits]
    assert separation_deg(sky, axis).max() < 2.06  # the corner of the camera


def test_nine_of_ten_objects_in_view_miss_the_gaps_between_detectors(survey: Tables) -> None:
    main = np.flatnonzero(column(survey, "Object", "tract") != EDGE_TRACT)
    sky = unit_vectors(column(survey, "Object", "coord_ra")[main], column(survey, "Object", "coord_dec")[main])
    axes = unit_vectors(column(survey, "Visit", "ra"), column(survey, "Visit", "dec"))
    n_in_view = sum(int(np.count_nonzero(sky @ axis > np.cos(np.radians(1.5)))) for axis in axes)
    n_measured = int(np.count_nonzero(column(survey, "ForcedSource", "tract") != EDGE_TRACT))
    assert n_in_view == len(main) * 12
    assert 0.85 < n_measured / n_in_view < 0.97


def test_forced_fluxes_scatter_about_the_truth_by_their_errors(survey: Tables) -> None:
    truth_of_object = dict(
        zip(
            column(survey, "MatchesTruth", "match_objectId").tolist(),
            rows_of(column(survey, "TruthSummary", "id_truth_type"), column(survey, "MatchesTruth", "id_truth_type")),
            strict=True,
        )
    )
    forced = survey["ForcedSource"]
    known = np.array([key in truth_of_object for key in forced["objectId"].to_pylist()])
    known &= (column(survey, "ForcedSource", "band") == "r") & ~np.isnan(column(survey, "ForcedSource", "psfFlux"))
    truth = np.array([truth_of_object[key] for key in column(survey, "ForcedSource", "objectId")[known].tolist()])
    true_flux = column(survey, "TruthSummary", "flux_r")[truth]
    deviation = column(survey, "ForcedSource", "psfFlux")[known] - true_flux
    pull = deviation / column(survey, "ForcedSource", "psfFluxErr")[known]
    assert np.median(pull) == pytest.approx(0, abs=0.05)
    assert np.percentile(pull, 84) - np.percentile(pull, 16) == pytest.approx(2, abs=0.1)


def test_sources_stand_out_of_the_noise(survey: Tables) -> None:
    assert np.all(column(survey, "Source", "psfFlux") > 5 * column(survey, "Source", "psfFluxErr"))
    assert_array_equal(column(survey, "Source", "ra"), column(survey, "Source", "coord_ra"))
    assert column(survey, "Source", "x").max() < 4072
    assert column(survey, "Source", "y").min() >= 0
    assert column(survey, "Source", "detector").max() < 189


def test_dia_objects_summarise_their_sources(survey: Tables) -> None:
    assert np.all(column(survey, "DiaSource", "snr") > 5)
    parent = rows_of(column(survey, "DiaObject", "diaObjectId"), column(survey, "DiaSource", "diaObjectId"))
    n_object = survey["DiaObject"].num_rows
    assert_array_equal(np.bincount(parent, minlength=n_object), column(survey, "DiaObject", "nDiaSources"))
    for band in "gri":
        here = column(survey, "DiaSource", "band") == band
        count = np.bincount(parent[here], minlength=n_object)
        total = np.bincount(
            parent[here], column(survey, "DiaSource", "psfFlux")[here].astype(np.float64), minlength=n_object
        )
        assert_array_equal(count, column(survey, "DiaObject", f"{band}_psfFluxNdata"))
        mean = column(survey, "DiaObject", f"{band}_psfFluxMean")
        assert_array_equal(np.isnan(mean), count == 0)
        assert_allclose(mean[count > 0], total[count > 0] / count[count > 0], rtol=1e-5)
    near = separation_deg(
        unit_vectors(column(survey, "DiaSource", "ra"), column(survey, "DiaSource", "dec")),
        unit_vectors(column(survey, "DiaObject", "ra"), column(survey, "DiaObject", "dec"))[parent],
    )
    assert near.max() < 1 / 3600


def test_truth_lies_beside_its_object_and_includes_what_was_missed(survey: Tables) -> None:
    objects = rows_of(column(survey, "Object", "objectId"), column(survey, "MatchesTruth", "match_objectId"))
    truth = rows_of(column(survey, "TruthSummary", "id_truth_type"), column(survey, "MatchesTruth", "id_truth_type"))
    apart = separation_deg(
        unit_vectors(column(survey, "Object", "coord_ra"), column(survey, "Object", "coord_dec"))[objects],
        unit_vectors(column(survey, "TruthSummary", "ra"), column(survey, "TruthSummary", "dec"))[truth],
    )
    assert np.nanmax(apart) < 0.25 / 3600
    n_object = survey["Object"].num_rows
    assert 0.98 < len(objects) / n_object < 1
    assert survey["TruthSummary"].num_rows - len(objects) == pytest.approx(0.15 * n_object, rel=0.01)
    kind = column(survey, "TruthSummary", "truth_type")
    assert_array_equal(column(survey, "TruthSummary", "is_pointsource"), kind == 2)
    assert [key[-1] for key in column(survey, "TruthSummary", "id_truth_type")] == kind.astype(str).tolist()
