"""Summary: what people and other tools look at first in a catalog. Everything here follows from the rest of it.

Coverage map, a few example rows, the density picture, and a description as text and as a web page.
"""

from pathlib import Path
from typing import Final

import hpgeom
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.files import replace_bytes
from ..layout.manifest import Manifest, Placement, read_manifest, read_partition_map
from ..layout.moc import write_moc
from ..layout.partition_map import PartitionMap
from ..layout.paths import (
    COMMON_METADATA,
    COVERAGE_FILE,
    DENSITY_PICTURE,
    HEALPIX_COLUMN,
    SUMMARY_PAGE,
    SUMMARY_TEXT,
    leaf_path,
)
from ..sky.healpix import ORDER
from .density import density_picture
from .document import Document, Example, Section, Table, to_html, to_markdown
from .thumbnail import write_thumbnail

__all__ = ["write_summary"]

Ints = NDArray[np.int64]

_INPUTS: Final = 20
"""Input files that are named; the manifest has all of them."""
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB")
_SKY_DEG2: Final = 129_600 / np.pi


def write_summary(catalog: Path, pixels: Ints, rows: Ints, order: int) -> None:
    """Write coverage, thumbnail, picture and descriptions of a main catalog.

    Parameters
    ----------
    catalog
        Directory of a catalog whose leaves, common schema and manifest are written.
    pixels, rows
        Occupied NESTED pixels of `order`, sorted, and the exact rows in each, as in its maps; shape ``(N,)``.

    Raises
    ------
    LayoutError
        If the catalog has no manifest, or is a table without positions.
    """
    manifest, partitions = read_manifest(catalog), read_partition_map(catalog)
    if manifest.placement is None:
        msg = f"{catalog}: a table without positions has no map to summarise"
        raise LayoutError(msg)
    write_moc(catalog / COVERAGE_FILE, pixels, order)
    write_thumbnail(catalog, partitions, pq.read_schema(catalog / COMMON_METADATA))
    picture = density_picture(pixels, rows, order)
    coverage_deg2 = len(pixels) * _SKY_DEG2 / (12 << (2 * order))
    document = _document(manifest, manifest.placement, partitions, coverage_deg2, picture)
    replace_bytes(catalog / DENSITY_PICTURE, picture)
    replace_bytes(catalog / SUMMARY_TEXT, to_markdown(document).encode())
    replace_bytes(catalog / SUMMARY_PAGE, to_html(document).encode())


def _document(
    manifest: Manifest, placement: Placement, partitions: PartitionMap, coverage_deg2: float, picture: bytes
) -> Document:
    return Document(
        title=f"{manifest.schema}.{manifest.table}, release {manifest.release}",
        subtitle=f"A HATS catalog, built {manifest.created} by {manifest.builder}.",
        picture=picture,
        picture_name=DENSITY_PICTURE,
        picture_text=f"Rows per square degree of {manifest.table}",
        sections=(
            _overview(manifest, placement, partitions, coverage_deg2),
            _access(manifest, placement, partitions),
            _columns(manifest),
            *_companions(manifest),
            *_inputs(manifest),
        ),
    )


def _overview(manifest: Manifest, placement: Placement, partitions: PartitionMap, coverage_deg2: float) -> Section:
    low, high = int(partitions.orders.min()), int(partitions.orders.max())
    fewest, most = int(partitions.rows.min()), int(partitions.rows.max())
    facts = [
        ("Rows", f"{manifest.rows:,}"),
        ("Rows rejected", f"{manifest.rejected_rows:,} of {manifest.input_rows:,} read"),
        ("Tiles", f"{len(partitions):,} of HEALPix order {_span(low, high)}, {_span(fewest, most)} rows each"),
        ("Size", _size(manifest.bytes)),
        ("Coverage", f"{coverage_deg2:,.2f} deg² in occupied map pixels, {coverage_deg2 / _SKY_DEG2:.3%} of the sky"),
        ("Placed by", _placed_by(placement)),
        ("Position", _own_position(placement)),
        ("Identified by", ", ".join(manifest.id_columns) or "no column"),
    ]
    return Section("Overview", "", (Table(("Fact", "Value"), tuple(facts)),))


def _placed_by(placement: Placement) -> str:
    columns = f"{placement.ra_column}, {placement.dec_column}"
    if placement.parent is None or placement.parent_key is None:
        return columns
    child, parent = placement.parent_key
    return f"{columns}: position of {placement.parent} (release {placement.parent_release}) where {child} = {parent}"


def _own_position(placement: Placement) -> str:
    if placement.own_ra_column is None:
        return "none of its own"
    return f"{placement.own_ra_column}, {placement.own_dec_column} (degrees, ICRS)"


