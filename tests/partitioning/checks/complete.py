"""Gives a built release a margin and id indexes made by brute force: an independent maker of what verify checks."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import healpy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from partitioning.layout.checksums import write_checksums
from partitioning.layout.hats import (
    index_properties,
    margin_properties,
    pointer_properties,
    write_hats_files,
    write_properties,
)
from partitioning.layout.leaf import LeafFormat, LeafSummary, file_checksum, write_leaf
from partitioning.layout.manifest import (
    FILES_SCHEMA,
    INDEX_FILES_SCHEMA,
    IndexRecord,
    Manifest,
    MarginRecord,
    StoredColumn,
    read_columns,
    read_manifest,
    write_columns,
    write_manifest,
    write_row_groups,
)
from partitioning.layout.paths import (
    COLLECTION_PROPERTIES,
    COMMON_METADATA,
    HEALPIX_COLUMN,
    METADATA,
    index_name,
    index_part_path,
    leaf_path,
    margin_name,
)
from partitioning.layout.properties import format_properties, parse_properties
from partitioning.layout.schema import schema_fingerprint
from partitioning.sky.healpix import Pixel
from tests.partitioning.builders import leaves

GROUP_ROWS = 64
INDEX_PARTS = 3
_STEP = 1 << 12
_COARSE = 64


def pixel_of(path: Path) -> Pixel:
    """Return the tile of a leaf's path."""
    return Pixel(int(path.parts[-3].split("=")[1]), int(path.stem.split("=")[1]))


def tables_by_tile(release: Path) -> dict[Pixel, pa.Table]:
    """Return the rows of each leaf, in HEALPix order."""
    return {pixel_of(path): pq.read_table(path, partitioning=None) for path in leaves(release)}


def form_of(release: Path) -> LeafFormat:
    """Return how the leaves of a release are written."""
    schema = pq.read_schema(leaves(release)[0])
    return LeafFormat(schema, read_manifest(release).id_columns, row_group_rows=GROUP_ROWS)


def complete(
    release: Path,
    *,
    threshold_arcsec: float,
    index_columns: Sequence[str],
) -> None:
    """Give a built release a margin and id indexes made here in place of its own."""
    manifest = read_manifest(release)
    for directory in [*(each.directory for each in manifest.margins), *(each.directory for each in manifest.indexes)]:
        shutil.rmtree(release.parent / directory)
    manifest = replace(
        manifest,
        margins=(write_margin(release, threshold_arcsec),) if threshold_arcsec else (),
        indexes=tuple(write_index(release, column) for column in index_columns),
    )
    store_manifest(release, manifest)
    write_pointer(release, manifest)


