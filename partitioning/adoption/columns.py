"""The columns of many files as those of one table: names in any order, types widened where that keeps every value."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import InputError, SchemaMismatchError
from ..layout.schema import stored_type
from .foreign import ForeignFile

__all__ = ["ForeignColumn", "case_twins", "read_columns"]


@dataclass(frozen=True, slots=True)
class ForeignColumn:
    """One column of an adopted table."""

    name: str
    type: pa.DataType
    """The widest of all files, as the store would spell it."""
    mixed: bool = False
    """Whether some files have a narrower one."""
    complete: bool = True
    """Whether every file has it."""

    @property
    def is_float(self) -> bool:
        """Whether it holds floats, or lists of floats: whether NaN may be inside."""
        kind = self.type
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        return bool(pa.types.is_floating(kind))


def read_columns(
    files: Sequence[ForeignFile], is_internal: Callable[[str], bool], executor: Executor
) -> tuple[ForeignColumn, ...]:
    """Return the columns of all `files`, in the order of the first file.

    Parameters
    ----------
    is_internal
        Whether nobody is shown the column of this name, so that files may lack it or differ in its type.

    Raises
    ------
    InputError
        If a file is no readable Parquet file.
    SchemaMismatchError
        If a file lacks a column that others have, or types differ so that no type holds the values of both.
    """
    found: dict[str, ForeignColumn] = {}
    for number, (file, schema) in enumerate(zip(files, executor.map(_schema, files), strict=True)):
        lacking = set(found) - set(schema.names)
        for name in sorted(lacking):
            _refuse_lack(name, is_internal, has=files[0].path, lacks=file.path)
            found[name] = replace(found[name], complete=False)
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name not in found:
                if number:
                    _refuse_lack(name, is_internal, has=file.path, lacks=files[0].path)
                found[name] = ForeignColumn(name, kind, complete=number == 0)
            elif kind != found[name].type and is_internal(name):
                found[name] = replace(found[name], mixed=True)
            elif kind != found[name].type:
                found[name] = _widened(found[name], kind, file.path, files[0].path)
    return tuple(found.values())


def case_twins(columns: Collection[ForeignColumn]) -> set[str]:
    """Return the names that differ from another one by case only, which SQL cannot tell apart."""
    counts = Counter(column.name.lower() for column in columns)
    return {column.name for column in columns if counts[column.name.lower()] > 1}


def _schema(file: ForeignFile) -> pa.Schema:
    try:
        schema = pq.read_schema(file.path)
    except (OSError, pa.ArrowException) as error:
        msg = f"{file.path}: not a readable Parquet file: {error}"
        raise InputError(msg) from error
    twice = {name for name in schema.names if schema.names.count(name) > 1}
    if twice:
        msg = f"{file.path}: has the column {min(twice)!r} twice"
        raise SchemaMismatchError(msg)
    return pa.schema([pa.field(column.name, _spelled(column.type)) for column in schema])


def _spelled(kind: pa.DataType) -> pa.DataType:
    """Return the type as the store spells it; one that it cannot hold is kept: it is not served either."""
    try:
        return stored_type(kind)
    except SchemaMismatchError:
        return kind


def _refuse_lack(name: str, is_internal: Callable[[str], bool], *, has: Path, lacks: Path) -> None:
    if not is_internal(name):
        msg = (
            f"{lacks}: lacks the column {name!r}, which {has} has; "
            "adopt files of the same columns together, or give the table one schema by `catalog-partition build`"
        )
        raise SchemaMismatchError(msg)


def _widened(column: ForeignColumn, kind: pa.DataType, path: Path, first: Path) -> ForeignColumn:
    wide = _wider(column.type, kind)
    if wide is None:
        msg = (
            f"{path}: column {column.name!r} is {kind}, in {first} it is {column.type}, no type holds both exactly; "
            "give the table one schema by `catalog-partition build`"
        )
        raise SchemaMismatchError(msg)
    return replace(column, type=wide, mixed=True)


def _wider(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the narrowest type that holds all values of both exactly, None if there is none."""
    if pa.types.is_null(first) or pa.types.is_null(second):
        return second if pa.types.is_null(first) else first
    if pa.types.is_integer(first) and pa.types.is_integer(second):
        return _wider_integer(first, second)
    numeric = [pa.types.is_floating(kind) or pa.types.is_integer(kind) for kind in (first, second)]
    if not all(numeric):
        return None
    digits = max(map(_binary_digits, (first, second)))
    return pa.float32() if digits <= 24 else pa.float64() if digits <= 53 else None


def _wider_integer(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    signed = pa.types.is_signed_integer(first) or pa.types.is_signed_integer(second)
    bits = max(kind.bit_width + (signed and not pa.types.is_signed_integer(kind)) for kind in (first, second))
    kinds: Iterable[pa.DataType] = (
        (pa.int8(), pa.int16(), pa.int32(), pa.int64())
        if signed
        else (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    )
    return next((kind for kind in kinds if kind.bit_width >= bits), None)


def _binary_digits(kind: pa.DataType) -> int:
    """Return how many binary digits a float needs to hold any value of `kind`."""
    if pa.types.is_floating(kind):
        return 24 if kind.bit_width <= 32 else 53
    return int(kind.bit_width)
