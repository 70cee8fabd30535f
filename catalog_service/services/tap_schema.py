"""TAP_SCHEMA: the published metadata as tables that ADQL can query (TAP 1.1 section 4).

Each of the five tables is one small Parquet file with a hidden column `_schema` that names the schema a row belongs to;
every scan is filtered by the schemas that the caller may see. TAP_SCHEMA describes itself, too.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from partitioning.layout.paths import PLAIN_FILE

from ..models.schema import Column, DataType, ForeignKey, Schema, Table
from ..models.stored import StoredTable
from ..models.votypes import vo_type
from ..models.words import delimited_if_needed

__all__ = ["TAP_SCHEMA", "build_tap_schema"]

_NAME: Final = "TAP_SCHEMA"


def _columns(*specs: tuple[str, DataType, str]) -> tuple[Column, ...]:
    return tuple(
        Column(name=name, datatype=datatype, description=text, principal=True, std=True, index=i, stored_name=name)
        for i, (name, datatype, text) in enumerate(specs, start=1)
    )


_TEXT, _INT = DataType.TEXT, DataType.INT


def _key(number: int, source: str, target: str, column: str, target_column: str | None = None) -> ForeignKey:
    pair = (column, target_column or column)
    return ForeignKey(f"TAP_SCHEMA.key_{number}", f"{_NAME}.{source}", f"{_NAME}.{target}", (pair,))


_TABLES: Final = (
    Table(
        _NAME,
        "schemas",
        _columns(
            ("schema_name", _TEXT, "Name of the schema"),
            ("utype", _TEXT, "Utype of the schema, if it follows a data model"),
            ("description", _TEXT, "What the schema holds"),
            ("schema_index", _INT, "Recommended order of schemas"),
        ),
        description="Schemas of this service",
        primary_key=("schema_name",),
    ),
    Table(
        _NAME,
        "tables",
        _columns(
            ("schema_name", _TEXT, "Schema of the table"),
            ("table_name", _TEXT, "Full name of the table as queries use it"),
            ("table_type", _TEXT, "table or view"),
            ("utype", _TEXT, "Utype of the table, if it follows a data model"),
            ("description", _TEXT, "What the table holds"),
            ("table_index", _INT, "Recommended order of tables"),
        ),
        description="Tables of this service",
        primary_key=("table_name",),
        foreign_keys=(_key(1, "tables", "schemas", "schema_name"),),
    ),
    Table(
        _NAME,
        "columns",
        _columns(
            ("table_name", _TEXT, "Full name of the column's table"),
            ("column_name", _TEXT, "Name of the column as queries use it"),
            ("datatype", _TEXT, "VOTable datatype"),
            ("arraysize", _TEXT, "VOTable arraysize; NULL for scalars"),
            ("xtype", _TEXT, "DALI extended type"),
            ("size", _INT, "Length of fixed-size values (deprecated, use arraysize)"),
            ("description", _TEXT, "What the column holds"),
            ("utype", _TEXT, "Utype of the column"),
            ("unit", _TEXT, "Unit in VOUnit syntax"),
            ("ucd", _TEXT, "Unified content descriptor"),
            ("indexed", _INT, "1 if selections on the column are fast"),
            ("principal", _INT, "1 if the column is among the most useful ones"),
            ("std", _INT, "1 if the column is defined by a standard"),
            ("column_index", _INT, "Recommended order of columns"),
        ),
        description="Columns of the tables of this service",
        primary_key=("table_name", "column_name"),
        foreign_keys=(_key(2, "columns", "tables", "table_name"),),
    ),
    Table(
        _NAME,
        "keys",
        _columns(
            ("key_id", _TEXT, "Identifier of the foreign key"),
            ("from_table", _TEXT, "Table that holds the key"),
            ("target_table", _TEXT, "Table that the key points to"),
            ("description", _TEXT, "What the key relates"),
            ("utype", _TEXT, "Utype of the key"),
        ),
        description="Foreign keys between tables of this service",
        primary_key=("key_id",),
        foreign_keys=(
            _key(3, "keys", "tables", "from_table", "table_name"),
            _key(4, "keys", "tables", "target_table", "table_name"),
        ),
    ),
    Table(
        _NAME,
        "key_columns",
        _columns(
            ("key_id", _TEXT, "Identifier of the foreign key"),
            ("from_column", _TEXT, "Column in the table that holds the key"),
            ("target_column", _TEXT, "Column in the table that the key points to"),
        ),
        description="Column pairs of the foreign keys",
        primary_key=("key_id",),
        foreign_keys=(_key(5, "key_columns", "keys", "key_id"),),
    ),
)

TAP_SCHEMA: Final = Schema(_NAME, _TABLES, "Metadata of the tables of this service (TAP 1.1)", index=0, access="public")
"""The schema's own description; everybody may read it, each row by the rule of the schema it describes."""


