"""Checks of a catalog's directory: which files there are, and the checksums of the small ones."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..layout.checksums import read_checksums, small_files
from ..layout.leaf import file_checksum
from ..layout.paths import CHECKSUMS_FILE, COMMON_METADATA, FLAT_FILES, METADATA
from .catalog import tried
from .report import Collector

__all__ = ["check_data_tree", "check_small_files"]


def check_data_tree(catalog: Path, data_files: Iterable[str], found: Collector) -> None:
    """Check that the dataset directory holds the listed data files, the two metadata files, and nothing else."""
    wanted = {*data_files, COMMON_METADATA, METADATA}
    for folder, _, names in os.walk(catalog / "dataset"):
        for name in names:
            path = Path(folder, name).relative_to(catalog).as_posix()
            found.expect(path in wanted, "stray", path, "no list names this file; readers may take it for data")


def check_small_files(catalog: Path, found: Collector) -> frozenset[str]:
    """Check every file that is not a data file against the list of checksums; return those that are damaged."""
    recorded, problem = tried(lambda: read_checksums(catalog))
    if recorded is None:
        found.add("checksum", CHECKSUMS_FILE, problem)
        return frozenset()
    listed, damaged = set(small_files(catalog)), set[str]()
    for name in sorted(listed - set(recorded)):
        found.add("checksum", name, f"{CHECKSUMS_FILE} does not list this file")
    present = listed | {name for name in FLAT_FILES if (catalog / name).is_file()}
    for name, checksum in recorded.items():
        if name not in present:
            found.add("files", name, "the file is missing")
        elif tried(partial(file_checksum, catalog / name))[0] != checksum:
            found.add("checksum", name, f"its xxh3-128 is not {checksum}: a bit flipped, or it was rewritten")
            damaged.add(name)
    return frozenset(damaged)
