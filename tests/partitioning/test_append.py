"""Appending and replacing: the next release holds what a build from scratch would, and the former one is untouched."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning import job
from partitioning.checks.report import Full, Report
from partitioning.checks.verify import verify_release
from partitioning.config import TableConfig
from partitioning.dryrun import dry_run
from partitioning.exceptions import ConfigError, InputError, LayoutError, SchemaMismatchError
from partitioning.layout.manifest import read_manifest, read_partition_map
from partitioning.layout.paths import COLLECTION_PROPERTIES, HEALPIX_COLUMN, INPUT_COLUMN, leaf_path
from partitioning.pipeline import append, build
from partitioning.progress import Lines
from partitioning.releases import switch_releases
from partitioning.stages import id_index
from partitioning.stages.base import read_map
from tests.partitioning.builders import (
    CREATED,
    build_all,
    by_id,
    config,
    leaves,
    published,
    sky_rows,
    sky_table,
    stored,
    tree,
    write_files,
)

ROWS = 3000
TABLE = sky_table(target_rows=250, row_group_rows=64, margin_arcsec=30.0)
COLUMNS = ["ra", "dec", "mag", "flux", "zero", "band", "curve", "flag"]


def add(base: Path, name: str, table: pa.Table) -> None:
    pq.write_table(table, base / "Object" / f"{name}.parquet")


TELL_THE_TIME = {"manifest.json", "hats.properties", "properties", "README.md", "index.html", "checksums.xxh128"}


def grow(base: Path, *replaced: str, report: Callable[[str], None] = lambda _: None, **options: Any) -> Path:
    (table,) = append(config(base, TABLE, **options), created=CREATED, replaced=replaced, report=report)
    return table.directory


def rebuilt(base: Path, elsewhere: Path) -> Path:
    """Return a release of all input files, built from scratch."""
    return build_all(base, TABLE, root=elsewhere)["Object"].directory


def contents(catalog: Path) -> dict[str, list[Any]]:
    """Return the rows of every leaf by its place, without their input numbers."""
    return {
        "/".join(path.parts[-3:]): pq.read_table(path, partitioning=None).drop_columns([INPUT_COLUMN]).to_pylist()
        for path in leaves(catalog)
    }


def rows_of(catalog: Path) -> list[Any]:
    return by_id(stored(catalog), [HEALPIX_COLUMN, *COLUMNS])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a published release of 3000 rows from three files; not to be changed."""
    directory = tmp_path_factory.mktemp("built")
    write_files(directory / "Object", sky_rows(ROWS))
    build_all(directory, TABLE)
    return directory


@pytest.fixture
def base(built: Path, tmp_path: Path) -> Path:
    """Return a copy of `built`, times of files included: an append compares them."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_an_append_holds_what_a_build_would(base: Path, tmp_path: Path) -> None:
    """Some rows everywhere: almost all tiles change, some are split, new ones appear; margins and index follow."""
    first = published(base / "catalogs/survey/Object")
    before = tree(first)
    add(base, "more", sky_rows(1500, seed=9, first_id=10))
    second = grow(base)
    assert second.name == "Object_r2"
    assert published(base / "catalogs/survey/Object") == second
    assert tree(first) == before
    full = rebuilt(base, tmp_path / "full")
    assert rows_of(second) == rows_of(full)
    assert_consistent(second)


def test_distinct_values_do_not_count_what_was_replaced(tmp_path: Path) -> None:
    """The same file is replaced again and again, each time with four rows of other stars."""

    def stars(seed: int) -> pa.Table:
        rows = sky_rows(1200, seed=seed, first_id=10_000 * seed)
        first = np.arange(1200) // 4 * 4
        for name in ("ra", "dec"):
            rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].take(pa.array(first)))
        return rows.append_column("star", pa.array(10_000 * seed + first))

    write_files(tmp_path / "Object", pa.concat_tables([stars(seed) for seed in (1, 2, 3)]))
    build_all(tmp_path, TABLE)
    for night in range(4, 8):
        add(tmp_path, "part0", stars(night))
        catalog = grow(tmp_path, "Object/part0.parquet")
    rows = stored(catalog)
    assert len(set(rows["star"].to_pylist())) == 900
    for column in read_manifest(catalog).columns:
        if column.name in {"id", "star", "mag", "flux", "band", "flag", "zero"}:
            truth = len(set(rows[column.name].drop_null().to_pylist()))
            assert column.distinct == pytest.approx(truth, rel=0.25 if truth > 255 else 0), column.name


def test_an_index_of_few_ids_is_handed_on_in_parts(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of the base release's index, parts and row groups cut within one id, is merged with what is new."""
    monkeypatch.setattr(id_index, "PART_ROWS", 400)
    monkeypatch.setattr(id_index, "PART_GROUP_ROWS", 50)
    table = replace(TABLE, index=("band", "flag", "id"))
    (first,) = build(config(base, table, root=tmp_path / "few"), created=CREATED)
    add(base, "more", sky_rows(300, seed=9, first_id=10))
    (second,) = append(config(base, table, root=tmp_path / "few"), created=CREATED)
    for column in ("band", "flag", "id"):
        for release in (first.directory, second.directory):
            index = release.with_name(f"{release.name}_{column}") / "dataset/index"
            parts = sorted(index.glob("part.*.parquet"), key=lambda path: int(path.name.split(".")[1]))
            assert len(parts) > 5
            assert max(pq.read_metadata(part).num_rows for part in parts) < 1000
            entries = pa.concat_tables(pq.read_table(part) for part in parts).select([column, HEALPIX_COLUMN])
            rows = stored(release).select([column, HEALPIX_COLUMN])
            assert entries.equals(rows.sort_by([(column, "ascending"), (HEALPIX_COLUMN, "ascending")]))
        (record,) = (index for index in second.manifest.indexes if index.column == column)
        assert record.distinct == len(set(stored(second.directory)[column].to_pylist()))


