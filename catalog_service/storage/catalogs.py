"""The registry of published catalogs: what lies under the catalog root, and the metadata that describes it.

A snapshot is immutable. Publishing a release replaces a table's pointer file; `Registry.refresh` notices by the
identity (inode, size, time) of pointers and schema files and loads a new snapshot, queries under way keep the old one.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from partitioning.exceptions import LayoutError
from partitioning.layout.adopted import read_file_map
from partitioning.layout.file_map import FileMap
from partitioning.layout.flat_index import FlatIndex
from partitioning.layout.manifest import Manifest, StoredColumn, read_manifest, read_partition_map
from partitioning.layout.partition_map import PartitionMap
from partitioning.layout.paths import COLLECTION_PROPERTIES, PLAIN_PROPERTIES, SCHEMA_FILE
from partitioning.layout.properties import parse_properties
from partitioning.layout.schema import DATE, UINT64, served_type
from partitioning.layout.text_index import TextIndex

from ..exceptions import ConfigurationError
from ..models.ids import IdIndex
from ..models.schema import Column, DataType, ForeignKey, Schema, SkyPosition, Table
from ..models.stored import StoredTable
from .felis import FelisColumn, FelisSchema, FelisTable, read_felis

__all__ = ["Registry", "SchemaRule", "Snapshot", "column_type"]

_LOG = logging.getLogger(__name__)

_POINTERS = (COLLECTION_PROPERTIES, PLAIN_PROPERTIES)

_TYPES: Mapping[str, DataType] = {
    "bool": DataType.BOOLEAN,
    "uint8": DataType.BYTE,
    "int8": DataType.SHORT,
    "int16": DataType.SHORT,
    "uint16": DataType.INT,
    "int32": DataType.INT,
    "uint32": DataType.LONG,
    "int64": DataType.LONG,
    "float": DataType.FLOAT,
    "double": DataType.DOUBLE,
    "string": DataType.TEXT,
    "large_string": DataType.TEXT,
    "binary": DataType.BINARY,
    "large_binary": DataType.BINARY,
    "timestamp": DataType.TIMESTAMP,
    DATE: DataType.TIMESTAMP,
    UINT64: DataType.LONG,
}
"""What each type that is served is called (`partitioning.layout.schema` tells which these are)."""

_CONVERTED: Final = frozenset({DATE, UINT64})
"""Stored types of which each value is converted when it is read."""

_FLOATS: Final = (DataType.FLOAT, DataType.DOUBLE)

Identity = tuple[int, int, int]
"""Inode, size, time in ns: a file that was replaced has another one."""


@dataclass(frozen=True, slots=True)
class SchemaRule:
    """What the configuration says about one schema."""

    access: str | None = None
    """``public``, ``group:<name>``, or None = closed."""
    aliases: tuple[str, ...] = ()
    direct_access: bool = False
    """Whether callers may learn the paths of its files."""


CLOSED: Final = SchemaRule()
"""The rule of a schema that has none."""


@dataclass(frozen=True)
class Snapshot:
    """Everything published at one moment."""

    schemas: tuple[Schema, ...]
    stored: Mapping[str, StoredTable]
    """By ``schema.table``."""
    identities: Mapping[Path, Identity] = field(default_factory=dict)
    """Identity of each pointer and schema file before it was read."""


class Registry:
    """Published catalogs under one root directory.

    Parameters
    ----------
    root
        Directory of schema directories.
    rules
        Access rules and aliases by schema name.
    default
        Rule of every other schema: closed, unless the operator says otherwise.
    """

    def __init__(self, root: Path, rules: Mapping[str, SchemaRule], default: SchemaRule = CLOSED) -> None:
        self._root = root
        self._rules = rules
        self._default = default
        self._broken: Mapping[Path, Identity] | None = None
        self.snapshot = self._load()

    def refresh(self) -> bool:
        """Load a new snapshot if a pointer or schema file changed; return whether one did.

        While a new release is broken, the old snapshot stays. It is tried again, since the storage may have been at
        fault, and logged once.
        """
        identities = _identities(self._root)
        if identities == self.snapshot.identities:
            return False
        try:
            self.snapshot = self._load()
        except Exception:  # noqa: BLE001 - whatever is wrong with it, what is served already goes on
            if identities != self._broken:
                _LOG.exception("a newly published release cannot be loaded; the previous one stays in use")
            self._broken = identities
            return False
        return True

    def _load(self) -> Snapshot:
        if not self._root.is_dir():
            msg = f"catalog root {self._root} is not a directory"
            raise ConfigurationError(msg, remedy="Build a catalog with `catalog-partition build` first.")
        identities = _identities(self._root)
        by_schema: dict[Path, list[Path]] = {}
        for path in identities:
            if path.name in _POINTERS:
                by_schema.setdefault(path.parent.parent, []).append(path)
        loaded = [self._load_schema(directory, sorted(found)) for directory, found in sorted(by_schema.items())]
        stored = {table.table.full_name: table for _, tables in loaded for table in tables}
        return Snapshot(tuple(schema for schema, _ in loaded), stored, identities)

    def _load_schema(self, directory: Path, pointers: Iterable[Path]) -> tuple[Schema, tuple[StoredTable, ...]]:
        name, path = directory.name, directory / SCHEMA_FILE
        felis = read_felis(path) if path.is_file() else FelisSchema(name)
        rule = self._rules.get(name, self._default)
        found = _newest(_load_table(name, pointer, felis) for pointer in pointers)
        stored = _with_known_keys(_with_parents(found))
        schema = Schema(
            name=name,
            tables=tuple(sorted((s.table for s in stored), key=_table_order)),
            description=felis.description,
            utype=felis.utype,
            aliases=rule.aliases,
            access=rule.access,
            direct_access=rule.direct_access,
        )
        return schema, stored


def column_type(arrow_type: str, maximum: object = None) -> tuple[DataType, bool] | None:
    """Return (type, whether a list) of a stored column, None for those that are not served."""
    served = served_type(arrow_type, maximum)
    return None if served is None else (_TYPES[served.element], served.is_list)


def _identities(root: Path) -> dict[Path, Identity]:
    """Return the identity of every ``<root>/<schema>/<table>/<pointer>`` and ``<root>/<schema>/schema.yaml``."""
    pointers = [table / name for table in sorted(root.glob("*/*/")) for name in _POINTERS]
    found = {}
    for path in [*pointers, *(schema / SCHEMA_FILE for schema in sorted(root.glob("*/")))]:
        try:
            status = path.stat()
        except OSError:
            continue
        found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _load_table(schema_name: str, pointer: Path, felis: FelisSchema) -> StoredTable:
    directory = _release_directory(pointer)
    manifest = read_manifest(directory)
    described = felis.tables.get(pointer.parent.name, FelisTable(name=pointer.parent.name))
    adopted = manifest.adopted
    return StoredTable(
        table=_table(schema_name, described, manifest),
        directory=directory,
        release=manifest.release,
        rows=manifest.rows,
        size_bytes=manifest.bytes,
        partitions=_files(directory, manifest),
        placement=manifest.placement,
        foreign_directories=() if adopted is None else adopted.directories,
        indexes=_indexes(directory, manifest),
        columns={column.name: column for column in manifest.columns},
    )


def _indexes(directory: Path, manifest: Manifest) -> dict[str, IdIndex]:
    """Return the indexes of integers, by their flat arrays, and of texts, by their sorted parts."""
    types = {column.name: column_type(column.arrow_type) for column in manifest.columns}
    found = {}
    for record in manifest.indexes:
        beside, is_unique = directory.with_name(record.directory), record.distinct == manifest.rows
        if record.flat:
            found[record.column] = IdIndex(FlatIndex(beside, record.rows), is_unique=is_unique)
        elif types.get(record.column) == (DataType.TEXT, False):
            found[record.column] = IdIndex(TextIndex(beside), is_unique=is_unique)
    return found


def _files(directory: Path, manifest: Manifest) -> PartitionMap | FileMap | None:
    if manifest.adopted is not None:
        return read_file_map(directory, manifest.adopted)
    return None if manifest.placement is None else read_partition_map(directory)


def _newest(tables: Iterable[StoredTable]) -> tuple[StoredTable, ...]:
    """Return one release of each table.

    A table has two pointers for a moment, or after a crash, when a built table is replaced by an adopted one.
    """
    newest: dict[str, StoredTable] = {}
    for stored in tables:
        other = newest.get(stored.directory.parent.name)
        if other is None or other.release < stored.release:
            newest[stored.directory.parent.name] = stored
    return tuple(newest.values())


def _with_parents(tables: tuple[StoredTable, ...]) -> tuple[StoredTable, ...]:
    """Return the tables; one without an index of its parent's key has that of the parent which placed its rows."""
    by_name = {stored.table.name: stored for stored in tables}
    return tuple(_with_parent(stored, by_name) for stored in tables)


