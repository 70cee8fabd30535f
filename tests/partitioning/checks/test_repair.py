"""Repair makes again what follows from the leaves, and leaves the rest alone."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from partitioning.checks import rebuild_beside
from partitioning.checks.command import run_repair
from partitioning.checks.repair import PARTS, Part, repair_release
from partitioning.checks.report import Collector, Sample
from partitioning.checks.tiles import chosen_files
from partitioning.checks.verify import open_catalog
from partitioning.exceptions import LayoutError
from partitioning.layout.checksums import write_checksums
from partitioning.layout.manifest import read_manifest
from partitioning.lease import lease
from tests.partitioning.builders import commanded, leaves, tree
from tests.partitioning.checks.complete import store_manifest
from tests.partitioning.checks.release import checked


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def wrong_totals(release: Path) -> None:
    manifest = read_manifest(release)
    columns = tuple(replace(column, nulls=1, minimum=None, distinct=1) for column in manifest.columns)
    store_manifest(release, replace(manifest, columns=columns, rows=manifest.rows + 1))


def wrong_list_of_files(release: Path) -> None:
    path = release / "manifest/files.parquet"
    table = pq.read_table(path)
    bounds = table["healpix_max"].to_numpy() - 1
    at = table.column_names.index("healpix_max")
    pq.write_table(table.set_column(at, table.schema.field(at), [bounds]), path)
    write_checksums(release)


def lost_directory(name: str) -> Callable[[Path], None]:
    return lambda release: shutil.rmtree(release.parent / f"{release.name}_{name}")


def spoiled(name: str) -> Callable[[Path], None]:
    def damage(release: Path) -> None:
        for path in release.parent.glob(name):
            spoil(path)

    return damage


def lost(name: str) -> Callable[[Path], None]:
    return lambda release: (release.parent / name).unlink()


DAMAGE: list[tuple[Callable[[Path], None], tuple[Part, ...]]] = [
    (spoiled("Object_r1/manifest/row_groups.parquet"), ("statistics",)),
    (lost("Object_r1/manifest/columns.parquet"), ("statistics",)),
    (spoiled("Object_r1/manifest/sketches.parquet"), ("statistics",)),
    (wrong_totals, ("statistics", "properties")),
    (wrong_list_of_files, ("statistics",)),
    (spoiled("Object_r1/*.fits"), ("maps",)),
    (lost("Object_r1/point_map.fits"), ("maps",)),
    (lost("Object_r1/moc.fits"), ("maps",)),
    (spoiled("Object_r1/README.md"), ("maps",)),
    (spoiled("Object_r1/hats.properties"), ("properties",)),
    (lost("Object_r1/properties"), ("properties",)),
    (spoiled("Object_r1/partition_info.csv"), ("properties",)),
    (spoiled("Object_r1/dataset/_common_metadata"), ("properties",)),
    (lost_directory("10arcs"), ("margin",)),
    (spoiled("Object_r1_10arcs/dataset/*/*/*.parquet"), ("margin",)),
    (spoiled("Object_r1_10arcs/manifest/files.parquet"), ("margin",)),
    (lost_directory("id"), ("index",)),
    (spoiled("Object_r1_id/dataset/index/part.1.parquet"), ("index",)),
    (spoiled("Object_r1_band/dataset/_metadata"), ("index",)),
    (lost("Object_r1_id/flat/ids.i64"), ("index",)),
    (spoiled("Object_r1/manifest/checksums.xxh128"), PARTS),
    (lost("Object_r1/manifest/checksums.xxh128"), PARTS),
]


@pytest.mark.parametrize(("damage", "parts"), DAMAGE)
def test_derived_parts_are_rebuilt(release: Path, damage: Callable[[Path], None], parts: tuple[Part, ...]) -> None:
    damage(release)
    assert checked(release).findings
    before = {path: path.stat().st_ino for path in leaves(release)}
    done = repair_release(release, parts, workers=2)
    assert checked(release).findings == ()
    assert done.rebuilt
    assert {path: path.stat().st_ino for path in leaves(release)} == before
    assert not list(release.parent.rglob(".*"))


@pytest.mark.parametrize("table", ["Object", "Dia", "Forced"])
def test_repair_of_a_sound_release_changes_no_meaning(schema_copy: Path, table: str) -> None:
    """The main catalog comes out byte by byte as it was built, and again as it was repaired."""
    release = schema_copy / table / f"{table}_r1"
    built = {name: content for name, content in tree(release).items() if not name.startswith("dataset/N")}
    repair_release(release)
    assert checked(release).findings == ()
    repaired = tree(release.parent)
    differ = [name for name, content in built.items() if repaired[f"{release.name}/{name}"] != content]
    assert set(differ) <= {"manifest/manifest.json", "manifest/checksums.xxh128", "README.md", "index.html"}
    repair_release(release)
    assert tree(release.parent) == repaired


def test_a_damaged_leaf_is_no_derived_part(release: Path) -> None:
    (release / "properties").unlink()
    spoil(leaves(release)[3])
    before = tree(release.parent)
    with pytest.raises(LayoutError, match=rf"{leaves(release)[3].name} is missing or damaged.*restore"):
        repair_release(release)
    assert tree(release.parent) == before


def test_a_damaged_list_of_files_is_no_derived_part(release: Path) -> None:
    spoil(release / "manifest/files.parquet")
    with pytest.raises(LayoutError, match=r"files\.parquet.*restore these files"):
        repair_release(release)


def test_a_damaged_manifest_is_told(release: Path) -> None:
    path = release / "manifest/manifest.json"
    path.write_text(path.read_text().replace("Object/part0.parquet", "Object/part9.parquet"))
    done = repair_release(release, ["statistics"])
    assert "what it tells of inputs was taken as it is" in done.notes[0]
    assert checked(release).findings == ()


@pytest.mark.parametrize(
    "damage", [spoiled("Object_r1/manifest/manifest.json"), lost("Object_r1/manifest/manifest.json")]
)
@pytest.mark.parametrize("is_repaired_since", [False, True])
def test_a_manifest_is_restored_from_a_copy(
    release: Path, tmp_path: Path, damage: Callable[[Path], None], is_repaired_since: bool
) -> None:
    """As the documentation of repair says: with the list of checksums, and another repair if there was one since."""
    copy = shutil.copytree(release.parent, tmp_path / "copy/Object") / release.name
    if is_repaired_since:
        repair_release(release)
    damage(release)
    assert run_repair(release.parent, None, [], 1, lambda _: None) == 1
    for name in ("manifest.json", "checksums.xxh128"):
        shutil.copy(copy / "manifest" / name, release / "manifest" / name)
    if is_repaired_since:
        repair_release(release)
    assert checked(release).findings == ()


def test_parts_that_were_not_repaired_stay_findings(release: Path) -> None:
    spoil(release / "skymap.fits")
    done = repair_release(release, ["properties"])
    assert "skymap.fits: still damaged" in done.notes[0]
    assert checked(release).findings


def test_an_index_of_many_parts(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild_beside, "PART_ROWS", 100)
    monkeypatch.setattr(rebuild_beside, "_BATCH_ROWS", 90)
    repair_release(release, ["index"])
    assert len(list((release.parent / f"{release.name}_id/dataset/index").iterdir())) > 1
    assert checked(release).findings == ()


def test_a_hard_linked_release_is_not_touched(release: Path, tmp_path: Path) -> None:
    """Releases share files: what is repaired in one is replaced, never written over."""
    other = tmp_path / "other"
    subprocess.run(["cp", "-al", release.parent, other], check=True)
    before = tree(other)
    repair_release(release)
    assert tree(other) == before


def test_files_that_no_list_names_are_told_and_stay(release: Path) -> None:
    stray = next(release.glob("dataset/Norder=*/Dir=*")) / "Npix=1234567.parquet"
    stray.write_bytes(b"somebody's only copy")
    notes = repair_release(release).notes
    assert any("Npix=1234567.parquet: no file of this release" in note for note in notes)
    assert stray.exists()


def test_a_repair_and_a_build_exclude_each_other(release: Path) -> None:
    told: list[str] = []
    with lease(release.parent):
        assert run_repair(release.parent, None, [], 1, told.append) == 2
    assert "another build of this table is running" in told[0]


def test_a_table_that_is_not_there_is_not_made(release: Path) -> None:
    assert run_repair(release.parent.with_name("Objct"), None, [], 1, print) == 1
    assert not release.parent.with_name("Objct").exists()


# Command line


def test_an_unknown_release_is_answered_with_those_that_are_there(release: Path) -> None:
    home = release.parent
    for command in ("verify", "repair"):
        told = commanded(command, home, "--release", "7").stdout
        assert told == f"error: {home}: has no release 7; there are releases 1\n"
    assert commanded("verify", release, "--release", "7").stdout.endswith("has no release 7; give ROOT/SCHEMA/TABLE\n")
    (home / "collection.properties").unlink()
    told = commanded("verify", home).stdout
    remedy = "there are releases 1: switch to one of them, or give --release"
    assert told == f"error: {home}: has no collection.properties; {remedy}\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--part", "margins", "--part", "maps"),
            ["--part: 'margins' is no part; there are statistics, margin, index, maps, properties"],
        ),
        (("--workers", "0"), ["--workers: 0 is too few; at least one is needed"]),
        (
            ("--part", "a", "--part", "b", "--workers", "-1"),
            [
                "--part: 'a', 'b' are no part; there are statistics, margin, index, maps, properties",
                "--workers: -1 is too few; at least one is needed",
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_repair_is_named(release: Path, options: tuple[str, ...], told: list[str]) -> None:
    done = commanded("repair", release.parent, *options)
    assert (done.returncode, done.stdout.splitlines()) == (2, [f"error: {line}" for line in told])


def test_commands(release: Path, tmp_path: Path) -> None:
    table, report = release.parent, tmp_path / "report.json"
    done = commanded("verify", table, "--sample", "10%", "--workers", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Object_r1: clean; ")
    spoil(release / "point_map.fits")
    done = commanded("verify", table, "--full", "--json", report)
    assert done.returncode == 1
    assert "checksum: Object_r1/point_map.fits: its xxh3-128 is not" in done.stdout
    assert "findings; " in done.stdout.splitlines()[-1]
    told: dict[str, Any] = json.loads(report.read_text())
    assert told["findings"][0]["check"] == "checksum"
    names = ("schema", "table", "release", "path", "verdict")
    expected = [table.parent.name, "Object", "Object_r1", str(table / "Object_r1"), "findings"]
    assert [told[name] for name in names] == expected
    assert abs(datetime.now(UTC) - datetime.strptime(told["time"], "%Y-%m-%dT%H:%M:%S%z")) < timedelta(minutes=5)
    tiles = len(leaves(release))
    assert told["scope"] == {"kind": "full", "share": 1.0, "seed": None, "tiles_read": tiles, "tiles": tiles}
    done = commanded("repair", table, "--part", "maps")
    assert done.returncode == 0
    assert "rebuilt Object_r1/point_map.fits" in done.stdout
    assert commanded("verify", table, "--release", "1", "--json", report).returncode == 0
    assert json.loads(report.read_text())["verdict"] == "clean"


def sampled(table: Path, *options: str | Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return share, tiles read, tiles and seed that a verification of a sample tells, and its report."""
    report = table.with_name("report.json")
    done = commanded("verify", table, "--sample", "10%", "--json", report, *options)
    pattern = r"Object_r1: clean; sample of (10) % of the tiles \((\d+) of (\d+)\), seed (\d+); .*\n"
    told = re.fullmatch(pattern, done.stdout)
    assert told is not None, done.stdout
    return told.groups(), json.loads(report.read_text())