def test_an_index_of_times_is_handed_on_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times, and days: Parquet tells their bounds as integers."""
    monkeypatch.setattr(id_index, "PART_ROWS", 400)
    monkeypatch.setattr(id_index, "PART_GROUP_ROWS", 50)
    kinds = {"ns": pa.timestamp("ns"), "s": pa.timestamp("s"), "day": pa.date32(), "ms_day": pa.date64()}

    def rows(seed: int, count: int) -> pa.Table:
        table, rng = sky_rows(count, seed=seed, first_id=10_000 * seed), np.random.default_rng(seed)
        for name, kind in kinds.items():
            days = pa.array(rng.integers(-9000, 9000, count).astype("i4")).cast(pa.date32())
            table = table.append_column(name, days.cast(kind))
        return table

    write_files(tmp_path / "Object", rows(1, 2000))
    table = replace(TABLE, index=tuple(kinds))
    build(config(tmp_path, table), created=CREATED)
    add(tmp_path, "more", rows(2, 3))
    (grown,) = append(config(tmp_path, table), created=CREATED)
    for column in kinds:
        index = grown.directory.with_name(f"{grown.directory.name}_{column}") / "dataset/index"
        sizes = [pq.read_metadata(part).num_rows for part in index.glob("part.*.parquet")]
        assert sum(sizes) == 2003
        assert len(sizes) > 4
        assert max(sizes) < 1000


def test_an_append_goes_on_from_an_index_with_empty_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of parts count rows that are replaced by few."""
    monkeypatch.setattr(id_index, "PART_ROWS", 500)
    for name, first in (("a", 0), ("b", 100_000)):
        add_first(tmp_path, name, sky_rows(1500, seed=first + 1, first_id=first))
    build(config(tmp_path, TABLE), created=CREATED)
    add(tmp_path, "b", sky_rows(1, seed=5, first_id=100_000))
    (table,) = append(config(tmp_path, TABLE), created=CREATED, replaced=["Object/b.parquet"])
    parts = (table.directory.with_name(f"{table.directory.name}_id") / "dataset/index").glob("part.*.parquet")
    assert 0 in [pq.read_metadata(part).num_rows for part in parts]
    add(tmp_path, "c", sky_rows(20, seed=6, first_id=200_000))
    (table,) = append(config(tmp_path, TABLE), created=CREATED)
    assert_consistent(table.directory)


def test_a_small_table_that_is_replaced_as_a_whole_verifies(tmp_path: Path) -> None:
    """Its sketches knew all values, none of which is there any more."""
    add_first(tmp_path, "all", sky_rows(250, seed=1, first_id=1))
    build(config(tmp_path, TABLE), created=CREATED)
    add(tmp_path, "all", sky_rows(250, seed=2, first_id=1000))
    (table,) = append(config(tmp_path, TABLE), created=CREATED, replaced=["Object/all.parquet"])
    assert verify_release(table.directory, scope=Full()).is_clean


