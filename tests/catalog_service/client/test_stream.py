"""A result that breaks off is an error, wherever it breaks; a cut result is a warning."""

import socket
import warnings
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from catalog_service.client import (
    CatalogClient,
    OverflowWarning,
    TransferAbortedError,
    UnexpectedAnswerError,
)

ARROW = "application/vnd.apache.arrow.stream"

Serve = Callable[..., Any]


def answer_with(body: bytes, content_type: str = ARROW) -> Callable[[Any], None]:
    """Send a body with clean HTTP framing, whatever it holds."""
    return lambda request: request.reply(200, body, {"Content-Type": content_type, "X-Query-Id": "q-7"})


def read(url: str) -> pa.Table:
    with CatalogClient(url, timeout_s=5) as client:
        return client.query("SELECT 1").to_arrow()


def test_a_complete_stream_is_read(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    server = serve(answer_with(stream_of(table)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CatalogClient(server.url).query("SELECT 1")
    assert result.to_arrow().equals(table)
    assert result.overflow is False
    assert result.query_id == "q-7"


def test_an_empty_result_keeps_its_columns(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    assert read(serve(answer_with(stream_of(table.slice(0, 0)))).url).schema == table.schema


def test_a_cut_result_warns_at_the_line_of_the_caller(
    serve: Serve, stream_of: Callable[..., bytes], table: pa.Table
) -> None:
    client = CatalogClient(serve(answer_with(stream_of(table, overflow=True))).url)
    with pytest.warns(OverflowWarning, match=r"q-7 was cut at MAXREC = 1000 rows.*maxrec") as caught:
        result = client.query("SELECT 1")
    assert result.overflow is True
    assert caught[0].filename == __file__
    with pytest.warns(OverflowWarning) as caught, client.stream("SELECT 1") as stream:
        rows = sum(batch.num_rows for batch in stream)
    assert caught[0].filename == __file__
    assert (rows, stream.overflow) == (1000, True)


@pytest.mark.parametrize("framing", ["clean", "cut"])
def test_no_cut_gives_a_short_table(
    serve: Serve, stream_of: Callable[..., bytes], table: pa.Table, framing: str
) -> None:
    """Every prefix of a stream is refused, be the HTTP message around it whole or cut as well."""
    whole = stream_of(table)
    length = 0

    def script(request: Any) -> None:
        request.start_chunks()
        if length:
            request.chunk(whole[:length])
        if framing == "clean":
            request.chunk(b"")
        else:
            request.connection.shutdown(socket.SHUT_RDWR)

    server = serve(script)
    # densely near the end, where the data are complete and only the closing mark is missing
    for length in [*range(0, len(whole) - 64, 211), *range(len(whole) - 600, len(whole) - 8, 13)]:  # noqa: B007
        with pytest.raises(TransferAbortedError, match=r"query q-7.*incomplete"):
            read(server.url)


def test_a_connection_cut_after_the_last_byte_of_data_is_an_error(
    serve: Serve, stream_of: Callable[..., bytes], table: pa.Table
) -> None:
    def script(request: Any) -> None:
        request.start_chunks()
        request.chunk(stream_of(table))
        request.connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(TransferAbortedError):
        read(serve(script).url)


def test_a_wrong_count_is_an_error(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    with pytest.raises(TransferAbortedError, match="sent 1001 rows, but 1000 arrived"):
        read(serve(answer_with(stream_of(table, rows=1001))).url)


def test_data_after_the_end_are_an_error(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    with pytest.raises(TransferAbortedError, match="follow"):
        read(serve(answer_with(stream_of(table) + b"x")).url)


def test_garbage_is_an_error(serve: Serve) -> None:
    with pytest.raises(TransferAbortedError):
        read(serve(answer_with(b"\0" * 100)).url)


def test_another_web_server_is_recognised(serve: Serve) -> None:
    with pytest.raises(UnexpectedAnswerError, match=r"text/html.*Arrow.*address"):
        read(serve(answer_with(b"<html>", "text/html")).url)


def test_silence_in_the_middle_is_an_error(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    def script(request: Any) -> None:
        request.start_chunks()
        request.chunk(stream_of(table)[:2000])
        request.rfile.read(1)  # until the client goes away

    with pytest.raises(TransferAbortedError, match="timed out"):
        CatalogClient(serve(script).url, timeout_s=0.2).query("SELECT 1")


def test_batches_arrive_while_the_service_still_works(
    serve: Serve, stream_of: Callable[..., bytes], table: pa.Table
) -> None:
    """The first batch is handed out before the second is sent, and leaving the block hangs up."""
    whole, gone = stream_of(table), []

    def script(request: Any) -> None:
        request.start_chunks()
        request.chunk(whole[:3000])
        gone.append(request.rfile.read(1))

    server = serve(script)
    with CatalogClient(server.url, timeout_s=5).stream("SELECT 1") as stream:
        first = next(iter(stream))
        assert first.num_rows == 100
        assert stream.overflow is None
    wait_for(lambda: gone == [b""])


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait up to five seconds."""
    import time

    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
