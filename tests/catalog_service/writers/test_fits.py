import io
import math
import subprocess
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings

from catalog_service.exceptions import ParameterError, QueryValueError
from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from catalog_service.writers import fits_columns
from catalog_service.writers.base import ResultDescription
from catalog_service.writers.select import empty_result
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, Row, batch_of, encode
from tests.catalog_service.writers.test_properties import batches_of, tables

FITS = ResultFormat.FITS
TEXT_LIKE = {DataType.TEXT, DataType.TIMESTAMP, DataType.NULL}


def opened(content: bytes) -> fits.HDUList:
    """Open with every warning an error; the file consists of whole blocks and nothing follows the table."""
    assert len(content) % 2880 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hdus = fits.open(io.BytesIO(content), memmap=False)
        hdus.verify("exception")
    assert len(hdus) == 2
    return hdus


def rows_of(content: bytes, columns: tuple[Column, ...]) -> list[Row]:
    """Return the rows as astropy's tables show them, None for what they mask."""
    opened(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that are no FITS units
        table = Table.read(io.BytesIO(content), format="fits", hdu=1)
    assert table.colnames == [column.name for column in columns]
    shown = {column.name: [plain(value) for value in table[column.name]] for column in columns}
    return [{name: values[row] for name, values in shown.items()} for row in range(len(table))]


def plain(value: Any) -> Any:
    if isinstance(value, np.ma.core.MaskedConstant):
        return None
    if isinstance(value, np.ndarray):
        return value.tobytes().decode() if value.dtype.kind == "S" else [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return str(value)
    value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def in_fits(value: Any, column: Column) -> Any:
    """Return what FITS makes of a value: no NULL in texts, lists and flags, no blanks at the end of a text."""
    if column.datatype in {DataType.POINT, DataType.CIRCLE}:
        return value or [None] * (2 if column.datatype is DataType.POINT else 3)
    if column.is_array or column.datatype in {DataType.POLYGON, DataType.BINARY}:
        return list(value or [])
    if column.datatype in TEXT_LIKE:
        text = value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value or ""
        return text.replace("\0", "\ufffd").rstrip(" ") or None
    if column.datatype is DataType.BOOLEAN:
        return bool(value)
    return float(np.float32(value)) if column.datatype is DataType.FLOAT and value is not None else value


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[1:2], []])
def test_astropy_reads_every_type(rows: list[Row]) -> None:
    content = encode(FITS, [batch_of(rows), batch_of(rows)], complete=False)
    assert rows_of(content, COLUMNS) == [{c.name: in_fits(row[c.name], c) for c in COLUMNS} for row in rows + rows]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_random_tables(table: tuple[tuple[Column, ...], list[Row], list[int]]) -> None:
    columns, rows, cuts = table
    content = encode(FITS, batches_of(columns, rows, cuts), columns)
    expected = [{c.name: in_fits(row[c.name], c) for c in columns} for row in rows]
    for got, wanted in zip(rows_of(content, columns), expected, strict=True):
        for name, value in wanted.items():
            # astropy itself drops other blanks at the end
            assert got[name] == value or (isinstance(value, str) and (got[name] or "").rstrip() == value.rstrip())


def test_bytes_by_hand() -> None:
    columns = (
        Column(name="id", datatype=DataType.LONG),
        Column(name="text", datatype=DataType.TEXT),
        Column(name="flag", datatype=DataType.BOOLEAN),
        Column(name="list", datatype=DataType.SHORT, is_array=True),
    )
    names = [column.name for column in columns]
    rows: list[Row] = [
        dict(zip(names, [258, "ab", True, [1, -2]], strict=True)),
        dict(zip(names, [None, None, None, None], strict=True)),
        dict(zip(names, [-1, "é", False, [3]], strict=True)),
    ]
    content = encode(FITS, [batch_of(rows[:1], columns), batch_of(rows[1:], columns)], columns)
    minimum = (-(2**63)).to_bytes(8, "big", signed=True)
    expected = (
        (258).to_bytes(8, "big") + b"ab" + b"T" + bytes([0, 0, 0, 2, 0, 0, 0, 0])
        + minimum + b"\0\0" + b"\0" + bytes([0, 0, 0, 0, 0, 0, 0, 4])
        + b"\xff" * 8 + b"\xc3\xa9" + b"F" + bytes([0, 0, 0, 1, 0, 0, 0, 4])
        + b"\x00\x01\xff\xfe\x00\x03"
    )  # fmt: skip
    data = content[2 * 2880 :]
    assert data == expected + bytes(2880 - len(expected))