def add_first(base: Path, name: str, table: pa.Table) -> None:
    (base / "Object").mkdir(exist_ok=True)
    add(base, name, table)


def test_a_small_append_links_what_it_does_not_touch(base: Path) -> None:
    first = published(base / "catalogs/survey/Object")
    near = pa.table({**sky_rows(40, seed=3, first_id=7).to_pydict(), "ra": np.full(40, 200.0), "dec": np.full(40, 5.0)})
    add(base, "night", near.cast(pq.read_schema(base / "Object/part0.parquet")))
    second = grow(base)
    old = {path.relative_to(first): path.stat().st_ino for path in leaves(first)}
    new = {path.relative_to(second): path.stat().st_ino for path in leaves(second)}
    shared = [name for name in new if old.get(name) == new[name]]
    assert len(new) - len(shared) <= 2
    assert len(shared) > 10
    assert_consistent(second)
    margins = [catalog.with_name(f"{catalog.name}_30arcs") for catalog in (first, second)]
    linked = {path.stat().st_ino for path in leaves(margins[0])} & {path.stat().st_ino for path in leaves(margins[1])}
    assert len(linked) > 5


def test_a_replaced_file_loses_its_old_rows(base: Path, tmp_path: Path) -> None:
    changed = sky_rows(ROWS).slice(1000, 1000)
    moved = changed.set_column(changed.column_names.index("dec"), "dec", pa.array(-changed["dec"].to_numpy()))
    add(base, "part1", moved.slice(0, 700))
    with pytest.raises(InputError, match=r"part1\.parquet: has changed since it was published; say --replace"):
        grow(base)
    second = grow(base, "Object/part1.parquet")
    assert rows_of(second) == rows_of(rebuilt(base, tmp_path / "full"))
    records = [(record.number, record.name, record.rows) for record in read_manifest(second).inputs]
    assert records == [(n, f"Object/part{k}.parquet", rows) for n, k, rows in ((0, 0, 1000), (2, 2, 1000), (3, 1, 700))]
    assert set(stored(second)[INPUT_COLUMN].to_pylist()) == {0, 2, 3}
    assert_consistent(second)


def test_a_replaced_file_changes_only_tiles_that_hold_its_rows(tmp_path: Path) -> None:
    """Though files of the numbers around its own have rows everywhere."""
    everywhere = sky_rows(ROWS)
    write_files(tmp_path / "Object", everywhere.slice(0, 1400), files=1)
    near = {"ra": np.full(40, 200.0), "dec": np.full(40, 5.0)}
    add(tmp_path, "part1", pa.table({**everywhere.slice(1400, 40).to_pydict(), **near}).cast(everywhere.schema))
    add(tmp_path, "part2", everywhere.slice(1440, 1400))
    first = build_all(tmp_path, TABLE)["Object"].directory
    add(tmp_path, "part1", everywhere.slice(1400, 0))
    second = grow(tmp_path, "Object/part1.parquet")
    kept = pa.concat_tables([everywhere.slice(0, 1400), everywhere.slice(1440, 1400)])
    assert sorted(stored(second)["id"].to_pylist()) == sorted(kept["id"].to_pylist())
    old, new = ({path.relative_to(one): path.stat().st_ino for path in leaves(one)} for one in (first, second))
    assert len(old) > 10
    assert len(set(old.items()) - set(new.items())) <= 1


def test_a_file_that_changed_without_changing_its_size_is_noticed(base: Path) -> None:
    path = base / "Object/part2.parquet"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-9] ^= 1  # in the footer
    path.write_bytes(bytes(content))
    assert path.stat().st_size == before.st_size
    with pytest.raises(InputError, match=r"part2\.parquet: has changed since it was published; say --replace"):
        grow(base)


