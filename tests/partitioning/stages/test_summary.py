"""Summaries of a published catalog; the examples in them are run."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hats.io.file_io import read_parquet_file_to_pandas
from hats.io.paths import get_data_thumbnail_pointer
from hats.io.validation import is_valid_collection
from lxml import html
from mocpy import MOC
from numpy.typing import NDArray

from partitioning.exceptions import LayoutError
from partitioning.layout.manifest import (
    IndexRecord,
    InputRecord,
    MarginRecord,
    read_manifest,
    read_partition_map,
    write_manifest,
)
from partitioning.layout.paths import HEALPIX_COLUMN, leaf_path
from partitioning.stages.summary import _size, write_summary
from partitioning.stages.thumbnail import write_thumbnail
from tests.partitioning.builders import build_all, leaves, sky_rows, sky_table, stored, write_files

ROWS = 3000
ORDER = 8
WRITTEN = ["README.md", "data_thumbnail.parquet", "density.png", "index.html", "moc.fits"]


def map_counts(release: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.unique(stored(release)[HEALPIX_COLUMN].to_numpy() >> (2 * (29 - ORDER)), return_counts=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("summary")
    write_files(base / "Object", sky_rows(ROWS))
    return build_all(base, sky_table(target_rows=25, margin_arcsec=0.0))["Object"].directory


@pytest.fixture(scope="module")
def release(published: Path) -> Path:
    """Return a release with its summary; many inputs, a margin and an index are said to be there."""
    manifest = read_manifest(published)
    told = replace(
        manifest,
        inputs=tuple(InputRecord(number=n, name=f"part|{n}", bytes=1, rows=1, rejected=0) for n in range(1234)),
        margins=(MarginRecord(directory="Object_r1_10arcs", threshold_arcsec=10.0, rows=17, bytes=1700),),
        indexes=(IndexRecord(column="id", directory="Object_r1_id", rows=ROWS, bytes=9000, flat=True),),
        columns=tuple(replace(c, distinct=3) if c.name == "band" else c for c in manifest.columns),
    )
    write_manifest(published, told, pq.read_table(published / "manifest/files.parquet"))
    write_summary(published, *map_counts(published), ORDER)
    return published


def test_coverage_is_the_occupied_pixels(release: Path) -> None:
    moc = MOC.from_fits(str(release / "moc.fits"))
    assert np.array_equal(moc.flatten(), map_counts(release)[0])
    unseen_is_negative = healpy.read_map(release / "point_map.fits", nest=True, dtype=np.int64)
    assert np.array_equal(moc.flatten(), np.flatnonzero(unseen_is_negative > 0))


def test_thumbnail_has_first_rows_from_all_over(release: Path) -> None:
    thumbnail = pq.read_table(release / "data_thumbnail.parquet")
    files = leaves(release)
    assert len(files) > 110
    firsts = pa.concat_tables(pq.read_table(path, partitioning=None).slice(0, 1) for path in files)
    assert thumbnail.num_rows == 100
    assert thumbnail.schema.equals(pq.read_schema(release / "dataset/_common_metadata"))
    at = [firsts[HEALPIX_COLUMN].to_pylist().index(value) for value in thumbnail[HEALPIX_COLUMN].to_pylist()]
    assert thumbnail.equals(firsts.take(at))
    assert (at[0], at[-1]) == (0, len(files) - 1)
    assert max(np.diff(at)) <= len(files) // 100 + 1


def test_thumbnail_of_few_tiles(tmp_path: Path) -> None:
    write_files(tmp_path / "Object", sky_rows(40))
    small = build_all(tmp_path, sky_table(target_rows=1000))["Object"].directory
    write_thumbnail(small, read_partition_map(small), pq.read_schema(small / "dataset/_common_metadata"))
    assert pq.read_table(small / "data_thumbnail.parquet").num_rows == len(leaves(small)) < 100


def test_hats_accepts_the_files_and_reads_the_thumbnail(release: Path) -> None:
    assert is_valid_collection(release.parent, strict=True)
    frame = read_parquet_file_to_pandas(get_data_thumbnail_pointer(release), is_dir=False)
    assert frame["id"].tolist() == pq.read_table(release / "data_thumbnail.parquet")["id"].to_pylist()


def test_descriptions_tell_the_same(release: Path) -> None:
    text, page = (
        (release / "README.md").read_text(encoding="utf-8"),
        (release / "index.html").read_text(encoding="utf-8"),
    )
    cells = [cell.text_content() for cell in html.fromstring(page).xpath("//td")]
    for wanted in ("3,000", "Object_r1_10arcs", "Object_r1_id", "id", "list<element: float>", "part|19"):
        assert wanted in cells
        assert wanted.replace("|", "\\|").replace("<", "\\<").replace(">", "\\>") in text
    assert "part|20" not in cells
    assert "all 1,234" in text
    assert "2026-01-02T03:04:05Z" in text
    area = len(map_counts(release)[0]) * healpy.nside2pixarea(1 << ORDER, degrees=True)
    assert f"{area:,.2f} deg²" in text
    assert f"| {HEALPIX_COLUMN}".replace(" _", " \\_") in text


def test_columns_are_all_there(release: Path) -> None:
    page = html.fromstring((release / "index.html").read_text(encoding="utf-8"))
    rows = [
        [cell.text_content() for cell in row] for row in page.xpath("//h2[starts-with(., 'Columns')]/following::tr")
    ]
    told = {row[0]: row for row in rows if len(row) == 7}
    manifest = read_manifest(release)
    assert [name for name in told if name != "Column"] == [
        f"{c.name} (hidden)" if c.hidden else c.name for c in manifest.columns
    ]
    values = stored(release)
    assert told["mag"][3] == f"{values['mag'].null_count:,}"
    assert told["id"][4] == str(min(values["id"].to_pylist()))
    assert told["band"][4:] == ["g", "u", "3"]


def test_the_sql_of_the_description_runs(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(release)
    found = re.search(r"```sql\n(.*?)```", (release / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    count, tile, end = found[1].split(";")
    assert duckdb.execute(count).fetchall() == [(ROWS,)]
    partitions = read_partition_map(release)
    expected = pq.read_table(release / leaf_path(partitions.pixel(len(partitions) // 2)), partitioning=None)
    assert duckdb.execute(tile).fetchall() == [
        tuple(row.values()) for row in expected.select(["id", "ra", "dec"]).slice(0, 10).to_pylist()
    ]
    assert not end.strip()


def test_the_python_of_the_description_runs(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(release)
    found = re.search(r"```python\n(.*?)```", (release / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    *setup, last = found[1].strip().split("\n")
    space: dict[str, object] = {}
    exec("\n".join(setup), space)
    assert len(eval(last, space)) >= 1


def test_a_summary_is_reproducible(release: Path, tmp_path: Path) -> None:
    again = tmp_path / "Object_r1"
    shutil.copytree(release, again, ignore=shutil.ignore_patterns(*WRITTEN))
    write_summary(again, *map_counts(again), ORDER)
    for name in WRITTEN:
        assert (again / name).read_bytes() == (release / name).read_bytes()


def test_a_table_without_positions_has_no_summary(tmp_path: Path) -> None:
    write_files(tmp_path / "Visit", pa.table({"visit": [1, 2]}))
    visit = build_all(tmp_path, sky_table("Visit", ra=None, dec=None, id=("visit",)))["Visit"].directory
    with pytest.raises(LayoutError, match="without positions"):
        write_summary(visit, np.empty(0, np.int64), np.empty(0, np.int64), ORDER)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (36_600_000_000_000, "36.6 TB"),
        (10**18, "1e+03 PB"),
    ],
)
def test_sizes_in_words(number: int, text: str) -> None:
    assert _size(number) == text
