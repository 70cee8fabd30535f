import base64
import io
import re
import struct
import subprocess
from datetime import datetime
from pathlib import Path

import astropy.io.votable
import pyarrow as pa
import pytest
from lxml import etree

from catalog_service.exceptions import QueryValueError
from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from catalog_service.writers.base import ResultDescription, Sample
from catalog_service.writers.columns import conform, result_schema
from catalog_service.writers.select import empty_result
from catalog_service.writers.votable import TableDataWriter, error_document, metadata_document, scs_error_document
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, Row, batch_of, encode, read_votable, rows_of

BINARY2, TABLEDATA = ResultFormat.VOTABLE, ResultFormat.VOTABLE_TABLEDATA
BOTH = pytest.mark.parametrize("result_format", [BINARY2, TABLEDATA])
NAMESPACE = "{http://www.ivoa.net/xml/VOTable/v1.3}"
SCHEMA = etree.XMLSchema(etree.parse(Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd"))

TEXT = (Column(name="name", datatype=DataType.TEXT),)


def as_votable_has_it(row: Row) -> Row:
    """Return the row that a reader sees: astropy masks no texts and no lists, and shows timestamps as they are."""
    when: datetime | None = row["when"]
    return row | {
        "name": row["name"] or "",
        "nothing": "",
        "when": "" if when is None else when.isoformat(timespec="microseconds"),
        "bytes": list(row["bytes"] or b""),
        "where": row["where"] or [None, None],
        "around": row["around"] or [None, None, None],
        **{name: row[name] or [] for name in ("outline", "series", "counts")},
        "flux": None if row["flux"] is None else struct.unpack("f", struct.pack("f", row["flux"]))[0],
    }


def statuses(content: bytes) -> list[tuple[str, str]]:
    """Return (value, text) of each QUERY_STATUS, with ``TABLE`` where the table stands among them."""
    found = []
    for element in etree.fromstring(content).find(f"{NAMESPACE}RESOURCE"):
        if element.tag == f"{NAMESPACE}TABLE":
            found.append(("TABLE", ""))
        elif element.get("name") == "QUERY_STATUS":
            found.append((element.get("value"), element.text or ""))
    return found


def assert_valid(content: bytes) -> None:
    assert SCHEMA.validate(etree.fromstring(content)), SCHEMA.error_log


@BOTH
@pytest.mark.parametrize("complete", [True, False])
def test_astropy_reads_every_type(result_format: ResultFormat, complete: bool) -> None:
    content = encode(result_format, [batch_of(ROWS)], complete=complete)
    assert rows_of(read_votable(content)) == [as_votable_has_it(row) for row in ROWS]
    assert_valid(content)


def test_binary2_bytes_by_hand() -> None:
    columns = (
        Column(name="id", datatype=DataType.LONG),
        Column(name="text", datatype=DataType.TEXT),
        Column(name="flag", datatype=DataType.BOOLEAN),
        Column(name="x", datatype=DataType.FLOAT),
        Column(name="list", datatype=DataType.SHORT, is_array=True),
        *(Column(name=f"pad{i}", datatype=DataType.BYTE) for i in range(4)),
    )
    names = [column.name for column in columns]
    rows: list[Row] = [
        dict(zip(names, [258, "ab", True, 1.5, [1, -2], 1, 2, 3, 4], strict=True)),
        dict(zip(names, [None, None, None, None, None, 5, 6, 7, None], strict=True)),
        dict(zip(names, [-1, "", False, 0.0, [], None, 0, 0, 255], strict=True)),
    ]
    expected = (
        b"\x00\x00" + struct.pack(">q", 258) + struct.pack(">i", 2) + b"ab" + b"T" + struct.pack(">f", 1.5)
        + struct.pack(">ihh", 2, 1, -2) + b"\x01\x02\x03\x04"
        + b"\xf8\x80" + bytes(8) + bytes(4) + b"?" + struct.pack(">f", float("nan"))
        + bytes(4) + b"\x05\x06\x07\x00"
        + b"\x04\x00" + b"\xff" * 8 + bytes(4) + b"F" + bytes(4) + bytes(4) + b"\x00\x00\x00\xff"
    )  # fmt: skip
    content = encode(BINARY2, [batch_of(rows, columns)], columns)
    stream = re.search(rb"<STREAM[^>]*>(.*)</STREAM>", content, re.DOTALL)
    assert stream is not None
    assert base64.b64decode(stream[1]) == expected


@BOTH
def test_batch_borders_do_not_show(result_format: ResultFormat) -> None:
    whole = encode(result_format, [batch_of(ROWS * 50)], complete=False)
    batch = batch_of(ROWS * 50)
    for sizes in ([1] * 200, [7, 0, 64, 129], [199, 1]):
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        pieces = [batch.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
        assert encode(result_format, pieces, complete=False) == whole


@BOTH
def test_many_rows(result_format: ResultFormat) -> None:
    columns = (Column(name="i", datatype=DataType.LONG), Column(name="name", datatype=DataType.TEXT))
    rows = 70_001
    batch = pa.record_batch({"i": pa.array(range(rows)), "name": pa.array([f"n{i}" * (i % 3) for i in range(rows)])})
    content = encode(result_format, [batch.slice(0, 65_536), batch.slice(65_536)], columns, complete=False)
    array = read_votable(content).get_first_table().array
    assert array["i"].tolist() == list(range(rows))
    assert array["name"].tolist() == batch.column("name").to_pylist()


@BOTH
def test_no_rows(result_format: ResultFormat) -> None:
    content = encode(result_format, [])
    document = read_votable(content)
    assert [field.name for field in document.get_first_table().fields] == [column.name for column in COLUMNS]
    assert len(document.get_first_table().array) == 0
    assert statuses(content) == [("OK", ""), ("TABLE", "")]
    assert_valid(content)


@BOTH
def test_overflow_follows_the_table(result_format: ResultFormat) -> None:
    content = encode(result_format, [batch_of(ROWS)], overflow=True)
    assert statuses(content) == [("OK", ""), ("TABLE", ""), ("OVERFLOW", "")]
    assert_valid(content)


@BOTH
def test_a_failure_ends_a_valid_document(result_format: ResultFormat) -> None:
    content = encode(result_format, [batch_of(ROWS)], failure="no < more\x07")
    assert statuses(content) == [("OK", ""), ("TABLE", ""), ("ERROR", "no < more\ufffd")]
    assert len(rows_of(read_votable(content))) == len(ROWS)
    assert_valid(content)


def test_fields_carry_the_metadata() -> None:
    content = encode(BINARY2, [], infos={"QUERY": 'SELECT "a"\n<b> é'}, position=("ra", "dec"))
    table = read_votable(content).get_first_table()
    by_name = {field.name: field for field in table.fields}
    spelled = {name: (field.datatype, field.arraysize, field.xtype) for name, field in by_name.items()}
    assert spelled == {
        "flag": ("boolean", None, None),
        "byte": ("unsignedByte", None, None),
        "short": ("short", None, None),
        "int": ("int", None, None),
        "objectId": ("long", None, None),
        "flux": ("float", None, None),
        "ra": ("double", None, None),
        "dec": ("double", None, None),
        "name": ("char", "*", None),
        "when": ("char", "*", "timestamp"),
        "bytes": ("unsignedByte", "*", None),
        "where": ("double", "2", "point"),
        "around": ("double", "3", "circle"),
        "outline": ("double", "*", "polygon"),
        "series": ("double", "*", None),
        "counts": ("long", "*", None),
        "nothing": ("char", "*", None),
    }
    ra = by_name["ra"]
    assert (str(ra.unit), ra.ucd, ra.description) == ("deg", "pos.eq.ra;meta.main", "Right <ascension>")
    assert by_name["name"].utype == "some:utype"
    assert [name for name, field in by_name.items() if field.ref] == ["ra", "dec"]
    root = etree.fromstring(content)
    assert root.get("version") == "1.4"
    coosys = root.find(f".//{NAMESPACE}COOSYS")
    assert (coosys.get("ID"), coosys.get("system")) == (ra.ref, "ICRS")
    info = root.find(f".//{NAMESPACE}INFO[@name='QUERY']")
    assert info.get("value") == 'SELECT "a"\n<b> é'
    assert b"<VALUES" not in content


@pytest.mark.parametrize(
    ("texts", "complete", "datatype"),
    [
        (["plain"], True, "char"),
        ([None, ""], True, "char"),
        (["é"], True, "unicodeChar"),
        (["plain"], False, "unicodeChar"),  # what comes later is not known
    ],
)
@BOTH
def test_char_is_for_ascii(result_format: ResultFormat, texts: list[str | None], complete: bool, datatype: str) -> None:
    content = encode(result_format, [batch_of([{"name": text} for text in texts], TEXT)], TEXT, complete=complete)
    document = read_votable(content)
    assert document.get_first_table().fields[0].datatype == datatype
    assert [row["name"] for row in rows_of(document)] == [text or "" for text in texts]


def test_later_batches_may_hold_any_text() -> None:
    batches = [batch_of([{"name": "plain"}], TEXT), batch_of([{"name": "星 \U0001f52d"}, {"name": None}], TEXT)]
    content = encode(BINARY2, batches, TEXT, complete=False)
    assert [row["name"] for row in rows_of(read_votable(content))] == ["plain", "星 \U0001f52d", ""]


def test_tabledata_holds_any_text() -> None:
    texts = ["a\x00b\x1f", "tab\tline\nfeed", "carriage\rreturn", "]]>", "&amp;", "<TD>", "  blanks  ", "\ufffe\uffff"]
    content = encode(TABLEDATA, [batch_of([{"name": text} for text in texts], TEXT)], TEXT)
    cells = [cell.text for cell in etree.fromstring(content).iter(f"{NAMESPACE}TD")]
    assert cells == ["a\ufffdb\ufffd", *texts[1:7], "\ufffd\ufffd"]


def test_binary2_holds_any_text() -> None:
    texts = ["a\x00b\x1f", "tab\tline\nfeed", "carriage\rreturn", "]]>", "\ufffe\uffff"]
    content = encode(BINARY2, [batch_of([{"name": text} for text in texts], TEXT)], TEXT)
    assert [row["name"] for row in rows_of(read_votable(content))] == texts


@BOTH
def test_lists_of_texts_are_json(result_format: ResultFormat) -> None:
    columns = (
        Column(name="bands", datatype=DataType.TEXT, is_array=True),
        Column(name="times", datatype=DataType.TIMESTAMP, is_array=True),
    )
    rows: list[Row] = [
        {"bands": ["g", 'é"', None], "times": [datetime(2026, 1, 2), None]},  # noqa: DTZ001
        {"bands": [], "times": None},
    ]
    document = read_votable(encode(result_format, [batch_of(rows, columns)], columns))
    assert rows_of(document) == [
        {"bands": '["g", "é\\"", null]', "times": '["2026-01-02T00:00:00.000000", null]'},
        {"bands": "[]", "times": ""},
    ]
    assert all(field.xtype is None for field in document.get_first_table().fields)


@BOTH
def test_undefined_elements_of_lists(result_format: ResultFormat) -> None:
    floats = (Column(name="x", datatype=DataType.FLOAT, is_array=True),)
    document = read_votable(encode(result_format, [batch_of([{"x": [1.0, None]}], floats)], floats))
    assert rows_of(document) == [{"x": [1.0, None]}]
    integers = (Column(name="n", datatype=DataType.INT, is_array=True),)
    with pytest.raises(QueryValueError, match="'n' holds a list with an undefined element"):
        encode(result_format, [batch_of([{"n": [1, None]}], integers)], integers)


@BOTH
def test_flags_in_lists(result_format: ResultFormat) -> None:
    flags = (Column(name="f", datatype=DataType.BOOLEAN, is_array=True),)
    content = encode(result_format, [batch_of([{"f": [True, False]}, {"f": None}], flags)], flags)
    assert rows_of(read_votable(content)) == [{"f": [True, False]}, {"f": []}]


def test_nanoseconds_are_kept() -> None:
    columns = (Column(name="when", datatype=DataType.TIMESTAMP),)
    batch = pa.record_batch({"when": pa.array([1_795_372_284_123_456_789], pa.timestamp("ns"))})
    schema = result_schema(columns, batch.schema)
    writer = TableDataWriter(ResultDescription(columns=columns), Sample(schema=schema))
    assert b"<TD>2026-11-22T18:31:24.123456789</TD>" in writer.rows(conform(batch, schema))


@BOTH
def test_columns_without_rows(result_format: ResultFormat) -> None:
    content = empty_result(result_format, ResultDescription(columns=COLUMNS), overflow=True)
    assert statuses(content) == [("OK", ""), ("TABLE", ""), ("OVERFLOW", "")]
    assert [field.name for field in read_votable(content).get_first_table().fields] == [c.name for c in COLUMNS]


def test_metadata_document() -> None:
    content = metadata_document(COLUMNS, {"QUERY": "q"}, position=("ra", "dec"), overflow=True)
    assert statuses(content) == [("OK", ""), ("TABLE", ""), ("OVERFLOW", "")]
    assert b"<DATA>" not in content
    assert len(read_votable(content).get_first_table().fields) == len(COLUMNS)
    assert_valid(content)


def test_error_documents() -> None:
    message = 'unknown column "a" <b> & \x00 at line 1\nSELECT a'
    legal = message.replace("\x00", "\ufffd")
    assert statuses(error_document(message)) == [("ERROR", legal)]
    scs = scs_error_document(message)
    assert statuses(scs) == [("ERROR", legal)]
    infos = etree.fromstring(scs).findall(f"{NAMESPACE}INFO")
    assert [(info.get("ID"), info.get("name"), info.get("value")) for info in infos] == [("Error", "Error", legal)]
    assert_valid(error_document(message))
    assert_valid(scs)


@BOTH
@pytest.mark.parametrize("ending", ["whole", "overflow", "failure", "empty"])
def test_votlint_has_nothing_to_say(result_format: ResultFormat, ending: str, stilts: str, tmp_path: Path) -> None:
    # STILTS 3.4.7 itself misreads polygons that carry their xtype
    columns = tuple(column for column in COLUMNS if column.datatype is not DataType.POLYGON)
    content = encode(
        result_format,
        [] if ending == "empty" else [batch_of(ROWS, columns)],
        columns,
        overflow=ending == "overflow",
        failure="broken" if ending == "failure" else None,
        infos={"QUERY": "SELECT *"},
        position=("ra", "dec"),
    )
    (tmp_path / "in.vot").write_bytes(content)
    lint = subprocess.run(
        [stilts, "votlint", "ucd=true", "unit=true", f"votable={tmp_path}/in.vot"],
        check=False, timeout=100, capture_output=True, text=True,
    )  # fmt: skip
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")


@BOTH
def test_stilts_reads_the_same(result_format: ResultFormat, stilts: str, tmp_path: Path) -> None:
    """A second, independent reader: numbers, nulls and texts beyond ASCII."""
    names = ["byte", "short", "int", "objectId", "ra", "name", "when"]
    columns = tuple(column for column in COLUMNS if column.name in names)
    (tmp_path / "in.vot").write_bytes(encode(result_format, [batch_of(ROWS, columns)], columns))
    subprocess.run(
        [stilts, "-Dfile.encoding=UTF-8", "tcopy", "in.vot", "out.csv", "ifmt=votable", "ofmt=csv"],
        cwd=tmp_path, check=True, timeout=100, capture_output=True,
    )  # fmt: skip
    read = pa.csv.read_csv(io.BytesIO((tmp_path / "out.csv").read_bytes())).to_pylist()
    assert [row["objectId"] for row in read] == [row["objectId"] for row in ROWS]
    assert [row["int"] for row in read] == [row["int"] for row in ROWS]
    assert [row["byte"] for row in read] == [row["byte"] for row in ROWS]
    assert [row["ra"] for row in read] == [row["ra"] for row in ROWS]
    assert [row["name"] for row in read] == [row["name"] or "" for row in ROWS]