def test_header() -> None:
    query = "SELECT 'it''s', é\n" + "x" * 60 + " " + "y'" * 80
    infos = {"QUERY": query, "QUERY_ID": "q1", "SERVICE_VERSION": "v", "TILES_READ": "1 of 2", "OTHER": "z" * 200}
    header = opened(encode(FITS, [batch_of(ROWS)], overflow=True, infos=infos))[1].header
    assert (header["NAXIS2"], header["OVERFLOW"]) == (4, True)
    assert header["QUERY"] == query.replace("é", "?").replace("\n", " ")
    assert (header["QUERYID"], header["SERVICE"], header["TILES"]) == ("q1", "v", "1 of 2")
    assert "".join(str(line) for line in header["HISTORY"]) == "OTHER: " + "z" * 200
    number = 1 + [column.name for column in COLUMNS].index("ra")
    described = {name: header[f"{name}{number}"] for name in ("TTYPE", "TFORM", "TUNIT", "TUCD", "TCOMM")}
    assert described == {
        "TTYPE": "ra", "TFORM": "1D", "TUNIT": "deg", "TUCD": "pos.eq.ra;meta.main", "TCOMM": "Right <ascension>",
    }  # fmt: skip
    assert header["TUTYP9"] == "some:utype"
    assert (header["TXTYP10"], header["TXTYP12"]) == ("timestamp", "point")
    assert opened(encode(FITS, [batch_of(ROWS)]))[1].header["OVERFLOW"] is False


@pytest.mark.parametrize(
    ("datatype", "values", "tform", "null"),
    [
        (DataType.BYTE, [1, None], "1B", 0),
        (DataType.BYTE, [0, 1, None], "1B", 255),
        (DataType.BYTE, [0, 255, None], "1I", -(2**15)),
        (DataType.SHORT, [-(2**15), 2**15 - 1, None], "1J", -(2**31)),
        (DataType.INT, [-(2**31), 2**31 - 1, None], "1K", -(2**63)),
        (DataType.LONG, [-(2**63), None], "1K", 2**63 - 1),
        (DataType.LONG, [None, None], "1K", -(2**63)),
        (DataType.LONG, [-(2**63), 2**63 - 1], "1K", None),
    ],
)
def test_the_number_for_null_is_one_that_is_free(
    datatype: DataType, values: list[int | None], tform: str, null: int | None
) -> None:
    columns = (Column(name="n", datatype=datatype),)
    batches = [batch_of([{"n": value}], columns) for value in values]
    content = encode(FITS, batches, columns)
    header = opened(content)[1].header
    assert (header["TFORM1"], header.get("TNULL1")) == (tform, null)
    assert [row["n"] for row in rows_of(content, columns)] == values


def test_no_number_is_left_for_null() -> None:
    columns = (Column(name="n", datatype=DataType.LONG),)
    with pytest.raises(QueryValueError, match="no number left"):
        encode(FITS, [batch_of([{"n": value} for value in (-(2**63), 2**63 - 1, None)], columns)], columns)


def test_texts_that_fits_cannot_hold() -> None:
    columns = (Column(name="t", datatype=DataType.TEXT),)
    texts = ["a\0b", 'tab\tquote"', "  before, not behind  ", "", None]
    content = encode(FITS, [batch_of([{"t": text} for text in texts], columns)], columns)
    read = [row["t"] for row in rows_of(content, columns)]
    assert read == ["a\ufffdb", 'tab\tquote"', "  before, not behind", None, None]


def test_long_texts_among_short_ones_lie_in_the_heap() -> None:
    columns = (Column(name="t", datatype=DataType.TEXT), Column(name="n", datatype=DataType.INT))
    texts = ["a" * 100_000, *(f"é{i}" if i % 3 else None for i in range(2000))]
    batch = pa.record_batch([pa.array(texts), pa.array(range(2001), pa.int32())], names=["t", "n"])
    content = encode(FITS, [batch.slice(0, 700), batch.slice(700)], columns)
    assert len(content) < 200_000
    assert opened(content)[1].header["TFORM1"] == "PA(100000)"
    with fits.open(io.BytesIO(content)) as hdus:
        descriptors, heap = hdus[1].data.field("n"), content
    assert descriptors.tolist() == list(range(2001))
    start = heap.index(b"a" * 100_000)
    assert heap[start:].rstrip(b"\0").decode() == "".join(text or "" for text in texts)


