from hypothesis import given
from hypothesis import strategies as st

from catalog_service.exceptions import QueryRefusedError, QueryTimeoutError
from catalog_service.models import frames
from catalog_service.models.frames import End
from catalog_service.models.query import EngineQuery, FileStamp, Outcome, ResultFormat
from catalog_service.models.schema import Column, DataType


@given(
    st.text(),
    st.lists(st.builds(Column, name=st.text(), datatype=st.sampled_from(DataType), unit=st.none() | st.text())),
    st.sampled_from(ResultFormat),
    st.dictionaries(st.text(), st.text()),
    st.none() | st.tuples(st.text(), st.text()),
    st.lists(st.builds(FileStamp, st.text(), st.integers(0, 2**60), st.integers(-(2**60), 2**62))),
    st.floats(0, 1e6),
)
def test_queries_survive_the_journey(
    sql: str,
    columns: list[Column],
    result_format: ResultFormat,
    infos: dict[str, str],
    position: tuple[str, str] | None,
    stamps: list[FileStamp],
    remaining_s: float,
) -> None:
    query = EngineQuery(
        query_id="q",
        sql=sql,
        columns=tuple(columns),
        format=result_format,
        max_rows=2**40,
        timeout_s=60,
        infos=infos,
        position=position,
        stamps=tuple(stamps),
    )
    assert frames.decode_query(frames.encode_query(query, remaining_s=remaining_s)) == (query, remaining_s)


def test_ends_survive_the_journey() -> None:
    for end in (
        End(outcome=Outcome(rows=3, overflow=True, bytes_out=2**40, seconds=0.25), rss_bytes=2**33),
        End(cancelled=True),
        End(needs_sql=True, rss_bytes=5),
        End(body_complete=True, retire=True),
    ):
        assert frames.decode_end(frames.encode_end(end)) == end


def test_errors_keep_their_class_and_details() -> None:
    error = QueryRefusedError("no", line=2, column=7, remedy="Ask differently.")
    error.query_id = "q-5"
    decoded = frames.decode_end(frames.encode_end(End(error=error))).error
    assert type(decoded) is QueryRefusedError
    assert decoded.to_json() == error.to_json()
    assert type(frames.decode_end(frames.encode_end(End(error=QueryTimeoutError("late")))).error) is QueryTimeoutError


def test_headers() -> None:
    frame = frames.encode_frame(frames.DATA, b"abc")
    assert frame == b"D\x00\x00\x00\x03abc"
    assert frames.decode_header(frame[: frames.HEADER_SIZE]) == (frames.DATA, 3)
    assert frames.encode_header(frames.DATA, 3) + b"abc" == frame
