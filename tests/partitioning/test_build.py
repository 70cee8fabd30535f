"""Builds from end to end: what is published equals the input, in order, and nothing half-done shows."""

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xxhash

from partitioning import pipeline
from partitioning.checks import verify as verify_stage
from partitioning.checks.report import Full
from partitioning.checks.verify import verify_release
from partitioning.dryrun import dry_run
from partitioning.exceptions import ConfigError, InputError, LayoutError, PartitioningError, SchemaMismatchError
from partitioning.layout.manifest import read_manifest, read_partition_map
from partitioning.layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, PLAIN_FILE, leaf_path
from partitioning.layout.properties import parse_properties
from partitioning.pipeline import build, build_time
from partitioning.progress import Lines
from partitioning.releases import planned_releases
from partitioning.sky.healpix import pixel_range, radec_to_index
from partitioning.stages import bucket as bucket_stage
from partitioning.stages import gather as gather_stage
from partitioning.stages import plan as plan_stage
from partitioning.stages import run as run_stage
from partitioning.stages import spill as spill_stage
from partitioning.status import table_status
from tests.partitioning.builders import (
    BIG,
    CREATED,
    EDGES,
    build_all,
    by_id,
    config,
    leaves,
    published,
    sky_rows,
    sky_table,
    stored,
    tree,
    visible,
    write_files,
)

ROWS = 3000
COLUMNS = ["ra", "dec", "mag", "flux", "zero", "band", "curve", "flag"]


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return sky_rows(ROWS)


@pytest.fixture(scope="module")
def store(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a release of `rows` in tiles of at most 250 rows."""
    base = tmp_path_factory.mktemp("store")
    write_files(base / "Object", rows)
    return build_all(base, sky_table(target_rows=250, row_group_rows=64))["Object"].directory


def without_nan(table: pa.Table) -> pa.Table:
    """Return the input as the store should hold it, made without the code under test."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    columns = {
        name: pa.array([clean(value) for value in table[name].to_pylist()], table.schema.field(name).type)
        for name in table.column_names
    }
    return pa.table(columns)


def test_every_row_is_stored_once_and_unchanged(store: Path, rows: pa.Table) -> None:
    assert by_id(stored(store), COLUMNS) == by_id(without_nan(rows), COLUMNS)


def test_rows_are_sorted_within_their_tile(store: Path) -> None:
    tiles = read_partition_map(store)
    assert len(tiles) == len(leaves(store)) > 15
    for number in range(len(tiles)):
        table = pq.read_table(store / leaf_path(tiles.pixel(number)), partitioning=None)
        index = table[HEALPIX_COLUMN].to_numpy()
        start, stop = pixel_range(tiles.pixel(number))
        assert start <= index[0]
        assert index[-1] < stop
        keys = list(zip(index.tolist(), table["id"].to_pylist(), strict=True))
        assert keys == sorted(keys)
        assert (index == radec_to_index(table["ra"].to_numpy(), table["dec"].to_numpy())).all()


def test_leaf_format(store: Path) -> None:
    for path in leaves(store):
        schema, metadata = pq.read_schema(path), pq.read_metadata(path)
        assert schema.field(0) == pa.field(HEALPIX_COLUMN, pa.int64(), nullable=False)
        assert schema == pq.read_schema(store / "dataset/_common_metadata")
        assert max(metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)) <= 64


