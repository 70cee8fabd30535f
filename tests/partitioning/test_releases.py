"""Releases side by side: switching, pruning, and what crashes leave between them."""

import json
import os
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from partitioning.checks.report import Full
from partitioning.checks.verify import verify_release
from partitioning.config import TableConfig
from partitioning.describe import describe_table
from partitioning.exceptions import ConfigError, LayoutError
from partitioning.layout.manifest import Manifest, read_manifest
from partitioning.lease import lease
from partitioning.pipeline import append
from partitioning.progress import size_text
from partitioning.releases import prune_releases, published_release, switch_releases, tables_of
from partitioning.sky.separation import separation_deg
from partitioning.stages.publish import next_release
from partitioning.status import config_status, directory_status, status_lines, table_status
from tests.harness import start_server, stop_server
from tests.partitioning.builders import (
    CREATED,
    build_all,
    commanded,
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

TABLE = sky_table(target_rows=200, margin_arcsec=30.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with three releases of one table; the second and third link leaves of the first."""
    base = tmp_path_factory.mktemp("releases")
    write_files(base / "Object", sky_rows(1000))
    build_all(base, TABLE)
    for number in range(2):
        near = sky_rows(5, seed=number, first_id=10 * number).slice(4, 1)
        pq.write_table(near, base / f"Object/night{number}.parquet")
        append(config(base, TABLE), created=CREATED)
    return base


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the table's directory, hard links included."""
    os.system(f"cp -a {made}/. {tmp_path}")
    return tmp_path / "catalogs/survey/Object"


def prune(home: Path, keep: int = 1, *, dry_run: bool = False) -> list[str]:
    lines: list[str] = []
    prune_releases([home], keep=keep, dry_run=dry_run, report=lines.append)
    return lines


def names(home: Path) -> set[str]:
    return {path.name for path in home.iterdir()}


def parts(*numbers: int) -> set[str]:
    return {f"Object_r{number}{part}" for number in numbers for part in ("", "_30arcs", "_id")}


def test_prune_removes_all_but_the_current_release(home: Path) -> None:
    before = tree(home / "Object_r3")
    lines = prune(home, dry_run=True)
    assert "survey.Object: release 1: Object_r1, Object_r1_30arcs, Object_r1_id would be removed" in lines
    assert parts(1, 2, 3) <= names(home)
    size = disk_bytes(home)
    done = prune(home)
    assert names(home) == parts(3) | {"collection.properties"}
    assert tree(home / "Object_r3") == before
    freed = size - disk_bytes(home)
    assert lines[-1] == f"survey.Object: {size_text(freed)} would be freed; releases 3 stay"
    assert done[-1] == f"survey.Object: {size_text(freed)} freed; releases 3 stay"
    assert freed < 2 * sum(map(len, before.values()))  # links do not count


def disk_bytes(directory: Path) -> int:
    """Return the bytes below a directory, each file once however many links it has."""
    return sum(
        {(s.st_ino, s.st_size): s.st_size for s in (p.stat() for p in directory.rglob("*") if p.is_file())}.values()
    )


def test_prune_keeps_what_it_is_told_and_what_is_current(home: Path) -> None:
    switch_releases([home], 1, print)
    prune(home, keep=2)
    assert names(home) == parts(1, 3) | {"collection.properties"}
    prune(home)
    assert names(home) == parts(1) | {"collection.properties", ".last_release"}
    assert next_release(home) == 4  # a number is never used twice


def test_prune_removes_what_crashes_left_and_ends_what_was_interrupted(home: Path) -> None:
    (home / "Object_r1").rename(home / ".pruned-Object_r1")
    (home / "Object_r1_id").rename(home / "Object_r7_id")
    for path in leaves(home / "Object_r2"):
        path.unlink()
    lines = prune(home, keep=2)
    assert names(home) == parts(2, 3) | {"collection.properties", ".last_release"}
    assert any("release 7 (incomplete): Object_r7_id removed" in line for line in lines)
    assert any("the rest of an earlier prune removed" in line for line in lines)


def test_prune_waits_for_nobody(home: Path) -> None:
    with lease(home), pytest.raises(ConfigError, match="another build of this table is running"):
        prune(home)
    with pytest.raises(LayoutError, match="no table is published here"):
        prune(home.parent)


def test_status_names_who_builds(home: Path) -> None:
    with lease(home):
        text = "\n".join(status_lines(table_status(home)))
    assert f"release 3 published ({CREATED}, 1002 rows); process {os.getpid()} on " in text
    assert "opens and measures the input\n  next: a build is running" in text
    assert "; idle\n" in "\n".join(status_lines(table_status(home)))


def test_prune_leaves_what_an_interrupted_append_needs(made: Path, home: Path) -> None:
    base = home.parents[2]
    switch_releases([home], 1, print)
    pq.write_table(sky_rows(9, seed=8, first_id=400), base / "Object/late.parquet")

    def stop(line: str) -> None:
        if line.endswith("buckets"):
            raise LookupError

    with pytest.raises(LookupError):
        append(config(base, TABLE), report=stop, created=CREATED)
    switch_releases([home], 3, print)
    (status,) = config_status(config(base, TABLE))
    text = "\n".join(status_lines(status))
    assert "survey.Object: release 3 published" in text
    assert "release 4 is being made by append: interrupted in stage bucket" in text
    assert re.search(
        r"place: (\d+) of \1 units\n  tiling: 1 of 1 units\n  bucket: 0 of \d+ units\n  sort: 0 of \d+", text
    )
    assert "index-id: not begun" in text
    assert "next: append goes on with stage bucket, if input and configuration are as they were" in text
    assert table_status(home) == status
    prune(home)
    assert parts(1, 3) <= names(home)
    assert not parts(2) & names(home)


def test_switch_goes_back_and_forth(home: Path) -> None:
    before = visible(home)
    lines: list[str] = []
    switch_releases([home], 1, lines.append)
    assert published(home).name == "Object_r1"
    assert lines == ["survey.Object: Object_r3 was current; now Object_r1 is: 1000 rows"]
    switch_releases([home], 1, lines.append)
    assert lines[-1] == "survey.Object: release 1 is the current one already"
    switch_releases([home], 3, print)
    assert visible(home) == before


@pytest.mark.parametrize(
    "lost",
    [
        "Object_r2/manifest/manifest.json",
        "Object_r2/dataset",
        "Object_r2_30arcs",
        "Object_r2_id/dataset/index/part.0.parquet",
    ],
)
def test_switch_refuses_what_is_not_complete(home: Path, lost: str) -> None:
    before = (home / "collection.properties").read_bytes()
    (home / lost).rename(home / ".lost")
    with pytest.raises(LayoutError, match=r"release 2 is not complete .* Object_r3 stays the current one"):
        switch_releases([home], 2, print)
    assert (home / "collection.properties").read_bytes() == before


def test_switch_refuses_a_leaf_cut_short_and_an_unknown_release(home: Path) -> None:
    leaf = leaves(home / "Object_r2")[3]
    content = leaf.read_bytes()
    leaf.unlink()  # its other links stay as they are
    leaf.write_bytes(content[:-1])
    with pytest.raises(LayoutError, match=f"{leaf.name} is not there, or not of {len(content)} bytes"):
        switch_releases([home], 2, print)
    with pytest.raises(ConfigError, match="there is no release 9; there are releases 1, 2, 3"):
        switch_releases([home], 9, print)


def test_no_switch_to_a_release_that_lacks_flat_arrays(home: Path) -> None:
    path = home / "Object_r2_id/flat/healpix.i64"
    path.unlink()
    with pytest.raises(LayoutError, match=f"{path} is not there, or not of 8008 bytes"):
        switch_releases([home], 2, print)


def test_no_switch_to_a_plain_table_that_was_cut(tmp_path: Path) -> None:
    write_files(tmp_path / "Plain", sky_rows(50))
    build_all(tmp_path, TableConfig(name="Plain", input=("Plain/*.parquet",)))
    home = tmp_path / "catalogs/survey/Plain"
    switch_releases([home], 1, print)
    (path,) = home.rglob("table.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LayoutError, match=r"table.parquet is not there, or not of"):
        switch_releases([home], 1, print)


def test_a_schema_is_no_table_though_one_of_its_tables_is_named_like_a_release(tmp_path: Path) -> None:
    write_files(tmp_path / "rows", sky_rows(50))
    build_all(tmp_path, sky_table("Object_r2", input=("rows/*.parquet",)), schema="Object")
    assert tables_of([tmp_path / "catalogs/Object"]) == (tmp_path / "catalogs/Object/Object_r2",)


def test_switch_is_the_way_out_when_the_current_release_is_gone(home: Path) -> None:
    for lost in parts(3):
        (home / lost).rename(home.parent.parent / lost)
    with pytest.raises(LayoutError, match=r"names Object_r3, which is not there; bring it back, or switch"):
        published_release(home)
    lines: list[str] = []
    switch_releases([home], 2, lines.append)
    assert published(home).name == "Object_r2"
    assert next_release(home) == 4  # what was placed by release 3 must not take another one for it
    assert lines == ["survey.Object: none was current; now Object_r2 is: 1001 rows"]


@pytest.fixture
def schema(home: Path) -> Path:
    """Return a schema of two tables with releases 1 to 3, and 1 alone."""
    base = home.parent.parent.parent
    write_files(base / "Star", sky_rows(300, seed=4))
    build_all(base, sky_table("Star", target_rows=100))
    return home.parent


def test_all_tables_of_a_schema_are_switched_by_one_command_or_none(schema: Path) -> None:
    before = visible(schema)
    done = commanded("switch", schema, "--release", "2")
    assert done.returncode != 0
    assert re.search(r"Star: there is no release 2; there are releases? 1", done.stderr + done.stdout)
    assert visible(schema) == before
    done = commanded("switch", schema, "--release", "1")
    assert (done.returncode, published(schema / "Object").name) == (0, "Object_r1")
    assert "survey.Object: Object_r3 was current; now Object_r1 is: 1000 rows" in done.stdout
    assert "survey.Star: release 1 is the current one already" in done.stdout
    done = commanded("switch", schema / "Object", "--release", "3")
    assert (done.returncode, published(schema / "Object").name) == (0, "Object_r3")


def test_tables_that_a_build_holds_keep_the_others_as_they_are(schema: Path) -> None:
    before = visible(schema)
    with lease(schema / "Star"), pytest.raises(ConfigError, match="Star"):
        switch_releases(tables_of([schema]), 1, print)
    assert visible(schema) == before


def test_a_table_whose_pointer_is_lost_is_not_left_out(schema: Path) -> None:
    (schema / "Star/collection.properties").unlink()
    done = commanded("prune", schema)
    assert (done.returncode, "Star: no table is published here" in done.stderr) == (1, True)
    assert commanded("verify", schema).returncode == 2
    done = commanded("switch", schema, "--release", "1")
    assert "survey.Star: none was current; now Star_r1 is: 300 rows" in done.stdout
    assert published(schema / "Star").name == "Star_r1"


def test_several_tables_are_pruned(schema: Path) -> None:
    done = commanded("prune", schema / "Star", schema / "Object")
    assert done.returncode == 0
    assert names(schema / "Object") & {"Object_r1", "Object_r2", "Object_r3"} == {"Object_r3"}
    assert "survey.Star: 0 B freed; releases 1 stay" in done.stdout


def test_several_tables_are_verified_and_the_worst_counts(schema: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = commanded("verify", schema, "--json", report)
    assert done.returncode == 0
    assert [one["release"] for one in json.loads(report.read_text())] == ["Object_r3", "Star_r1"]
    leaf = leaves(schema / "Object/Object_r3")[0]
    content = leaf.read_bytes()
    leaf.unlink()
    leaf.write_bytes(content[:-1])
    done = commanded("verify", schema / "Object", schema / "Star")
    assert done.returncode == 1
    assert "Star_r1: clean" in done.stdout
    done = commanded("verify", schema / "Star", schema / "nothing", schema / "Object")
    assert done.returncode == 2
    assert "nothing: has no collection.properties" in done.stdout
    assert "Star_r1: clean" in done.stdout


def test_status_of_a_schema_is_that_of_its_tables(home: Path) -> None:
    found = list(directory_status(home.parent))
    assert [status.name for status in found] == ["survey.Object"]
    assert found == list(directory_status(home))


def test_status_of_a_table_that_has_lost_its_pointer(schema: Path) -> None:
    (schema / "Object/collection.properties").unlink()
    (lost, star) = directory_status(schema)
    assert (lost.name, star.name, star.stranded) == ("survey.Object", "survey.Star", ())
    there = "releases 1, 2, 3 lie there without a pointer: switch --release 3 brings one back"
    told = [
        f"survey.Object: nothing published, but {there}; idle",
        "  next: build begins release 4 or higher from all input",
    ]
    assert list(status_lines(lost)) == told
    (configured,) = config_status(config(schema.parent.parent, TABLE))
    assert list(status_lines(configured)) == told
    assert list(directory_status(schema / "Object")) == [lost]
    switch_releases([schema / "Object"], 3, print)
    assert next(status_lines(table_status(schema / "Object"))).startswith("survey.Object: release 3 published (")


def test_a_release_that_a_build_is_about_to_publish_is_not_stranded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "Object", sky_rows(50))

    def killed(_: Path, __: Manifest) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("partitioning.stages.publish.point_to", killed)
    with pytest.raises(KeyboardInterrupt):
        build_all(tmp_path, TABLE)
    (status,) = config_status(config(tmp_path, TABLE))
    assert (tmp_path / "catalogs/survey/Object/Object_r1").is_dir()
    assert next(status_lines(status)).startswith("survey.Object: nothing published; release 1 is being built")


def test_status_of_the_root_is_that_of_all_schemas(schema: Path) -> None:
    root = schema.parent
    shutil.copytree(schema / "Star", root / "more/Star")
    found = list(directory_status(root))
    assert [status.name for status in found] == ["more.Star", "survey.Object", "survey.Star"]
    assert [status.name for status in directory_status(schema)] == ["survey.Object", "survey.Star"]
    empty = root / "empty"
    empty.mkdir()
    done = commanded("status", empty)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no table here; give ROOT, ROOT/SCHEMA, ROOT/SCHEMA/TABLE or a configuration" in done.stderr


def test_children_placed_by_what_is_removed_are_named(tmp_path: Path) -> None:
    from tests.partitioning.test_children import child, child_rows

    parents = sky_rows(60, first_id=1)
    parents = parents.append_column("name", [[f"object {n}" for n in range(60)]])
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", child_rows(parents, scatter_deg=0.002))
    build_all(tmp_path, sky_table(), child("Dia"))
    build_all(tmp_path, sky_table())
    home = tmp_path / "catalogs/survey/Object"
    assert prune(home)[-1] == (
        "warning: Dia was placed by release 1; build it again, so that it lies in the tiles of release 2"
    )


def test_description(home: Path) -> None:
    text = "\n".join(describe_table(home))
    release, tiles = read_manifest(home / "Object_r3"), len(leaves(home / "Object_r3"))
    assert f"{release.rows} rows in" in text
    assert f"{tiles} tiles of orders" in text
    assert re.search(r"coverage: [0-9.]+ square degrees", text)
    assert re.search(r"margin of 30 arcsec: \d+ rows in", text)
    assert re.search(rf"id index of id: {release.rows} entries in [0-9.]+ k?B, flat arrays", text)
    assert re.search(r"  mag  double, [0-9.]+ k?B, \d+\.\d% NULL, [0-9.]+ to [0-9.]+, about \d+ distinct", text)
    assert "5 input files:\n  Object/part0.parquet  334 rows" in text
    assert re.search(r"3 releases:\n  1  .*, 1000 rows, .*B\n  2  .*\n  3  .*, current", text)
    assert "release 1, built" in "\n".join(describe_table(home, release=1))
    (home / "Object_r1_id").rename(home / ".lost")
    assert "  1  incomplete" in "\n".join(describe_table(home))
    with pytest.raises(ConfigError, match="there is no release 8; there are 1, 2, 3"):
        list(describe_table(home, release=8))


def test_releases_that_are_copied_elsewhere_are_served(home: Path, tmp_path: Path) -> None:
    """Contents alone: neither links nor times are kept, and what they were copied from is gone."""
    rows = stored(home / "Object_r3")
    root = tmp_path / "elsewhere/stores"
    shutil.copytree(tmp_path / "catalogs", root, copy_function=shutil.copyfile)
    shutil.rmtree(tmp_path / "catalogs")
    shutil.rmtree(tmp_path / "Object")
    for path in root.rglob("*"):
        assert path.stat().st_nlink == 1 or path.is_dir()
        os.utime(path, (0, 0))
    for number in (1, 2, 3):
        assert verify_release(root / f"survey/Object/Object_r{number}", scope=Full()).findings == ()
    server = start_server(root, tmp_path)
    try:
        client = CatalogClient(server.url)
        wanted, ra, dec = (rows[name][500].as_py() for name in ("id", "ra", "dec"))
        one = client.query(f"SELECT id, ra, dec FROM survey.Object WHERE id = {wanted}").to_arrow()
        assert one.to_pylist() == [{"id": wanted, "ra": ra, "dec": dec}]
        assert one.schema.metadata[b"TILES_READ"].startswith(b"1 of ")
        cone = f"CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra % 360!r}, {dec!r}, 5.0)) = 1"
        found = client.query(f"SELECT id FROM survey.Object WHERE {cone}").to_arrow()["id"].to_pylist()
    finally:
        stop_server(server)
    near = separation_deg(ra, dec, rows["ra"].to_numpy(), rows["dec"].to_numpy()) <= 5.0
    assert sorted(found) == sorted(rows["id"].to_numpy()[near].tolist())
    assert wanted in found


def test_many_inputs_are_cut_short(tmp_path: Path) -> None:
    write_files(tmp_path / "Object", sky_rows(26), files=26)
    build_all(tmp_path, sky_table(index=()))
    home = tmp_path / "catalogs/survey/Object"
    short, full = ("\n".join(describe_table(home, all_inputs=wanted)) for wanted in (False, True))
    assert short.count(".parquet  ") == 20
    assert "... and 6 more: --inputs names them all" in short
    assert full.count(".parquet  ") == 26
