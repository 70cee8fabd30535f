"""Answers to compare: Arrow tables, readers and files of a recording, as batches of a few plain types."""

import gzip
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import UnreadableAnswerError
from ..recorder.errors import FormatError
from ..recorder.rows import Digest, Expected, told_damage
from .columns import Column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Answer", "AnswerFile", "Batches", "batches_of"]

Answer: TypeAlias = "pa.Table | pa.RecordBatchReader | AnswerFile"
"""What can be compared."""

_BLOCK_BYTES: Final = 1 << 20
"""Of a CSV file read at once; what is in memory is some times this."""


@dataclass(frozen=True)
class AnswerFile:
    """Rows of a recording."""

    path: Path
    """A ``.csv.gz`` of the recordings' format."""
    columns: Sequence[Column]
    expected: Expected = field(default_factory=Expected)
    """What the record says of the rows."""


@dataclass(frozen=True)
class Batches:
    """An answer whose columns are named ``c0``, ``c1``, ... and whose first column ``n`` numbers the rows."""

    columns: tuple[Column, ...]
    reader: "pa.RecordBatchReader"
    failures: list[Exception]
    """What ended the reading, in its own class: others in between make texts of it."""


def batches_of(answer: Answer) -> Batches:
    """Return an answer in plain types.

    Integers stay as they are; floats too; decimals, times and bytes (hexadecimal) become text; whatever is more
    complicated becomes text as Arrow prints it.

    Raises
    ------
    UnreadableAnswerError
        If a file of a recording is not of its format; also later, by the reader.
    """
    if isinstance(answer, AnswerFile):
        return _numbered(tuple(answer.columns), _csv_batches(answer))
    columns = tuple(Column(field.name, _kind(field.type), str(field.type)) for field in answer.schema)
    batches = answer.to_batches(max_chunksize=1 << 16) if hasattr(answer, "to_batches") else answer
    return _numbered(columns, iter(batches))


def _numbered(columns: tuple[Column, ...], batches: "Iterator[pa.RecordBatch]") -> Batches:
    import numpy as np  # noqa: PLC0415 - light commands do without
    import pyarrow as pa  # noqa: PLC0415 - as above

    types = [_stored(column.kind) for column in columns]
    schema = pa.schema([("n", pa.int64()), *((f"c{number}", type_) for number, type_ in enumerate(types))])

    failures: list[Exception] = []

    def numbered() -> "Iterator[pa.RecordBatch]":
        start = 0
        try:
            for batch in batches:
                count = batch.num_rows
                typed = zip(batch.columns, columns, types, strict=True)
                values = [_plain(column, kind.kind, type_) for column, kind, type_ in typed]
                yield pa.record_batch([pa.array(np.arange(start, start + count)), *values], schema=schema)
                start += count
        except Exception as error:
            failures.append(error)
            raise

    return Batches(columns, pa.RecordBatchReader.from_batches(schema, numbered()), failures)


def _csv_batches(answer: AnswerFile) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa  # noqa: PLC0415 - as above

    names = [f"c{number}" for number in range(len(answer.columns))]
    types = {name: _read_as(column.kind) for name, column in zip(names, answer.columns, strict=True)}
    if not names or not answer.path.exists():
        raise UnreadableAnswerError(f"{answer.path.name} is missing, or its record names no columns.", remedy=_AGAIN)
    try:
        with told_damage(answer.path), gzip.open(answer.path) as stream:
            digest, count = Digest(stream), 0
            source = io.BufferedReader(digest, _BLOCK_BYTES)
            if source.peek(1):
                for batch in _parsed(source, names, types):
                    yield batch
                    count += batch.num_rows
            source.read()
            answer.expected.check(answer.path, count, digest.sha256, digest.size)
    except (pa.ArrowException, OSError, FormatError) as error:
        raise UnreadableAnswerError(f"{answer.path.name} cannot be read: {error}.", remedy=_AGAIN) from error


def _parsed(source: Any, names: list[str], types: dict[str, Any]) -> "Iterator[pa.RecordBatch]":
    from pyarrow import csv  # noqa: PLC0415 - as above

    with csv.open_csv(
        source,
        read_options=csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=types, null_values=["", "NULL"], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ) as reader:
        yield from reader


_AGAIN: Final = "Record this answer again: remove its .json and .csv.gz, and run `migrate record` as before."


def _read_as(kind: str) -> Any:
    """Return the type to read a field of a recording as."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    types = {"int64": pa.int64(), "uint64": pa.uint64(), "float32": pa.float64(), "float64": pa.float64()}
    return types.get(kind, pa.int8() if kind == "boolean" else pa.string())


def _stored(kind: str) -> Any:
    """Return the type that values of a kind are compared in."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    types = {"int64": pa.int64(), "uint64": pa.uint64(), "float32": pa.float64(), "float64": pa.float64()}
    return types.get(kind, pa.int8() if kind == "boolean" else pa.string())


def _kind(type_: Any) -> str:
    """Return the kind of an Arrow type."""
    from pyarrow import types  # noqa: PLC0415 - as above

    if types.is_dictionary(type_):
        return _kind(type_.value_type)
    for is_it, kind in (
        (types.is_uint64, "uint64"),
        (types.is_integer, "int64"),
        (types.is_boolean, "boolean"),
        (types.is_float64, "float64"),
        (types.is_floating, "float32"),
        (types.is_decimal, "decimal"),
        (types.is_temporal, "timestamp"),
        (types.is_null, "null"),
    ):
        if is_it(type_):
            return kind
    text = types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
    binary = types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_)
    return "text" if text else "bytes" if binary else "other"


def _plain(values: Any, kind: str, stored: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - as above
    from pyarrow import types  # noqa: PLC0415 - as above

    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if kind in {"bytes", "other"} and not types.is_string(values.type):
        texts = (
            None if one is None else one.hex() if isinstance(one, bytes) else str(one) for one in values.to_pylist()
        )
        return pa.array(texts, pa.string())
    return _without_exponents(values.cast(stored)) if kind == "decimal" else values.cast(stored)


def _without_exponents(values: Any) -> Any:
    """Return texts of decimals without exponents, which few have: 0E-10 is 0.0000000000."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    if not pc.any(pc.match_substring_regex(values, r"\d[eE]")).as_py():
        return values
    texts = (format(Decimal(one), "f") if one and _EXPONENT.fullmatch(one) else one for one in values.to_pylist())
    return pa.array(texts, pa.string())


_EXPONENT: Final = re.compile(r"[-+]?\d*\.?\d*[eE][-+]?\d{1,3}")
