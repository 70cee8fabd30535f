"""The dry run: what it tells is what the build then does, all problems are named, and nothing is written."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import BuildConfig, PositionFrom, config_problems
from partitioning.dryrun import dry_run
from partitioning.estimate import input_rows
from partitioning.exceptions import ConfigError
from partitioning.layout.manifest import read_partition_map
from partitioning.pipeline import append, build
from partitioning.prepare import Wanted, make_plan, open_inputs
from partitioning.progress import Lines
from tests.partitioning.builders import CREATED, build_all, config, leaves, sky_rows, sky_table, tree, write_files
from tests.partitioning.test_children import child, child_rows

TABLE = sky_table(target_rows=250, row_group_rows=64, margin_arcsec=60.0)


def told(wanted: BuildConfig, **options: Any) -> tuple[bool, str]:
    lines: list[str] = []
    fine = dry_run(wanted, Lines(lines.append), **options)
    return fine, "\n".join(lines)


def numbers(text: str, pattern: str) -> list[float]:
    match = re.search(pattern, text)
    assert match is not None, text
    return [float(group) for group in match.groups()]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return a directory with 3000 rows in three files, some of them without a usable position."""
    rows = sky_rows(3000)
    dec = rows["dec"].to_numpy().copy()
    dec[20:27], dec[30:32] = np.nan, 91.0
    write_files(tmp_path / "Object", rows.set_column(rows.column_names.index("dec"), "dec", pa.array(dec)))
    return tmp_path


def test_it_tells_what_the_build_does(base: Path) -> None:
    before = tree(base)
    fine, text = told(config(base, TABLE))
    assert fine
    assert tree(base) == before
    assert not (base / "catalogs").exists()
    built = build_all(base, TABLE)["Object"]
    tiles = read_partition_map(built.directory)
    assert "input      3 files, " in text
    assert "3000 rows, 9 columns" in text
    assert "rejected   7 rows: position is NULL or NaN" in text
    assert "rejected   2 rows: declination is outside [-90, 90]" in text
    assert f"tiles      {len(tiles)} of orders {tiles.orders.min()} to {tiles.orders.max()}" in text
    found = numbers(text, r"rows       per tile: (\S+) min, (\S+) median, (\S+) max")
    assert found == [tiles.rows.min(), int(np.median(tiles.rows)), tiles.rows.max()]
    groups = [pq.read_metadata(path).num_row_groups for path in leaves(built.directory)]
    assert numbers(text, r"row groups per file: (\S+) min, \S+ median, (\S+) max") == [min(groups), max(groups)]
    assert "no problems found; nothing was written" in text


def test_estimates_are_near_what_a_build_takes(tmp_path: Path) -> None:
    """Enough rows that fixed costs of small files do not count."""
    rows, rng = sky_rows(120_000), np.random.default_rng(5)
    rows = rows.set_column(1, "ra", pa.array(rng.uniform(40, 50, len(rows))))
    rows = rows.set_column(2, "dec", pa.array(rng.uniform(-5, 5, len(rows))))
    write_files(tmp_path / "Object", rows)
    table = sky_table(target_rows=8000, margin_arcsec=300.0)
    _, text = told(config(tmp_path, table))
    lines: list[str] = []
    spilled = 0

    def watch(line: str) -> None:
        nonlocal spilled
        lines.append(line)
        staging = tmp_path / "catalogs/survey/Object/.staging/spill"
        spilled = max(spilled, sum(path.stat().st_size for path in staging.rglob("*") if path.is_file()))

    (built,) = build(config(tmp_path, table), report=watch)
    size = sum(path.stat().st_size for path in built.directory.parent.rglob("*") if path.is_file())
    assert numbers(text, r"output     (\S+) MB: tiles")[0] == pytest.approx(size / 1e6, rel=0.35)
    assert numbers(text, r"spill      (\S+) MB")[0] == pytest.approx(spilled / 1e6, rel=0.25)
    margin = numbers(text, r"margin of 300 arcsec (\S+) kB")[0]
    assert margin == pytest.approx(built.manifest.margins[0].bytes / 1e3, rel=0.4)
    assert any(line.startswith("survey.Object: about 120000 rows, ") for line in lines)