def test_manifest_tells_the_truth(store: Path, rows: pa.Table) -> None:
    manifest, table = read_manifest(store), stored(store)
    assert (manifest.rows, manifest.input_rows, manifest.rejected_rows) == (ROWS, ROWS, 0)
    assert manifest.bytes == sum(path.stat().st_size for path in leaves(store))
    assert [(item.name, item.rows) for item in manifest.inputs] == [(f"Object/part{n}.parquet", 1000) for n in range(3)]
    for column in manifest.columns:
        values = table[column.name]
        assert column.nulls == values.null_count
        assert column.arrow_type == str(values.type)
        assert column.hidden == (column.name in (HEALPIX_COLUMN, INPUT_COLUMN))
        if column.name in ("id", "ra", "dec", "mag", "band", "flag"):
            bounds = pc.min_max(values)
            assert (column.minimum, column.maximum) == (bounds["min"].as_py(), bounds["max"].as_py())
    assert manifest.placement is not None
    assert manifest.placement.ra_min == min(rows["ra"].to_pylist()) < 0
    assert manifest.placement.ra_max == 360.0
    files = pq.read_table(store / "manifest/files.parquet")
    for listed, path in zip(files.to_pylist(), leaves(store), strict=True):
        assert listed["bytes"] == path.stat().st_size
        assert listed["rows"] == pq.read_metadata(path).num_rows
        assert listed["xxh3_128"] == xxhash.xxh3_128_hexdigest(path.read_bytes())


def test_row_group_statistics_describe_the_leaves(store: Path) -> None:
    groups = pq.read_table(store / "manifest/row_groups.parquet").to_pylist()
    expected = []
    for number, path in enumerate(leaves(store)):
        with pq.ParquetFile(path) as leaf:
            for at in range(leaf.metadata.num_row_groups):
                group = leaf.read_row_group(at)
                low, high = pc.min_max(group["mag"]).values()
                index = group[HEALPIX_COLUMN].to_pylist()
                nulls = group["mag"].null_count
                expected.append((number, at, len(group), index[0], index[-1], low.as_py(), high.as_py(), nulls))
    keys = ("file", "row_group", "rows", "healpix_min", "healpix_max", "mag.min", "mag.max", "mag.nulls")
    assert [tuple(group[key] for key in keys) for group in groups] == expected


def test_nan_is_null_and_sums_are_kept(store: Path, rows: pa.Table) -> None:
    before, after = rows["mag"].to_numpy(), stored(store)["mag"]
    assert after.null_count == int(np.isnan(before).sum())
    assert pc.sum(after).as_py() == pytest.approx(np.nansum(before), rel=1e-12)
    assert pc.count(pc.drop_null(after)).as_py() == int((~np.isnan(before)).sum())
    infinite = np.isinf(rows["flux"].to_numpy()).sum()
    assert int(np.isinf(stored(store)["flux"].to_numpy()).sum()) == infinite > 0


def test_large_integers_are_exact(store: Path) -> None:
    assert sorted(stored(store)["id"].to_pylist()) == list(range(BIG + 1, BIG + 1 + ROWS))


def test_properties(store: Path) -> None:
    text = (store / "hats.properties").read_text(encoding="utf-8")
    assert text == (store / "properties").read_text(encoding="utf-8")
    properties = parse_properties(text)
    assert properties["hats_nrows"] == str(ROWS)
    assert (properties["hats_col_ra"], properties["hats_col_dec"]) == ("ra", "dec")
    assert properties["hats_creation_date"] == CREATED
    lines = (store / "partition_info.csv").read_text().splitlines()
    assert lines[0] == "Norder,Npix,num_rows,bytes"
    names = [f"Norder={p.parts[-3][7:]} Npix={p.stem[5:]}" for p in leaves(store)]
    assert [f"Norder={line.split(',')[0]} Npix={line.split(',')[1]}" for line in lines[1:]] == names


def sizes_of(release: Path) -> tuple[list[int], list[int]]:
    """Return the compressed bytes of the columns of every leaf, and the uncompressed bytes of every row group."""
    stored_bytes, group_bytes = list[int](), list[int]()
    for path in leaves(release):
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        chunks = [group.column(number) for group in groups for number in range(metadata.num_columns)]
        stored_bytes.append(sum(chunk.total_compressed_size for chunk in chunks))
        group_bytes += [group.total_byte_size for group in groups]
    return stored_bytes, group_bytes


