"""Files of a HATS catalog other than its data: properties, list of partitions, schema (HATS 1.0)."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from .manifest import Manifest, Placement
from .paths import COMMON_METADATA, HEALPIX_COLUMN
from .properties import format_properties

__all__ = [
    "HatsFacts",
    "builder_name",
    "catalog_properties",
    "partition_info",
    "pointer_properties",
    "write_hats_files",
]

_HATS_VERSION: Final = "v1.0"
_HATS_RELEASE: Final = "2025-08-22"


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


def builder_name() -> str:
    """Return name and version of this software."""
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
        "hats_cols_sort": " ".join(manifest.id_columns),
        "hats_cols_survey_id": " ".join(manifest.id_columns),
        "hats_cols_default": " ".join(facts.default_columns),
        "hats_builder": manifest.builder,
        "hats_creation_date": manifest.created,
        "hats_release_date": _HATS_RELEASE,
        "hats_version": _HATS_VERSION,
    }
    return {key: value for key, value in found.items() if value}


def pointer_properties(manifest: Manifest, release: str) -> dict[str, str]:
    """Return the keys of a table's pointer file; `release` is the directory of the current release."""
    return {
        "obs_collection": manifest.table,
        "hats_primary_table_url": release,
        "hats_builder": manifest.builder,
        "hats_creation_date": manifest.created,
        "hats_release_date": _HATS_RELEASE,
        "hats_version": _HATS_VERSION,
    }


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
    text = format_properties(properties)
    for name in ("hats.properties", "properties"):
        (catalog / name).write_text(text, encoding="utf-8")
    (catalog / "partition_info.csv").write_text(partition_info(files), encoding="utf-8")
    pq.write_metadata(schema, catalog / COMMON_METADATA)