def _with_parent(stored: StoredTable, tables: Mapping[str, StoredTable]) -> StoredTable:
    placement = stored.placement
    if placement is None or placement.parent is None or placement.parent_key is None:
        return stored
    parent, (key, parents_key) = tables.get(placement.parent), placement.parent_key
    index = None if parent is None else parent.indexes.get(parents_key)
    if parent is None or index is None or key in stored.indexes or parent.release != placement.parent_release:
        return stored
    table = replace(
        stored.table, columns=tuple(replace(c, indexed=True) if c.name == key else c for c in stored.table.columns)
    )
    return replace(stored, table=table, indexes={**stored.indexes, key: IdIndex(index.entries, is_own=False)})


def _with_known_keys(tables: tuple[StoredTable, ...]) -> tuple[StoredTable, ...]:
    """Return the tables without the foreign keys of which a column, here or there, is not published."""
    known = frozenset((one.table.full_name, column.name) for one in tables for column in one.table.columns)
    kept = [replace(one, table=_with_known_keys_of(one.table, known)) for one in tables]
    targets = {key.target_table for one in kept for key in one.table.foreign_keys if key.target_table != key.from_table}
    parents = {
        f"{one.table.schema_name}.{one.placement.parent}" for one in kept if one.placement and one.placement.parent
    }
    looked_up = targets - parents
    return tuple(
        replace(one, table=replace(one.table, is_looked_up=True)) if one.table.full_name in looked_up else one
        for one in kept
    )