def rewrite(release: Path, tables: dict[Pixel, pa.Table]) -> None:
    """Write new leaves, and all that tells their statistics, of a release whose maps stay right."""
    manifest, schema = read_manifest(release), next(iter(tables.values())).schema
    form = LeafFormat(schema, manifest.id_columns, row_group_rows=GROUP_ROWS)
    old = {Pixel(row["norder"], row["npix"]): row for row in files_of(release)}
    summaries = {pixel: write_leaf(release / leaf_path(pixel), slices(table), form) for pixel, table in tables.items()}
    rows = [file_row(pixel, tables[pixel], summary) for pixel, summary in summaries.items()]
    for row in rows:
        row["max_separation_deg"] = old[Pixel(row["norder"], row["npix"])]["max_separation_deg"]
    numbers = enumerate(summaries.values())
    write_row_groups(
        release, [s.groups.add_column(0, "file", pa.array([n] * len(s.groups), "int32")) for n, s in numbers]
    )
    size_bytes, nulls = (
        np.array([getattr(summary, name) for summary in summaries.values()])
        for name in ("column_bytes", "column_nulls")
    )
    _, _, sketches = read_columns(release)
    write_columns(release, size_bytes, nulls, sketches)
    known = {column.name: column for column in manifest.columns}
    everything = pa.concat_tables(tables.values())
    columns = tuple(
        StoredColumn(
            name=field.name,
            arrow_type=str(field.type),
            nulls=int(nulls[:, at].sum()),
            bytes=int(size_bytes[:, at].sum()),
            minimum=None if field.name == HEALPIX_COLUMN else bound(everything[field.name], "min"),
            maximum=None if field.name == HEALPIX_COLUMN else bound(everything[field.name], "max"),
            distinct=known[field.name].distinct,
            hidden=known[field.name].hidden,
        )
        for at, field in enumerate(schema)
    )
    manifest = replace(
        manifest,
        bytes=sum(row["bytes"] for row in rows),
        rows=sum(row["rows"] for row in rows),
        schema_fingerprint=schema_fingerprint(schema),
        columns=columns,
    )
    files = pa.Table.from_pylist(rows, FILES_SCHEMA)
    write_manifest(release, manifest, files)
    properties = parse_properties((release / "hats.properties").read_text(encoding="utf-8"))
    properties |= {"hats_estsize": str(-(-manifest.bytes // 1024)), "hats_nrows": str(manifest.rows)}
    write_hats_files(release, properties, files, schema)
    write_checksums(release)


def bound(column: pa.ChunkedArray, part: str) -> Any:
    """Return the smallest or largest value, as the manifest may tell it."""
    if pa.types.is_nested(column.type):
        return None
    value = pc.min_max(column).as_py()[part]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def store_manifest(release: Path, manifest: Manifest) -> None:
    write_manifest(release, manifest, pq.read_table(release / "manifest/files.parquet"))
    write_checksums(release)


def write_pointer(release: Path, manifest: Manifest) -> None:
    path = release.parent / COLLECTION_PROPERTIES
    if path.exists():
        path.write_text(format_properties(pointer_properties(manifest, release.name)), encoding="utf-8")


def slices(table: pa.Table, rows: int = GROUP_ROWS) -> list[pa.Table]:
    return [table.slice(start, rows) for start in range(0, len(table), rows)]


def files_of(catalog: Path) -> list[dict[str, Any]]:
    """Return the lines of a catalog's list of files."""
    return list(pq.read_table(catalog / "manifest/files.parquet").to_pylist())


def in_margin(ra: NDArray[np.float64], dec: NDArray[np.float64], pixel: Pixel, radius_deg: float) -> NDArray[np.bool_]:
    """Return whether positions are at most `radius_deg` away from the border of a pixel: point to polyline."""
    border = healpy.boundaries(1 << pixel.order, pixel.number, step=_STEP, nest=True).T
    points = np.stack(
        [np.cos(np.radians(dec)) * np.cos(np.radians(ra)), np.cos(np.radians(dec)) * np.sin(np.radians(ra)),
         np.sin(np.radians(dec))], axis=1
    )  # fmt: skip
    spacing = np.degrees(np.linalg.norm(np.diff(border, axis=0), axis=1).max())
    found = np.zeros(len(ra), dtype=bool)
    coarse = np.degrees(np.linalg.norm(points[:, None] - border[None, ::_COARSE], axis=2).min(axis=1))
    for number in np.flatnonzero(coarse <= radius_deg + _COARSE * spacing).tolist():
        point = points[number]
        chord = np.linalg.norm(border - point, axis=1)
        near = int(chord.argmin())
        ends = border[[near - 1, near, (near + 1) % len(border)]]
        distance = min(segment_distance(point, ends[0], ends[1]), segment_distance(point, ends[1], ends[2]))
        found[number] = np.degrees(distance) <= radius_deg
    return found


def segment_distance(point: NDArray[np.float64], one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the distance of a unit vector from a short chord, in radians."""
    along: NDArray[np.float64] = two - one
    share = np.clip((point - one) @ along / max(float(along @ along), 1e-300), 0.0, 1.0)
    foot = one + share * along
    chord = np.linalg.norm(point - foot / np.linalg.norm(foot))
    return float(2 * np.arcsin(min(1.0, float(chord) / 2)))


def margin_tables(tables: dict[Pixel, pa.Table], ra: str, dec: str, radius_deg: float) -> dict[Pixel, pa.Table]:
    """Return the margin rows of each tile that has any, sorted like leaves."""
    everything = pa.concat_tables(tables.values())
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables.values()])
    positions = [everything[name].to_numpy().astype("f8") for name in (ra, dec)]
    found = {}
    for number, pixel in enumerate(tables):
        near = in_margin(positions[0], positions[1], pixel, radius_deg) & (owner != number)
        if near.any():
            found[pixel] = everything.filter(pa.array(near))  # leaves follow each other in HEALPix order
    return found


def write_margin(release: Path, threshold_arcsec: float) -> MarginRecord:
    manifest, tables = read_manifest(release), tables_by_tile(release)
    assert manifest.placement is not None
    ra, dec = manifest.placement.ra_column, manifest.placement.dec_column
    margins = margin_tables(tables, ra, dec, threshold_arcsec / 3600)
    catalog = release.parent / margin_name(release.name, threshold_arcsec)
    store_margin(catalog, release, margins, threshold_arcsec)
    return margin_record(catalog, threshold_arcsec)


def margin_record(catalog: Path, threshold_arcsec: float) -> MarginRecord:
    files = files_of(catalog)
    return MarginRecord(
        directory=catalog.name,
        threshold_arcsec=threshold_arcsec,
        rows=sum(file["rows"] for file in files),
        bytes=sum(file["bytes"] for file in files),
    )


def store_margin(catalog: Path, release: Path, margins: dict[Pixel, pa.Table], threshold_arcsec: float) -> None:
    manifest, form, rows = read_manifest(release), form_of(release), []
    assert manifest.placement is not None
    for pixel, table in margins.items():
        path = catalog / leaf_path(pixel)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.append(file_row(pixel, table, write_leaf(path, slices(table), form)))
    files = pa.Table.from_pylist(rows, FILES_SCHEMA)
    (catalog / "manifest").mkdir(parents=True, exist_ok=True)
    (catalog / "dataset").mkdir(exist_ok=True)
    pq.write_table(files, catalog / "manifest/files.parquet")
    record = margin_record(catalog, threshold_arcsec)
    properties = margin_properties(release.name, record, manifest.placement, manifest.created)
    write_hats_files(catalog, properties, files, form.schema)
    write_checksums(catalog)


def file_row(pixel: Pixel, table: pa.Table, summary: LeafSummary) -> dict[str, Any]:
    """Return a line of ``files.parquet``."""
    index = table[HEALPIX_COLUMN].drop_null().to_numpy()
    return {
        "norder": pixel.order,
        "npix": pixel.number,
        "rows": len(table),
        "bytes": summary.size_bytes,
        "row_groups": len(summary.groups),
        "healpix_min": int(index.min()),
        "healpix_max": int(index.max()),
        "max_separation_deg": 0.0,
        "xxh3_128": summary.checksum,
    }


def index_entries(release: Path, column: str) -> pa.Table:
    """Return the entries of an id index, in order."""
    rows = []
    for pixel, table in tables_by_tile(release).items():
        pairs = zip(table[column].to_pylist(), table[HEALPIX_COLUMN].to_pylist(), strict=True)
        rows += [(key, index, *pixel) for key, index in pairs if key is not None]
    rows.sort(key=lambda row: row[:2])
    columns = list(zip(*rows, strict=True))
    kind = form_of(release).schema.field(column).type
    schema = pa.schema([(column, kind), (HEALPIX_COLUMN, pa.int64()), ("Norder", pa.uint8()), ("Npix", pa.uint64())])
    return pa.table([pa.array(each, field.type) for each, field in zip(columns, schema, strict=True)], schema=schema)


def write_index(release: Path, column: str) -> IndexRecord:
    entries = index_entries(release, column)
    size = -(-len(entries) // INDEX_PARTS)
    catalog = release.parent / index_name(release.name, column)
    store_index(catalog, release, [entries.slice(n * size, size) for n in range(INDEX_PARTS)])
    record = index_record(catalog, column, flat=(catalog / "flat").exists())
    return replace(record, distinct=len(set(entries[column].to_pylist())))


def index_record(catalog: Path, column: str, *, flat: bool) -> IndexRecord:
    files = files_of(catalog)
    rows, size = (sum(file[name] for file in files) for name in ("rows", "bytes"))
    return IndexRecord(column=column, directory=catalog.name, rows=rows, bytes=size, flat=flat)


def store_index(catalog: Path, release: Path, parts: list[pa.Table]) -> None:
    column, footers, rows = parts[0].column_names[0], [], []
    (catalog / "dataset/index").mkdir(parents=True, exist_ok=True)
    (catalog / "manifest").mkdir(exist_ok=True)
    for number, part in enumerate(parts):
        path = catalog / index_part_path(number)
        pq.write_table(part, path, row_group_size=100, write_page_checksum=True)
        footers.append(pq.read_metadata(path))
        footers[-1].set_file_path(f"index/part.{number}.parquet")
        size, checksum = path.stat().st_size, file_checksum(path)
        rows.append({"part": number, "rows": len(part), "bytes": size, "xxh3_128": checksum})
    pq.write_table(pa.Table.from_pylist(rows, INDEX_FILES_SCHEMA), catalog / "manifest/files.parquet")
    pq.write_metadata(parts[0].schema, catalog / COMMON_METADATA)
    pq.write_metadata(parts[0].schema, catalog / METADATA, metadata_collector=footers)
    flat = pa.types.is_integer(parts[0].schema.field(column).type)
    record = index_record(catalog, column, flat=flat)
    write_properties(catalog, index_properties(release.name, record, read_manifest(release).created))
    if flat:
        (catalog / "flat").mkdir(exist_ok=True)
        together = pa.concat_tables(parts)
        together[column].to_numpy().astype("<i8").tofile(catalog / "flat/ids.i64")
        together[HEALPIX_COLUMN].to_numpy().astype("<i8").tofile(catalog / "flat/healpix.i64")
    write_checksums(catalog)