def test_bytes_per_tile_are_near_what_a_build_stores(tmp_path: Path) -> None:
    """The sizes are those of the tiles' rows: files have bloom filters and footers, too."""
    count, rng = 12_000, np.random.default_rng(7)
    columns = {"id": range(count), "ra": rng.normal(50, 15, count), "dec": rng.normal(0, 15, count)}
    rows = pa.table({**columns, **{f"c{number}": rng.normal(0, 1, count) for number in range(9)}})
    rows = rows.filter(np.abs(rows["ra"].to_numpy() - 45) < 40)  # no tile of few rows, whose pages are mostly headers
    write_files(tmp_path / "Object", rows)
    table = sky_table(target_rows=4000, id=(), index=())
    _, text = told(config(tmp_path, table))
    built = build_all(tmp_path, table)["Object"].directory
    groups = [pq.read_metadata(path).row_group(0) for path in leaves(built)]
    sizes = [sum(group.column(at).total_compressed_size for at in range(group.num_columns)) / 1e3 for group in groups]
    assert sum(group.num_rows for group in groups) == len(rows)
    assert max(sizes) > 1.5 * min(sizes)
    found = numbers(text, r"bytes      per tile: (\S+) kB min, (\S+) kB median, (\S+) kB max \(estimated\)")
    assert found == pytest.approx([min(sizes), np.median(sizes), max(sizes)], rel=0.2)


