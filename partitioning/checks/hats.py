"""Checks of what HATS readers read beside the data: properties, list of partitions, common schema, pointer."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..layout.hats import (
    HatsFacts,
    catalog_properties,
    index_properties,
    margin_properties,
    partition_info,
    pointer_properties,
)
from ..layout.manifest import FILES_SCHEMA, IndexRecord, MarginRecord, Placement
from ..layout.paths import COLLECTION_PROPERTIES, COMMON_METADATA, HEALPIX_COLUMN
from ..layout.properties import parse_properties
from ..layout.schema import schema_fingerprint
from .catalog import DataFile, OpenCatalog, tried, tried_file
from .maps import Map
from .report import Collector

__all__ = [
    "check_common_schema",
    "check_partition_info",
    "check_pointer",
    "check_properties",
    "check_schema_file",
    "expected_index_properties",
    "expected_margin_properties",
    "expected_properties",
    "files_table",
    "read_properties",
]


def files_table(files: tuple[DataFile, ...]) -> pa.Table:
    """Return files as rows of `FILES_SCHEMA`."""
    rows = [{"norder": file.pixel.order, "npix": file.pixel.number, **vars(file)} for file in files]
    return pa.Table.from_pylist(rows, FILES_SCHEMA)


def read_properties(catalog: Path, name: str = "hats.properties") -> dict[str, str] | None:
    """Return the properties of a catalog, None if they cannot be read."""
    properties, _ = tried(lambda: parse_properties((catalog / name).read_text(encoding="utf-8")))
    return properties


def expected_properties(opened: OpenCatalog, placement: Placement, point_map: Map) -> dict[str, str]:
    """Return what a main catalog's properties must tell; title and the like are taken from those there are."""
    told = read_properties(opened.path) or {}
    default = told.get("hats_cols_default", "").split()
    largest = max((file.rows for file in opened.files), default=0)
    facts = HatsFacts(
        finest_order=max((file.pixel.order for file in opened.files), default=0),
        max_rows=int(told.get("hats_max_rows", "")) if told.get("hats_max_rows", "").isdecimal() else largest,
        map_order=point_map.order,
        sky_fraction=len(point_map.pixels) / (12 << (2 * point_map.order)),
        title=told.get("obs_title"),
        default_columns=tuple(name for name in default if name in opened.schema.names),
    )
    return {**catalog_properties(opened.manifest, placement, facts), **_built(opened)}


def expected_margin_properties(opened: OpenCatalog, record: MarginRecord) -> dict[str, str]:
    """Return what the properties of a margin must tell."""
    assert opened.placement is not None
    told = margin_properties(opened.path.name, record, opened.placement, opened.manifest.created)
    return {**told, **_built(opened)}


def expected_index_properties(opened: OpenCatalog, record: IndexRecord) -> dict[str, str]:
    """Return what the properties of an id index must tell."""
    return {**index_properties(opened.path.name, record, opened.manifest.created), **_built(opened)}


def _built(opened: OpenCatalog) -> dict[str, str]:
    """Return who built the release: another version of this software may look at it."""
    return {"hats_builder": opened.manifest.builder}


def check_properties(catalog: Path, expected: dict[str, str], found: Collector) -> None:
    """Check both property files of a catalog; numbers are compared as numbers, keys beyond the expected are free."""
    for name in ("hats.properties", "properties"):
        told = read_properties(catalog, name)
        if told is None:
            found.add("properties", name, "it cannot be read")
            continue
        for key, value in expected.items():
            wrong = f"{key} is {told.get(key)!r}, not {value!r}"
            found.expect(_same(told.get(key), value), "properties", name, wrong)
    texts = [tried((catalog / name).read_bytes)[0] for name in ("hats.properties", "properties")]
    found.expect(texts[0] == texts[1], "properties", "properties", "it differs from hats.properties")


def _same(told: str | None, value: str) -> bool:
    if told == value or told is None:
        return told == value
    numbers, _ = tried(lambda: (float(told), float(value)))
    return numbers is not None and numbers[0] == numbers[1]


def check_partition_info(catalog: Path, files: tuple[DataFile, ...], found: Collector) -> None:
    """Check the list of partitions against the list of files."""
    text, problem = tried(lambda: (catalog / "partition_info.csv").read_text(encoding="utf-8"))
    wanted = partition_info(files_table(files))
    if text is None:
        found.add("partition_info", "partition_info.csv", problem)
    elif text != wanted:
        lines, right = text.split("\n"), wanted.split("\n")
        pairs = enumerate(zip(lines, right, strict=False), start=1)
        line = next((number for number, (mine, other) in pairs if mine != other), min(len(lines), len(right)) + 1)
        pixel = files[line - 2].pixel if 2 <= line < len(files) + 2 else None
        found.add("partition_info", "partition_info.csv", f"line {line} is not what files.parquet tells", pixel)


def check_common_schema(opened: OpenCatalog, found: Collector) -> None:
    """Check the schema against the manifest's fingerprint, and the common metadata against the schema."""
    manifest = opened.manifest
    same = schema_fingerprint(opened.schema) == manifest.schema_fingerprint
    found.expect(same, "schema", "manifest/manifest.json", "its fingerprint is of another schema than the leaves'")
    if opened.placement is None:
        return
    first = opened.schema.field(0)
    good = first.name == HEALPIX_COLUMN and first.type == pa.int64()
    found.expect(good, "schema", COMMON_METADATA, f"the first column is not {HEALPIX_COLUMN}, int64")
    check_schema_file(opened.path, opened.damaged, opened.schema, found)


def check_schema_file(
    catalog: Path, damaged: Collection[str], schema: pa.Schema, found: Collector, *, exact: bool = True
) -> None:
    """Check the common metadata of a catalog against a schema; if not `exact`, by names and types alone."""
    common, problem = tried_file(damaged, COMMON_METADATA, lambda: pq.read_schema(catalog / COMMON_METADATA))
    same = common is not None and (common.equals(schema) if exact else _fits(common, schema))
    found.expect(same, "schema", COMMON_METADATA, problem or "it tells another schema than the data files")


def _fits(schema: pa.Schema, wanted: pa.Schema) -> bool:
    return schema_fingerprint(schema) == schema_fingerprint(wanted)


def check_pointer(opened: OpenCatalog, table: Path, found: Collector) -> None:
    """Check that the collection, if it names this release, names its margins and id indexes."""
    pointer = table / COLLECTION_PROPERTIES
    if not pointer.is_file():
        return
    told, problem = tried(lambda: parse_properties(pointer.read_text(encoding="utf-8")))
    outside = Collector("")
    if told is None:
        outside.add("properties", COLLECTION_PROPERTIES, problem)
    elif told.get("hats_primary_table_url") == opened.path.name:
        for key, value in {**pointer_properties(opened.manifest, opened.path.name), **_built(opened)}.items():
            wrong = f"{key} is {told.get(key)!r}, not {value!r}"
            outside.expect(told.get(key) == value, "properties", COLLECTION_PROPERTIES, wrong)
    found.merge(outside)
