import io
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from catalog_service.models.query import ResultFormat
from catalog_service.writers.base import ResultDescription
from catalog_service.writers.select import empty_result
from tests.catalog_service.writers.encoding import COLUMNS, ROWS, batch_of, encode, read_votable

PARQUET = ResultFormat.PARQUET


def test_pyarrow_reads_every_type() -> None:
    content = encode(PARQUET, [batch_of(ROWS), batch_of(ROWS[1:])], complete=False)
    table = pq.read_table(io.BytesIO(content))
    assert table.to_pylist() == batch_of(ROWS + ROWS[1:]).to_pylist()
    assert table.schema.types == batch_of([]).schema.types


def test_other_readers(tmp_path: Path) -> None:
    columns = tuple(c for c in COLUMNS if c.name not in {"nothing", "byte"})
    path = tmp_path / "result.parquet"
    path.write_bytes(encode(PARQUET, [batch_of(ROWS, columns)], columns))
    expected = batch_of(ROWS, columns).to_pylist()
    assert pl.read_parquet(path).to_dicts() == expected
    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT * FROM '{path}'").to_arrow_table().to_pylist() == expected


@pytest.mark.parametrize("overflow", [True, False])
def test_the_footer_tells_of_overflow(overflow: bool) -> None:
    content = encode(
        PARQUET, [batch_of(ROWS)], complete=False, overflow=overflow, infos={"QUERY": "é"}, position=("ra", "dec")
    )
    file = pq.ParquetFile(io.BytesIO(content))
    for metadata in (file.metadata.metadata, file.schema_arrow.metadata):
        assert metadata[b"overflow"] == (b"true" if overflow else b"false")
        assert metadata[b"rows"] == b"4"
        assert metadata[b"QUERY"].decode() == "é"
        assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
        votable = metadata[b"IVOA.VOTable-Parquet.content"]
        assert (b'value="OVERFLOW"' in votable) is overflow
        assert [field.name for field in read_votable(votable).get_first_table().fields] == file.schema_arrow.names
    assert file.schema_arrow.field("ra").metadata[b"unit"] == b"deg"


def test_a_cut_file_is_unreadable() -> None:
    cut = encode(PARQUET, [batch_of(ROWS)], failure="broken")
    with pytest.raises(Exception, match="Parquet magic bytes not found"):
        pq.read_table(io.BytesIO(cut))


def test_no_rows() -> None:
    for content in (
        encode(PARQUET, [], overflow=True),
        empty_result(PARQUET, ResultDescription(columns=COLUMNS), overflow=True),
    ):
        table = pq.read_table(io.BytesIO(content))
        assert table.num_rows == 0
        assert table.schema.names == [column.name for column in COLUMNS]
        assert table.schema.metadata[b"overflow"] == b"true"
