"""Damaged input: the build ends with file and row group named, or goes on without just that part if it is told to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import TableConfig
from partitioning.exceptions import InputError
from partitioning.layout.manifest import read_manifest
from partitioning.layout.paths import HEALPIX_COLUMN
from partitioning.pipeline import BuiltTable, append, build
from partitioning.sky.healpix import radec_to_index
from partitioning.stages import plan, run
from tests.partitioning.builders import CREATED, config, published, sky_rows, sky_table, stored, tree

ROWS, GROUP = 400, 100
FILES = 3


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for number in range(FILES):
        write(tmp_path, number, sky_rows(ROWS, seed=number, first_id=number * ROWS))
    return tmp_path


def write(base: Path, number: int, table: pa.Table) -> None:
    (base / "Object").mkdir(exist_ok=True)
    path = base / f"Object/part{number}.parquet"
    # plain pages without dictionaries: a flipped bit is a flipped value
    pq.write_table(table, path, row_group_size=GROUP, write_page_checksum=True, use_dictionary=False)


def flip(path: Path, group: int, column: str) -> None:
    """Flip a bit in the middle of the pages of a column."""
    metadata = pq.read_metadata(path).row_group(group)
    chunk = next(c for c in map(metadata.column, range(metadata.num_columns)) if c.path_in_schema == column)
    at = chunk.data_page_offset + chunk.total_compressed_size * 3 // 4
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def ids_without(base: Path, *lost: tuple[int, int | None]) -> list[int]:
    """Return the ids of all rows but those of some (file, row group); group None: the whole file."""
    ids = [sky_rows(ROWS, seed=number, first_id=number * ROWS)["id"].to_numpy() for number in range(FILES)]
    for number, group in lost:
        ids[number] = np.delete(
            ids[number], slice(None) if group is None else slice(group * GROUP, (group + 1) * GROUP)
        )
    return sorted(np.concatenate(ids).tolist())


def skipping(base: Path, **options: Any) -> BuiltTable:
    return build(config(base, sky_table(target_rows=150), **options), created=CREATED, skip_bad=True)[0]


def assert_holds(table: BuiltTable, ids: list[int], bad: dict[int, str]) -> None:
    """Check rows, their places, and the accounts."""
    rows = stored(table.directory)
    assert sorted(rows["id"].to_pylist()) == ids
    placed = radec_to_index(rows["ra"].to_numpy(), rows["dec"].to_numpy())
    assert (placed == rows[HEALPIX_COLUMN].to_numpy()).all()
    manifest = read_manifest(table.directory)
    assert manifest.input_rows == manifest.rows + manifest.rejected_rows == len(ids)
    problems = {record.name: record.bad_parts for record in manifest.inputs if record.bad_parts}
    assert set(problems) == {f"Object/part{number}.parquet" for number in bad}
    for number, text in bad.items():
        (problem,) = problems[f"Object/part{number}.parquet"]
        assert text in problem


@pytest.mark.parametrize("column", ["ra", "flux"], ids=["position", "other"])
def test_a_flipped_bit(base: Path, column: str) -> None:
    flip(base / "Object/part1.parquet", 2, column)
    with pytest.raises(InputError, match=r"Object/part1\.parquet: not a readable Parquet file in row group 2"):
        build(config(base, sky_table()), created=CREATED)
    assert not (base / "catalogs/survey/Object/collection.properties").exists()
    assert_holds(skipping(base), ids_without(base, (1, 2)), {1: "part 2 (100 rows): not a readable Parquet file"})


def test_what_is_left_out_is_told(base: Path) -> None:
    flip(base / "Object/part1.parquet", 2, "flux")
    told: list[str] = []
    build(config(base, sky_table()), skip_bad=True, report=told.append)
    (line,) = (line for line in told if "left out" in line)
    assert "left out: Object/part1.parquet: part 2 (100 rows): not a readable Parquet file" in line


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def spoil_footer(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-12:-8] = b"\xff" * 4  # the end of the footer's Thrift structure
    content[-8:-4] = b"\x07\x00\x00\x00"
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [cut, spoil_footer])
def test_a_file_without_a_footer(base: Path, spoil: Callable[[Path], None]) -> None:
    spoil(base / "Object/part2.parquet")
    with pytest.raises(InputError, match=r"Object/part2\.parquet: not a readable Parquet file"):
        build(config(base, sky_table()), created=CREATED)
    assert_holds(skipping(base), ids_without(base, (2, None)), {2: "all of the file: not a readable Parquet file"})


def test_an_append_knows_a_damaged_file_again(base: Path) -> None:
    """It is left as it is while it has not changed, and read when it is mended."""
    good = (base / "Object/part1.parquet").read_bytes()
    cut(base / "Object/part1.parquet")
    skipping(base)
    assert append(config(base, sky_table()), created=CREATED) == ()
    (base / "Object/part1.parquet").write_bytes(good)
    (table,) = append(config(base, sky_table()), created=CREATED, replaced=["Object/part1.parquet"])
    assert_holds(table, ids_without(base), {})


def test_a_ragged_line(base: Path) -> None:
    (base / "csv").mkdir()
    for number in range(2):
        lines = [f"{number * 100 + n},{n * 3.0},{n - 50.0}" for n in range(100)]
        lines[60] += ",7" if number else ""
        (base / f"csv/part{number}.csv").write_text("\n".join(["id,ra,dec", *lines]) + "\n")
    table = TableConfig(name="Object", input=("csv/*.csv",), ra="ra", dec="dec", id=("id",))
    with pytest.raises(
        InputError, match=r"csv/part1\.csv: not a readable CSV file.*Row #62.*Expected 3 columns, got 4"
    ):
        build(config(base, table), created=CREATED)
    (built,) = build(config(base, table), created=CREATED, skip_bad=True)
    assert sorted(stored(built.directory)["id"].to_pylist()) == list(range(100))
    assert [len(record.bad_parts) for record in read_manifest(built.directory).inputs] == [0, 1]


def interrupted(base: Path, monkeypatch: pytest.MonkeyPatch, *units: tuple[str, int]) -> None:
    """Run a build that skips damage until a unit is to be done, which fails."""
    original = run._run

    def failing(workspace: Any, the_plan: Any, stage: str, unit: int, share: Any) -> int:
        if (stage, unit) in units:
            raise OSError("the plug is pulled")
        return original(workspace, the_plan, stage, unit, share)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_run", failing)
        with pytest.raises(Exception, match="the plug is pulled"):
            skipping(base)


@pytest.fixture
def many_units(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the input into units of three row groups: two of them have parts of two files."""
    size = (base / "Object/part0.parquet").stat().st_size
    monkeypatch.setattr(plan, "_SMALL_UNIT_BYTES", size * 3.4 / 4)