def _access(manifest: Manifest, placement: Placement, partitions: PartitionMap) -> Section:
    """Return examples that work on this catalog: a count, a look at one tile, a cone."""
    tile = len(partitions) // 2
    ra, dec = hpgeom.pixel_to_angle(1 << ORDER, int(partitions.starts[tile]))
    quoted = ", ".join(f'"{name.replace(chr(34), 2 * chr(34))}"' for name in _shown_columns(manifest, placement))
    sql = (
        "-- in this directory, without the columns that DuckDB makes of the directories' names\n"
        "SELECT count(*) FROM read_parquet('dataset/Norder=*/Dir=*/Npix=*.parquet', hive_partitioning = false);\n"
        f"SELECT {quoted}\n"
        f"FROM read_parquet('{leaf_path(partitions.pixel(tile))}', hive_partitioning = false) LIMIT 10;"
    )
    python = (
        "import lsdb\n\n"
        "# the directory above this one is the collection, with margins and indexes\n"
        'catalog = lsdb.open_catalog("..")\n'
        f"catalog.cone_search({ra:.5f}, {dec:.5f}, radius_arcsec=60).compute()"
    )
    remark = (
        f"Rows are sorted by {HEALPIX_COLUMN}, the order-29 NESTED HEALPix index of the position they are placed by."
    )
    return Section("How to open it", remark, (Example("sql", sql), Example("python", python)))


def _shown_columns(manifest: Manifest, placement: Placement) -> tuple[str, ...]:
    """Return the first ids and the position."""
    return tuple(dict.fromkeys((*manifest.id_columns, placement.ra_column, placement.dec_column)))


def _columns(manifest: Manifest) -> Section:
    rows = tuple(
        (
            f"{column.name} (hidden)" if column.hidden else column.name,
            column.arrow_type,
            _size(column.bytes),
            f"{column.nulls:,}",
            _value(column.minimum),
            _value(column.maximum),
            "" if column.distinct is None else f"{column.distinct:,}",
        )
        for column in manifest.columns
    )
    table = Table(
        ("Column", "Type", "Size", "NULL", "Minimum", "Maximum", "Distinct"), rows, frozenset({2, 3, 4, 5, 6})
    )
    remark = "What was not measured is NULL, never NaN. Hidden columns are the store's own. Distinct is an estimate."
    return Section(f"Columns ({len(manifest.columns)})", remark, (table,))


def _companions(manifest: Manifest) -> list[Section]:
    """Return margins and id indexes, which lie beside this directory."""
    margins = tuple(
        (margin.directory, f"{margin.threshold_arcsec:g}", f"{margin.rows:,}", _size(margin.bytes))
        for margin in manifest.margins
    )
    indexes = tuple(
        (index.column, index.directory, f"{index.rows:,}", _size(index.bytes), "yes" if index.flat else "no")
        for index in manifest.indexes
    )
    margin_table = Table(("Directory", "Within (arcsec)", "Rows", "Size"), margins, frozenset({1, 2, 3}))
    index_table = Table(("Column", "Directory", "Entries", "Size", "Flat arrays"), indexes, frozenset({2, 3}))
    found = (
        ("Margins", "For each tile the rows of other tiles near its border, for joins tile by tile.", margin_table),
        ("Indexes", "From ids to places on the sky.", index_table),
    )
    return [Section(title, remark, (table,)) for title, remark, table in found if table.rows]


def _inputs(manifest: Manifest) -> list[Section]:
    if not manifest.inputs:
        return []
    rows = tuple(
        (
            str(each.number),
            each.name,
            f"{each.rows:,}",
            f"{each.rejected:,}",
            _size(each.bytes),
            "; ".join(each.bad_parts),
        )
        for each in manifest.inputs[:_INPUTS]
    )
    table = Table(("Number", "File", "Rows", "Rejected", "Size", "Left out"), rows, frozenset({0, 2, 3, 4}))
    count = len(manifest.inputs)
    remark = f"The first {_INPUTS}; the manifest names all {count:,}." if count > _INPUTS else ""
    return [Section(f"Input files ({count:,})", remark, (table,))]


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _size(number: int) -> str:
    """Return a number of bytes in decimal units, three digits."""
    if number < 1000:
        return f"{number} B"
    value, unit = float(number), ""
    for unit in _UNITS:  # noqa: B007  the unit that fits
        value /= 1000
        if value < 999.5:  # not "1e+03"
            break
    return f"{value:.3g} {unit}"


def _value(value: float | str | None) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.9g}"
        case other:
            return str(other)
