"""Checks of where rows come from: rows per input file, and the reject file."""

from collections import Counter
from collections.abc import Sequence

import pyarrow.parquet as pq

from ..layout.manifest import Manifest
from ..layout.paths import INPUT_COLUMN, REJECTS_FILE
from .catalog import OpenCatalog, tried_file
from .leaf import LeafSums
from .report import Collector

__all__ = ["check_inputs", "check_manifest_sums"]

_MANIFEST = "manifest/manifest.json"


def check_manifest_sums(opened: OpenCatalog, found: Collector) -> None:
    """Check that the manifest's totals are those of its parts, of the files and of the reject file."""
    manifest = opened.manifest
    totals = (
        ("rows", manifest.rows, sum(file.rows for file in opened.files), "of files.parquet"),
        ("bytes", manifest.bytes, sum(file.bytes for file in opened.files), "of files.parquet"),
        ("input_rows", manifest.input_rows, manifest.rows + manifest.rejected_rows, "stored and rejected"),
        ("input_rows", manifest.input_rows, sum(item.rows for item in manifest.inputs), "of the input files"),
        ("rejected_rows", manifest.rejected_rows, sum(item.rejected for item in manifest.inputs), "of the input files"),
    )
    for name, told, summed, what in totals:
        found.expect(told == summed, "rows", _MANIFEST, f"{name} is {told}, not the {summed} {what}")
    _check_rejects(opened, manifest, found)


def check_inputs(opened: OpenCatalog, sums: Sequence[LeafSums], found: Collector) -> None:
    """Compare the rows that came from each input file with the manifest; all leaves must have been read."""
    if INPUT_COLUMN not in opened.schema.names:
        return
    stored = Counter[int]()
    for each in sums:
        stored.update(each.input_rows)
    for item in opened.manifest.inputs:
        wrong = f"{item.name} (input {item.number}) has {stored[item.number]} rows, not {item.rows - item.rejected}"
        found.expect(stored[item.number] == item.rows - item.rejected, "input", _MANIFEST, wrong)


def _check_rejects(opened: OpenCatalog, manifest: Manifest, found: Collector) -> None:
    path = opened.path / REJECTS_FILE
    if manifest.rejected_rows == 0 and not path.exists():
        return
    rows, problem = tried_file(opened.damaged, REJECTS_FILE, lambda: pq.read_metadata(path).num_rows)
    wrong = problem or f"it has {rows} rows, the manifest {manifest.rejected_rows}"
    found.expect(rows == manifest.rejected_rows, "rows", REJECTS_FILE, wrong)
