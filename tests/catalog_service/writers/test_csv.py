import csv
import io
from datetime import datetime

import pyarrow as pa
import pyarrow.csv

from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from catalog_service.writers.base import ResultDescription
from catalog_service.writers.select import empty_result
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, batch_of, encode

CSV = ResultFormat.CSV


def test_text_of_every_type() -> None:
    lines = list(csv.reader(io.StringIO(encode(CSV, [batch_of(ROWS)]).decode(), newline="")))
    assert lines[0] == [column.name for column in COLUMNS]
    assert lines[1] == [
        "true", "255", "-32768", "2147483647", "9223372036854775807", "+Inf", "359.99999999999994", "-90.0",
        'M 31 & "friends" <3', "2026-11-22T18:44:44.123456", "0 255", "56.75 24.12", "56.75 24.12 0.5",
        "0.0 0.0 1.0 0.0 1.0 1.0", "1.5 -2.5", "9007199254740993 -9223372036854775808", "",
    ]  # fmt: skip
    assert lines[2] == [""] * len(COLUMNS)
    assert lines[4][5] == "0.1"
    assert lines[4][8] == "Ωμέγα 星 \U0001f52d é"
    assert lines[4][14] == "+Inf"


def test_rfc_4180() -> None:
    columns = (Column(name='the "name", here', datatype=DataType.TEXT), Column(name="n", datatype=DataType.INT))
    rows = [
        {'the "name", here': text, "n": n}
        for text, n in [("a,b", 1), ('"', 2), ("line\r\nbreak", 3), ("", 4), (None, None)]
    ]
    content = encode(CSV, [batch_of(rows, columns)], columns)
    assert content == (b'"the ""name"", here","n"\r\n"a,b",1\r\n"""",2\r\n"line\r\nbreak",3\r\n"",4\r\n,\r\n')


def test_pyarrow_reads_it_back() -> None:
    columns = tuple(c for c in COLUMNS if c.name in {"flag", "objectId", "flux", "ra", "name", "when"})
    content = encode(CSV, [batch_of(ROWS, columns), batch_of(ROWS[:2], columns)], columns, complete=False)
    types = {"flux": pa.float32(), "name": pa.string(), "when": pa.timestamp("us")}
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False)
    table = pyarrow.csv.read_csv(io.BytesIO(content), convert_options=options)
    assert table.cast(batch_of([], columns).schema).to_pylist() == batch_of(ROWS + ROWS[:2], columns).to_pylist()
    assert table.column("when")[0].as_py() == datetime(2026, 11, 22, 18, 44, 44, 123456)  # noqa: DTZ001


def test_null_in_a_lone_column_is_a_row() -> None:
    numbers = (Column(name="n", datatype=DataType.LONG),)
    content = encode(CSV, [batch_of([{"n": 1}, {"n": None}, {"n": 3}], numbers)], numbers)
    assert content == b'"n"\r\n1\r\n""\r\n3\r\n'
    assert pyarrow.csv.read_csv(io.BytesIO(content)).column("n").to_pylist() == [1, None, 3]
    texts = (Column(name="t", datatype=DataType.TEXT),)
    content = encode(CSV, [batch_of([{"t": 'a"b'}, {"t": None}], texts)], texts)
    assert content == b'"t"\r\n"a""b"\r\n""\r\n'


def test_no_rows() -> None:
    header = encode(CSV, [])
    assert header.count(b"\r\n") == 1
    assert empty_result(CSV, ResultDescription(columns=COLUMNS), overflow=True) == header