def _with_known_keys_of(table: Table, known: frozenset[tuple[str, str]]) -> Table:
    def places(key: ForeignKey) -> Iterator[tuple[str, str]]:
        for here, there in key.column_pairs:
            yield from ((key.from_table, here), (key.target_table, there))

    return replace(table, foreign_keys=tuple(key for key in table.foreign_keys if known.issuperset(places(key))))


def _release_directory(pointer: Path) -> Path:
    try:
        properties = parse_properties(pointer.read_text(encoding="utf-8"))
        return (pointer.parent / properties["hats_primary_table_url"]).resolve()
    except (ValueError, KeyError, LayoutError) as error:
        msg = f"{pointer}: names no release (hats_primary_table_url): {error!r}"
        raise LayoutError(msg) from error


def _table(schema_name: str, felis: FelisTable, manifest: Manifest) -> Table:
    columns = tuple(_columns(felis, manifest))
    _refuse_case_twins(f"{schema_name}.{felis.name}", columns)
    return Table(
        schema_name=schema_name,
        name=felis.name,
        columns=columns,
        description=felis.description,
        utype=felis.utype,
        index=felis.index,
        rows=manifest.rows,
        unserved=tuple(
            (one.name, one.arrow_type)
            for one in manifest.columns
            if not one.hidden and served_type(one.arrow_type, one.maximum) is None
        ),
        position=_position(manifest, columns),
        partition_position=_partition_position(manifest, columns),
        primary_key=felis.primary_key,
        foreign_keys=tuple(
            ForeignKey(
                key_id=f"{schema_name}.{key.name}",
                from_table=f"{schema_name}.{felis.name}",
                target_table=f"{schema_name}.{key.target_table}",
                column_pairs=tuple(zip(key.columns, key.target_columns, strict=True)),
                description=key.description,
            )
            for key in felis.keys
        ),
    )