def test_an_append_verifies_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New tiles, and those with another margin: the rest was verified when it was made."""
    table = replace(TABLE, target_rows=50)
    write_files(tmp_path / "Object", sky_rows(ROWS))
    first = build_all(tmp_path, table)["Object"].directory
    near = pa.table({**sky_rows(40, seed=3, first_id=7).to_pydict(), "ra": np.full(40, 200.0), "dec": np.full(40, 5.0)})
    add(tmp_path, "night", near.cast(pq.read_schema(tmp_path / "Object/part0.parquet")))
    scopes: list[Any] = []

    def watched(release: Path, **options: Any) -> Report:
        scopes.append(options["scope"])
        return verify_release(release, **options)

    monkeypatch.setattr(job, "verify_release", watched)
    (second,) = (made.directory for made in append(config(tmp_path, table), created=CREATED))
    before, chosen = (scope.pixels for scope in scopes)
    assert before == frozenset()  # of the published release its lists and indexes alone
    partitions = read_partition_map(second)
    read = {leaf_path(pixel) for pixel in chosen}
    old = {path.relative_to(first).as_posix(): path.stat().st_ino for path in leaves(first)}
    made = {p.relative_to(second).as_posix(): p.stat().st_ino for p in leaves(second)}
    assert {name for name, inode in made.items() if old.get(name) != inode} <= read
    assert len(read) < len(partitions) / 4
    assert verify_release(second, scope=Full()).is_clean


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_page(path: Path) -> None:
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(bytes(content))


_NOT_READ = "a tile of the release to append to cannot be read: .*; verify that release"
_NOT_WHOLE = "nothing is appended to it: repair it, switch to another release, or build anew"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (flip_a_page, _NOT_READ),
        (cut, f"it has .* bytes, not .*; {_NOT_WHOLE}"),
        (Path.unlink, f"the data file is missing; {_NOT_WHOLE}"),
    ],
)
def test_a_tile_that_cannot_be_read_ends_the_append(base: Path, spoil: Callable[[Path], None], problem: str) -> None:
    """Sizes are looked at when the append begins; a flipped bit is found by who reads the tile."""
    leaf = leaves(published(base / "catalogs/survey/Object"))[5]
    spoil(leaf)
    add(base, "more", sky_rows(1500, seed=9, first_id=10))
    with pytest.raises(LayoutError, match=f"{leaf.name}.*: {problem}"):
        grow(base)
    assert published(base / "catalogs/survey/Object").name == "Object_r1"


@pytest.mark.parametrize("name", ["dataset/index/part.0.parquet", "flat/healpix.i64", "manifest/files.parquet"])
def test_an_append_takes_no_damaged_index_over(base: Path, name: str) -> None:
    """It would be signed anew, and then nothing could find it."""
    path = published(base / "catalogs/survey/Object").with_name("Object_r1_id") / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    add(base, "more", sky_rows(100, seed=9, first_id=10))
    with pytest.raises(LayoutError, match=r"Object_r1 is not as it must be: .*Object_r1_id"):
        grow(base)
    assert published(base / "catalogs/survey/Object").name == "Object_r1"


def test_leaves_that_are_copied_are_verified(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no links, and a copy goes wrong."""
    near = pa.table({**sky_rows(40, seed=3, first_id=7).to_pydict(), "ra": np.full(40, 200.0), "dec": np.full(40, 5.0)})
    add(base, "night", near.cast(pq.read_schema(base / "Object/part0.parquet")))

    link, copied = os.link, list[Path]()

    def no_links(source: Path, target: Path) -> None:
        if Path(source).suffix == ".parquet":  # a lease is a link, too
            raise OSError(errno.EPERM, "no links here")
        link(source, target)

    def bad_copy(source: Path, target: Path) -> None:
        content = Path(source).read_bytes()
        if not copied:  # the writer's name in the footer: whoever reads rows sees nothing
            content = content.replace(b"parquet-cpp-arrow", b"parquet-cpp-arroW")
        copied.append(Path(target))
        Path(target).write_bytes(content)

    monkeypatch.setattr("partitioning.stages.base.os.link", no_links)
    monkeypatch.setattr("partitioning.stages.base.shutil.copyfile", bad_copy)
    with pytest.raises(LayoutError, match=r"Object_r2 is not as it must be: .*checksum"):
        grow(base)
    assert len(copied) > 5
    assert published(base / "catalogs/survey/Object").name == "Object_r1"


def test_appends_follow_each_other(base: Path, tmp_path: Path) -> None:
    for number in range(3):
        add(base, f"night{number}", sky_rows(200 + number, seed=20 + number, first_id=10_000 * (number + 1)))
        grow(base)
    last = published(base / "catalogs/survey/Object")
    assert last.name == "Object_r4"
    assert rows_of(last) == rows_of(rebuilt(base, tmp_path / "full"))
    assert_consistent(last)