def build_tap_schema(schemas: Sequence[Schema], state_dir: Path) -> dict[str, StoredTable]:
    """Write the five tables for `schemas` (TAP_SCHEMA itself is added) below `state_dir`.

    Returns
    -------
    dict
        By full name, each in a fresh directory, so that queries under way keep the files they planned for.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    base = Path(tempfile.mkdtemp(prefix="tap_schema-", dir=state_dir))
    rows = _all_rows([TAP_SCHEMA, *schemas])
    return {table.full_name: _write(table, rows[table.name], base) for table in _TABLES}


def _write(table: Table, rows: list[dict[str, Any]], base: Path) -> StoredTable:
    types = {DataType.TEXT: pa.string(), DataType.INT: pa.int32()}
    fields = [pa.field("_schema", pa.string()), *(pa.field(c.name, types[c.datatype]) for c in table.columns)]
    directory = base / table.name
    directory.mkdir()
    path = directory / PLAIN_FILE
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), path, compression="zstd")
    return StoredTable(
        table=replace(table, rows=len(rows)),
        directory=directory,
        release=1,
        rows=len(rows),
        size_bytes=path.stat().st_size,
        partitions=None,
        placement=None,
    )


def _all_rows(schemas: Iterable[Schema]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in _TABLES}
    for schema in schemas:
        rows["schemas"].append(
            {
                "_schema": schema.name,
                "schema_name": schema.name,
                "utype": schema.utype,
                "description": schema.description,
                "schema_index": schema.index,
            }
        )
        for table in schema.tables:
            _add_table(rows, schema, table)
    return rows


def _add_table(rows: dict[str, list[dict[str, Any]]], schema: Schema, table: Table) -> None:
    rows["tables"].append(
        {
            "_schema": schema.name,
            "schema_name": schema.name,
            "table_name": table.full_name,
            "table_type": "table",
            "utype": table.utype,
            "description": table.description,
            "table_index": table.index,
        }
    )
    rows["columns"] += [_column_row(schema, table, number, c) for number, c in enumerate(table.columns, start=1)]
    for key in table.foreign_keys:
        rows["keys"].append(
            {
                "_schema": schema.name,
                "key_id": key.key_id,
                "from_table": key.from_table,
                "target_table": key.target_table,
                "description": key.description,
                "utype": None,
            }
        )
        rows["key_columns"] += [
            {"_schema": schema.name, "key_id": key.key_id, "from_column": here, "target_column": there}
            for here, there in key.column_pairs
        ]


def _column_row(schema: Schema, table: Table, number: int, column: Column) -> dict[str, Any]:
    described = vo_type(column)
    return {
        "_schema": schema.name,
        "table_name": table.full_name,
        "column_name": delimited_if_needed(column.name),
        "datatype": described.datatype,
        "arraysize": described.arraysize,
        "xtype": described.xtype,
        "size": None,  # no column has a fixed length above 1
        "description": column.description,
        "utype": column.utype,
        "unit": column.unit,
        "ucd": column.ucd,
        "indexed": int(column.indexed),
        "principal": int(column.principal),
        "std": int(column.std),
        "column_index": column.index if column.index is not None else number,
    }