def _columns(felis: FelisTable, manifest: Manifest) -> list[Column]:
    """Return the visible columns: those that are stored, described where Felis describes them."""
    indexed = set(manifest.id_columns)
    if manifest.placement is not None:
        indexed |= {manifest.placement.own_ra_column or "", manifest.placement.own_dec_column or ""}
    order = {name: number for number, name in enumerate(felis.columns)}
    columns = []
    for stored in manifest.columns:
        kind = None if stored.hidden else column_type(stored.arrow_type, stored.maximum)
        if kind is not None:
            is_indexed = stored.name in indexed and stored.arrow_type not in _CONVERTED
            column = _column(stored, kind, felis.columns.get(stored.name), indexed=is_indexed)
            may_be_nan = manifest.nan_policy == "guard" and not stored.nan_free and kind[0] in _FLOATS
            is_converted = stored.arrow_type in _CONVERTED
            columns.append(replace(column, may_be_nan=may_be_nan, is_mixed=stored.mixed, is_converted=is_converted))
    last = len(order)
    return sorted(columns, key=lambda c: (c.index is None, c.index or 0, order.get(c.name, last)))


def _column(stored: StoredColumn, kind: tuple[DataType, bool], felis: FelisColumn | None, *, indexed: bool) -> Column:
    base = Column(name=stored.name, datatype=kind[0], is_array=kind[1], stored_name=stored.name, indexed=indexed)
    if felis is None:
        return base
    return replace(
        base,
        length=felis.length,
        unit=felis.unit,
        ucd=felis.ucd,
        utype=felis.utype,
        description=felis.description,
        principal=felis.principal,
        std=felis.std,
        index=felis.index,
    )


def _position(manifest: Manifest, columns: Iterable[Column]) -> SkyPosition | None:
    """Return the table's own position if queries can name it: both columns visible and numeric."""
    placement = manifest.placement
    if placement is None or placement.own_ra_column is None or placement.own_dec_column is None:
        return None
    numeric = {column.name for column in columns if column.datatype.is_numeric and not column.is_array}
    if not {placement.own_ra_column, placement.own_dec_column} <= numeric:
        return None
    return SkyPosition(placement.own_ra_column, placement.own_dec_column)


def _partition_position(manifest: Manifest, columns: Iterable[Column]) -> tuple[Column, Column] | None:
    """Return the columns of the position that placed the rows, hidden ones included."""
    if manifest.placement is None:
        return None
    visible = {column.name: column for column in columns}
    ra, dec = (
        visible.get(name) or Column(name=name, datatype=DataType.DOUBLE, unit="deg", stored_name=name)
        for name in (manifest.placement.ra_column, manifest.placement.dec_column)
    )
    return ra, dec


def _refuse_case_twins(table: str, columns: Iterable[Column]) -> None:
    seen: dict[str, str] = {}
    for column in columns:
        twin = seen.setdefault(column.name.lower(), column.name)
        if twin != column.name:
            msg = f"{table}: columns {twin!r} and {column.name!r} differ by case only, which SQL cannot tell apart"
            raise ConfigurationError(msg, remedy="Rename one of them when the table is built.")


def _table_order(table: Table) -> tuple[bool, int, str]:
    return table.index is None, table.index or 0, table.name.lower()