def test_wide_rows_are_packed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(FITS, [batch_of(ROWS * 20)])
    monkeypatch.setattr("catalog_service.writers.fits._CHUNK_BYTES", 1000)
    parts = encode(FITS, [batch_of(ROWS * 20)])
    assert rows_of(parts, COLUMNS) == rows_of(whole, COLUMNS)


def test_large_heaps_have_descriptors_of_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_columns, "_LARGEST_P", 10)
    content = encode(FITS, [batch_of(ROWS)])
    assert opened(content)[1].header["TFORM15"] == "QD(2)"
    assert rows_of(content, COLUMNS) == [{c.name: in_fits(row[c.name], c) for c in COLUMNS} for row in ROWS]


def test_lists_that_are_undefined_in_part() -> None:
    columns = (
        Column(name="x", datatype=DataType.FLOAT, is_array=True),
        Column(name="f", datatype=DataType.BOOLEAN, is_array=True),
        Column(name="t", datatype=DataType.TEXT, is_array=True),
    )
    rows: list[Row] = [{"x": [1.0, None], "f": [True, False], "t": ["g", None]}, dict.fromkeys("xft")]
    content = encode(FITS, [batch_of(rows, columns)], columns)
    assert rows_of(content, columns) == [
        {"x": [1.0, None], "f": [True, False], "t": '["g", null]'},
        {"x": [], "f": [], "t": None},
    ]
    integers = (Column(name="n", datatype=DataType.INT, is_array=True),)
    with pytest.raises(QueryValueError, match="'n' holds a list with an undefined element"):
        encode(FITS, [batch_of([{"n": [1, None]}], integers)], integers)


def test_at_most_999_columns() -> None:
    columns = tuple(Column(name=f"c{i}", datatype=DataType.INT) for i in range(1000))
    content = empty_result(FITS, ResultDescription(columns=columns[:999]))
    assert opened(content)[1].header["TTYPE999"] == "c998"
    with pytest.raises(ParameterError, match="1000 columns; FITS holds 999"):
        empty_result(FITS, ResultDescription(columns=columns))


def test_no_rows() -> None:
    content = empty_result(FITS, ResultDescription(columns=COLUMNS), overflow=True)
    header = opened(content)[1].header
    assert (header["NAXIS2"], header["OVERFLOW"], header["TFIELDS"]) == (0, True, len(COLUMNS))
    assert encode(FITS, [], overflow=True) == content


def test_stilts_reads_the_same(stilts: str, tmp_path: Path) -> None:
    """A second, independent reader: numbers, nulls, flags, lists, texts and the metadata."""
    (tmp_path / "in.fits").write_bytes(encode(FITS, [batch_of(ROWS)], infos={"QUERY": "SELECT " + "x" * 100}))
    run = [stilts, "-Dfile.encoding=UTF-8", "tpipe", "in=in.fits", "ifmt=fits"]
    pick = ["omode=out", "out=out.csv", "ofmt=csv", "cmd=keepcols 'flag byte short int objectId ra name when'"]
    subprocess.run([*run, *pick], cwd=tmp_path, check=True, timeout=100, capture_output=True)
    read = pa.csv.read_csv(io.BytesIO((tmp_path / "out.csv").read_bytes())).to_pylist()
    for name in ("flag", "byte", "short", "int", "objectId", "ra"):
        assert [row[name] for row in read] == [row[name] for row in ROWS]
    assert [row["name"] for row in read][:3] == [row["name"] or "" for row in ROWS][:3]
    describe = ["omode=out", "out=meta.csv", "ofmt=csv", "cmd=meta name ucd utype units description"]
    subprocess.run([*run, *describe], cwd=tmp_path, check=True, timeout=100, capture_output=True)
    described = {row["Name"]: row for row in pa.csv.read_csv(tmp_path / "meta.csv").to_pylist()}
    assert list(described["ra"].values()) == ["ra", "pos.eq.ra;meta.main", "", "deg", "Right <ascension>"]
    assert described["name"]["Utype"] == "some:utype"
    shown = subprocess.run([*run, "omode=meta"], cwd=tmp_path, check=True, timeout=100, capture_output=True, text=True)
    assert "x" * 100 in shown.stdout
