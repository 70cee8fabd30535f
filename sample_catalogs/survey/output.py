"""Parquet files of a survey, and the record of what was written."""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sample_catalogs.exceptions import SurveyOutputError
from sample_catalogs.survey.config import SurveyConfig, SurveyReport
from sample_catalogs.survey.release import Part, survey_parts
from sample_catalogs.survey.tables import table_schemas

__all__ = ["MANIFEST_NAME", "write_survey"]

MANIFEST_NAME = "manifest.json"
"""File that records the arguments, and the rows, files and bytes of each table."""

_ROW_GROUP_ROWS = 250_000
_RA_COLUMNS = ("ra", "coord_ra")


def write_survey(out_dir: Path, config: SurveyConfig) -> SurveyReport:
    """Generate a survey and write it to a directory, which appears when it is complete.

    Parameters
    ----------
    out_dir
        Directory to make; it must not exist or be empty. It gets one sub-directory a table, and the manifest.
    config
        What to generate.

    Raises
    ------
    SurveyConfigError
        If the configuration asks for a tract that the footprint does not have.
    SurveyOutputError
        If the directory is not empty.
    """
    started = time.perf_counter()
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise SurveyOutputError(f"{out_dir} exists and is not an empty directory; remove it or choose another.")
    staging = out_dir.parent / f".{out_dir.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    writer = _SurveyWriter(staging, config)
    for part in survey_parts(config):
        writer.write(part)
    writer.finish()
    staging.replace(out_dir)
    return SurveyReport(out_dir, writer.rows, writer.files, writer.size_bytes, time.perf_counter() - started)


class _SurveyWriter:
    """Writes parts and counts what it writes.

    Parameters
    ----------
    directory
        Directory to make.
    config
        What is generated.
    """

    def __init__(self, directory: Path, config: SurveyConfig) -> None:
        self._directory = directory
        self._config = config
        self._schemas = table_schemas(config)
        self.rows = dict.fromkeys(self._schemas, 0)
        self.files = dict.fromkeys(self._schemas, 0)
        self.size_bytes = dict.fromkeys(self._schemas, 0)
        for table in self._schemas:
            (directory / table).mkdir(parents=True)

    def write(self, part: Part) -> None:
        """Write one file."""
        rows = _with_signed_ra(part.rows) if self._config.ra_convention == "signed" else part.rows
        path = self._directory / part.table / f"{part.name}.parquet"
        pq.write_table(
            rows,
            path,
            compression="zstd",
            row_group_size=_ROW_GROUP_ROWS,
            use_dictionary=_repetitive_columns(rows.schema),
        )
        self.rows[part.table] += rows.num_rows
        self.files[part.table] += 1
        self.size_bytes[part.table] += path.stat().st_size

    def finish(self) -> None:
        """Write an empty file for each table without rows, so that every table has its columns, and the manifest."""
        for table in [table for table, files in self.files.items() if not files]:
            self.write(Part(table, f"{table.lower()}_empty", self._schemas[table].empty_table()))
        tables = {
            table: {"rows": self.rows[table], "files": self.files[table], "bytes": self.size_bytes[table]}
            for table in self._schemas
        }
        manifest: dict[str, Any] = {"config": dataclasses.asdict(self._config), "tables": tables}
        (self._directory / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _repetitive_columns(schema: pa.Schema) -> list[str]:
    """Return the columns worth a dictionary: text, and integers that are no identifiers."""
    return [
        field.name
        for field in schema
        if (pa.types.is_string(field.type) and not field.name.startswith("id_"))
        or (pa.types.is_integer(field.type) and not field.name.endswith("Id"))
    ]


def _with_signed_ra(rows: pa.Table) -> pa.Table:
    """Bring right ascensions from [0, 360] to [-180, 180)."""
    for name in _RA_COLUMNS:
        if name in rows.schema.names:
            ra = rows[name]
            signed = pc.if_else(pc.greater_equal(ra, 180.0), pc.subtract(ra, 360.0), ra)
            rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), signed)
    return rows