def test_bytes_bound_tiles_and_row_groups(tmp_path: Path) -> None:
    """Rows of more bytes make tiles and row groups of fewer rows."""
    count, rng = 12_000, np.random.default_rng(6)
    narrow = pa.table(
        {"id": range(count), "ra": rng.uniform(0, 360, count), "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, count)))}
    )
    wide = narrow
    for number in range(20):
        wide = wide.append_column(f"c{number}", pa.array(rng.normal(0, 1, count)))
    write_files(tmp_path / "Narrow", narrow)
    write_files(tmp_path / "Wide", wide)
    tables = [sky_table(name, margin_arcsec=0.0, index=()) for name in ("Narrow", "Wide")]
    loose = build_all(tmp_path, *tables, root=tmp_path / "loose").values()
    tight = build_all(
        tmp_path, *(replace(table, target_bytes=60_000, row_group_bytes=30_000) for table in tables)
    ).values()
    assert [len(leaves(table.directory)) for table in loose] == [12, 12]
    assert max(sizes_of(table.directory)[1][0] for table in loose) > 4 * 30_000
    assert [len(leaves(table.directory)) for table in tight] == [12, 48]
    for table in tight:
        stored_bytes, group_bytes = sizes_of(table.directory)
        assert 60_000 / 4 < max(stored_bytes) < 60_000
        assert 30_000 / 3 < max(group_bytes) < 1.1 * 30_000


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3}])
def test_output_is_deterministic(rows: pa.Table, store: Path, options: dict[str, int], tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows)
    again = build_all(tmp_path, sky_table(target_rows=250, row_group_rows=64), **options)["Object"].directory
    assert tree(again) == tree(store)


