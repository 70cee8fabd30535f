"""A release is broken in every way that is known, and each time the check that is meant for it finds it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from partitioning.checks import leaf as leaf_checks
from partitioning.checks.repair import repair_release
from partitioning.checks.report import FINDINGS_PER_CHECK, Collector, Full, Sample, Tiles, format_finding, require_clean
from partitioning.checks.verify import verify_release
from partitioning.exceptions import LayoutError
from partitioning.layout.checksums import read_checksums, update_checksums, write_checksums
from partitioning.layout.leaf import file_checksum
from partitioning.layout.manifest import IndexRecord, MarginRecord, read_manifest
from partitioning.layout.moc import write_moc
from partitioning.layout.paths import (
    COMMON_METADATA,
    HEALPIX_COLUMN,
    INPUT_COLUMN,
    METADATA,
    PARENT_RA_COLUMN,
    index_part_path,
    leaf_path,
)
from partitioning.sky.healpix import Pixel, pixel_range, radec_to_index
from partitioning.stages.maps import write_maps
from partitioning.stages.sketch import estimate
from tests.partitioning.builders import leaves
from tests.partitioning.checks.complete import (
    files_of,
    index_entries,
    pixel_of,
    rewrite,
    store_index,
    store_manifest,
    store_margin,
    tables_by_tile,
)
from tests.partitioning.checks.release import ROWS, THRESHOLD_ARCSEC, checked, found

Tables = dict[Pixel, pa.Table]


def set_value(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    at, values = table.column_names.index(column), table[column].to_pylist()
    values[row] = value
    field = table.schema.field(column)
    return table.set_column(at, field, pa.array(values, field.type))


def swapped(table: pa.Table, first: int, second: int) -> pa.Table:
    order = np.arange(len(table))
    order[[first, second]] = order[[second, first]]
    return table.take(pa.array(order))


def edit_manifest(catalog: Path, **changes: Any) -> None:
    store_manifest(catalog, replace(read_manifest(catalog), **changes))


def edit_parquet(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrite a file of the manifest, and its checksum."""
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    write_checksums(path.parent.parent)


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    write_checksums(path.parent)


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def big_tile(tables: Tables) -> Pixel:
    return max(tables, key=lambda pixel: len(tables[pixel]))


def clump_tile(tables: Tables) -> Pixel:
    """Return the finest tile: one with neighbours close by."""
    return max(tables)


# An untouched release


@pytest.mark.parametrize("table", ["Object", "Dia", "Forced"])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_untouched_copy_is_clean(schema_copy: Path, table: str, workers: int) -> None:
    report = verify_release(schema_copy / table / f"{table}_r1", scope=Full(), workers=workers)
    assert (report.findings, report.omitted, report.not_checked) == ((), (), ())
    require_clean(report)


def test_all_of_it_is_read(release: Path) -> None:
    report, manifest = checked(release), read_manifest(release)
    records: list[MarginRecord | IndexRecord] = [*manifest.margins, *manifest.indexes]
    catalogs = [release, *(release.parent / record.directory for record in records)]
    files = [path for catalog in catalogs for path in catalog.glob("dataset/**/*.parquet")]
    assert report.files == len(files)
    assert report.bytes == sum(path.stat().st_size for path in files)
    assert report.rows == sum(pq.read_metadata(path).num_rows for path in files)
    assert manifest.margins[0].rows > 30


def test_a_release_in_staging_is_clean(schema_copy: Path) -> None:
    for table in ("Object", "Dia"):
        staging = schema_copy / table / ".staging"
        staging.mkdir()
        for path in list((schema_copy / table).glob(f"{table}_r1*")):
            path.rename(staging / path.name)
    for table in ("Object", "Dia"):
        report = checked(schema_copy / table / ".staging" / f"{table}_r1")
        assert (report.findings, report.not_checked) == ((), ())


# Files


def test_missing_leaf(release: Path) -> None:
    path = leaves(release)[3]
    path.unlink()
    for scope in (Full(), Sample(0.01), Tiles(frozenset())):
        assert found(checked(release, scope), "files", path.name, pixel_of(path))


def test_extra_leaf_and_stray_file(release: Path) -> None:
    first = leaves(release)[0]
    shutil.copy(first, first.with_name("Npix=9999.parquet"))
    (first.parent / ".Npix=9.parquet.new").write_bytes(b"")
    report = checked(release, Sample(0.01))
    assert found(report, "stray", "Npix=9999.parquet")
    assert found(report, "stray", ".Npix=9.parquet.new")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_leaf(release: Path, keep: float) -> None:
    path = leaves(release)[5]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    report = checked(release)
    for check in ("files", "checksum", "unreadable"):
        assert found(report, check, path.name, pixel_of(path))
    assert found(checked(release, Sample(0.001, seed=1)), "files", path.name, pixel_of(path))


def test_flipped_bit_is_located_by_the_page_checksum(release: Path) -> None:
    path = leaves(release)[2]
    chunk = pq.read_metadata(path).row_group(0).column(3)
    flip(path, chunk.data_page_offset + chunk.total_compressed_size - 5)
    report = checked(release)
    assert found(report, "checksum", path.name, pixel_of(path))
    located = found(report, "unreadable", path.name, pixel_of(path))
    assert "row group 0" in located[0].detail


