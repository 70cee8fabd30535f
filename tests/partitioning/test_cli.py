"""The command line: builds, overrides, descriptions, and errors in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.partitioning.builders import sky_rows, write_files

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


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "partitioning.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a configuration, its input elsewhere, and what was built of it."""
    base = tmp_path_factory.mktemp("cli")
    write_files(base / "input/Object", sky_rows(200))
    (base / "build.toml").write_text(CONFIG)
    done = run("build", base / "build.toml", "--root", base / "catalogs", "--input-dir", base / "input")
    assert done.returncode == 0, done.stderr
    assert "survey.Object: published Object_r1: 200 rows" in done.stdout
    return base


def test_options_replace_root_and_input(base: Path) -> None:
    assert (base / "catalogs/survey/Object/collection.properties").is_file()
    assert not (base / "elsewhere").exists()


def test_describe(base: Path) -> None:
    done = run("describe", base / "catalogs/survey/Object")
    assert done.returncode == 0, done.stderr
    for part in ("survey.Object, release 1", "200 rows", "placed by ra, dec", "mag  double", "_healpix_29  int64"):
        assert part in done.stdout


def test_errors_take_one_line(base: Path) -> None:
    for arguments, message in [
        (("build", base / "build.toml"), "input 'Object/*.parquet' matches no file"),
        (("build", base / "nothing.toml"), "not a readable TOML file"),
        (("describe", base), "no table is published here"),
    ]:
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_killed_build_shows_nothing_and_the_next_one_works(base: Path, tmp_path: Path) -> None:
    options = ["--root", str(tmp_path / "catalogs"), "--input-dir", str(base / "input")]
    command = [sys.executable, "-u", "-m", "partitioning.cli", "build", str(base / "build.toml"), *options]
    home = tmp_path / "catalogs/survey/Object"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "bucket" in line:
                process.kill()
                break
    assert {path.name for path in home.iterdir()} == {".lease", ".staging"}
    done = run("build", base / "build.toml", *options)
    assert done.returncode == 0, done.stderr
    assert "an interrupted build of release 1 goes on" in done.stdout
    names = {path.name for path in home.iterdir()}
    assert {"Object_r1", "Object_r1_10arcs", "Object_r1_id", "collection.properties"} == names
