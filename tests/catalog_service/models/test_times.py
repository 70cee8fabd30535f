"""What is claimed of times, and what is not: texts as they stand in Rubin's schemas."""

import pytest

from catalog_service.models.schema import Column, DataType
from catalog_service.models.times import TimeSystem, time_system

TAI_MJD = TimeSystem("TAI", "MJD-origin")


def system(name: str = "t", description: str = "", ucd: str = "time.epoch", **more: object) -> TimeSystem | None:
    unit, datatype = more.pop("unit", "d"), more.pop("datatype", DataType.DOUBLE)
    return time_system(Column(name=name, datatype=datatype, description=description, ucd=ucd, unit=unit, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "description", "expected"),
    [
        ("midpointMjdTai", "", TAI_MJD),
        ("expMidptMJD", "Midpoint of the exposure in MJD (TAI).", TAI_MJD),
        ("t", "expressed as Modified Julian Date, International Atomic Time.", TAI_MJD),
        ("epoch_mjd", "MJD of pericentre, TDB", TimeSystem("TDB", "MJD-origin")),
        ("jd_utc", "", TimeSystem("UTC", "JD-origin")),
        ("midpointMjd", "When; the scale is not told.", None),
        ("midpointMjdTai", "Converted to UTC, MJD.", None),
        ("epochTai", "Days since launch.", None),
        ("mountain", "MJD of the detail", None),
    ],
)
def test_numbers_of_days(name: str, description: str, expected: TimeSystem | None) -> None:
    assert system(name, description) == expected


def test_dates_have_no_origin() -> None:
    assert system("obsStart", "Start, TAI, MJD.", datatype=DataType.TIMESTAMP, unit=None) == TimeSystem("TAI")


def test_only_instants_have_a_system() -> None:
    for ucd in ("time.duration;obs.exposure", "stat.error;time.epoch", "meta.id"):
        assert system("midpointMjdTai", ucd=ucd) is None
    assert system("midpointMjdTai", unit="yr") is None
    assert system("midpointMjdTai", datatype=DataType.TEXT) is None
    assert system("midpointMjdTai", is_array=True) is None


def test_identifiers_tell_systems_apart() -> None:
    systems = [TAI_MJD, TimeSystem("TAI", "JD-origin"), TimeSystem("TAI"), TimeSystem("UTC")]
    assert [one.identifier for one in systems] == ["time_tai_mjd", "time_tai_jd", "time_tai", "time_utc"]
