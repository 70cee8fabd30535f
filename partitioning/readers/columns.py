"""How the columns of many files become one schema: stored names, declared types, columns that some files lack."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..config import FormatName, TableConfig
from ..exceptions import SchemaMismatchError
from ..layout.paths import OWN_COLUMNS
from ..layout.schema import stored_schema, stored_type
from .hats import PARTITION_COLUMNS
from .types import is_filled, is_typed, is_widening

__all__ = ["FileColumns", "absent_columns", "common_schema", "file_columns", "file_names", "schema_problems"]


@dataclass(frozen=True)
class FileColumns:
    """The columns that many files share."""

    file: str
    """Name of the first file that has them."""
    schema: pa.Schema
    """Stored names and types, in the order of the file."""


def file_columns(file: str, schema: pa.Schema, table: TableConfig, form: FormatName) -> FileColumns:
    """Return the columns of `file`, of format `form` and with the schema `schema`, as they are to be stored.

    Raises
    ------
    SchemaMismatchError
        If two names differ by case only, or a type cannot be stored.
    """
    dropped = OWN_COLUMNS | PARTITION_COLUMNS if form == "hats" else OWN_COLUMNS
    kept = [column for column in schema if column.name not in dropped]
    named = [column.with_name(table.rename.get(column.name, column.name)) for column in kept]
    try:
        return FileColumns(file, stored_schema(pa.schema(named)))
    except SchemaMismatchError as error:
        msg = f"{file}: {error}"
        raise SchemaMismatchError(msg) from None


def file_names(table: TableConfig) -> dict[str, str]:
    """Return the name in the files of each renamed column, by stored name."""
    return {stored: original for original, stored in table.rename.items()}


def absent_columns(columns: FileColumns, schema: pa.Schema) -> tuple[str, ...]:
    """Return the names of `schema` that the file lacks."""
    present = set(columns.schema.names)
    return tuple(name for name in schema.names if name not in present)


def common_schema(found: Sequence[FileColumns], table: TableConfig, described: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the stored schema of files whose columns are `found`.

    Columns lie in the order of the first file, then come those that it lacks. A column's type is the one that
    ``types`` of the configuration declares, else the first file's; `described` (the schema file's) and then later
    files decide where the first one holds only NULL.

    Raises
    ------
    SchemaMismatchError
        If a file lacks a column that is not optional, has another one, or has one whose type does not become the
        stored one without loss; names file, column, types and remedy.
    """
    _check_declared(found, table)
    for columns in found[1:]:
        _check_names(columns, found[0], table.optional)
    names = list(dict.fromkeys(name for columns in found for name in columns.schema.names))
    names += [name for name in table.optional if name in table.types and name not in names]
    wanted = pa.schema([pa.field(name, _kind(name, found, table, described)) for name in names])
    for columns in found:
        _check_types(columns, wanted, found[0], table.types)
    return wanted


def schema_problems(
    found: Sequence[FileColumns], table: TableConfig, described: Mapping[str, pa.DataType]
) -> Iterator[SchemaMismatchError]:
    """Yield all that keeps files whose columns are `found` from having a common schema, column by column."""
    first = found[0]
    try:
        _check_declared(found, table)
    except SchemaMismatchError as error:
        yield error
    names = dict.fromkeys(name for columns in found for name in columns.schema.names)
    kinds = dict[str, pa.DataType]()
    for name in names:
        try:
            kinds[name] = _kind(name, found, table, described)
        except SchemaMismatchError as error:
            yield error
    for columns in found:
        for name in names:
            try:
                _check_names(_only(columns, name), _only(first, name), table.optional)
                if name in kinds:
                    _check_types(_only(columns, name), pa.schema([(name, kinds[name])]), first, table.types)
            except SchemaMismatchError as error:
                yield error


def _only(columns: FileColumns, name: str) -> FileColumns:
    """Return one column of a file, none if it has none of this name."""
    kept = [column for column in columns.schema if column.name == name]
    return FileColumns(columns.file, pa.schema(kept))


def _check_declared(found: Sequence[FileColumns], table: TableConfig) -> None:
    """Check that keys of the configuration name columns that exist."""
    present = {name for columns in found for name in columns.schema.names}
    present |= set(table.types) & set(table.optional)
    keys = {"types": table.types, "optional": table.optional, "rename": table.rename.values()}
    for key, names in keys.items():
        for name in names:
            if name not in present:
                original = file_names(table)[name] if key == "rename" else name
                near = difflib.get_close_matches(original, present, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"table {table.name!r}: key {key!r} names column {original!r}, which no input file has{hint}"
                raise SchemaMismatchError(msg)


def _check_names(columns: FileColumns, first: FileColumns, optional: Sequence[str]) -> None:
    here, there = columns.schema.names, first.schema.names
    absent = [name for name in there if name not in here and name not in optional]
    added = [name for name in here if name not in there and name not in optional]
    if not absent and not added:
        return
    name = (absent or added)[0]
    has, lacks = ("lacks", "has") if absent else ("has", "lacks")
    remedy = f"if it may be absent (NULL), declare optional = [{name!r}]"
    msg = f"{columns.file}: {has} column {name!r}, which the first file ({first.file}) {lacks}; {remedy}"
    raise SchemaMismatchError(msg)


def _kind(
    name: str, found: Sequence[FileColumns], table: TableConfig, described: Mapping[str, pa.DataType]
) -> pa.DataType:
    if name in table.types:
        return stored_type(table.types[name])
    kinds = [columns.schema.field(at).type for columns in found if (at := columns.schema.get_field_index(name)) >= 0]
    if name in described:
        kinds.insert(1, stored_type(described[name]))
    for kind in kinds:
        if is_typed(kind):
            return kind
    msg = (
        f"{found[0].file}: column {name!r} holds only NULL and has no type; declare it in the schema file, "
        f"or write types = {{ {name!r} = 'double' }}, say"
    )
    raise SchemaMismatchError(msg)


def _check_types(
    columns: FileColumns, wanted: pa.Schema, first: FileColumns, declared: Mapping[str, pa.DataType]
) -> None:
    for column in columns.schema:
        kind, to = column.type, wanted.field(column.name).type
        if is_widening(kind, to) if column.name in declared else is_filled(kind, to):
            continue
        place = f"{columns.file}: column {column.name!r} is {kind}"
        if column.name in declared:
            msg = f"{place}, which does not become {to}, as key 'types' declares it, without loss"
        else:
            remedy = f"declare the type to store: types = {{ {column.name!r} = 'double' }}, say"
            msg = f"{place}, but {to} in the first file ({first.file}); {remedy}"
        raise SchemaMismatchError(msg)