@pytest.mark.usefixtures("many_units")
def test_damage_that_another_unit_found(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file vanishes after all rows were placed: no row of the units that it shares with others is misplaced."""
    path = base / "Object/part1.parquet"
    original, gone = run._run, path.with_suffix(".gone")

    def vanishing(workspace: Any, the_plan: Any, stage: str, unit: int, share: Any) -> int:
        if (stage, unit) == ("bucket", 0):
            path.rename(gone)
        return original(workspace, the_plan, stage, unit, share)

    monkeypatch.setattr(run, "_run", vanishing)
    assert_holds(skipping(base), ids_without(base, (1, None)), {1: "vanished since the build was planned"})


@pytest.mark.usefixtures("many_units")
@pytest.mark.parametrize("again", ["place", "bucket"])
def test_an_interruption_when_damage_was_just_found(base: Path, monkeypatch: pytest.MonkeyPatch, again: str) -> None:
    """The unit's rows are placed again before they are read; between the two the build is interrupted."""
    flip(base / "Object/part0.parquet", 1, "flux")
    original, seen = run._run, list[str]()

    def interrupting(workspace: Any, the_plan: Any, stage: str, unit: int, share: Any) -> int:
        if "damaged" in seen and stage == again:
            raise OSError("the plug is pulled")
        try:
            return original(workspace, the_plan, stage, unit, share)
        except InputError:
            seen.append("damaged")
            raise

    with monkeypatch.context() as patch:
        patch.setattr(run, "_run", interrupting)
        with pytest.raises(Exception, match="the plug is pulled"):
            skipping(base)
    assert_holds(skipping(base), ids_without(base, (0, 1)), {0: "part 1 (100 rows)"})


@pytest.mark.usefixtures("many_units")
def test_input_that_changes_between_two_runs(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed build begins anew, and says so: also if a file vanished, or is a directory now."""
    interrupted(base, monkeypatch, ("bucket", 1))
    lines: list[str] = []
    table = sky_table(target_rows=150)
    write(base, 2, sky_rows(ROWS, seed=77, first_id=2 * ROWS))
    build(config(base, table), created=CREATED, skip_bad=True, report=lines.append)
    assert any("input or configuration changed since release 1 was begun; it is begun anew" in line for line in lines)
    build(config(base, table, root=base / "other"), created=CREATED, skip_bad=True)
    assert tree(published(base / "catalogs/survey/Object")) == tree(published(base / "other/survey/Object"))
    interrupted(base, monkeypatch, ("bucket", 1))
    (base / "Object/part2.parquet").unlink()
    (base / "Object/part2.parquet").mkdir()
    with pytest.raises(InputError, match=r"part2\.parquet"):
        build(config(base, sky_table(input=("Object/part2.parquet",))), created=CREATED)


def test_a_file_that_changes_during_the_build(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = run._run

    def changing(workspace: Any, the_plan: Any, stage: str, unit: int, share: Any) -> int:
        if stage == "bucket":
            write(base, 0, sky_rows(ROWS, seed=5, first_id=0))
            os.utime(base / "Object/part0.parquet", (0, 0))
        return original(workspace, the_plan, stage, unit, share)

    monkeypatch.setattr(run, "_run", changing)
    with pytest.raises(InputError, match=r"part0\.parquet: has changed since the build was planned; build again"):
        skipping(base)


def test_random_damage_is_left_out_or_told(tmp_path: Path) -> None:
    """A flipped bit anywhere: the rows that are stored are some of the input's, value by value, and accounted for."""
    table = sky_rows(200, seed=1, first_id=0).select(["id", "ra", "dec", "flux", "band"])
    write(tmp_path, 0, table)
    path = tmp_path / "Object/part0.parquet"
    whole = path.read_bytes()
    truth = {row["id"]: row for row in table.to_pylist()}
    rng = np.random.default_rng(4)
    for trial in range(12):
        content = bytearray(whole)
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            built = skipping(tmp_path, root=tmp_path / f"root{trial}")
        except InputError as error:
            assert "Object/part0.parquet" in str(error) or "none of its rows" in str(error)  # noqa: PT017
            continue
        rows = stored(built.directory).select(table.column_names).to_pylist()
        assert all(repr(row) == repr(truth[row["id"]]) for row in rows)
        (record,) = built.manifest.inputs
        assert len(rows) == 200 or record.bad_parts
