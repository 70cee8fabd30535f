"""Rebuilding what lies beside a main catalog: its margins and id indexes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..layout.checksums import write_checksums
from ..layout.files import replaced
from ..layout.hats import index_properties, margin_properties, write_hats_files, write_properties
from ..layout.leaf import file_checksum
from ..layout.manifest import (
    FILES_SCHEMA,
    INDEX_FILES_SCHEMA,
    IndexRecord,
    MarginRecord,
    Placement,
    read_partition_map,
    write_files,
)
from ..layout.paths import FLAT_FILES, FLAT_HEALPIX_FILE, FLAT_IDS_FILE, HEALPIX_COLUMN, index_part_path, leaf_path
from ..sky.healpix import Pixel
from ..stages.assemble import write_index_metadata
from ..stages.id_index import PART_GROUP_ROWS, PART_ROWS, part_options
from ..stages.id_runs import is_flat
from ..stages.margin_from_leaves import MarginSource, write_margin_leaf
from .catalog import OpenCatalog
from .index_part import index_schema
from .rebuild import put_staged

__all__ = ["rebuild_index", "rebuild_margin"]

_BATCH_ROWS: Final = 1 << 18

_ENTRIES_SQL: Final = """
SELECT {column} AS id, {index} AS healpix
FROM read_parquet($paths, hive_partitioning = false)
WHERE {column} IS NOT NULL
ORDER BY id, healpix
"""


def rebuild_margin(opened: OpenCatalog, record: MarginRecord, placement: Placement, workers: int) -> MarginRecord:
    """Write a margin anew from the leaves; each file takes the place of the old one by a rename."""
    catalog = opened.path.parent / record.directory
    partitions = read_partition_map(opened.path)
    source = MarginSource(opened.path, partitions, opened.schema, placement, record.threshold_arcsec / 3600)
    with ThreadPoolExecutor(workers) as pool:
        pixels = [file.pixel for file in opened.files]
        lines = [line for line in pool.map(partial(_margin_leaf, opened, source, catalog), pixels) if line is not None]
    files = pa.Table.from_pylist(lines, FILES_SCHEMA)
    rows, size = (sum(line[name] for line in lines) for name in ("rows", "bytes"))
    record = replace(record, rows=rows, bytes=size)
    with put_staged(catalog) as (scratch, _):
        properties = margin_properties(opened.path.name, record, placement, opened.manifest.created)
        write_hats_files(scratch, {**properties, "hats_builder": opened.manifest.builder}, files, opened.schema)
        write_files(scratch, files)
    _remove_others(catalog, (leaf_path(Pixel(line["norder"], line["npix"])) for line in lines))
    write_checksums(catalog)
    return record


def rebuild_index(opened: OpenCatalog, record: IndexRecord, memory: int) -> IndexRecord:
    """Write an id index anew from the leaves; each file takes the place of the old one by a rename.

    Parameters
    ----------
    memory
        Bytes in which entries are sorted; beyond it they are spilled beside the index.
    """
    catalog, schema = opened.path.parent / record.directory, _entry_schema(opened, record.column)
    catalog.mkdir(exist_ok=True)
    flat = is_flat(schema.field(0).type)
    with put_staged(catalog) as (scratch, _):
        parts = list(_write_parts(opened, record.column, schema, scratch, memory))
        rows, size = (sum(part[name] for part in parts) for name in ("rows", "bytes"))
        record = replace(record, rows=rows, bytes=size, flat=flat)
        write_files(scratch, pa.Table.from_pylist(parts, INDEX_FILES_SCHEMA))
        write_index_metadata(scratch, len(parts))
        properties = index_properties(opened.path.name, record, opened.manifest.created)
        write_properties(scratch, {**properties, "hats_builder": opened.manifest.builder})
    _remove_others(catalog, (index_part_path(part["part"]) for part in parts))
    for name in () if flat else FLAT_FILES:
        (catalog / name).unlink(missing_ok=True)
    write_checksums(catalog)
    return record


def _margin_leaf(opened: OpenCatalog, source: MarginSource, catalog: Path, pixel: Pixel) -> dict[str, Any] | None:
    """Write the margin of one tile, and return its line in the list of files; None if it has no rows."""
    facts = write_margin_leaf(source, pixel, catalog / leaf_path(pixel), opened.form)
    return None if facts is None else facts.file_row()


def _entry_schema(opened: OpenCatalog, column: str) -> pa.Schema:
    return index_schema(opened.schema.field(column).type, column)


def _write_parts(
    opened: OpenCatalog, column: str, schema: pa.Schema, catalog: Path, memory: int
) -> Iterator[dict[str, Any]]:
    """Write parts and flat arrays, and yield the parts' lines in the list of files."""
    (catalog / "dataset/index").mkdir(parents=True)
    flat = is_flat(schema.field(0).type)
    if flat:
        (catalog / FLAT_IDS_FILE).parent.mkdir()
    for number, entries in enumerate(_parts(opened, column, schema, catalog / "spill", memory)):
        path = catalog / index_part_path(number)
        with replaced(path) as hidden:
            pq.write_table(entries, hidden, PART_GROUP_ROWS, **part_options(entries.schema, column))
        if flat:
            for name, key in ((FLAT_IDS_FILE, column), (FLAT_HEALPIX_FILE, HEALPIX_COLUMN)):
                with (catalog / name).open("ab") as file:
                    entries.column(key).cast(pa.int64()).to_numpy().astype("<i8").tofile(file)
        size, checksum = path.stat().st_size, file_checksum(path)
        yield {"part": number, "rows": entries.num_rows, "bytes": size, "xxh3_128": checksum}


