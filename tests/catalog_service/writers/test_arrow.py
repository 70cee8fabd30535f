import io

import polars as pl
import pyarrow as pa
import pytest

from catalog_service.models.query import ResultFormat
from catalog_service.writers.base import ResultDescription
from catalog_service.writers.select import empty_result
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, batch_of, encode, read_votable

ARROW = ResultFormat.ARROW


def end_marks(content: bytes) -> dict[bytes, bytes]:
    """Return the metadata of the last batch."""
    with pa.ipc.open_stream(content) as reader:
        marks: dict[bytes, bytes] = {}
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return marks
            assert metadata is None or batch.num_rows == 0
            marks = dict(metadata or {})


@pytest.mark.parametrize("complete", [True, False])
def test_pyarrow_reads_every_type(complete: bool) -> None:
    content = encode(ARROW, [batch_of(ROWS), batch_of(ROWS[1:])], complete=complete)
    table = pa.ipc.open_stream(content).read_all()
    assert table.to_pylist() == batch_of(ROWS + ROWS[1:]).to_pylist()
    assert table.schema.types == batch_of([]).schema.types


def test_polars_reads_it() -> None:
    columns = tuple(c for c in COLUMNS if c.name in {"objectId", "ra", "name", "series"})
    content = encode(ARROW, [batch_of(ROWS, columns)], columns)
    assert pl.read_ipc_stream(io.BytesIO(content)).to_dicts() == batch_of(ROWS, columns).to_pylist()


@pytest.mark.parametrize("overflow", [True, False])
def test_the_end_tells_of_overflow(overflow: bool) -> None:
    content = encode(ARROW, [batch_of(ROWS)], overflow=overflow)
    assert end_marks(content) == {b"overflow": b"true" if overflow else b"false", b"rows": b"4"}


def test_a_cut_stream_has_no_end() -> None:
    content = encode(ARROW, [batch_of(ROWS)])
    cut = encode(ARROW, [batch_of(ROWS)], failure="broken")
    assert content.startswith(cut)
    assert end_marks(cut) == {}


def test_metadata() -> None:
    content = encode(ARROW, [batch_of(ROWS)], infos={"QUERY": "SELECT é"}, position=("ra", "dec"))
    schema = pa.ipc.open_stream(content).schema
    assert schema.metadata[b"QUERY"].decode() == "SELECT é"
    assert schema.field("ra").metadata == {
        b"unit": b"deg",
        b"ucd": b"pos.eq.ra;meta.main",
        b"description": b"Right <ascension>",
    }
    assert schema.field("where").metadata == {b"xtype": b"point"}
    assert schema.metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    table = read_votable(schema.metadata[b"IVOA.VOTable-Parquet.content"]).get_first_table()
    assert [field.name for field in table.fields] == schema.names


def test_no_rows() -> None:
    for content in (
        encode(ARROW, [], overflow=True),
        empty_result(ARROW, ResultDescription(columns=COLUMNS), overflow=True),
    ):
        table = pa.ipc.open_stream(content).read_all()
        assert table.num_rows == 0
        assert table.schema.names == [column.name for column in COLUMNS]
        assert end_marks(content) == {b"overflow": b"true", b"rows": b"0"}