def test_small_files(release: Path) -> None:
    flip(release / "manifest/manifest.json", 200)
    (release / "skymap.fits").unlink()
    (release / "notes.txt").write_text("x")
    report = checked(release)
    assert found(report, "checksum", "manifest.json")
    assert found(report, "files", "skymap.fits")
    assert found(report, "checksum", "notes.txt")
    (release / "manifest/checksums.xxh128").unlink()
    assert found(checked(release), "checksum", "checksums.xxh128")


def test_the_list_of_checksums_is_one_of_xxh128sum(release: Path) -> None:
    for line in (release / "manifest/checksums.xxh128").read_text().splitlines():
        checksum, name = line.split("  ", 1)
        assert file_checksum(release / name) == checksum


@pytest.mark.parametrize("name", ["manifest.json", "files.parquet"])
def test_without_manifest_nothing_else_can_be_checked(release: Path, name: str) -> None:
    (release / "manifest" / name).write_bytes(b"\0nothing")
    (unreadable,) = [finding for finding in checked(release).findings if finding.check != "checksum"]
    assert name in unreadable.path


# Rows


def edit_leaf(release: Path, change: Callable[[Tables], Pixel | None]) -> Pixel | None:
    """Change rows and make all that is recorded of them right again, so that only the rows themselves are wrong."""
    tables = tables_by_tile(release)
    pixel = change(tables)
    rewrite(release, tables)
    return pixel


def row_in_the_wrong_tile(tables: Tables) -> Pixel:
    here, there = list(tables)[3:5]
    tables[there] = pa.concat_tables([tables[here].slice(len(tables[here]) - 1), tables[there]])
    tables[here] = tables[here].slice(0, len(tables[here]) - 1)
    return there


def moved_position(tables: Tables) -> Pixel:
    pixel = list(tables)[4]
    tables[pixel] = set_value(tables[pixel], "dec", 2, tables[pixel]["dec"][2].as_py() + 1e-6)
    return pixel


def null_position(tables: Tables) -> Pixel:
    pixel = list(tables)[4]
    tables[pixel] = set_value(tables[pixel], "ra", 0, None)
    return pixel


def unsorted_rows(tables: Tables) -> Pixel:
    pixel = big_tile(tables)
    tables[pixel] = swapped(tables[pixel], 10, 11)
    return pixel


def unsorted_between_row_groups(tables: Tables) -> Pixel:
    pixel = big_tile(tables)
    tables[pixel] = swapped(tables[pixel], 63, 64)
    return pixel


def unsorted_ids(tables: Tables) -> Pixel:
    for pixel, table in tables.items():
        index = table[HEALPIX_COLUMN].to_numpy()
        ties = np.flatnonzero(index[1:] == index[:-1])
        if len(ties):
            tables[pixel] = swapped(table, int(ties[0]), int(ties[0]) + 1)
            return pixel
    raise AssertionError


def stored_nan(tables: Tables) -> Pixel:
    pixel = list(tables)[6]
    tables[pixel] = set_value(tables[pixel], "mag", 1, float("nan"))
    return pixel


def stored_nested_nan(tables: Tables) -> Pixel:
    pixel = list(tables)[6]
    tables[pixel] = set_value(tables[pixel], "curve", 1, [1.0, float("nan")])
    return pixel


def unknown_input(tables: Tables) -> Pixel:
    pixel = list(tables)[7]
    tables[pixel] = set_value(tables[pixel], INPUT_COLUMN, 0, 99)
    return pixel


def null_index(tables: Tables) -> Pixel:
    pixel = list(tables)[2]
    for tile, table in tables.items():
        field = pa.field(HEALPIX_COLUMN, pa.int64())
        tables[tile] = table.set_column(0, field, table[HEALPIX_COLUMN])
    tables[pixel] = set_value(tables[pixel], HEALPIX_COLUMN, 1, None)
    return pixel


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (row_in_the_wrong_tile, "tile"),
        (moved_position, "position"),
        (null_position, "position"),
        (unsorted_rows, "order"),
        (unsorted_between_row_groups, "order"),
        (unsorted_ids, "order"),
        (stored_nan, "nan"),
        (stored_nested_nan, "nan"),
        (null_index, "healpix_null"),
        (unknown_input, "input"),
    ],
)
def test_rows(release: Path, change: Callable[[Tables], Pixel], check: str) -> None:
    pixel = edit_leaf(release, change)
    assert pixel is not None
    assert found(checked(release), check, leaf_path(pixel), pixel)
    assert found(checked(release, Tiles(frozenset([pixel]))), check, leaf_path(pixel), pixel)


