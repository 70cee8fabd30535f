import json
from datetime import datetime
from typing import Any

import pytest

from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from catalog_service.writers.base import ResultDescription
from catalog_service.writers.select import empty_result
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, Row, batch_of, encode

JSON = ResultFormat.JSON


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def read(content: bytes) -> dict[str, Any]:
    """Parse with NaN and Infinity refused, which Python takes as numbers otherwise."""
    document: dict[str, Any] = json.loads(content, parse_constant=refuse)
    return document


def in_json(value: Any) -> Any:
    if isinstance(value, list):
        return [in_json(element) for element in value]
    if isinstance(value, float) and abs(value) == float("inf"):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return list(value) if isinstance(value, bytes) else value


def test_every_type() -> None:
    rows = read(encode(JSON, [batch_of(ROWS), batch_of([]), batch_of(ROWS[1:])], complete=False))["data"]
    assert rows == [[in_json(row[column.name]) for column in COLUMNS] for row in ROWS + ROWS[1:]]
    assert isinstance(rows[0][4], int)


def test_metadata_and_end() -> None:
    content = encode(JSON, [batch_of(ROWS)], overflow=True, infos={"QUERY": 'SELECT "é"\n'})
    document = read(content)
    assert list(document) == ["metadata", "data", "rows", "overflow", "infos"]
    by_name = {described["name"]: described for described in document["metadata"]}
    assert by_name["ra"] == {
        "name": "ra",
        "datatype": "double",
        "unit": "deg",
        "ucd": "pos.eq.ra;meta.main",
        "description": "Right <ascension>",
    }
    assert by_name["name"] == {"name": "name", "datatype": "char", "arraysize": "*", "utype": "some:utype"}
    assert by_name["where"] == {"name": "where", "datatype": "double", "arraysize": "2", "xtype": "point"}
    assert (document["rows"], document["overflow"]) == (4, True)
    assert document["infos"] == {"QUERY": 'SELECT "é"\n'}
    assert read(encode(JSON, [batch_of(ROWS)]))["overflow"] is False


def test_any_text() -> None:
    columns = (Column(name="t", datatype=DataType.TEXT), Column(name="l", datatype=DataType.TEXT, is_array=True))
    texts = ['"', "\\", 'a\\"b', "\x00\x1f\t\r\n", "], [", "\u2028\u2029", "\U0001f52d", "", None]
    rows: list[Row] = [{"t": text, "l": texts} for text in texts] + [{"t": "", "l": None}]
    content = encode(JSON, [batch_of(rows, columns)], columns)
    assert read(content)["data"] == [[row["t"], row["l"]] for row in rows]


def test_undefined_elements_of_lists() -> None:
    columns = (
        Column(name="n", datatype=DataType.LONG, is_array=True),
        Column(name="x", datatype=DataType.FLOAT, is_array=True),
        Column(name="f", datatype=DataType.BOOLEAN, is_array=True),
    )
    rows: list[Row] = [{"n": [2**63 - 1, None], "x": [None, 0.1], "f": [True, None]}, dict.fromkeys("nxf"), {}]
    assert read(encode(JSON, [batch_of(rows, columns).slice(0, 2)], columns))["data"] == [
        [[2**63 - 1, None], [None, 0.1], [True, None]],
        [None, None, None],
    ]


def test_slices_of_batches() -> None:
    batch = batch_of(ROWS * 3)
    whole = read(encode(JSON, [batch]))["data"]
    assert read(encode(JSON, [batch.slice(start, 1) for start in range(12)], complete=False))["data"] == whole


def test_a_cut_document_is_unreadable() -> None:
    cut = encode(JSON, [batch_of(ROWS)], failure="broken")
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(cut)


def test_no_rows() -> None:
    content = empty_result(JSON, ResultDescription(columns=COLUMNS), overflow=True)
    document = read(content)
    assert (document["data"], document["rows"], document["overflow"]) == ([], 0, True)
    assert len(document["metadata"]) == len(COLUMNS)
    assert content == encode(JSON, [], overflow=True)
