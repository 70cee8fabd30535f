"""The command line: builds, overrides, descriptions, errors in one line, and helpers in other processes."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from partitioning.executors import Announced, ArrayExecutor, announced_stage, await_helpers, work_on
from partitioning.helper import help_builds
from partitioning.layout.manifest import read_manifest
from partitioning.lease import lease
from partitioning.pipeline import build
from partitioning.stages.run import Share
from tests.partitioning.builders import CREATED, commanded, config, sky_rows, sky_table, tree, visible, write_files

CONFIG = """
[release]
root = "elsewhere"
schema = "survey"
[[table]]
name = "Object"
input = ["Object/*.parquet"]
ra = "ra"
dec = "dec"
id = ["id"]
"""
EPOCH = {"SOURCE_DATE_EPOCH": "1767323045"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-u", "-m", "partitioning.cli", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=os.environ | EPOCH)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | EPOCH
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a configuration, its input elsewhere, and what was built of it."""
    base = tmp_path_factory.mktemp("cli")
    write_files(base / "input/Object", sky_rows(200))
    (base / "build.toml").write_text(CONFIG)
    done = run("build", base / "build.toml", "--root", base / "catalogs", "--input-dir", base / "input")
    assert done.returncode == 0, done.stderr
    assert "survey.Object: published Object_r1: 200 rows" in done.stdout
    assert "survey.Object: about 200 rows, " in done.stdout
    return base


def test_options_replace_root_and_input(base: Path) -> None:
    assert (base / "catalogs/survey/Object/collection.properties").is_file()
    assert not (base / "elsewhere").exists()


