"""Compare a dump with its own checksums, and each file with sums that the source makes of the same chunk.

Of every column the source is asked for the number of values; of integers, decimals and flags for sum, least and
greatest, which must be the same; of floats for least and greatest, to the last bit, and for the average; of bytes and
texts for the sum of CRC32 of all values; of dates and times for least and greatest.
"""

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import StorageError
from .dump_chunks import Chunk
from .dump_columns import DumpColumn, converted, quoted
from .dump_files import DumpedFile, Plan, digest, files_of, read_plan
from .dump_source import Source
from .recorder.pace import Pace

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["verify_table"]

_AVERAGES: Final = 1e-9
"""How far averages may differ, of the largest value: they are summed in another order."""

_DIGITS: Final = 100
"""More than the sum of as many of the longest decimals as there can be."""

_COLUMNS: Final = 60
"""Columns asked for in one query."""


def verify_table(source: Source, directory: Path, pace: Pace, tell: Callable[[str], None]) -> list[str]:
    """Return what is wrong with the dump of a table; nothing if it is what the source holds.

    Raises
    ------
    StorageError
        If there is no dump.
    """
    plan = read_plan(directory)
    if plan is None:
        raise StorageError(f"{directory} holds no dump.")
    files, findings = files_of(directory, plan), list[str]()
    for number, chunk in enumerate(plan.chunks, start=1):
        pace.wait()
        wrong = list(_wrong(source, plan, chunk, files.get(chunk.name), directory, pace))
        findings += [f"{plan.schema}.{plan.table} {chunk.name}: {one}" for one in wrong]
        tell(f"{number}/{len(plan.chunks)} {chunk.name}: {'DIFFERENT' if wrong else 'verified'}")
    return findings


def _wrong(  # noqa: PLR0917, PLR0913 - both sides of a comparison
    source: Source, plan: Plan, chunk: Chunk, file: DumpedFile | None, directory: Path, pace: Pace
) -> Iterator[str]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - other commands need no Arrow

    path = directory / f"{chunk.name}.parquet"
    if file is None:
        yield "the file is missing"
        return
    if digest(path) != file.sha256:
        yield "the file is not the one that was written: its SHA-256 is another"
        return
    for start in range(0, len(plan.columns), _COLUMNS):
        columns = plan.columns[start : start + _COLUMNS]
        began = time.monotonic()
        row = source.rows(_question(plan, columns, chunk))[0]
        pace.spent(began)
        values = iter(row)
        if int(next(values) or 0) != file.rows:
            yield f"the source counts {int(row[0] or 0)} rows, the file has {file.rows}"
        for column in columns:
            told = [next(values) for _ in _sums(column)]
            problem = _difference(column, pq.read_table(path, columns=[column.name])[column.name], told)
            if problem:
                yield f"column {column.name!r}: {problem}"


def _question(plan: Plan, columns: Sequence[DumpColumn], chunk: Chunk) -> str:
    asked = ["COUNT(*)", *(one for column in columns for one in _sums(column))]
    where = "" if chunk.condition is None else f" WHERE {chunk.condition}"
    return f"SELECT {', '.join(asked)} FROM {quoted(plan.schema, plan.table)}{where}"


def _sums(column: DumpColumn) -> list[str]:
    """Return what the source is asked of a column."""
    value, count = column.expression, f"COUNT({quoted(column.name)})"
    match column.stored:
        case "text" | "bytes":
            return [count, f"SUM(CRC32({quoted(column.name)}))"]
        case "float32" | "float64":
            return [count, f"MIN({value})", f"MAX({value})", f"AVG({value})"]
        case "date32" | "timestamp":
            return [count, f"MIN({value})", f"MAX({value})"]
        case _:
            return [count, f"MIN({value})", f"MAX({value})", f"SUM({value})"]


def _difference(column: DumpColumn, values: "pa.ChunkedArray", told: list[bytes | None]) -> str | None:
    """Return in what the values of a file differ from what the source told."""
    count = int(told[0] or 0)
    if count != len(values) - values.null_count:
        return f"the source has {count} values, the file {len(values) - values.null_count}"
    if count == 0:
        return None
    if column.stored in {"text", "bytes"}:
        found = _checksums(values.drop_null().to_pylist())
        return None if int(told[1] or 0) in found else "the checksum of the values is another"
    return _other_extremes(column, values, told[1:])


def _checksums(values: list[Any]) -> set[int]:
    """Return sums of CRC32; of texts for both encodings that the source may keep them in."""
    if isinstance(values[0], bytes):
        return {sum(map(zlib.crc32, values))}
    return {sum(zlib.crc32(_encoded(one, encoding)) for one in values) for encoding in ("utf-8", "cp1252")}


def _encoded(text: str, encoding: str) -> bytes:
    """Return a text in an encoding; MySQL's latin1 is cp1252, and keeps as they are the five bytes without meaning."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return b"".join(
            one.encode("latin1") if "\x80" <= one <= "\x9f" else one.encode(encoding, "replace") for one in text
        )


def _other_extremes(column: DumpColumn, values: "pa.ChunkedArray", told: list[bytes | None]) -> str | None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if column.stored == "boolean":
        values = values.cast(pa.uint8())
    least = converted(column, told[:2])
    if column.stored == "boolean":
        least = least.cast(pa.uint8())
    found = pc.min_max(values).as_py()
    if [found["min"], found["max"]] != least.to_pylist():
        return f"least and greatest are {found['min']} and {found['max']}, at the source {least[0]} and {least[1]}"
    if column.stored.startswith("float"):
        average = pc.mean(values.cast(pa.float64())).as_py()
        scale = max(abs(found["min"]), abs(found["max"]))
        is_same = math.isclose(average, float(told[2] or 0), rel_tol=0, abs_tol=_AVERAGES * scale)
        return None if is_same or not math.isfinite(average) else f"the average is {average}, not {told[2]!r}"
    if len(told) > 2 and _sum(values.drop_null().to_pylist()) != Decimal((told[2] or b"0").decode()):
        return "the sum of the values is another"
    return None


def _sum(values: list[Any]) -> Decimal:
    with localcontext(prec=_DIGITS):
        return Decimal(sum(values))