def _parts(opened: OpenCatalog, column: str, schema: pa.Schema, spill: Path, memory: int) -> Iterator[pa.Table]:
    """Yield all entries in their order, in tables of about `PART_ROWS`; an empty one if there are none."""
    waiting, rows, count = list[pa.Table](), 0, 0
    for entries in _sorted_entries(opened, column, schema, spill, memory):
        waiting.append(entries)
        rows += entries.num_rows
        if rows >= PART_ROWS:
            yield pa.concat_tables(waiting)
            waiting, rows, count = [], 0, count + 1
    if rows or not count:
        yield pa.concat_tables([schema.empty_table(), *waiting])


def _sorted_entries(
    opened: OpenCatalog, column: str, schema: pa.Schema, spill: Path, memory: int
) -> Iterator[pa.Table]:
    """Yield entries sorted by id and index; DuckDB sorts them, within its memory and on disk beyond it."""
    orders = np.array([file.pixel.order for file in opened.files], dtype=np.uint8)
    numbers = np.array([file.pixel.number for file in opened.files], dtype=np.uint64)
    config: dict[str, str | bool | int | float | list[str]] = {}
    config |= {"memory_limit": f"{memory}B", "threads": 1, "temp_directory": str(spill)}
    names = {"column": _quoted(column), "index": _quoted(HEALPIX_COLUMN)}
    paths = [str(opened.path / file.path) for file in opened.files]
    with duckdb.connect(config=config) as connection:
        # A relation: DuckDB 2.0 was seen to return ORDER BY results out of order from execute().to_arrow_reader().
        relation = connection.sql(_ENTRIES_SQL.format(**names), params={"paths": paths})
        for batch in relation.to_arrow_reader(_BATCH_ROWS):
            tile = opened.tiles_of(batch.column("healpix").to_numpy())
            columns = [
                batch.column("id").cast(schema.field(0).type),
                batch.column("healpix"),
                orders[tile],
                numbers[tile],
            ]
            yield pa.table([pa.array(each) for each in columns], schema=schema)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _remove_others(catalog: Path, kept: Iterable[str]) -> None:
    """Remove data files that are not (any more) in the list of files."""
    names = set(kept)
    for path in list((catalog / "dataset").rglob("*.parquet")):
        if path.relative_to(catalog).as_posix() not in names:
            path.unlink()
