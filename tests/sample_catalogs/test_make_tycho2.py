from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from sample_catalogs.exceptions import SourceFormatError, SourcePackageMissingError
from sample_catalogs.make_tycho2 import (
    INDEX_FILE,
    PACKAGE,
    SCHEMA,
    main,
    make_tycho2,
    read_index,
    unit_vectors_to_degrees,
)

SHIPPED = Path(__file__).parents[2] / "sample_catalogs" / "tycho2" / "tycho2_vt95.parquet"
SCALE = 2147483647.5


def byte_table(name: str, rows: np.ndarray, form: str) -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns([fits.Column(name=name, format=form, array=rows)])


def write_index(path: Path, ra: np.ndarray, dec: np.ndarray, vt_mag: np.ndarray, *, leave_out: str = "") -> None:
    """Write an index file the way the package's is laid out: native bytes in text columns, big-endian magnitudes."""
    ra_rad, dec_rad = np.radians(ra), np.radians(dec)
    xyz = np.stack([np.cos(dec_rad) * np.cos(ra_rad), np.cos(dec_rad) * np.sin(ra_rad), np.sin(dec_rad)], axis=1)
    quanta = np.round((xyz + 1) * SCALE).astype("<u4")
    limits = np.array([-1, -1, -1, 1, 1, 1, SCALE], dtype="<f8")
    tables = {
        "kdtree_data_stars": byte_table("kdtree_data_stars", quanta.view(np.uint8).reshape(-1, 12), "12B"),
        "kdtree_range_stars": byte_table("kdtree_range_stars", limits.view(np.uint8).reshape(-1, 8), "8B"),
        "MAG_VT": byte_table("MAG_VT", vt_mag, "1E"),
    }
    fits.HDUList([fits.PrimaryHDU(), *(hdu for name, hdu in tables.items() if name != leave_out)]).writeto(path)


RA = np.array([0.0, 83.6, 180.0, 269.5, 359.9999])
DEC = np.array([0.0, 22.0, -89.9, 89.9, -0.0001])
VT_MAG = np.array([1.25, 9.5, 9.25, 12.0, 9.75], dtype=np.float32)


def test_reads_positions_and_magnitudes_of_an_index(tmp_path: Path) -> None:
    write_index(tmp_path / "index.fits", RA, DEC, VT_MAG)
    stars = read_index(tmp_path / "index.fits")
    assert stars.schema == SCHEMA
    assert_array_equal(stars["tyc_row"], np.arange(5))
    assert_array_equal(stars["vt_mag"], VT_MAG)
    quantum_deg = np.degrees(1 / SCALE)
    assert_allclose(stars["dec"], DEC, rtol=0, atol=quantum_deg)
    separation = (np.asarray(stars["ra"]) - RA + 180) % 360 - 180
    assert np.all(np.abs(separation * np.cos(np.radians(DEC))) < quantum_deg)


def test_magnitude_limit_is_exclusive_and_keeps_row_numbers(tmp_path: Path) -> None:
    write_index(tmp_path / "index.fits", RA, DEC, VT_MAG)
    rows = make_tycho2(tmp_path / "new" / "stars.parquet", max_vt=9.5, index_file=tmp_path / "index.fits")
    assert rows == 2
    assert pq.read_table(tmp_path / "new" / "stars.parquet")["tyc_row"].to_pylist() == [0, 2]


@pytest.mark.parametrize("table", ["kdtree_data_stars", "kdtree_range_stars", "MAG_VT"])
def test_missing_table_is_named(tmp_path: Path, table: str) -> None:
    write_index(tmp_path / "index.fits", RA, DEC, VT_MAG, leave_out=table)
    with pytest.raises(SourceFormatError, match=table):
        read_index(tmp_path / "index.fits")


def test_missing_package_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourcePackageMissingError, match=f"apt-get install --yes {PACKAGE}"):
        make_tycho2(tmp_path / "stars.parquet", index_file=tmp_path / "absent.fits")
    assert not (tmp_path / "stars.parquet").exists()


def test_right_ascension_stays_below_360() -> None:
    ra, dec = unit_vectors_to_degrees(np.array([[1.0, -1e-20, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
    assert_array_equal(ra, [0.0, 180.0, 0.0])
    assert_array_equal(dec, [0.0, 0.0, 90.0])


def test_shipped_file_holds_the_stars_brighter_than_9_5() -> None:
    stars = pq.read_table(SHIPPED)
    assert stars.num_rows == 199_217
    assert stars.schema.equals(SCHEMA)
    assert all(stars[name].null_count == 0 for name in stars.column_names)
    ra, dec, vt_mag = (np.asarray(stars[name]) for name in ("ra", "dec", "vt_mag"))
    assert vt_mag.max() < 9.5
    assert ra.min() >= 0
    assert ra.max() < 360
    assert np.abs(dec).max() <= 90
    rows = np.asarray(stars["tyc_row"])
    assert np.all(np.diff(rows) > 0)
    assert rows[-1] < 1_871_011


# Right ascension and declination (degrees, J2000) and V magnitude of stars with small proper motions.
KNOWN_STARS = {
    "Betelgeuse": (88.79294, 7.40706, 0.5),
    "Rigel": (78.63447, -8.20164, 0.2),
    "Achernar": (24.42853, -57.23675, 0.5),
    "Hadar": (210.95586, -60.37304, 0.6),
}


@pytest.mark.parametrize("name", KNOWN_STARS)
def test_shipped_file_has_well_known_stars_where_they_are(name: str) -> None:
    stars = pq.read_table(SHIPPED)
    ra, dec, magnitude = KNOWN_STARS[name]
    dx = (np.asarray(stars["ra"]) - ra) * np.cos(np.radians(dec))
    separation_arcsec = 3600 * np.hypot(dx, np.asarray(stars["dec"]) - dec)
    nearest = int(np.argmin(separation_arcsec))
    assert separation_arcsec[nearest] < 2
    assert stars["vt_mag"][nearest].as_py() == pytest.approx(magnitude, abs=0.6)


def test_shipped_files_are_small_and_carry_their_licence() -> None:
    folder = SHIPPED.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
    licence = (folder / "LICENSE.tycho2.txt").read_text(encoding="utf-8")
    assert "BSD-2-Clause" in licence
    assert "Hog E." in licence
    assert "Redistributions in binary form must reproduce the above copyright" in licence


needs_package = pytest.mark.skipif(not INDEX_FILE.is_file(), reason=f"Debian package {PACKAGE} is not installed")


@needs_package
def test_package_gives_the_shipped_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "stars.parquet"), "--max-vt", "9.5"]) == 0
    assert "199217 rows" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "stars.parquet").equals(pq.read_table(SHIPPED))


@needs_package
def test_package_holds_the_full_catalog() -> None:
    stars = read_index()
    assert stars.num_rows == 1_871_011
    assert np.asarray(stars["vt_mag"]).max() < 15.3