def test_rows_of_another_input(release: Path) -> None:
    def change(tables: Tables) -> None:
        pixel = list(tables)[7]
        number = tables[pixel][INPUT_COLUMN][0].as_py()
        tables[pixel] = set_value(tables[pixel], INPUT_COLUMN, 0, (number + 1) % 3)

    edit_leaf(release, change)
    report = checked(release)
    assert len(found(report, "input", "manifest.json")) == 2
    assert {finding.check for finding in report.findings} <= {"input", "margin"}  # the margin has the row's old number


def test_rounding_between_machines_is_no_finding(release: Path) -> None:
    """Sines differ in their last bit: a position a hair from the border of its order-29 pixel may be across it."""

    def change(tables: Tables) -> None:
        pixel = list(tables)[4]
        table = tables[pixel]
        index, ra, dec = (table[name][0].as_py() for name in (HEALPIX_COLUMN, "ra", "dec"))
        low, high = dec, dec + 1e-6
        while high - low > 1e-14:
            middle = (low + high) / 2
            same = radec_to_index(np.array([ra]), np.array([middle]))[0] == index
            low, high = (middle, high) if same else (low, middle)
        tables[pixel] = set_value(table, "dec", 0, high + 1e-13)
        assert radec_to_index(np.array([ra]), np.array([high + 1e-13]))[0] != index

    edit_leaf(release, change)
    assert not found(checked(release), "position")


# Counts and statistics


def test_row_groups_are_bounded(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_checks, "MOST_GROUP_ROWS", 30)
    assert found(checked(release), "row_groups", "Npix=")


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"rows": 1}, "rows"),
        ({"bytes": 1}, "rows"),
        ({"input_rows": 1}, "rows"),
        ({"rejected_rows": 1}, "rows"),
        ({"schema_fingerprint": "0" * 32}, "schema"),
        ({"release": 2}, "manifest"),
        ({"builder": "someone"}, "properties"),
        ({"id_columns": ()}, "order"),
    ],
)
def test_manifest(release: Path, changes: dict[str, Any], check: str) -> None:
    edit_manifest(release, **changes)
    report = checked(release)
    assert found(report, check, {"properties": "properties", "order": "Npix="}.get(check, "manifest.json"))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("mag", "nulls", 3),
        ("curve", "nulls", 3),
        ("mag", "minimum", -99.0),
        ("id", "maximum", 4),
        ("band", "bytes", 12),
        ("band", "minimum", "a"),
        ("flag", "minimum", True),
    ],
)
def test_column_totals(release: Path, name: str, field: str, value: Any) -> None:
    columns = tuple(
        replace(column, **{field: value}) if column.name == name else column
        for column in read_manifest(release).columns
    )
    edit_manifest(release, columns=columns)
    assert f"column {name!r}: {field} is" in found(checked(release), "statistics", "manifest.json")[0].detail
    if field in ("minimum", "maximum"):
        assert found(checked(release, Sample(0.01)), "statistics", "manifest.json")


SKETCHES: dict[str, Callable[[list[int]], list[int]]] = {
    "a hash is gone": lambda hashes: hashes[:7] + hashes[8:] + hashes[-1:],
    "one is made up": lambda hashes: [1, *hashes[:-1]],
    "the limit is another": lambda hashes: [*hashes[:-1], hashes[-1] + 1],
    "some were taken out": lambda hashes: hashes[:200] + hashes[-1:] * 56,
}


@pytest.mark.parametrize("change", SKETCHES)
@pytest.mark.parametrize("is_exact", [True, False])
def test_distinct_values(release: Path, change: str, is_exact: bool) -> None:
    """The manifest tells what the sketch does; only the rows show that both are wrong."""
    if not is_exact:  # as if an input file had been replaced
        renumber(release)

    def edit(table: pa.Table) -> pa.Table:
        lines = table.to_pylist()
        for line in lines:
            if line["column"] == "flux":
                line["hashes"] = SKETCHES[change](line["hashes"])
                told.append(estimate(np.array(line["hashes"], np.uint64)))
        return pa.Table.from_pylist(lines, table.schema)

    told = list[int | None]()
    edit_parquet(release / "manifest/sketches.parquet", edit)
    columns = read_manifest(release).columns
    edit_manifest(release, columns=tuple(replace(c, distinct=told[0]) if c.name == "flux" else c for c in columns))
    wrong = [finding.detail for finding in found(checked(release), "statistics", "sketches.parquet")]
    assert wrong == (["the hashes of column 'flux' are not those of its values"] if is_exact else [])


def test_distinct_values_of_replaced_files_are_told_if_they_are_far_off(release: Path) -> None:
    renumber(release)
    columns = read_manifest(release).columns
    told = {c.name: 10 * (c.distinct or 0) for c in columns if c.name in {"flux", "band"}}
    edit_manifest(release, columns=tuple(replace(c, distinct=told.get(c.name, c.distinct)) for c in columns))
    wrong = [finding.detail for finding in found(checked(release), "statistics", "sketches.parquet")]
    assert len(wrong) == 1
    assert wrong[0].startswith(f"about {told['flux']} different values of 'flux' are told, the rows have ")


