"""Schemas, tables and columns as the service knows them: Felis metadata joined with what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

__all__ = [
    "SUB_TILE", "TILE_NUMBER", "TRANSACTION", "Column", "DataType", "ForeignKey", "Schema", "SkyPosition", "Table",
]  # fmt: skip


class DataType(Enum):
    """Types of columns and expressions. The value is the spelling in TAP_SCHEMA.columns.datatype."""

    BOOLEAN = "boolean"
    BYTE = "unsignedByte"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    TEXT = "char"
    TIMESTAMP = "timestamp"
    """VOTable ``char`` with xtype ``timestamp``."""
    BINARY = "binary"
    """VOTable ``unsignedByte`` with arraysize ``*``."""
    POINT = "point"
    CIRCLE = "circle"
    POLYGON = "polygon"
    NULL = "null"
    """Type of the bare literal NULL; fits every other type."""

    __hash__ = object.__hash__  # members are one of a kind; that of `Enum` is Python, and types are looked up a lot

    @property
    def is_integer(self) -> bool:
        """Whether this is an integer type."""
        return self in {DataType.BYTE, DataType.SHORT, DataType.INT, DataType.LONG}

    @property
    def is_numeric(self) -> bool:
        """Whether this is an integer or floating-point type."""
        return self.is_integer or self in {DataType.FLOAT, DataType.DOUBLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: of a table, or of a query's result."""

    name: str
    datatype: DataType
    is_array: bool = False
    """Whether a value is a list of `datatype`."""
    length: int | None = None
    """Declared maximum length of a text, None if unbounded."""
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    description: str | None = None
    principal: bool = False
    indexed: bool = False
    std: bool = False
    index: int | None = None
    """Felis ``tap:column_index``."""
    stored_name: str | None = None
    """Name inside the Parquet files; None for a computed column."""
    may_be_nan: bool = False
    """Whether stored values, or elements of stored lists, may be NaN, which means NULL; in adopted tables only."""
    is_mixed: bool = False
    """Whether some files store it in a narrower type; in adopted tables only."""
    is_converted: bool = False
    """Whether files store it in another type, such as dates, of which every value becomes one of `datatype`."""
    most: float | None = None
    """Largest stored value, None if that is not known; in uploaded tables only."""


TILE_NUMBER: Final = Column(
    name="chunkId",
    datatype=DataType.LONG,
    description="Number of the row's tile: 4 * 4**order + pixel (HEALPix NUNIQ).",
)
"""What Qserv's pseudo-column of sharded tables means here; computed from the path of the row's file."""

SUB_TILE: Final = Column(
    name="subChunkId",
    datatype=DataType.LONG,
    description="Number, from 0, of the 64th of its tile that the row's partition position lies in, in nested order.",
)
"""Qserv's sub-chunks; computed from the path of the row's file and the row's HEALPix index."""

TRANSACTION: Final = Column(
    name="qserv_trans_id", datatype=DataType.LONG, description="Always 0: releases are published as a whole."
)
"""The number of the transaction in which Qserv got a row."""


@dataclass(frozen=True, slots=True)
class SkyPosition:
    """The columns of a table's own position, degrees ICRS (names as in TAP_SCHEMA)."""

    ra: str
    dec: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A key of TAP_SCHEMA.keys: column pairs from one table to another."""

    key_id: str
    from_table: str
    target_table: str
    column_pairs: tuple[tuple[str, str], ...]
    description: str | None = None


@dataclass(frozen=True)
class Table:
    """One table; `columns` in TAP_SCHEMA order."""

    schema_name: str
    name: str
    columns: tuple[Column, ...]
    description: str | None = None
    utype: str | None = None
    index: int | None = None
    rows: int = 0
    position: SkyPosition | None = None
    """The table's own position, None if it has none."""
    partition_position: tuple[Column, Column] | None = None
    """RA and Dec by which rows were placed in tiles, also where queries cannot name them; None if it is not sharded."""
    is_looked_up: bool = False
    """Whether rows of other tables refer to its rows, while none are placed by them: such as those of visits."""
    unserved: tuple[tuple[str, str], ...] = ()
    """Names and Arrow types of the stored columns that queries cannot name, since there is no type for them."""
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema_name}.{self.name}"

    @cached_property
    def columns_by_folded_name(self) -> Mapping[str, Column]:
        """Columns by lower-case name; names that differ by case only are refused when a table is loaded."""
        return {column.name.lower(): column for column in self.columns}


@dataclass(frozen=True)
class Schema:
    """One schema: a namespace of tables with one access rule."""

    name: str
    tables: tuple[Table, ...]
    description: str | None = None
    utype: str | None = None
    index: int | None = None
    aliases: tuple[str, ...] = ()
    """Other names under which users know the schema."""
    access: str | None = None
    """``public``, ``group:<name>`` or None = closed."""
    direct_access: bool = False
    """Whether callers may learn the paths of its files."""