def test_samples_without_a_seed_read_other_tiles_each_time(release: Path) -> None:
    tiles = len(leaves(release))
    seeds = set()
    for _ in range(3):
        told, report = sampled(release.parent)
        assert told[:3] == ("10", str(round(tiles / 10)), str(tiles))
        scope = {"kind": "sample", "share": 0.1, "seed": int(told[3]), "tiles_read": int(told[1]), "tiles": tiles}
        assert report["scope"] == scope
        seeds.add(told[3])
    assert len(seeds) > 1
    again = [sampled(release.parent, "--seed", told[3]) for _ in range(2)]
    assert [one[0][3] for one in again] == [told[3]] * 2
    assert {one[1]["rows"] for one in again} == {report["rows"]}


@pytest.mark.parametrize(("command", "function"), [("verify", "verify_release"), ("repair", "repair_release")])
def test_all_processors_are_used_unless_it_is_said_otherwise(
    release: Path, command: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def stopped(*_: object, workers: int, **__: object) -> None:
        used.append(workers)
        raise LayoutError

    monkeypatch.setattr(f"partitioning.checks.command.{function}", stopped)
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    commanded(command, release.parent)
    commanded(command, release.parent, "--workers", "3")
    assert used == [7, 3]


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.26, 1.0])
def test_the_tiles_of_a_sample_are_told_as_they_are_read(release: Path, fraction: float) -> None:
    opened = open_catalog(release, Collector(release.name))
    assert opened is not None
    scope = Sample(fraction)
    assert scope.count(len(opened.files)) == len(chosen_files(opened, scope, Collector(release.name)))


@pytest.mark.parametrize("name", ["manifest.json", "files.parquet"])
def test_a_report_tells_that_nothing_could_be_read(release: Path, name: str) -> None:
    (release / "manifest" / name).write_bytes(b"nothing")
    told = commanded("verify", release.parent).stdout.splitlines()[-1]
    assert "findings; all tiles (0 of unknown); 0 files, " in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "nowhere"),
        ("verify", "TABLE", "--release", "7"),
        ("verify", "TABLE", "--sample", "much"),
        ("verify", "TABLE", "--sample", "0%"),
        ("verify", "TABLE", "--sample", "150%"),
        ("verify", "TABLE", "--sample", "1%", "--full"),
        ("verify", "TABLE", "--workers", "0"),
        ("repair", "TABLE", "--part", "leaves"),
    ],
)
def test_unusable_arguments(store: Path, arguments: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    from partitioning.cli import app

    done = CliRunner().invoke(app, [str(store / "Object") if word == "TABLE" else word for word in arguments])
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