def renumber(release: Path) -> None:
    """Number the input files from 1 on, as if the first had been replaced."""

    def change(tables: Tables) -> None:
        for pixel, table in tables.items():
            numbers = pc.add(table.column(INPUT_COLUMN), pa.scalar(1, pa.int32()))
            tables[pixel] = table.set_column(
                table.schema.get_field_index(INPUT_COLUMN), table.schema.field(INPUT_COLUMN), numbers
            )

    edit_manifest(release, inputs=tuple(replace(one, number=one.number + 1) for one in read_manifest(release).inputs))
    edit_leaf(release, change)


def test_column_order(release: Path) -> None:
    columns = read_manifest(release).columns
    edit_manifest(release, columns=(*columns[:2], columns[3], columns[2], *columns[4:]))
    assert found(checked(release), "schema", "manifest.json")


@pytest.mark.parametrize(
    ("column", "change", "check"),
    [
        ("rows", 1, "rows"),
        ("bytes", 1, "files"),
        ("row_groups", 1, "rows"),
        ("healpix_min", -1, "statistics"),
        ("healpix_max", 1, "statistics"),
        ("max_separation_deg", 1e-3, "statistics"),
        ("xxh3_128", "0" * 32, "checksum"),
    ],
)
def test_list_of_files(release: Path, column: str, change: Any, check: str) -> None:
    pixel = pixel_of(leaves(release)[4])

    def edit(table: pa.Table) -> pa.Table:
        old = table[column][4].as_py()
        return set_value(table, column, 4, change if isinstance(change, str) else old + change)

    edit_parquet(release / "manifest/files.parquet", edit)
    assert found(checked(release), check, leaf_path(pixel), pixel)


@pytest.mark.parametrize("change", [-1e-4, 1e-4])
def test_largest_separation_of_a_child(dia: Path, change: float) -> None:
    pixel = pixel_of(leaves(dia)[2])

    def edit(table: pa.Table) -> pa.Table:
        return set_value(table, "max_separation_deg", 2, table["max_separation_deg"][2].as_py() + change)

    edit_parquet(dia / "manifest/files.parquet", edit)
    assert "max_separation_deg" in found(checked(dia), "statistics", leaf_path(pixel), pixel)[0].detail


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("mag.min", -50.0),
        ("mag.max", None),
        ("band.max", "z"),
        ("mag.nulls", 63),
        ("healpix_min", 0),
        ("rows", 3),
        ("bytes", 3),
    ],
)
def test_row_group_statistics(release: Path, column: str, value: Any) -> None:
    path = release / "manifest/row_groups.parquet"
    file = pq.read_table(path)["file"][7].as_py()
    edit_parquet(path, lambda table: set_value(table, column, 7, value))
    pixel = pixel_of(leaves(release)[file])
    assert found(checked(release), "statistics", leaf_path(pixel), pixel)


def test_lost_line_of_the_row_group_statistics(release: Path) -> None:
    edit_parquet(release / "manifest/row_groups.parquet", lambda table: table.slice(1))
    assert found(checked(release, Sample(0.01)), "statistics", "row_groups.parquet")