def test_rejected_rows_are_carried_along(base: Path) -> None:
    for number in range(2):
        bad = sky_rows(30, seed=5, first_id=99 + 100 * number)
        spoiled = bad.set_column(bad.column_names.index("ra"), "ra", pa.array([float("nan")] * 3 + [10.0] * 27))
        add(base, f"bad{number}", spoiled)
        release = grow(base)
    rejects = pq.read_table(release / "manifest/rejects.parquet")
    assert rejects["_input_file"].to_pylist() == ["Object/bad0.parquet"] * 3 + ["Object/bad1.parquet"] * 3
    assert read_manifest(release).rejected_rows == 6


def test_nothing_new_makes_no_release(base: Path) -> None:
    lines: list[str] = []
    assert append(config(base, TABLE), report=lines.append) == ()
    assert lines == ["survey.Object: nothing new"]
    assert published(base / "catalogs/survey/Object").name == "Object_r1"


def test_an_append_without_a_row_that_has_a_place(base: Path) -> None:
    """Its rows are counted, margins and all else stay; the next append goes on from there."""
    before = rows_of(published(base / "catalogs/survey/Object"))
    lost = sky_rows(5, seed=9, first_id=10)
    lost = lost.set_column(lost.schema.get_field_index("ra"), "ra", pa.nulls(5, pa.float64()))
    add(base, "lost", lost)
    assert dry_run(config(base, TABLE), Lines(lambda _: None), replaced=())
    second = grow(base)
    assert rows_of(second) == before
    assert read_manifest(second).rejected_rows == 5
    assert_consistent(second)
    add(base, "empty", lost[:0])
    add(base, "more", sky_rows(20, seed=8, first_id=100))
    assert len(rows_of(grow(base))) == len(before) + 20


def test_an_append_is_told_to_take_what_its_tiles_take(base: Path) -> None:
    """A few rows everywhere: all published rows are spilled and written again."""
    add(base, "more", sky_rows(100, seed=9, first_id=10))
    lines: list[str] = []
    assert dry_run(config(base, TABLE), Lines(lines.append), replaced=())
    made = int(re.search(r"spill +([0-9.]+) kB", "\n".join(lines))[1].partition(".")[0])  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"Object: spill files will take about [0-9.]+ kB, more than max_spill"):
        grow(base, max_spill=made * 500)
    grow(base, report=lines.append)
    (told,) = (line for line in lines if "of spill files" in line and "survey.Object: about" in line)
    assert int(re.search(r"about ([0-9]+) rows", told)[1]) > 2000  # type: ignore[index]


def test_the_content_of_a_published_file_is_not_taken_twice(base: Path, tmp_path: Path) -> None:
    """Another spelling of its path, or a copy under another name."""
    for spelled in (base / "Object/*.parquet", base / "catalogs/../Object/*.parquet"):
        assert append(config(base, replace(TABLE, input=(str(spelled),))), created=CREATED) == ()
    twin = r"part0.parquet: has the content of Object/part0.parquet, which is published"
    with pytest.raises(InputError, match=twin):
        append(config(base, replace(TABLE, input=("*.parquet",)), input_dir=base / "Object"), created=CREATED)
    add(base, "nothing", sky_rows(9)[:0])
    add(base, "nothing_again", sky_rows(9)[:0])
    assert grow(base).name == "Object_r2"
    add(base, "still_nothing", sky_rows(9)[:0])
    assert grow(base).name == "Object_r3"
    shutil.copyfile(base / "Object/part1.parquet", base / "Object/copy.parquet")
    with pytest.raises(InputError, match=r"Object/copy.parquet: has the content of Object/part1.parquet"):
        grow(base)


def test_names_of_inputs_outside_the_directory_of_the_configuration(base: Path, tmp_path: Path) -> None:
    """Whatever leads there, published files are known, and what has changed is told."""
    (base / "conf").mkdir()
    table = replace(TABLE, input=("../Object/*.parquet",))
    (first,) = build(config(base, table, input_dir=base / "conf", root=tmp_path / "out"), created=CREATED)
    assert first.manifest.inputs[0].name == "../Object/part0.parquet"
    for pattern in ("../Object/*.parquet", str(base / "Object/*.parquet"), "../conf/../Object/*.parquet"):
        wanted = config(base, replace(table, input=(pattern,)), input_dir=base / "conf", root=tmp_path / "out")
        assert append(wanted, created=CREATED) == ()
    add(base, "part0", sky_rows(1001, seed=77, first_id=10**6))
    for pattern in ("../Object/*.parquet", str(base / "Object/*.parquet")):
        wanted = config(base, replace(table, input=(pattern,)), input_dir=base / "conf", root=tmp_path / "out")
        with pytest.raises(InputError, match=r"^\.\./Object/part0.parquet: has changed since it was published"):
            append(wanted, created=CREATED)