def test_describe(base: Path) -> None:
    done = run("describe", base / "catalogs/survey/Object")
    assert done.returncode == 0, done.stderr
    for part in ("survey.Object, release 1", "200 rows", "placed by ra, dec", "mag  double", "_healpix_29  int64"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("build", "build.toml"), 1, "input 'Object/*.parquet' matches no file"),
        (("build", "nothing.toml"), 1, "not a readable TOML file"),
        (("describe", "."), 1, "no table is published here"),
        (("switch", "catalogs/survey/Object", "--release", "4"), 1, "there is no release 4; there are releases 1"),
        (("build", "build.toml", "--memory", "much"), 2, "'much' is not a size"),
        (("build", "build.toml", "--memory", "1MB"), 2, "give at least '64 MiB'"),
        (("build", "build.toml", "--table", "Objekt"), 2, "has no table 'Objekt'; it has Object"),
        (("build", "build.toml", "--executor", "dask"), 2, "give the scheduler's address"),
    ],
)
def test_errors_take_one_line_or_name_the_option(
    base: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process: a subprocess would take a second each."""
    from partitioning.cli import main

    monkeypatch.chdir(base)
    monkeypatch.setattr(sys, "argv", ["catalog-partition", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == code
    assert message in " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())


def test_an_error_is_one_line(base: Path) -> None:
    done = run("build", base / "build.toml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: input 'Object/*.parquet' matches no file below ")
    assert len(done.stderr.splitlines()) == 1


def test_a_killed_build_shows_nothing_and_the_next_one_works(base: Path, tmp_path: Path) -> None:
    options = ["--root", str(tmp_path / "catalogs"), "--input-dir", str(base / "input")]
    home = tmp_path / "catalogs/survey/Object"
    with start("build", base / "build.toml", *options) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "bucket" in line:
                process.kill()
                break
    assert {path.name for path in home.iterdir()} == {".lease", ".staging"}
    told = run("status", base / "build.toml", "--root", tmp_path / "catalogs")
    assert told.returncode == 0, told.stderr
    assert "survey.Object: nothing published; release 1 is being built: interrupted in stage " in told.stdout
    assert "next: build goes on with stage " in told.stdout
    done = run("build", base / "build.toml", *options)
    assert done.returncode == 0, done.stderr
    assert "an interrupted build of release 1 goes on" in done.stdout
    names = {path.name for path in home.iterdir()}
    assert {"Object_r1", "Object_r1_10arcs", "Object_r1_id", "collection.properties"} == names


def test_a_dry_run_changes_nothing_and_fails_if_there_are_problems(base: Path, tmp_path: Path) -> None:
    before = tree(base)
    options = ("--input-dir", base / "input", "--dry-run", "--spill", tmp_path)
    done = commanded("build", base / "build.toml", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiles      " in done.stdout
    assert done.stdout.endswith("no problems found; nothing was written\n")
    assert (tree(base), list(tmp_path.iterdir())) == (before, [])
    done = commanded("build", base / "build.toml", *options, "--max-spill", "1kB")
    assert done.returncode == 1
    assert "problem: spill files will take" in done.stdout
    assert not done.stderr


def damage(path: Path) -> None:
    """Flip a bit in the pages of a column that places no rows."""
    chunk = pq.read_metadata(path).row_group(0).column(3)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(bytes(content))


def test_damaged_input_is_left_out_and_told_if_that_is_said(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "input", tmp_path / "input")
    options = (base / "build.toml", "--root", tmp_path / "catalogs", "--input-dir", tmp_path / "input")
    home = tmp_path / "catalogs/survey/Object"
    damage(tmp_path / "input/Object/part1.parquet")
    assert commanded("build", *options).returncode == 1
    done = commanded("build", *options, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "left out: Object/part1.parquet: part 0 (67 rows): not a readable Parquet file" in done.stdout
    pq.write_table(sky_rows(30, seed=8, first_id=3), tmp_path / "input/Object/night.parquet", write_page_checksum=True)
    damage(tmp_path / "input/Object/night.parquet")
    pq.write_table(sky_rows(40, seed=9, first_id=90), tmp_path / "input/Object/other.parquet")
    assert commanded("append", *options).returncode == 1
    done = commanded("append", *options, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert f"published Object_r2: {200 - 67 + 40} rows" in done.stdout
    told = commanded("describe", home).stdout
    assert told.count("    left out: part 0 (") == 2
    bad = {record.name: len(record.bad_parts) for record in read_manifest(home / "Object_r2").inputs}
    assert bad == {**{f"Object/part{n}.parquet": n % 2 for n in range(3)}, "Object/night.parquet": 1} | {
        "Object/other.parquet": 0
    }


def test_a_table_has_its_own_name_behind_links_and_dots(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "catalogs", tmp_path / "catalogs")
    home = tmp_path / "catalogs/survey/Object"
    (tmp_path / "link").symlink_to(home)
    for name in (".", tmp_path / "link", home / "../Object"):
        command = [sys.executable, "-m", "partitioning.cli", "describe", str(name)]
        told = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
        assert "1 release:" in told.stdout


def test_append_status_switch_prune(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "all")
    here = tmp_path / "all"
    options = (here / "build.toml", "--root", here / "catalogs", "--input-dir", here / "input")
    home = here / "catalogs/survey/Object"
    pq.write_table(sky_rows(7, seed=8, first_id=3), here / "input/Object/night.parquet")
    changed = sky_rows(200).slice(0, 60)
    pq.write_table(changed, here / "input/Object/part0.parquet")
    done = commanded("append", *options)
    assert done.returncode == 1
    assert "say --replace Object/part0.parquet if that is meant" in done.stderr
    done = commanded("append", *options, "--replace", "Object/part0.parquet", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 files, " in done.stdout
    done = commanded("append", *options, "--replace", "Object/part0.parquet")
    assert done.returncode == 0, done.stderr
    assert f"published Object_r2: {200 - 67 + 60 + 7} rows" in done.stdout
    done = commanded("status", home)
    assert "release 2 published" in done.stdout
    assert "; idle\n  next: build begins release 3 or higher from all input; append adds new files" in done.stdout
    assert "Object_r1 is: 200 rows" in commanded("switch", home, "--release", "1").stdout
    assert "hats_primary_table_url=Object_r1\n" in (home / "collection.properties").read_text()
    assert "would be removed" in commanded("prune", home, "--dry-run").stdout
    assert commanded("prune", home).returncode == 0
    names = {path.name for path in home.iterdir()}
    assert names == {"Object_r1", "Object_r1_10arcs", "Object_r1_id", "collection.properties", ".last_release"}


ROWS, FILES = 3000, 8


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """Return a directory with an input of several units, and what a local build makes of it."""
    base = tmp_path_factory.mktemp("array")
    write_files(base / "Object", sky_rows(ROWS), FILES)
    text = CONFIG.replace('"elsewhere"', '"catalogs"') + "target_rows = 400\n"
    (base / "build.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("partitioning.stages.plan._SMALL_UNIT_BYTES", 1)
        patch.setattr("partitioning.stages.bucket._SMALL_BUCKET_ROWS", 1)
        build(config(base, sky_table(target_rows=400), root=base / "local"), created=CREATED)
        yield base, visible(base / "local")


DIRECTOR = """
from partitioning.stages import bucket, plan
plan._SMALL_UNIT_BYTES = bucket._SMALL_BUCKET_ROWS = 1
from partitioning import cli
cli.main()
"""
"""A director that cuts a small input into many units."""

VICTIM = """
import sys, time
from partitioning import cli, executors, helper
helper._POLL_S = 0.01
def stand_still(*unit):
    print("claimed", unit[1:3], flush=True)
    time.sleep(600)
executors.run_unit = stand_still
cli.main()
"""
"""A helper that claims a unit and never does it."""


def start_script(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | EPOCH,
    )


def test_helpers_make_the_same_bytes_though_one_is_killed(
    shared: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    base, made = shared
    home = tmp_path / "catalogs/survey/Object"
    root = ("--root", tmp_path / "catalogs")
    victim = start_script(VICTIM, "work", base / "build.toml", *root, "--wait", "60")
    helpers = [start("work", base / "build.toml", *root, "--wait", "60") for _ in range(2)]
    options = ("--executor", "array", "--helper-timeout", "1.5", "--spill", tmp_path / "spill")
    director = start_script(DIRECTOR, "build", base / "build.toml", *root, *options)
    try:
        assert victim.stdout is not None
        heard = list(itertools.takewhile(lambda line: not line.startswith("claimed ('place', "), victim.stdout))
        assert heard[-1] == "working for survey.Object (Object_r1), stage place\n"
        victim.kill()
        output = director.communicate(timeout=90)[0]
        assert director.returncode == 0, output
        told = [helper.communicate(timeout=60)[0] for helper in helpers]
        assert [helper.returncode for helper in helpers] == [0, 0], told
        done = [re.search(r"the build has ended; (\d+) units were done here", one) for one in told]
        assert sum(int(one[1]) for one in done if one is not None) > 0, told
    finally:
        for process in (*helpers, director, victim):
            process.kill()
            process.communicate()
    assert visible(tmp_path / "catalogs") == made
    assert not (home / ".staging").exists()


def test_a_claim_of_a_dead_helper_goes_stale(shared: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    base, made = shared
    home = tmp_path / "survey/Object"
    executor = ArrayExecutor(Share(64 << 20), stale_s=0.5)
    planted = []

    def plant(line: str) -> None:
        if "input files" in line:
            claims = home / ".staging/claims"
            claims.mkdir(parents=True)
            for stage in ("place-3", "bucket-0", "sort-2"):
                (claims / stage).touch()
                planted.append(stage)

    build(config(base, sky_table(target_rows=400), root=tmp_path), created=CREATED, executor=executor, report=plant)
    assert len(planted) == 3
    assert visible(tmp_path) == made


def test_helpers_end_without_a_build(tmp_path: Path) -> None:
    lines: list[str] = []
    assert help_builds([tmp_path / "a", tmp_path / "b"], Share(1 << 26), wait_s=0.1, report=lines.append) == 0
    waiting = f"waiting up to 0.1 s for a build of {tmp_path.name}.a, {tmp_path.name}.b"
    assert lines == [waiting, "no build for 0.1 s; 0 units were done here"]
    assert not work_on(tmp_path / "a", Share(1 << 26))
    assert not list(tmp_path.iterdir())


def test_a_helper_tells_when_its_director_is_gone_and_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these is one line, however many stages and units there are."""
    home = tmp_path / "survey/Object"
    (home / ".staging/claims").mkdir(parents=True)
    lines: list[str] = []
    steps = iter([None, "sort", "index-id", "gone", "gone", "sort", None])
    now: list[str | None] = []

    def holder(_: Path) -> str | None:
        now[:] = [next(steps)]
        return now[0] if now[0] not in (None, "gone") else None

    def announced(_: Path) -> Announced | None:
        return None if now[0] is None else Announced("Object_r1", "/spill", now[0], 1, 60.0)

    monkeypatch.setattr("partitioning.helper._POLL_S", 0.0)
    monkeypatch.setattr("partitioning.helper.lease_holder", holder)
    monkeypatch.setattr("partitioning.helper.announced_stage", announced)
    monkeypatch.setattr("partitioning.helper.work_on", lambda *_: False)
    help_builds([home], Share(1 << 26), wait_s=60, report=lines.append)
    assert lines == [
        "waiting up to 60 s for a build of survey.Object",
        "working for survey.Object (Object_r1), stage sort",
        "the director is gone; waiting up to 60 s for a build of survey.Object",
        "working for survey.Object (Object_r1), stage sort",
        "the build has ended; 0 units were done here",
    ]


def test_memory_of_a_helper_is_its_own() -> None:
    told = re.sub("[│╭╮╰╯─]", " ", commanded("work", "--help").stdout)
    assert "Memory of this process" in " ".join(told.split())


def test_a_build_that_begins_waits_for_helpers_of_the_last_one(tmp_path: Path) -> None:
    claims = tmp_path / ".staging/claims"
    claims.mkdir(parents=True)
    (claims / "sort-1").touch()
    begin = time.monotonic()
    await_helpers(tmp_path, stale_s=0.4)
    assert 0.3 < time.monotonic() - begin < 5
    facts = {"release": "a_r1", "spill": "/spill", "stage": "sort", "units": 3, "stale_s": 0.2}
    (tmp_path / ".staging/stage.json").write_text(json.dumps(facts))
    announced = announced_stage(tmp_path)
    assert announced is not None
    assert (announced.stage, announced.units) == ("sort", 3)
    await_helpers(tmp_path)  # who still looks for units of the last build finds none
    assert announced_stage(tmp_path) == replace(announced, units=0)
    with lease(tmp_path):
        pass


def test_a_dask_cluster_makes_the_same_bytes(shared: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    base, made = shared
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        address = cluster.scheduler_address
        done = run("build", base / "build.toml", "--root", tmp_path, "--executor", "dask", "--dask-address", address)
    assert done.returncode == 0, done.stderr
    assert {k: v for k, v in visible(tmp_path).items() if "Npix" in k} == {k: v for k, v in made.items() if "Npix" in k}


def test_no_process_of_a_build_imports_pandas(tmp_path: Path) -> None:
    """It would take half a second and 50 MB of each; pyarrow imports it where it is installed, as here."""
    write_files(tmp_path / "Object", sky_rows(2000), files=2)
    (tmp_path / "build.toml").write_text(CONFIG, encoding="utf-8")
    script = "from partitioning import cli, pipeline; pipeline.SMALL_BYTES = 1; cli.main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script, "build", tmp_path / "build.toml"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")]
    assert imported.count("partitioning.stages.run") > 1  # the workers tell, too
    assert "astropy.io.fits" in imported
    assert not any(name.startswith("pandas.") for name in imported)