def test_statistics_in_the_footer(release: Path) -> None:
    """The footer is changed after writing, and all checksums made right: only the rows tell that it lies."""
    path = max(leaves(release), key=lambda path: path.stat().st_size)
    told = pq.read_metadata(path).row_group(0).column(4).statistics
    content = bytearray(path.read_bytes())
    at = content.rindex(np.float64(told.min).tobytes(), len(content) // 2)
    content[at : at + 8] = np.float64(told.min - 5).tobytes()
    path.write_bytes(content)
    assert pq.read_metadata(path).row_group(0).column(4).statistics.min != told.min
    number = leaves(release).index(path)
    checksum = file_checksum(path)
    edit_parquet(release / "manifest/files.parquet", lambda table: set_value(table, "xxh3_128", number, checksum))
    wrong = found(checked(release), "statistics", path.name, pixel_of(path))
    assert any("the footer's statistics are wrong: column 'mag'" in finding.detail for finding in wrong)


def test_partition_map(release: Path) -> None:
    pixels = [pixel_of(path) for path in leaves(release)]
    edit_parquet(release / "manifest/files.parquet", lambda table: swapped(table, 3, 4))
    assert found(checked(release), "partition_map", "files.parquet", pixels[3])


def test_overlapping_tiles(release: Path) -> None:
    def edit(table: pa.Table) -> pa.Table:
        inner = set_value(set_value(table.slice(4, 1), "norder", 0, table["norder"][4].as_py() + 1), "npix", 0,
                          4 * table["npix"][4].as_py())  # fmt: skip
        return pa.concat_tables([table.slice(0, 5), inner, table.slice(5)])

    first = pixel_of(leaves(release)[4])
    edit_parquet(release / "manifest/files.parquet", edit)
    assert found(checked(release), "partition_map", "files.parquet", Pixel(first.order + 1, 4 * first.number))


# What HATS readers read


def test_partition_info(release: Path) -> None:
    lines = (release / "partition_info.csv").read_text().splitlines()
    edit_text(release / "partition_info.csv", lines[3], lines[3].rsplit(",", 2)[0] + ",7,7")
    pixel = pixel_of(leaves(release)[2])
    assert found(checked(release), "partition_info", "partition_info.csv", pixel)


def test_properties(release: Path) -> None:
    for name in ("hats.properties", "properties"):
        edit_text(release / name, f"hats_nrows={ROWS}", f"hats_nrows={ROWS + 1}")
    assert (
        f"hats_nrows is '{ROWS + 1}', not '{ROWS}'"
        in found(checked(release), "properties", "hats.properties")[0].detail
    )


def test_property_files_differ(release: Path) -> None:
    edit_text(release / "properties", "#HATS catalog", "#another")
    assert found(checked(release), "properties", "/properties")


def test_pointer(release: Path) -> None:
    path = release.parent / "collection.properties"
    path.write_text(path.read_text().replace("all_margins=", "all_margins=Object_r1_99arcs "))
    assert found(checked(release), "properties", "collection.properties")


def test_schema_drift_of_one_leaf(release: Path) -> None:
    changed: dict[str, Callable[[pa.Table], pa.Table]] = {
        "order": lambda table: table.select([*table.column_names[:2], *table.column_names[:1:-1]]),
        "type": lambda table: table.set_column(3, "mag", pc.cast(table["mag"], pa.float32())),
        "missing": lambda table: table.drop_columns(["flag"]),
    }
    for number, change in enumerate(changed.values()):
        path = leaves(release)[number]
        pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    report = checked(release)
    for number in range(len(changed)):
        path = leaves(release)[number]
        assert found(report, "schema", path.name, pixel_of(path))


def test_common_metadata(release: Path) -> None:
    schema = pq.read_schema(release / COMMON_METADATA)
    pq.write_metadata(schema.set(3, pa.field("mag", pa.float32())), release / COMMON_METADATA)
    write_checksums(release)
    assert found(checked(release, Sample(0.01)), "schema", "_common_metadata")


# Maps


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("change", ["more", "less", "moved", "lost"])
def test_maps(release: Path, change: str, both: bool) -> None:
    from partitioning.checks.maps import read_map

    told = read_map(release / "point_map.fits")
    pixels, rows = told.pixels.copy(), told.rows.copy()
    row = int(np.flatnonzero(rows > 1)[3])
    match change:
        case "more":
            rows[row] += 1
        case "less":
            rows[row] -= 1
        case "moved":
            rows[row], rows[row + 1] = rows[row] - 1, rows[row + 1] + 1
        case _:
            pixels, rows = np.delete(pixels, row), np.delete(rows, row)
    moc, point_map = (release / "moc.fits").read_bytes(), (release / "point_map.fits").read_bytes()
    write_maps(release, pixels, rows, told.order)
    write_moc(release / "moc.fits", pixels, told.order)
    if not both:
        (release / "point_map.fits").write_bytes(point_map)
        (release / "moc.fits").write_bytes(moc)
    write_checksums(release)
    start, stop = (number << (2 * (29 - told.order)) for number in (told.pixels[row], told.pixels[row] + 1))
    tiles = [
        pixel_of(path)
        for path in leaves(release)
        if pixel_range(pixel_of(path))[0] < stop and pixel_range(pixel_of(path))[1] > start
    ]
    report = checked(release)
    if both:
        assert {finding.tile for finding in found(report, "maps", "point_map.fits")} & set(tiles)
    else:
        assert found(report, "maps", "skymap.fits")


def test_moc(release: Path) -> None:
    from partitioning.checks.maps import read_map

    told = read_map(release / "point_map.fits")
    write_moc(release / "moc.fits", told.pixels[1:], told.order)
    write_checksums(release)
    assert [finding.check for finding in checked(release).findings] == ["maps"]
    assert found(checked(release, Sample(0.01)), "maps", "moc.fits")


# Children


def edit_child(dia: Path, change: Callable[[Tables], Pixel]) -> Pixel:
    pixel = edit_leaf(dia, change)
    assert pixel is not None
    return pixel


def parent_in_another_tile(tables: Tables) -> Pixel:
    here, there = list(tables)[2], list(tables)[-1]
    tables[here] = set_value(tables[here], "parent_id", 0, tables[there]["parent_id"][0].as_py())
    return here


def another_parent_of_the_tile(tables: Tables) -> Pixel:
    pixel = clump_tile(tables)
    tables[pixel] = set_value(tables[pixel], "parent_id", 0, tables[pixel]["parent_id"][-1].as_py())
    return pixel


def shifted_parent(tables: Tables) -> Pixel:
    pixel = clump_tile(tables)
    value = tables[pixel][PARENT_RA_COLUMN][3].as_py()
    tables[pixel] = set_value(tables[pixel], PARENT_RA_COLUMN, 3, value + 1e-13)
    return pixel


def orphan_not_at_its_own_position(tables: Tables) -> Pixel:
    for pixel, table in tables.items():
        orphans = np.flatnonzero(table["parent_id"].is_null().to_numpy())
        if len(orphans):
            tables[pixel] = set_value(table, "dec", int(orphans[0]), table["dec"][int(orphans[0])].as_py() + 1e-6)
            return pixel
    raise AssertionError


def no_such_parent(tables: Tables) -> Pixel:
    pixel = list(tables)[2]
    tables[pixel] = set_value(tables[pixel], "parent_id", 0, -77)
    return pixel


@pytest.mark.parametrize(
    "change",
    [
        parent_in_another_tile,
        another_parent_of_the_tile,
        shifted_parent,
        orphan_not_at_its_own_position,
        no_such_parent,
    ],
)
def test_children_of_parents_elsewhere(dia: Path, change: Callable[[Tables], Pixel]) -> None:
    pixel = edit_child(dia, change)
    report = checked(dia)
    assert found(report, "parent", leaf_path(pixel), pixel)
    assert {finding.check for finding in report.findings} <= {"parent", "margin", "statistics"}
    assert found(checked(dia, Tiles(frozenset([pixel]))), "parent", leaf_path(pixel), pixel)


def test_same_position_but_another_parent(schema_copy: Path) -> None:
    forced = schema_copy / "Forced/Forced_r1"
    pixel = edit_child(forced, parent_in_another_tile)
    assert found(checked(forced), "parent", leaf_path(pixel), pixel)


def test_without_the_parent_the_rest_is_checked(schema_copy: Path, dia: Path) -> None:
    shutil.rmtree(schema_copy / "Object")
    report = checked(dia)
    assert report.findings == ()
    assert "Object release 1 is not beside this table" in report.not_checked[0]


# Margins


def margin_of(release: Path) -> Path:
    return release.parent / f"{release.name}_{THRESHOLD_ARCSEC:g}arcs"


def edit_margin(release: Path, change: Callable[[Tables, Tables], Pixel]) -> Pixel:
    """Change the rows of a margin, and make all that is recorded of them right again."""
    margin = margin_of(release)
    tables = tables_by_tile(margin)
    pixel = change(tables, tables_by_tile(release))
    shutil.rmtree(margin)
    store_margin(margin, release, tables, THRESHOLD_ARCSEC)
    files = files_of(margin)
    record = replace(
        read_manifest(release).margins[0],
        rows=sum(file["rows"] for file in files),
        bytes=sum(file["bytes"] for file in files),
    )
    edit_manifest(release, margins=(record,))
    return pixel


def with_row(table: pa.Table, row: pa.Table) -> pa.Table:
    joined = pa.concat_tables([table, row])
    return joined.take(pc.sort_indices(joined, [(HEALPIX_COLUMN, "ascending")]))


def missing_margin_row(margins: Tables, _: Tables) -> Pixel:
    pixel = big_tile(margins)
    margins[pixel] = margins[pixel].slice(1)
    return pixel


def surplus_margin_row(margins: Tables, tables: Tables) -> Pixel:
    pixel = big_tile(margins)
    margins[pixel] = with_row(margins[pixel], tables[next(iter(tables))].slice(0, 1))
    return pixel


def doubled_margin_row(margins: Tables, _: Tables) -> Pixel:
    pixel = big_tile(margins)
    margins[pixel] = with_row(margins[pixel], margins[pixel].slice(2, 1))
    return pixel


def changed_margin_row(margins: Tables, _: Tables) -> Pixel:
    pixel = big_tile(margins)
    margins[pixel] = set_value(margins[pixel], "flux", 1, 12345.0)
    return pixel


def missing_margin_leaf(margins: Tables, _: Tables) -> Pixel:
    pixel = next(iter(margins))
    del margins[pixel]
    return pixel


def surplus_margin_leaf(margins: Tables, tables: Tables) -> Pixel:
    pixel = next(pixel for pixel in tables if pixel not in margins)
    margins[pixel] = tables[list(tables)[-1]].slice(0, 1)
    order = list(tables)
    for tile in sorted(margins, key=order.index):
        margins[tile] = margins.pop(tile)
    return pixel


def own_row_in_the_margin(margins: Tables, tables: Tables) -> Pixel:
    pixel = big_tile(margins)
    margins[pixel] = with_row(margins[pixel], tables[pixel].slice(0, 1))
    return pixel


def unsorted_margin(margins: Tables, _: Tables) -> Pixel:
    pixel = big_tile(margins)
    margins[pixel] = swapped(margins[pixel], 0, len(margins[pixel]) - 1)
    return pixel


@pytest.mark.parametrize(
    "change",
    [
        missing_margin_row,
        surplus_margin_row,
        doubled_margin_row,
        changed_margin_row,
        missing_margin_leaf,
        surplus_margin_leaf,
        own_row_in_the_margin,
    ],
)
def test_margin_rows(release: Path, change: Callable[[Tables, Tables], Pixel]) -> None:
    pixel = edit_margin(release, change)
    report = checked(release)
    assert found(report, "margin", margin_of(release).name, pixel)
    assert {(finding.check, finding.tile) for finding in report.findings} == {("margin", pixel)}
    assert found(checked(release, Tiles(frozenset([pixel]))), "margin", margin_of(release).name, pixel)


def test_margin_is_sorted(release: Path) -> None:
    pixel = edit_margin(release, unsorted_margin)
    assert found(checked(release), "order", margin_of(release).name, pixel)


def test_margin_files(release: Path) -> None:
    margin = margin_of(release)
    first, second = leaves(margin)[:2]
    first.unlink()
    flip(second, second.stat().st_size // 2)
    report = checked(release)
    assert found(report, "files", f"{margin.name}/{leaf_path(pixel_of(first))}", pixel_of(first))
    assert found(report, "checksum", f"{margin.name}/{leaf_path(pixel_of(second))}", pixel_of(second))
    shutil.rmtree(margin)
    assert found(checked(release, Sample(0.01)), "margin", margin.name)


def test_margin_properties(release: Path) -> None:
    for name in ("hats.properties", "properties"):
        edit_text(margin_of(release) / name, "hats_margin_threshold=10", "hats_margin_threshold=20")
    assert found(checked(release), "properties", margin_of(release).name)


# Id indexes


def edit_index(release: Path, column: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the entries of an id index, and make all that is recorded of them right again."""
    entries = change(index_entries(release, column))
    catalog, size = release.parent / f"{release.name}_{column}", -(-len(entries) // 3)
    store_index(catalog, release, [entries.slice(n * size, size) for n in range(3)])
    total = sum(file["bytes"] for file in files_of(catalog))
    indexes = tuple(
        replace(record, rows=len(entries), bytes=total) if record.column == column else record
        for record in read_manifest(release).indexes
    )
    edit_manifest(release, indexes=indexes)


def tile_at(entries: pa.Table, row: int) -> Pixel:
    return Pixel(entries["Norder"][row].as_py(), entries["Npix"][row].as_py())


@pytest.mark.parametrize("column", ["id", "band"])
@pytest.mark.parametrize("change", ["missing", "surplus", "id", "index", "tile", "unsorted"])
def test_index_entries(release: Path, column: str, change: str) -> None:
    entries = index_entries(release, column)
    pixel, value = tile_at(entries, 300), entries[column][300].as_py()
    index = entries[HEALPIX_COLUMN][300].as_py()
    changed = {
        "missing": lambda table: pa.concat_tables([table.slice(0, 300), table.slice(301)]),
        "surplus": lambda table: pa.concat_tables([table.slice(0, 301), table.slice(300)]),
        "id": lambda table: set_value(table, column, 300, value + (1 if column == "id" else "!")),
        "index": lambda table: set_value(table, HEALPIX_COLUMN, 300, pixel_range(pixel)[0] + (index % 2)),
        "tile": lambda table: set_value(table, "Npix", 300, pixel.number + 1),
        "unsorted": lambda table: swapped(table, 300, 400),
    }
    edit_index(release, column, changed[change])
    report = checked(release)
    assert found(report, "index", f"{release.name}_{column}", None if change == "unsorted" else pixel)
    assert {finding.check for finding in report.findings} == {"index"}


@pytest.mark.parametrize("column", ["id", "band"])
def test_number_of_different_ids(release: Path, column: str) -> None:
    records = read_manifest(release).indexes
    told = next(record.distinct for record in records if record.column == column)
    assert told is not None
    assert not checked(release).findings
    for wrong, is_found in ((told + 1, True), (told - 1, True), (None, False)):  # older releases do not tell
        changed = tuple(replace(one, distinct=wrong) if one.column == column else one for one in records)
        edit_manifest(release, indexes=changed)
        assert bool(found(checked(release), "index", f"{release.name}_{column}")) == is_found


def test_unsorted_over_parts(release: Path) -> None:
    edit_index(release, "id", lambda table: pa.concat_tables([table.slice(240), table.slice(0, 240)]))
    assert found(checked(release), "index", index_part_path(1))


def test_sorted_parts_in_another_order(release: Path) -> None:
    edit_index(release, "id", lambda table: pa.concat_tables([table.slice(140), table.slice(0, 140)]))
    (told,) = found(checked(release), "index")
    assert told.path.endswith(index_part_path(2))


def test_stale_metadata_of_an_index(release: Path) -> None:
    catalog = release.parent / f"{release.name}_id"
    stale = (catalog / METADATA).read_bytes()
    edit_index(release, "id", lambda table: table.slice(1))
    (catalog / METADATA).write_bytes(stale)
    write_checksums(catalog)
    assert found(checked(release), "index", METADATA)


@pytest.mark.parametrize("name", ["flat/ids.i64", "flat/healpix.i64"])
def test_flat_arrays(release: Path, name: str) -> None:
    """They have no checksums: each entry is compared with the parts; a list that names them holds all the same."""
    catalog = release.parent / f"{release.name}_id"
    path = catalog / name
    assert name not in read_checksums(catalog)
    update_checksums(catalog, [name])
    assert not checked(release).findings
    flip(path, 8 * 77)
    assert sorted(finding.check for finding in checked(release).findings) == ["checksum", "index"]
    write_checksums(catalog)
    assert [finding.check for finding in checked(release).findings] == ["index"]
    path.write_bytes(path.read_bytes()[:-8])
    assert found(checked(release), "index", name)
    path.unlink()
    assert found(checked(release), "index", name)


@pytest.mark.parametrize("catalog", ["Object_r1_band", "Object_r1", "Object_r1_10arcs"])
def test_flat_arrays_where_there_should_be_none(release: Path, catalog: str) -> None:
    """An index of texts has none; `repair` of the index removes them."""
    path = release.with_name(catalog) / "flat/ids.i64"
    path.parent.mkdir()
    path.write_bytes(b"x" * 80)
    assert found(checked(release), "stray" if catalog.endswith("band") else "checksum", "flat/ids.i64")
    if catalog.endswith("band"):
        repair_release(release, ["index"])
        assert not path.exists()


def test_a_name_that_no_file_can_have(release: Path) -> None:
    """A list of checksums with a line too many ends no verification."""
    listed = release / "manifest/checksums.xxh128"
    listed.write_text(f"{listed.read_text()}{'0' * 32}  {'x' * 300}\n")
    report = checked(release)
    assert [finding.check for finding in report.findings] == ["files"]
    assert report.rows > ROWS


def test_a_damaged_leaf_does_not_run_the_script_again(release: Path, tmp_path: Path) -> None:
    """It is looked at by a process of its own, which has nothing to do with the caller's script, guarded or not."""
    flip(leaves(release)[2], 100)
    script = tmp_path / "scrub.py"
    script.write_text(
        "from pathlib import Path\n"
        "from partitioning.checks.report import Full\n"
        "from partitioning.checks.verify import verify_release\n"
        "print('runs')\n"
        f"report = verify_release(Path({str(release)!r}), scope=Full())\n"
        "print(sorted({finding.check for finding in report.findings}))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    first, *rest = done.stdout.splitlines()
    assert first == "runs"
    assert len(rest) == 1
    assert "checksum" in rest[0]
    assert "RuntimeError" not in done.stdout


def test_index_files(release: Path) -> None:
    catalog = release.parent / f"{release.name}_id"
    flip(catalog / index_part_path(0), 300)
    (catalog / index_part_path(1)).unlink()
    shutil.copy(catalog / index_part_path(2), catalog / index_part_path(7))
    report = checked(release)
    assert found(report, "checksum", index_part_path(0))
    assert found(report, "files", index_part_path(1))
    assert found(report, "stray", index_part_path(7))
    shutil.rmtree(catalog)
    assert found(checked(release, Sample(0.01)), "index", catalog.name)


# Scope and report


def test_samples_are_chosen_by_seed(release: Path) -> None:
    reports = [checked(release, Sample(0.2, seed)) for seed in (1, 1, 2)]
    assert [report.findings for report in reports] == [(), (), ()]
    assert reports[0].rows == reports[1].rows != reports[2].rows
    assert reports[0].rows < checked(release).rows / 2


def test_damage_in_a_tile_is_found_by_the_samples_that_read_it(release: Path) -> None:
    path = leaves(release)[8]
    flip(path, path.stat().st_size // 3)
    hits = [bool(found(checked(release, Sample(0.3, seed)), "checksum", path.name)) for seed in range(8)]
    assert set(hits) == {True, False}


def test_a_tile_that_is_not_listed(release: Path) -> None:
    assert found(checked(release, Tiles(frozenset([Pixel(7, 3)]))), "files", "files.parquet", Pixel(7, 3))


@pytest.mark.parametrize("options", [{"scope": Sample(0.0)}, {"scope": Sample(1.1)}, {"scope": Full(), "workers": 0}])
def test_unusable_arguments(release: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        verify_release(release, **options)
    with pytest.raises(LayoutError, match="there is no such release"):
        verify_release(release / "nothing", scope=Full())


def test_findings_beyond_the_cap_are_counted() -> None:
    collected = Collector("T_r1")
    for number in range(FINDINGS_PER_CHECK + 7):
        other = Collector("T_r1")
        other.add("nan", f"file{number}", "NaN")
        collected.merge(other)
    assert (len(collected.kept), list(collected.omitted())) == (FINDINGS_PER_CHECK, [("nan", 7)])


def test_require_clean_names_tile_and_file(release: Path) -> None:
    leaves(release)[3].unlink()
    report = checked(release)
    assert "(tile Norder=" in format_finding(report.findings[0])
    with pytest.raises(LayoutError, match=r"Object_r1 is not as it must be: files: Object_r1/dataset/Norder=.*missing"):
        require_clean(report)


def test_a_table_without_positions(tmp_path: Path) -> None:
    from tests.partitioning.builders import build_all, sky_rows, sky_table, write_files

    write_files(tmp_path / "Notes", sky_rows(300))
    release = build_all(tmp_path, sky_table("Notes", ra=None, dec=None))["Notes"].directory
    assert checked(release).findings == ()
    path = release / "table.parquet"
    flip(path, path.stat().st_size // 2)
    assert found(checked(release), "checksum", "table.parquet")
    flip(path, path.stat().st_size // 2)
    edit_manifest(release, rows=299)
    assert found(checked(release), "rows", "manifest.json")
