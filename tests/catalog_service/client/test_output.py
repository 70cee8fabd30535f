"""Result files: whole or absent, and equal to the result in every format."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient, ServerError, TransferAbortedError
from catalog_service.client.output import FileFormat, open_output, write_answer
from catalog_service.models.wire import QueryRequest

Serve = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore::catalog_service.client.OverflowWarning")

VOTABLE = (
    b'<VOTABLE><RESOURCE><INFO name="QUERY_STATUS" value="OK"/><INFO name="QUERY" value="OVERFLOW"/><TABLE><DATA>'
    b"<BINARY2><STREAM>AAAA</STREAM></BINARY2></DATA></TABLE>%s</RESOURCE></VOTABLE>\n"
)


def written(serve: Serve, body: bytes, file_format: FileFormat, headers: dict[str, str]) -> tuple[bytes, bool]:
    sink = io.BytesIO()
    server = serve(lambda request: request.reply(200, body, headers))
    answer = CatalogClient(server.url).open(QueryRequest(query="SELECT 1", format=file_format.requested))
    overflow = write_answer(answer, file_format, sink)
    return sink.getvalue(), overflow


ARROW = {"Content-Type": "application/vnd.apache.arrow.stream"}


@pytest.fixture
def mixed() -> pa.Table:
    schema = pa.schema(
        [pa.field("id", pa.int64(), metadata={"unit": "m"}), ("f", pa.float32()), ("t", pa.timestamp("us"))],
        metadata={"QUERY": "SELECT 1"},
    )
    rows = [
        {"id": 2**63 - 1, "f": 9.1, "t": 0},
        {"id": None, "f": None, "t": None},
        {"id": -1, "f": float("inf"), "t": 1},
    ]
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.mark.parametrize("overflow", [False, True])
def test_arrow_and_parquet_files_hold_everything(
    serve: Serve, stream_of: Callable[..., bytes], mixed: pa.Table, overflow: bool
) -> None:
    stream = stream_of(mixed, overflow=overflow, batch_rows=2)
    arrow, cut = written(serve, stream, FileFormat.ARROW, ARROW)
    assert cut is overflow
    assert arrow == stream
    parquet, cut = written(serve, stream, FileFormat.PARQUET, ARROW)
    assert cut is overflow
    table = pq.read_table(io.BytesIO(parquet))
    assert table.equals(mixed)
    assert table.schema.field("id").metadata[b"unit"] == b"m"
    metadata = pq.read_metadata(io.BytesIO(parquet)).metadata
    assert (metadata[b"QUERY"], metadata[b"overflow"]) == (b"SELECT 1", str(overflow).lower().encode())


def test_json_is_exact_and_valid(serve: Serve, stream_of: Callable[..., bytes], mixed: pa.Table) -> None:
    text, _ = written(serve, stream_of(mixed, batch_rows=2), FileFormat.JSON, ARROW)
    assert json.loads(text, parse_constant=pytest.fail) == [
        {"id": 2**63 - 1, "f": 9.1, "t": "1970-01-01T00:00:00"},
        {"id": None, "f": None, "t": None},
        {"id": -1, "f": None, "t": "1970-01-01T00:00:00.000001"},
    ]


def test_json_of_no_rows_is_an_empty_list(serve: Serve, stream_of: Callable[..., bytes], mixed: pa.Table) -> None:
    text, _ = written(serve, stream_of(mixed.slice(0, 0)), FileFormat.JSON, ARROW)
    assert json.loads(text) == []


@pytest.mark.parametrize(("header", "overflow"), [("true", True), ("false", False), (None, False)])
def test_csv_is_passed_on_as_it_is(serve: Serve, header: str | None, overflow: bool) -> None:
    headers = {} if header is None else {"X-Overflow": header}
    assert written(serve, b"a\n1\n", FileFormat.CSV, headers) == (b"a\n1\n", overflow)


@pytest.mark.parametrize(
    ("end", "overflow"),
    [
        (b"", False),
        (b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>', True),
        (b'<INFO name="QUERY_STATUS" value="OVERFLOW">x</INFO>', True),
    ],
)
def test_a_votable_tells_at_its_end_whether_it_was_cut(serve: Serve, end: bytes, overflow: bool) -> None:
    assert written(serve, VOTABLE % end, FileFormat.VOTABLE, {}) == (VOTABLE % end, overflow)


def test_an_error_at_the_end_of_a_votable_is_raised(serve: Serve) -> None:
    end = b'<INFO name="QUERY_STATUS" value="ERROR">disk &lt;full&gt;</INFO>'
    with pytest.raises(ServerError, match="disk <full>"):
        written(serve, VOTABLE % end, FileFormat.VOTABLE, {})


def test_a_votable_without_end_is_an_error(serve: Serve) -> None:
    with pytest.raises(TransferAbortedError, match="no end"):
        written(serve, (VOTABLE % b"")[:-12], FileFormat.VOTABLE, {})


def break_off(target: Path) -> None:
    with open_output(target) as file:
        file.write(b"par")
        raise TransferAbortedError("broken")


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    with open_output(target) as file:
        file.write(b"all")
        assert not target.exists()
    assert target.read_bytes() == b"all"
    with pytest.raises(TransferAbortedError):
        break_off(target)
    assert target.read_bytes() == b"all"
    assert list(tmp_path.iterdir()) == [target]