def test_the_time_is_that_of_encoding_all_rows(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which the sample of all 3000 rows takes 20 minutes; a build takes seven times as long."""
    monkeypatch.setattr("partitioning.stages.sizes.time", SimpleNamespace(perf_counter=iter([100.0, 1300.0]).__next__))
    _, text = told(config(base, TABLE, workers=1))
    assert "  time       2 h 20 min\n" in text
    assert re.search(r"\nall tables: .* of spill files until published, 2 h 20 min\n", text)
    assert "\nassumed: 1 workers encode all rows as fast as one process did some here just now, " in text


def test_types_that_cannot_be_stored_are_problems(base: Path) -> None:
    rows = sky_rows(9)
    maps = pa.array([[("a", 1)]] * 9, pa.map_(pa.string(), pa.int32()))
    spans = pa.array(range(9), pa.duration("us"))
    for name, column in {"a": maps, "q": spans, "r": spans, "s": rows["mag"]}.items():
        pq.write_table(rows.append_column("extra", column), base / f"Object/{name}.parquet")
    fine, text = told(config(base, TABLE))
    assert not fine
    assert "problem: Object/a.parquet: column 'extra': type map<string, int32 ('extra')> cannot be stored; use" in text
    assert "problem: Object/q.parquet: column 'extra': type duration[us] cannot be stored, since SQL" in text
    assert "problem: Object/s.parquet: has column 'extra', which the first file" in text
    assert "3 problems found" in text


def test_all_problems_are_named(base: Path) -> None:
    rows = sky_rows(9)
    odd = rows.drop_columns(["mag", "band"]).append_column("extra", rows["mag"])
    pq.write_table(odd, base / "Object/q.parquet")
    pq.write_table(rows.set_column(0, "id", rows["id"].cast(pa.float64(), safe=False)), base / "Object/r.parquet")
    (base / "Object/s.parquet").write_bytes(b"PAR1 no")
    missing = sky_table("Second", input=("Object/part*.parquet", "Second/*.parquet"), index=("idd", "zero"), dec="band")
    child_table = sky_table(
        "Third",
        input=("Object/part*.parquet",),
        position_from=PositionFrom(parent="None", child_key="id", parent_key="id"),
    )
    fine, text = told(config(base, TABLE, missing, child_table, memory=300 << 20, workers=8))
    assert not fine
    for problem in (
        "Object/q.parquet: lacks column 'mag'",
        "Object/q.parquet: lacks column 'band'",
        "Object/q.parquet: has column 'extra'",
        "Object/r.parquet: column 'id' is double, but int64",
        "Object/s.parquet: ",
        "input 'Second/*.parquet' matches no file",
        "index names 'idd', which is no column of the input; did you mean 'id'?",
        "position column 'band' is string",
        "parent 'None' is neither in this configuration nor published",
    ):
        assert f"problem: {problem}" in text or re.search(rf"problem: .*{re.escape(problem)}", text), problem
    assert "9 problems found" in text
    _, text = told(config(base, sky_table(input=("Object/part*",)), memory=300 << 20, workers=8, max_spill=9))
    assert "workers: 1 of 8: memory = 315 MB is too little for more, 2.13 GB for all" in text
    assert "problem: spill files will take about" in text


def test_damaged_input_is_a_problem_unless_it_is_left_out(base: Path) -> None:
    path = base / "Object/part1.parquet"
    chunk = pq.read_metadata(path).row_group(0).column(1)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 8] ^= 0xFF
    path.write_bytes(content)
    fine, text = told(config(base, TABLE))
    assert not fine
    assert re.search(r"problem: Object/part1.parquet: part 0 .*; mend the file, or say --skip-bad", text)
    fine, text = told(config(base, TABLE), skip_bad=True)
    assert fine
    assert "left out   Object/part1.parquet: part 0 (1000 rows)" in text


def test_every_wrong_key_of_the_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "build.toml"
    path.write_text(
        '[release]\nroot = "c"\nschema = "s"\n[build]\nmemory = "lots"\nworker = 2\n'
        '[[table]]\nname = "a"\ninput = "a"\nra = "ra"\nmax_order = 99\n[[table]]\nname = "b"\ninput = 3\n'
    )
    found = "\n".join(config_problems(path))
    for key in ("'memory' must be a size", "'worker' is unknown", "'a' key 'max_order'", "'a' key 'dec' is missing"):
        assert key in found
    path.write_text("[release]\nroot = 'c'\nschema = 's'\n[[table]]\nname='a'\ninput='a'\n")
    assert config_problems(path) == ()


def test_children_lie_in_the_tiles_found_for_their_parent(tmp_path: Path) -> None:
    parents = sky_rows(700, first_id=1).append_column("name", [[f"object {n}" for n in range(700)]])
    rows = child_rows(parents, scatter_deg=0.0)
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", rows)
    without = child("Bare", input=("Dia/*.parquet",), ra=None, dec=None)
    tables = (sky_table(target_rows=100), child("Dia"), without)
    fine, text = told(config(tmp_path, *tables))
    assert fine, text
    built = build_all(tmp_path, *tables[:2])
    for name in ("Object", "Dia"):
        section = text.split(f"survey.{name}\n")[1]
        assert f"tiles      {len(read_partition_map(built[name].directory))} of orders" in section.split("survey.")[0]
    assert "tiles      known only once Object is built" in text.split("survey.Bare\n")[1]
    fine, text = told(config(tmp_path, without))
    assert fine
    assert "placed by  Object, release 1" in text
    assert "tiles      known" not in text


def test_a_dry_append_tells_what_changes(base: Path) -> None:
    build_all(base, TABLE)
    assert "input      nothing new" in told(config(base, TABLE), replaced=())[1]
    near = sky_rows(40, seed=3, first_id=7)
    near = near.set_column(1, "ra", pa.array(np.full(40, 200.0))).set_column(2, "dec", pa.array(np.full(40, 5.0)))
    pq.write_table(near.cast(pq.read_schema(base / "Object/part0.parquet")), base / "Object/night.parquet")
    before = tree(base)
    fine, text = told(config(base, TABLE), replaced=())
    assert fine
    assert tree(base) == before
    assert "1 files, " in text
    assert re.search(r"changes    [12] of \d+ published tiles", text)
    fine, text = told(config(base, TABLE), replaced=["Object/part0.parquet"])
    assert "2 files, " in text
    assert append(config(base, TABLE), created=CREATED)


def test_builds_that_do_not_fit_do_not_begin(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"spill files will take about .* more than max_spill = 1 kB; raise it"):
        build(config(base, TABLE, max_spill=1000))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(ConfigError, match=r"are needed, 1 kB are free; make room, or set build.spill"):
        build(config(base, TABLE))
    monkeypatch.undo()
    assert build(config(base, TABLE))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_rows_of_text_files_are_estimated(tmp_path: Path, suffix: str) -> None:
    count = 60_000
    ids = np.arange(count)
    (tmp_path / "T").mkdir()
    text = "id,ra,dec\n" + "".join(f"{n},{n % 360}.123456,{n % 90}.5\n" for n in ids)
    with pa.output_stream(tmp_path / f"T/a{suffix}", compression="gzip" if suffix.endswith("gz") else None) as file:
        file.write(text.encode())
    table = sky_table("T", input=("T/*",))
    wanted = config(tmp_path, table)
    opened = open_inputs(wanted, table, None, skip_bad=False)
    plan = make_plan(Wanted(config=wanted, table=table, opened=opened, parent=None, created="", skip_bad=False), 1)
    assert input_rows(plan) == pytest.approx(count, rel=0.05)
