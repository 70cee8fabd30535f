"""Files of a HATS catalog other than its data: properties, list of partitions, schema (HATS 1.0).

Lists in properties are split at blanks, commas and semicolons, without any way to quote: a column whose name has one of
these cannot be in a list. Its id index is there all the same, with properties of its own that name the column; only
the collection does not list it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from .manifest import IndexRecord, Manifest, MarginRecord, Placement
from .paths import COMMON_METADATA, HEALPIX_COLUMN
from .properties import format_properties

__all__ = [
    "HatsFacts",
    "builder_name",
    "catalog_properties",
    "index_properties",
    "margin_properties",
    "partition_info",
    "pointer_properties",
    "write_hats_files",
    "write_properties",
]

_HATS_VERSION: Final = "v1.0"
_HATS_RELEASE: Final = "2025-08-22"

_LISTABLE: Final = re.compile(r"[^\s,;]+")
"""Names that can be items of a list."""


@dataclass(frozen=True, kw_only=True)
class HatsFacts:
    """What the properties tell beside the manifest."""

    finest_order: int
    max_rows: int
    map_order: int
    sky_fraction: float
    title: str | None = None
    default_columns: tuple[str, ...] = ()
    """Columns that LSDB loads unless told otherwise; empty means all."""


@cache
def builder_name() -> str:
    """Return name and version of this software; Python reads a file of it each time, some 5 ms."""
    try:
        return f"catalog-partition {version('catalog-service')}"
    except PackageNotFoundError:  # run from a source tree
        return "catalog-partition"


def catalog_properties(manifest: Manifest, placement: Placement, facts: HatsFacts) -> dict[str, str]:
    """Return the keys of ``hats.properties``."""
    found = {
        "obs_collection": manifest.table,
        "obs_title": facts.title or f"{manifest.schema}.{manifest.table}",
        "dataproduct_type": "object" if placement.parent is None else "source",
        "hats_nrows": str(manifest.rows),
        "hats_col_ra": placement.ra_column,
        "hats_col_dec": placement.dec_column,
        "hats_col_healpix": HEALPIX_COLUMN,
        "hats_col_healpix_order": "29",
        "hats_npix_suffix": ".parquet",
        "hats_order": str(facts.finest_order),
        "hats_max_rows": str(facts.max_rows),
        "hats_estsize": str(-(-manifest.bytes // 1024)),
        "hats_skymap_order": str(facts.map_order),
        "moc_sky_fraction": f"{facts.sky_fraction:.8g}",
        "hats_cols_sort": _listed(manifest.id_columns),
        "hats_cols_survey_id": _listed(manifest.id_columns),
        "hats_cols_default": _listed(facts.default_columns),
        **_provenance(manifest.created),
    }
    return {key: value for key, value in found.items() if value}


def margin_properties(main: str, record: MarginRecord, placement: Placement, created: str) -> dict[str, str]:
    """Return the keys of ``hats.properties`` of a margin; `main` is the directory name of its main catalog."""
    return {
        "obs_collection": record.directory,
        "dataproduct_type": "margin",
        "hats_nrows": str(record.rows),
        "hats_primary_table_url": main,
        "hats_margin_threshold": f"{record.threshold_arcsec:g}",
        "hats_col_ra": placement.ra_column,
        "hats_col_dec": placement.dec_column,
        "hats_col_healpix": HEALPIX_COLUMN,
        "hats_col_healpix_order": "29",
        "hats_npix_suffix": ".parquet",
        "hats_estsize": str(-(-record.bytes // 1024)),
        **_provenance(created),
    }


def index_properties(main: str, record: IndexRecord, created: str) -> dict[str, str]:
    """Return the keys of ``hats.properties`` of an id index; `main` is the directory name of its main catalog."""
    return {
        "obs_collection": record.directory,
        "dataproduct_type": "index",
        "hats_nrows": str(record.rows),
        "hats_primary_table_url": main,
        "hats_index_column": record.column,
        "hats_estsize": str(-(-record.bytes // 1024)),
        **_provenance(created),
    }


def pointer_properties(manifest: Manifest, release: str) -> dict[str, str]:
    """Return the keys of a table's pointer file; `release` is the directory of the current release."""
    margins = [record.directory for record in manifest.margins]
    indexes = [record for record in manifest.indexes if _LISTABLE.fullmatch(record.column)]
    found = {
        "obs_collection": manifest.table,
        "hats_primary_table_url": release,
        "all_margins": " ".join(margins),
        "default_margin": margins[0] if margins else "",
        "all_indexes": " ".join(f"{record.column} {record.directory}" for record in indexes),
        "default_index": indexes[0].column if indexes else "",
        **_provenance(manifest.created),
    }
    return {key: value for key, value in found.items() if value}


def _listed(names: Sequence[str]) -> str:
    """Return names as the value of a list; empty, which is none, if one cannot be in it: the others alone mislead."""
    return " ".join(names) if all(map(_LISTABLE.fullmatch, names)) else ""


def _provenance(created: str) -> dict[str, str]:
    return {
        "hats_builder": builder_name(),
        "hats_creation_date": created,
        "hats_release_date": _HATS_RELEASE,
        "hats_version": _HATS_VERSION,
    }


def write_properties(catalog: Path, properties: dict[str, str]) -> None:
    """Write properties under their newer and their older name."""
    text = format_properties(properties)
    for name in ("hats.properties", "properties"):
        (catalog / name).write_text(text, encoding="utf-8")


def partition_info(files: pa.Table) -> str:
    """Return the text of ``partition_info.csv``; `files` has rows of `manifest.FILES_SCHEMA`, in HEALPix order."""
    columns = [files.column(name).to_pylist() for name in ("norder", "npix", "rows", "bytes")]
    lines = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join(["Norder,Npix,num_rows,bytes", *lines, ""])


def write_hats_files(catalog: Path, properties: dict[str, str], files: pa.Table, schema: pa.Schema) -> None:
    """Write properties (under both names), list of partitions and common schema.

    Parameters
    ----------
    catalog
        Directory of the catalog under construction.
    files
        Rows of `manifest.FILES_SCHEMA`, in HEALPix order.
    schema
        Schema of every leaf.
    """
    write_properties(catalog, properties)
    (catalog / "partition_info.csv").write_text(partition_info(files), encoding="utf-8")
    (catalog / COMMON_METADATA).parent.mkdir(parents=True, exist_ok=True)
    pq.write_metadata(schema, catalog / COMMON_METADATA)