def test_files_that_changed_places_are_replaced(base: Path) -> None:
    before = rows_of(published(base / "catalogs/survey/Object"))
    paths = [base / f"Object/part{number}.parquet" for number in range(2)]
    contents_of = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents_of), strict=True):
        path.write_bytes(content)
    assert rows_of(grow(base, "Object/part0.parquet", "Object/part1.parquet")) == before


def test_a_table_without_positions_that_did_not_change_is_nothing_new(base: Path) -> None:
    (base / "filters.csv").write_text("name,width\nu,1.5\ng,2.5\n")
    filters = TableConfig(name="Filters", input=("filters.csv",))
    build(config(base, filters), created=CREATED)
    add(base, "more", sky_rows(50, seed=9, first_id=10))
    lines: list[str] = []
    (made,) = append(config(base, TABLE, filters), created=CREATED, report=lines.append)
    assert made.name == "Object"
    assert "survey.Filters: nothing new" in lines
    (base / "filters.csv").write_text("name,width\nu,1.5\ng,9.5\n")
    with pytest.raises(ConfigError, match=r"'Filters' has no positions, .* build it anew, by --table Filters"):
        append(config(base, TABLE, filters), created=CREATED)


def test_what_does_not_fit_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no published table of this configuration has such an input file"):
        grow(base, "Object/nothing.parquet")
    add(base, "odd", sky_rows(10).append_column("extra", pa.array(range(10))))
    with pytest.raises(SchemaMismatchError, match="column 'extra' is in the new files only"):
        grow(base)
    with pytest.raises(ConfigError, match="margin_arcsec is 5, but 30 in the published release"):
        append(config(base, sky_table(margin_arcsec=5.0)))
    with pytest.raises(ConfigError, match="nothing is published that could be appended to"):
        append(config(base, TABLE, root=tmp_path / "empty"))


def test_a_file_that_lacks_a_published_column_is_named(base: Path) -> None:
    add(base, "new", sky_rows(10, seed=3, first_id=1))
    add(base, "odd", sky_rows(10, seed=4, first_id=100).drop_columns(["flux"]))
    message = (
        r"Object/odd\.parquet: lacks column 'flux', which the published table 'Object' has; .*optional = \['flux'\]"
    )
    with pytest.raises(SchemaMismatchError, match=message):
        grow(base)
    (base / "Object/new.parquet").unlink()
    with pytest.raises(SchemaMismatchError, match=message):
        grow(base)
    (table,) = append(config(base, replace(TABLE, optional=("flux",))))
    assert stored(table.directory)["flux"].null_count == 10


