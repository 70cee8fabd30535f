"""A full disk ends a build or an append with one clear line; with room it goes on to the same bytes."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from partitioning.config import BuildConfig
from partitioning.exceptions import PartitioningError
from partitioning.pipeline import append, build
from tests.partitioning.builders import CREATED, config, published, sky_rows, sky_table, tree, write_files
from tests.partitioning.test_children import child, child_rows

STEP = 96 << 10
TABLES = (sky_table(target_rows=100, row_group_rows=64, margin_arcsec=30.0), child("Dia"))


class Disk:
    """A file system in memory, of a size that can be changed."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        path.mkdir()

    def resize(self, size: int) -> None:
        """Make it larger."""
        remount = "remount," if self.size else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{remount}size={size}", "tmpfs", str(self.path)]
        subprocess.run(command, check=True, capture_output=True)
        self.size = size

    def used(self) -> int:
        """Return the bytes in use."""
        status = os.statvfs(self.path)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("a file system of limited size can be mounted by root only")
    disk = Disk(tmp_path / "disk")
    try:
        disk.resize(64 << 20)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.path)], check=True)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    parents = sky_rows(600, first_id=1)
    parents = parents.append_column("name", parents["band"])
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", child_rows(parents, scatter_deg=0.002))
    return tmp_path


def add(base: Path) -> None:
    late = sky_rows(200, seed=7, first_id=10_000)
    write_files(base / "Object/new", late.append_column("name", late["band"]), files=1)
    (base / "Object/new/part0.parquet").rename(base / "Object/part9.parquet")


def released(root: Path) -> dict[str, dict[str, bytes]]:
    """Return every file of the current releases, margins and indexes included."""
    homes = sorted(pointer.parent for pointer in root.glob("survey/*/collection.properties"))
    return {home.name: {n: c for n, c in tree(home).items() if n.startswith(published(home).name)} for home in homes}


def until_there_is_room(disk: Disk, wanted: BuildConfig, ample: BuildConfig, *, adding: bool) -> list[str]:
    """Run again and again with a little more room than nothing; return the errors."""
    errors = []
    before, after = released(wanted.root) if adding else {}, released(ample.root)
    disk.resize(disk.used() + 4096)
    while True:
        try:
            (append if adding else build)(wanted, created=CREATED)
        except PartitioningError as error:
            errors.append(str(error))
            assert len(errors) < 60
        else:
            return errors
        # the pointers are replaced one after the other, at last
        assert all(seen in (before.get(name), after[name]) for name, seen in released(wanted.root).items())
        disk.resize(max(disk.size, disk.used()) + STEP)


def check(errors: list[str]) -> None:
    assert len(errors) > 2
    for error in errors:
        assert "No space left on device" in error or "make room" in error, error
        assert "\n" not in error
    assert len({error.split(" failed: ")[0] for error in errors}) > 1  # it hit several stages


def test_the_published_side_fills_up(base: Path, disk: Disk, tmp_path: Path) -> None:
    ample = config(base, *TABLES, root=tmp_path / "ample")
    scarce = config(base, *TABLES, root=disk.path, spill=tmp_path / "spill")
    build(ample, created=CREATED)
    check(until_there_is_room(disk, scarce, ample, adding=False))
    assert released(scarce.root) == released(ample.root)
    add(base)
    append(ample, created=CREATED)
    check(until_there_is_room(disk, scarce, ample, adding=True))
    assert released(scarce.root) == released(ample.root)


def test_the_spill_directory_fills_up(base: Path, disk: Disk, tmp_path: Path) -> None:
    ample = config(base, *TABLES, root=tmp_path / "ample")
    scarce = config(base, *TABLES, root=tmp_path / "scarce", spill=disk.path / "spill")
    build(ample, created=CREATED)
    check(until_there_is_room(disk, scarce, ample, adding=False))
    assert released(scarce.root) == released(ample.root)
    assert disk.used() < 64 << 10


LIMITED = """
import resource, sys
from pathlib import Path
from partitioning.exceptions import PartitioningError
from partitioning.pipeline import build
from tests.partitioning.builders import CREATED, config, sky_table
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    build(config(Path(sys.argv[1]), sky_table()), created=CREATED)
except PartitioningError as error:
    sys.exit(str(error))
"""


def test_files_must_not_be_large(tmp_path: Path) -> None:
    """A limit of the system on the size of files is told like a full disk, and needs no root."""
    write_files(tmp_path / "Object", sky_rows(2000))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", LIMITED, str(tmp_path), "20000"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "catalogs/survey/Object/collection.properties").exists()
    (table,) = build(config(tmp_path, sky_table()), created=CREATED)
    (other,) = build(config(tmp_path, sky_table(), root=tmp_path / "other"), created=CREATED)
    assert tree(table.directory) == tree(other.directory)