def test_small_memory_gives_the_same_leaves(
    rows: pa.Table, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 100 rows, windows of 300: several chunks a unit, several windows a bucket, tiles of several passes."""
    monkeypatch.setattr(run_stage, "chunk_rows", lambda *_: 100)
    monkeypatch.setattr(run_stage, "window_rows", lambda *_: 300)
    monkeypatch.setattr(spill_stage, "BATCH_ROWS", 32)
    write_files(tmp_path / "Object", rows)
    again = build_all(tmp_path, sky_table(target_rows=250, row_group_rows=64))["Object"].directory
    assert tree(again) == tree(store)


def test_a_tile_larger_than_memory_gives_the_same_leaf(
    rows: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_tile = sky_table(target_rows=10**6, row_group_rows=64)
    write_files(tmp_path / "Object", pa.concat_tables([rows, rows.slice(0, 300)]))
    first = build_all(tmp_path, one_tile, root=tmp_path / "first")["Object"].directory
    monkeypatch.setattr(run_stage, "chunk_rows", lambda *_: 100)
    monkeypatch.setattr(run_stage, "window_rows", lambda *_: 150)
    monkeypatch.setattr(spill_stage, "BATCH_ROWS", 32)
    second = build_all(tmp_path, one_tile, root=tmp_path / "second")["Object"].directory
    assert len(leaves(first)) < ROWS / 150
    assert tree(second) == tree(first)


def test_a_margin_larger_than_memory_gives_the_same_leaf(
    rows: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = sky_table(target_rows=250, row_group_rows=64, margin_arcsec=30_000.0)
    write_files(tmp_path / "Object", rows)
    first = build_all(tmp_path, wide, root=tmp_path / "first")["Object"].directory
    passes: list[int] = []
    gather = gather_stage.large_groups

    def counted(*given: Any) -> Iterator[pa.Table]:
        passes.append(1)
        return gather(*given)

    monkeypatch.setattr("partitioning.stages.sort.large_groups", counted)
    monkeypatch.setattr(run_stage, "window_rows", lambda *_: 70)
    monkeypatch.setattr(spill_stage, "BATCH_ROWS", 32)
    second = build_all(tmp_path, wide, root=tmp_path / "second")["Object"].directory
    margins = [one.with_name(f"{one.name}_30000arcs") for one in (first, second)]
    assert max(pq.read_metadata(path).num_rows for path in leaves(margins[0])) > 70
    assert len(passes) > len(leaves(first))  # margins, too, not tiles alone
    assert tree(second) == tree(first)
    assert tree(margins[0]) == tree(margins[1])


def test_order_of_files_and_rows_matters_only_for_ties(rows: pa.Table, store: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows.take(pa.array(np.random.default_rng(4).permutation(ROWS))), files=5)
    again = build_all(tmp_path, sky_table(target_rows=250, row_group_rows=64))["Object"].directory
    assert [path.name for path in leaves(again)] == [path.name for path in leaves(store)]
    assert stored(again).drop_columns([INPUT_COLUMN]).equals(stored(store).drop_columns([INPUT_COLUMN]))


def test_without_id_ties_keep_the_order_of_the_input(tmp_path: Path) -> None:
    table = pa.table({"ra": [10.0] * 500, "dec": [-20.0] * 500, "n": np.arange(500)})
    write_files(tmp_path / "T", table, files=4)
    release = build_all(tmp_path, sky_table("T", id=(), target_rows=50, max_order=6))["T"].directory
    assert stored(release)["n"].to_pylist() == list(range(500))
    assert [path.parts[-3] for path in leaves(release)] == ["Norder=6"]


def test_ids_of_text_with_null_sort_ties(tmp_path: Path) -> None:
    names = ["b", None, "a", "é", "b"]
    table = pa.table({"ra": [10.0] * 5, "dec": [-20.0] * 5, "name": names, "n": range(5)})
    write_files(tmp_path / "T", table, files=1)
    release = build_all(tmp_path, sky_table("T", id=("name",)))["T"].directory
    assert stored(release)["n"].to_pylist() == [2, 0, 4, 3, 1]


def test_edge_positions_are_kept_as_given(store: Path) -> None:
    table = stored(store)
    kept = [(repr(ra), repr(dec)) for ra, dec in zip(table["ra"].to_pylist(), table["dec"].to_pylist(), strict=True)]
    for ra, dec in EDGES:
        assert (repr(ra), repr(dec)) in kept
    assert kept.count(("10.0", "20.0")) == 3


def test_dates_and_times_that_are_no_python_objects(tmp_path: Path) -> None:
    table = sky_rows(100)
    ticks = pa.array(range(1, 101), pa.int64())
    table = table.append_column("fine", ticks.view(pa.timestamp("ns"))).append_column(
        "clock", ticks.view(pa.time64("ns"))
    )
    days = pa.array(range(-720_000, -720_000 + 100), pa.int32()).view(pa.date32())
    table = table.append_column("day", days)
    write_files(tmp_path / "Object", table)
    built = build_all(tmp_path, sky_table())["Object"]
    ends = {column.name: (column.minimum, column.maximum) for column in built.manifest.columns}
    assert ends["fine"] == ("1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00.000000100")
    assert ends["clock"] == ("00:00:00.000000001", "00:00:00.000000100")
    assert ends["day"] == ("-0002-09-16", "-0002-12-24")


def test_unusable_positions_are_rejected_and_counted(tmp_path: Path) -> None:
    nan, inf = math.nan, math.inf
    table = pa.table(
        {
            "id": range(8),
            "ra": [1.0, nan, None, inf, 4.0, 5.0, 6.0, 400.0],
            "dec": [1.0, 1.0, 1.0, 1.0, 90.5, None, -inf, -90.0],
            "mag": [nan] * 8,
        }
    )
    write_files(tmp_path / "Object", table, files=2)
    built = build_all(tmp_path, sky_table())["Object"]
    assert sorted(stored(built.directory)["id"].to_pylist()) == [0, 7]
    assert (built.manifest.input_rows, built.manifest.rejected_rows) == (8, 6)
    assert [item.rejected for item in built.manifest.inputs] == [3, 3]
    rejects = pq.read_table(built.directory / "manifest/rejects.parquet").to_pylist()
    reasons = {1: "NULL or NaN", 2: "NULL or NaN", 3: "infinite", 4: "declination", 5: "NULL or NaN", 6: "infinite"}
    assert {row["id"] for row in rejects} == set(reasons)
    for row in rejects:
        assert row["_input_file"] == f"Object/part{row['id'] // 4}.parquet"
        assert row["_input_row"] == row["id"] % 4
        assert reasons[row["id"]] in row["_reason"]


def test_a_table_without_any_usable_position_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "Object", pa.table({"id": [1], "ra": [math.nan], "dec": [0.0]}), files=1)
    with pytest.raises(InputError, match="none of its rows has a usable position"):
        build_all(tmp_path, sky_table())
    assert not (tmp_path / "catalogs/survey/Object/collection.properties").exists()


def test_positions_as_float32_and_integers(tmp_path: Path) -> None:
    table = pa.table({"id": range(3), "ra": pa.array([10.1, 20.2, 30.3], pa.float32()), "dec": [1, 2, 3]})
    write_files(tmp_path / "Object", table, files=1)
    found = stored(build_all(tmp_path, sky_table())["Object"].directory)
    assert found.schema.field("ra").type == pa.float32()
    expected = radec_to_index(table["ra"].to_numpy().astype("f8"), np.array([1.0, 2.0, 3.0]))
    assert found[HEALPIX_COLUMN].to_pylist() == sorted(expected.tolist())


def test_csv_equals_parquet(rows: pa.Table, store: Path, tmp_path: Path) -> None:
    """Types come from the schema file, so that ids stay integers and floats keep their width."""
    flat = rows.drop_columns(["curve"])
    (tmp_path / "Object").mkdir()
    from pyarrow import csv

    csv.write_csv(flat, tmp_path / "Object/all.csv")
    felis = {"int64": "long", "double": "double", "float": "float", "string": "string", "bool": "boolean"}
    lines = [f"  - {{name: {f.name}, datatype: {felis[str(f.type)]}}}" for f in flat.schema]
    (tmp_path / "schema.yaml").write_text("\n".join(["tables:", "- name: Object", "  columns:", *lines]))
    table = sky_table(input=("Object/all.csv",), target_rows=250, row_group_rows=64)
    release = build_all(tmp_path, table, schema_file=tmp_path / "schema.yaml")["Object"].directory
    assert by_id(stored(release), COLUMNS[:6]) == by_id(stored(store), COLUMNS[:6])
    assert (tmp_path / "catalogs/survey/schema.yaml").read_bytes() == (tmp_path / "schema.yaml").read_bytes()


def test_a_table_without_positions_is_one_plain_file(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Notes", rows)
    table = sky_table("Notes", ra=None, dec=None, row_group_rows=700)
    release = build_all(tmp_path, table)["Notes"].directory
    assert published(tmp_path / "catalogs/survey/Notes") == release
    assert pq.read_table(release / PLAIN_FILE)["id"].to_pylist() == rows["id"].to_pylist()
    metadata = pq.read_metadata(release / PLAIN_FILE)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [700] * 4 + [200]
    manifest = read_manifest(release)
    assert (manifest.placement, manifest.rows) == (None, ROWS)
    assert len(read_partition_map(release)) == 1
    assert not (tmp_path / "catalogs/survey/Notes/collection.properties").exists()


def test_rebuilding_makes_the_next_release(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows)
    first = build_all(tmp_path, sky_table())["Object"].directory
    before = tree(first)
    write_files(tmp_path / "Object", rows.slice(0, 50))
    second = build_all(tmp_path, sky_table())["Object"]
    assert (first.name, second.directory.name, second.manifest.release) == ("Object_r1", "Object_r2", 2)
    assert published(first.parent) == second.directory
    assert tree(first) == before
    made = [f"Object_{name}" for name in ("r1", "r1_10arcs", "r1_id", "r2", "r2_10arcs", "r2_id")]
    assert sorted(path.name for path in first.parent.iterdir()) == [*made, "collection.properties"]


def fails_schema(base: Path) -> None:
    pq.write_table(pa.table({"other": [1]}), base / "Object/part9.parquet")


def fails_reading(base: Path) -> None:
    path = base / "Object/part2.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)


@pytest.mark.parametrize(("spoil", "error"), [(fails_schema, SchemaMismatchError), (fails_reading, InputError)])
def test_a_failed_build_leaves_the_published_release(
    rows: pa.Table, tmp_path: Path, spoil: Any, error: type[PartitioningError]
) -> None:
    write_files(tmp_path / "Object", rows)
    build_all(tmp_path, sky_table())
    before = tree(tmp_path / "catalogs")
    spoil(tmp_path)
    with pytest.raises(error, match=r"Object/part\d\.parquet"):
        build_all(tmp_path, sky_table())
    assert visible(tmp_path / "catalogs") == before


def test_all_tables_of_a_build_appear_or_none(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Good", rows)
    write_files(tmp_path / "Bad", rows.drop_columns(["ra"]))
    with pytest.raises(ConfigError, match="no position column 'ra'"):
        build_all(tmp_path, sky_table("Good"), sky_table("Bad"))
    assert visible(tmp_path / "catalogs") == {}


def test_the_next_build_sweeps_what_a_killed_one_left(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows)
    left = tmp_path / "catalogs/survey/Object/.staging/Object_r1/dataset"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    unpublished = tmp_path / "catalogs/survey/Object/Object_r1"  # killed between its two renames
    unpublished.mkdir()
    release = build_all(tmp_path, sky_table())["Object"].directory
    assert release.name == "Object_r2"
    assert not (release.parent / ".staging").exists()


def test_spill_files_can_lie_elsewhere_and_are_removed(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows)
    spill = tmp_path / "spill"
    seen: set[str] = set()

    def report(_: str) -> None:
        seen.update(path.name for path in spill.glob("*/*"))

    build(config(tmp_path, sky_table(), spill=spill), report=report)
    assert {"places", "bucket", "runs"} <= seen
    assert list(spill.iterdir()) == []


def test_spill_files_are_as_many_as_input_units(
    rows: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_stage, "_SMALL_UNIT_BYTES", 1)  # each file is a unit
    monkeypatch.setattr(bucket_stage, "_SMALL_BUCKET_ROWS", 1)
    write_files(tmp_path / "Object", rows.slice(0, 900), files=5)
    seen, tiles = list[set[str]](), list[int]()
    for target in (10, 1000):
        spill, names = tmp_path / f"spill{target}", set[str]()

        def report(_: str, spill: Path = spill, names: set[str] = names) -> None:
            names.update(path.name for path in spill.glob("*/bucket/*") if path.suffix != ".npz")

        table = sky_table(target_rows=target)
        (built,) = build(config(tmp_path, table, spill=spill, root=tmp_path / f"to{target}"), report=report)
        seen.append(names)
        tiles.append(len(leaves(built.directory)))
    assert tiles[0] > 10 * tiles[1]
    assert seen == [{f"{unit:05d}.arrow" for unit in range(5)}] * 2


def test_two_builds_of_one_table_exclude_each_other(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows)
    busy: list[str] = []

    def report(_: str) -> None:
        if not busy:
            busy.append("tried")
            with pytest.raises(ConfigError, match="another build of this table is running"):
                build_all(tmp_path, sky_table())

    build(config(tmp_path, sky_table()), report=report)
    assert busy == ["tried"]


def test_verification_stops_a_broken_release(rows: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit flipped on disk between writing and verifying is found, and nothing is published."""
    write_files(tmp_path / "Object", rows)
    check = read_manifest

    def spoiled(catalog: Path) -> Any:
        leaf = leaves(catalog)[0]
        content = bytearray(leaf.read_bytes())
        content[40] ^= 1
        leaf.write_bytes(content)
        return check(catalog)

    monkeypatch.setattr(verify_stage, "read_manifest", spoiled)
    with pytest.raises(LayoutError, match=r"Npix=\d+\.parquet"):
        build_all(tmp_path, sky_table(target_rows=500))
    assert visible(tmp_path / "catalogs") == {}
    monkeypatch.undo()
    build_all(tmp_path, sky_table(target_rows=500))  # the leaves are made again


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": ("objid",)}, "id names 'objid', which is no column of the input"),
        ({"hidden": ("flog",)}, "hidden names 'flog', .*did you mean 'flag'"),
        ({"id": ("curve",)}, "id column 'curve' is list"),
        ({"ra": "band"}, "position column 'band' is string"),
        ({"input": ("none/*.parquet",)}, "matches no file"),
    ],
)
def test_configuration_that_does_not_fit_the_input(
    rows: pa.Table, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    write_files(tmp_path / "Object", rows, files=1)
    with pytest.raises(PartitioningError, match=message):
        build_all(tmp_path, sky_table(**options))


def test_hidden_columns_are_marked(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows, files=1)
    manifest = build_all(tmp_path, sky_table(hidden=("flag",)))["Object"].manifest
    assert [column.name for column in manifest.columns if column.hidden] == [HEALPIX_COLUMN, "flag", INPUT_COLUMN]


def test_creation_time_can_be_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767323045")
    assert build_time() == "2026-01-02T03:04:05Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert build_time() > "2026-01-02T03:04:05Z"


def test_all_of_a_release_is_on_disk_before_it_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and directories alike: a loss of power right after the rename must not leave a release of empty files."""
    write_files(tmp_path / "Object", sky_rows(900))
    home, flushed = tmp_path / "catalogs/survey/Object", set[int]()

    def fsync(descriptor: int) -> None:
        if not (home / "Object_r1").exists():
            flushed.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    build(config(tmp_path, sky_table(target_rows=300)), created=CREATED)
    made = [path for release in home.glob("Object_r1*") for path in (release, *release.rglob("*"))]
    assert len(made) > 30
    assert [str(path) for path in made if path.stat().st_ino not in flushed] == []


@pytest.mark.parametrize(
    ("values", "kind", "bounds"),
    [
        ([1, 45_000_123_456_789], pa.time64("ns"), ("00:00:00.000000001", "12:30:00.123456789")),
        ([0, 10**18], pa.timestamp("ns"), ("1970-01-01 00:00:00", "2001-09-09 01:46:40")),
        ([5, 10**18 + 1], pa.timestamp("ns", "UTC"), (f"1970-01-01 00:00:00.{5:09d}+00:00", None)),
        ([-720_000, 4_000_000], pa.date32(), ("-0002-09-16", "12921-08-18")),
        ([0, 2**60], pa.timestamp("us"), ("1970-01-01 00:00:00", None)),
    ],
)
def test_times_that_python_does_not_have(
    values: list[int], kind: pa.DataType, bounds: tuple[str, str | None], tmp_path: Path
) -> None:
    """Nanoseconds, and years beyond 1 to 9999: as ids and as other columns; without pandas and with it."""
    (tmp_path / "Object").mkdir()
    when = pa.array(values, kind)
    pq.write_table(pa.table({"ra": [1.0, 2.0], "dec": [1.0, 2.0], "when": when}), tmp_path / "Object/a.parquet")
    (built,) = build(config(tmp_path, sky_table(id=("when",))), created=CREATED)
    assert verify_release(built.directory, scope=Full()).findings == ()
    assert set(stored(built.directory)["when"].cast(_raw(kind)).to_pylist()) == set(values)
    (column,) = (one for one in built.manifest.columns if one.name == "when")
    assert column.minimum == bounds[0]
    assert bounds[1] in (None, column.maximum)


def test_builds_below_two_roots_share_a_directory_for_spill_files(rows: pa.Table, tmp_path: Path) -> None:
    """Of the same schema and table: what one has left is no concern of the other."""
    write_files(tmp_path / "Object", rows)
    wanted = [config(tmp_path, sky_table(), root=tmp_path / root, spill=tmp_path / "spill") for root in ("a", "b")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_index", _stop)
        for one in wanted:
            with pytest.raises(KeyboardInterrupt):
                build(one, created=CREATED)
    assert len(list((tmp_path / "spill").iterdir())) == 2
    lines: list[str] = []
    for one in wanted:
        build(one, created=CREATED, report=lines.append)
    assert sum("an interrupted build of release 1 goes on" in line for line in lines) == 2
    assert not list((tmp_path / "spill").iterdir())


def test_a_build_goes_on_with_the_spill_files_where_they_are(rows: pa.Table, tmp_path: Path) -> None:
    """`status` finds them, too; if they are wanted in another place, the old ones are removed."""
    write_files(tmp_path / "Object", rows)
    home = tmp_path / "catalogs/survey/Object"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_index", _stop)
        with pytest.raises(KeyboardInterrupt):
            build(config(tmp_path, sky_table(), spill=tmp_path / "spill"), created=CREATED)
        (there,) = (tmp_path / "spill").iterdir()
        assert table_status(home).spill == there
        with pytest.raises(KeyboardInterrupt):
            build(config(tmp_path, sky_table(), spill=tmp_path / "other"), created=CREATED)
    assert not there.exists()
    lines: list[str] = []
    build(config(tmp_path, sky_table()), created=CREATED, report=lines.append)
    assert any("an interrupted build of release 1 goes on" in line for line in lines)
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize("change", [lambda plan: {**plan, "new": 1}, lambda _: {"base": None}, lambda _: []])
def test_a_build_begins_anew_if_its_plan_is_of_another_version(
    change: Callable[[dict[str, Any]], object], rows: pa.Table, tmp_path: Path
) -> None:
    write_files(tmp_path / "Object", rows)
    home = tmp_path / "catalogs/survey/Object"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_index", _stop)
        with pytest.raises(KeyboardInterrupt):
            build(config(tmp_path, sky_table()), created=CREATED)
    plan = home / ".staging/plan.json"
    plan.write_text(json.dumps(change(json.loads(plan.read_text()))))
    assert planned_releases(home) == frozenset()
    assert table_status(home).plan is None
    (built,) = build(config(tmp_path, sky_table()), created=CREATED)
    assert verify_release(built.directory, scope=Full()).findings == ()


def test_a_copy_of_an_interrupted_build_leaves_the_spill_files_of_the_other_alone(
    rows: pa.Table, tmp_path: Path
) -> None:
    write_files(tmp_path / "Object", rows)
    for spill in (None, tmp_path / "spill"):
        root, copied = tmp_path / f"root-{spill is None}", tmp_path / f"copy-{spill is None}"
        first = config(tmp_path, sky_table(), root=root, spill=spill)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "_index", _stop)
            with pytest.raises(KeyboardInterrupt):
                build(first, created=CREATED)
        shutil.copytree(root, copied)
        build(config(tmp_path, sky_table(), root=copied), created=CREATED)
        lines: list[str] = []
        build(first, created=CREATED, report=lines.append)
        assert any("an interrupted build of release 1 goes on" in line for line in lines)
        assert not any("done again" in line for line in lines)


def test_a_build_that_begins_spills_where_it_is_told_to_now(rows: pa.Table, tmp_path: Path) -> None:
    write_files(tmp_path / "Object", rows)
    home = tmp_path / "catalogs/survey/Object"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_index", _stop)
        for table, spill in ((sky_table(), tmp_path / "spill"), (sky_table(target_rows=77), None)):
            with pytest.raises(KeyboardInterrupt):
                build(config(tmp_path, table, spill=spill), created=CREATED)
    assert not list((tmp_path / "spill").iterdir())
    assert table_status(home).spill == home / ".staging/spill"


def test_fewer_processes_do_a_table_of_large_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has room for four; tables of others are done by all."""
    monkeypatch.setattr(pipeline, "SMALL_BYTES", 0)
    long = sky_rows(3000).append_column("text", pa.array(["lorem ipsum " * 90] * 3000))
    for name, table in (("Long", long), ("Short", sky_rows(3000))):
        write_files(tmp_path / name, table)
    tables = [sky_table("Short", target_rows=900), sky_table("Long", target_rows=900)]
    lines: list[str] = []
    wanted = config(tmp_path, *tables, memory=800 << 20, workers=3)
    built = build(wanted, created=CREATED, report=lines.append)
    told = [line for line in lines if "workers: " in line]
    assert [line.partition("workers: ")[2].partition(":")[0] for line in told] == ["2 of 3", "1 of 2"]
    assert told[1].startswith("survey.Long: workers: 1 of 2: row groups take 3")
    assert [one.manifest.rows for one in built] == [3000, 3000]
    assert dry_run(wanted, Lines(lines.append))
    assert any(re.search(r"workers +1 of 2: row groups take", line) for line in lines)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _raw(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if kind.bit_width == 32 else pa.int64()