def test_an_interrupted_append_goes_on_to_the_same_bytes(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(base, "more", sky_rows(1500, seed=9, first_id=10))
    pointer = base / "catalogs/survey/Object" / COLLECTION_PROPERTIES
    before = pointer.read_bytes()
    whole = base / "whole"
    os.system(f"cp -a {base / 'catalogs'} {whole}")
    expected = tree(grow(base, root=whole))

    class StopError(Exception):
        pass

    def stop(line: str) -> None:
        if line.split(": ")[1].split(" ", maxsplit=1)[0] == stage:
            raise StopError

    for stage in ("place", "tiling", "bucket", "sort", "index", "maps", "verify"):
        with pytest.raises(StopError):
            append(config(base, TABLE), created=f"2026-05-{len(stage):02d}T00:00:00Z", report=stop)
        assert pointer.read_bytes() == before
    (table,) = append(config(base, TABLE), created="2027-01-01T00:00:00Z")
    made = tree(table.directory)
    assert set(made) == set(expected)
    different = [name for name in made if made[name] != expected[name]]
    assert {name.split("/")[-1] for name in different} <= TELL_THE_TIME
    created = b"2026-05-05T00:00:00Z"
    different = [name for name in different if not name.endswith("checksums.xxh128")]
    assert all(made[name].replace(created, CREATED.encode()) == expected[name] for name in different)


def test_child_tables_grow_with_their_parents(tmp_path: Path) -> None:
    from tests.partitioning.test_children import child, child_rows

    parents = sky_rows(800, first_id=1)
    parents = parents.append_column("name", pa.array([f"object {n}" for n in range(800)]))
    rows = child_rows(parents, scatter_deg=0.002)
    write_files(tmp_path / "Object", parents.slice(0, 500), files=1)
    write_files(tmp_path / "Dia", rows.filter(np.isin(rows["parent_id"].to_numpy(), parents["id"].to_numpy()[:500])), 1)
    tables = (sky_table(target_rows=100), child("Dia"))
    build(config(tmp_path, *tables), created=CREATED)
    pq.write_table(parents.slice(500), tmp_path / "Object/new.parquet")
    late = rows.filter(~np.isin(rows["parent_id"].to_numpy(), parents["id"].to_numpy()[:500]))
    pq.write_table(late, tmp_path / "Dia/new.parquet")
    grown = {table.name: table for table in append(config(tmp_path, *tables), created=CREATED)}
    full = {t.name: t for t in build(config(tmp_path, *tables, root=tmp_path / "full"), created=CREATED)}
    for name in ("Object", "Dia"):
        found, wanted = (stored(release[name].directory).drop_columns([INPUT_COLUMN]) for release in (grown, full))
        key = "id" if name == "Object" else "n"
        columns = [column for column in wanted.column_names if column != key]
        assert by_id(found, columns, key) == by_id(wanted, columns, key)
    placement = grown["Dia"].manifest.placement
    assert placement is not None
    assert placement.parent_release == 2


def test_children_whose_parent_comes_later_are_to_be_placed_again(tmp_path: Path) -> None:
    from tests.partitioning.test_children import child, child_rows

    parents = sky_rows(90, first_id=1)
    parents = parents.append_column("name", pa.array([f"object {n}" for n in range(90)]))
    rows = child_rows(parents, scatter_deg=2.0)
    write_files(tmp_path / "Object", parents.slice(0, 60), files=1)
    write_files(tmp_path / "Dia", rows, files=1)
    tables = (sky_table(target_rows=40), child("Dia"))
    build(config(tmp_path, *tables), created=CREATED)
    pq.write_table(parents.slice(60), tmp_path / "Object/new.parquet")
    append(config(tmp_path, tables[0]), created=CREATED)
    pq.write_table(rows.slice(0, 9), tmp_path / "Dia/new.parquet")
    with pytest.raises(InputError, match=r"published rows are not where .* --replace 'Dia/part0\.parquet'"):
        append(config(tmp_path, *tables), created=CREATED)
    lines: list[str] = []
    assert not dry_run(config(tmp_path, *tables), Lines(lines.append), replaced=())
    assert any("--replace 'Dia/part0.parquet'" in line for line in lines)
    assert dry_run(config(tmp_path, *tables), Lines(lines.append), replaced=["Dia/part0.parquet"])
    (grown,) = append(config(tmp_path, *tables), created=CREATED, replaced=["Dia/part0.parquet"])
    (_, full) = build(config(tmp_path, *tables, root=tmp_path / "full"), created=CREATED)
    found, wanted = (stored(one.directory).drop_columns([INPUT_COLUMN]).to_pylist() for one in (grown, full))
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def test_children_of_a_parent_that_went_back_are_to_be_placed_again(tmp_path: Path) -> None:
    """Release 2 of the parent has rows that release 1 lacks: switched back, their children have no parent."""
    from tests.partitioning.test_children import child, child_rows

    parents = sky_rows(90, first_id=1)
    parents = parents.append_column("name", pa.array([f"object {n}" for n in range(90)]))
    rows = child_rows(parents, scatter_deg=2.0)
    write_files(tmp_path / "Object", parents.slice(0, 60), files=1)
    tables = (sky_table(target_rows=40), child("Dia"))
    build(config(tmp_path, tables[0]), created=CREATED)
    pq.write_table(parents.slice(60), tmp_path / "Object/new.parquet")
    append(config(tmp_path, tables[0]), created=CREATED)
    write_files(tmp_path / "Dia", rows, files=1)
    build(config(tmp_path, tables[1]), created=CREATED)
    switch_releases([tmp_path / "catalogs/survey/Object"], 1, print)
    (tmp_path / "Object/new.parquet").unlink()
    pq.write_table(rows.slice(0, 9), tmp_path / "Dia/new.parquet")
    with pytest.raises(InputError, match=r"published rows are not where .* --replace 'Dia/part0\.parquet'"):
        append(config(tmp_path, tables[1]), created=CREATED)
    (grown,) = append(config(tmp_path, tables[1]), created=CREATED, replaced=["Dia/part0.parquet"])
    (_, full) = build(config(tmp_path, *tables, root=tmp_path / "full"), created=CREATED)
    found, wanted = (stored(one.directory).drop_columns([INPUT_COLUMN]).to_pylist() for one in (grown, full))
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def test_rows_that_wait_for_a_parent_are_told(tmp_path: Path) -> None:
    """A child without a position of its own is rejected while it has no parent."""
    from tests.partitioning.test_children import child, child_rows

    parents = sky_rows(90, first_id=1)
    parents = parents.append_column("name", pa.array([f"object {n}" for n in range(90)]))
    rows = child_rows(parents, scatter_deg=2.0).drop_columns(["ra", "dec"])
    write_files(tmp_path / "Object", parents.slice(0, 60), files=1)
    write_files(tmp_path / "Dia", rows, files=1)
    tables = (sky_table(target_rows=40), replace(child("Dia"), ra=None, dec=None))
    (_, first) = build(config(tmp_path, *tables), created=CREATED)
    waiting = first.manifest.inputs[0].rejected
    assert waiting > 0
    pq.write_table(parents.slice(60), tmp_path / "Object/new.parquet")
    pq.write_table(rows.slice(0, 9), tmp_path / "Dia/new.parquet")
    lines: list[str] = []
    append(config(tmp_path, *tables), created=CREATED, report=lines.append)
    told = f"{waiting} rows published before had no parent then, and stay rejected"
    assert f"survey.Dia: {told}; --replace their files to try again: Dia/part0.parquet" in lines
    lines.clear()
    append(config(tmp_path, *tables), created=CREATED, replaced=["Dia/part0.parquet"], report=lines.append)
    assert not any("stay rejected" in line for line in lines)


def test_a_release_without_rows_is_refused(base: Path) -> None:
    names = []
    for path in sorted((base / "Object").iterdir()):
        pq.write_table(pq.read_table(path).slice(0, 0), path)
        names.append(f"Object/{path.name}")
    with pytest.raises(InputError, match="none of its rows has a usable position"):
        grow(base, *names)


def assert_consistent(catalog: Path) -> None:
    """Check counts, map, margin and index of a release against its own rows, by brute force."""
    manifest, rows = read_manifest(catalog), stored(catalog)
    assert manifest.rows == len(rows) == sum(record.rows - record.rejected for record in manifest.inputs)
    for column in manifest.columns:
        assert column.nulls == rows[column.name].null_count, column.name
    pixels, counts = read_map(catalog)
    expected = np.unique(rows[HEALPIX_COLUMN].to_numpy() >> 42, return_counts=True)
    assert (pixels.tolist(), counts.tolist()) == (expected[0].tolist(), expected[1].tolist())
    entries = pa.concat_tables(
        pq.read_table(path) for path in sorted(catalog.with_name(f"{catalog.name}_id").glob("dataset/index/*.parquet"))
    )
    order = np.lexsort((rows[HEALPIX_COLUMN].to_numpy(), rows["id"].to_numpy()))
    assert entries["id"].to_pylist() == rows["id"].to_numpy()[order].tolist()
    assert entries[HEALPIX_COLUMN].to_pylist() == rows[HEALPIX_COLUMN].to_numpy()[order].tolist()
    assert_margin(catalog, rows)


def assert_margin(catalog: Path, rows: pa.Table) -> None:
    from partitioning.sky.borders import distance_to_pixels_deg

    margin = catalog.with_name(f"{catalog.name}_30arcs")
    index, ra, dec = (rows[name].to_numpy() for name in (HEALPIX_COLUMN, "ra", "dec"))
    for path in leaves(catalog):
        order, number = int(path.parts[-3].split("=")[1]), int(path.stem.split("=")[1])
        shift = 2 * (29 - order)
        outside = (index >> shift) != number
        distance = distance_to_pixels_deg(ra, dec, np.full(len(ra), order), np.full(len(ra), number))
        near = rows.filter(pa.array(outside & (distance <= 30 / 3600)))
        leaf = margin / path.relative_to(catalog)
        found = pq.read_table(leaf, partitioning=None) if leaf.exists() else rows.slice(0, 0)
        assert sorted(found["id"].to_pylist()) == sorted(near["id"].to_pylist()), path
        assert found[HEALPIX_COLUMN].to_pylist() == sorted(found[HEALPIX_COLUMN].to_pylist())
