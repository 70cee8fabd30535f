import pyarrow as pa
from astropy.io import ascii as astropy_ascii

from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from catalog_service.writers.base import ResultDescription
from catalog_service.writers.select import empty_result
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, batch_of, encode

TSV = ResultFormat.TSV


def test_text_of_every_type() -> None:
    lines = [line.split("\t") for line in encode(TSV, [batch_of(ROWS)]).decode().split("\n")]
    assert lines[0] == [column.name for column in COLUMNS]
    assert lines[1] == [
        "true", "255", "-32768", "2147483647", "9223372036854775807", "+Inf", "359.99999999999994", "-90.0",
        'M 31 & "friends" <3', "2026-11-22T18:44:44.123456", "0 255", "56.75 24.12", "56.75 24.12 0.5",
        "0.0 0.0 1.0 0.0 1.0 1.0", "1.5 -2.5", "9007199254740993 -9223372036854775808", "",
    ]  # fmt: skip
    assert lines[2] == [""] * len(COLUMNS)
    assert lines[4][8] == "Ωμέγα 星 \U0001f52d é"
    assert lines[5:] == [[""]]


def test_what_a_field_cannot_hold_becomes_a_blank() -> None:
    columns = (Column(name="the\tname", datatype=DataType.TEXT), Column(name="n", datatype=DataType.INT))
    texts = ["a\tb", "line\r\nbreak", "\n", '"quoted"', "", None]
    batch = pa.record_batch([pa.array(texts), pa.array(range(6), pa.int32())], names=["the\tname", "n"])
    content = encode(TSV, [batch], columns)
    assert content == b'the name\tn\na b\t0\nline break\t1\n \t2\n"quoted"\t3\n\t4\n\t5\n'


def test_astropy_reads_it() -> None:
    columns = tuple(c for c in COLUMNS if c.name in {"objectId", "ra", "name"})
    content = encode(TSV, [batch_of(ROWS[3:], columns), batch_of(ROWS[:1], columns)], columns)
    table = astropy_ascii.read(content.decode(), format="tab", guess=False)
    assert table["objectId"].tolist() == [2**53 + 1, 2**63 - 1]
    assert table["ra"].tolist() == [None, 359.99999999999994]
    assert table["name"].tolist() == [ROWS[3]["name"], ROWS[0]["name"]]


def test_no_rows() -> None:
    header = encode(TSV, [])
    assert header.count(b"\n") == 1
    assert empty_result(TSV, ResultDescription(columns=COLUMNS), overflow=True) == header
