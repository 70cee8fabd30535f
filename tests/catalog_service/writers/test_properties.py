"""Random tables come back from every format as they went in."""

import csv
import io
import itertools
import json
import math
import re
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from tests.catalog_service.writers.encoding import Row, batch_of, encode, read_votable, rows_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.BOOLEAN: st.booleans(),
    DataType.BYTE: st.integers(0, 255),
    DataType.SHORT: st.integers(-(2**15), 2**15 - 1),
    DataType.INT: st.integers(-(2**31), 2**31 - 1),
    DataType.LONG: st.integers(-(2**63), 2**63 - 1),
    DataType.FLOAT: st.floats(width=32, allow_nan=False),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.TEXT: TEXTS,
    DataType.TIMESTAMP: st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001
}
LISTS = (DataType.SHORT, DataType.LONG, DataType.DOUBLE)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[Column, ...], list[Row], list[int]]:
    """Return columns, rows, and where to cut the rows into batches."""
    kinds = [(datatype, False) for datatype in VALUES] + [(datatype, True) for datatype in LISTS]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=10))
    columns = tuple(
        Column(name=f"c{i}", datatype=datatype, is_array=is_array) for i, (datatype, is_array) in enumerate(chosen)
    )
    values = [
        st.none() | (st.lists(VALUES[c.datatype], max_size=4) if c.is_array else VALUES[c.datatype]) for c in columns
    ]
    cells = draw(st.lists(st.tuples(*values), max_size=12))
    rows = [{column.name: cell for column, cell in zip(columns, row, strict=True)} for row in cells]
    cuts = draw(st.lists(st.integers(0, len(rows)), max_size=3))
    return columns, rows, sorted(cuts)


def batches_of(columns: tuple[Column, ...], rows: list[Row], cuts: list[int]) -> list[pa.RecordBatch]:
    batch = batch_of(rows, columns)
    edges = [0, *cuts, len(rows)]
    return [batch.slice(start, stop - start) for start, stop in itertools.pairwise(edges)]


def without_null_texts(columns: tuple[Column, ...], rows: list[Row]) -> list[Row]:
    """Return rows as astropy shows them: neither texts nor lists are masked."""
    empty: dict[str, Any] = {c.name: [] for c in columns if c.is_array}
    empty |= {c.name: "" for c in columns if c.datatype in {DataType.TEXT, DataType.TIMESTAMP} and not c.is_array}
    shown = [{name: empty.get(name) if value is None else value for name, value in row.items()} for row in rows]
    return [
        {n: v.isoformat(timespec="microseconds") if isinstance(v, datetime) else v for n, v in row.items()}
        for row in shown
    ]


def legal_xml(text: str) -> str:
    return "".join(c if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") else "\ufffd" for c in text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_binary2(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    content = encode(ResultFormat.VOTABLE, batches_of(columns, rows, cuts), columns, complete=not cuts)
    assert rows_of(read_votable(content)) == without_null_texts(columns, rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_tabledata(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    content = encode(ResultFormat.VOTABLE_TABLEDATA, batches_of(columns, rows, cuts), columns, complete=not cuts)
    expected = [
        {n: legal_xml(v) if isinstance(v, str) else v for n, v in row.items()}
        for row in without_null_texts(columns, rows)
    ]
    read = rows_of(read_votable(content))
    for got, wanted in zip(read, expected, strict=True):
        for name, value in wanted.items():
            if isinstance(value, str):  # astropy strips blanks around cells
                assert got[name].strip() == value.strip()
            else:
                assert got[name] == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_arrow_and_parquet(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    batches = batches_of(columns, rows, cuts)
    arrow = pa.ipc.open_stream(encode(ResultFormat.ARROW, batches, columns)).read_all()
    parquet = pq.read_table(io.BytesIO(encode(ResultFormat.PARQUET, batches, columns)))
    expected = batch_of(rows, columns).to_pylist()
    assert arrow.to_pylist() == expected
    assert parquet.to_pylist() == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_csv(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    content = encode(ResultFormat.CSV, batches_of(columns, rows, cuts), columns).decode()
    lines = list(csv.reader(io.StringIO(content, newline="")))
    assert lines[0] == [column.name for column in columns]
    for line, row in zip(lines[1:], rows, strict=True):
        for column, cell in zip(columns, line, strict=True):
            assert same_value(cell, row[column.name], column)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_tsv(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    content = encode(ResultFormat.TSV, batches_of(columns, rows, cuts), columns).decode()
    assert content.endswith("\n")
    lines = [line.split("\t") for line in content[:-1].split("\n")]
    assert lines[0] == [column.name for column in columns]
    for line, row in zip(lines[1:], rows, strict=True):
        for column, cell in zip(columns, line, strict=True):
            value = row[column.name]
            assert same_value(cell, re.sub("\r\n|[\t\r\n]", " ", value) if isinstance(value, str) else value, column)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_json(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    content = encode(ResultFormat.JSON, batches_of(columns, rows, cuts), columns)
    document = json.loads(content, parse_constant=refuse)
    assert [described["name"] for described in document["metadata"]] == [column.name for column in columns]
    for read, row in zip(document["data"], rows, strict=True):
        for column, value in zip(columns, read, strict=True):
            assert in_json(value, column) == row[column.name]
    assert document["rows"] == len(rows)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def in_json(value: Any, column: Column) -> Any:
    """Return what a reader who knows the column makes of a JSON value."""
    if isinstance(value, list):
        return [in_json(element, column) for element in value]
    if value is None:
        return None
    match column.datatype:
        case DataType.FLOAT:
            return _single(float(value))
        case DataType.DOUBLE:
            return float(value)
        case DataType.TIMESTAMP:
            return datetime.fromisoformat(value)
        case _:
            return value


def same_value(cell: str, value: Any, column: Column) -> bool:
    if value is None:
        return cell == ""
    if column.is_array and column.datatype is DataType.DOUBLE:
        return [float(text) for text in cell.split()] == list(value)
    if column.is_array:
        return cell == " ".join(map(str, value))
    match column.datatype:
        case DataType.BOOLEAN:
            return cell == str(value).lower()
        case DataType.FLOAT | DataType.DOUBLE:
            read = float(cell) if column.datatype is DataType.DOUBLE else _single(float(cell))
            return bool(read == value and math.copysign(1, read) == math.copysign(1, value))
        case DataType.TIMESTAMP:
            return bool(datetime.fromisoformat(cell) == value)
        case _:
            return cell == str(value)


def _single(value: float) -> float:
    return float(pa.array([value], pa.float32())[0].as_py())
