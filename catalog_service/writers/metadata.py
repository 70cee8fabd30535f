"""What Arrow and Parquet results carry besides rows.

The schema's metadata holds the provenance and a VOTable without rows (VOParquet 1.0, IVOA Note 2025); each field's
metadata holds ``unit``, ``ucd``, ``utype``, ``xtype`` and ``description``, so that readers that know no VOTable get
them as well.
"""

from typing import Final

import pyarrow as pa

from catalog_service.models.schema import Column
from catalog_service.models.votypes import vo_type

from .base import ResultDescription
from .votable import metadata_document

__all__ = ["VOTABLE_CONTENT", "VOTABLE_VERSION", "described_schema", "end_marks", "provenance", "votable_metadata"]

VOTABLE_VERSION: Final = "IVOA.VOTable-Parquet.version"
VOTABLE_CONTENT: Final = "IVOA.VOTable-Parquet.content"


def described_schema(schema: pa.Schema, columns: tuple[Column, ...]) -> pa.Schema:
    """Return `schema` with the metadata of each column on its field."""
    fields = [field.with_metadata(_field_metadata(column)) for field, column in zip(schema, columns, strict=True)]
    return pa.schema(fields)


def provenance(description: ResultDescription) -> dict[str, str]:
    """Return the infos of a result; their names are upper case, as in VOTable."""
    return dict(description.infos)


def votable_metadata(description: ResultDescription, *, overflow: bool) -> dict[str, str]:
    """Return VOParquet's two keys."""
    document = metadata_document(
        description.columns, description.infos, position=description.position, overflow=overflow
    )
    return {VOTABLE_VERSION: "1.0", VOTABLE_CONTENT: document.decode()}


def end_marks(*, overflow: bool, rows: int) -> dict[str, str]:
    """Return what only the end of a result can tell: ``overflow`` (``true`` or ``false``) and ``rows``."""
    return {"overflow": "true" if overflow else "false", "rows": str(rows)}


def _field_metadata(column: Column) -> dict[str, str]:
    known = {
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "xtype": vo_type(column).xtype,
        "description": column.description,
    }
    return {name: text for name, text in known.items() if text}
