import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_service.writers.gzip import PIECE_BYTES, GzipStream

MEGABYTE = 1 << 20
EVER = 1e9


def encode(pieces: list[bytes], waits: list[float]) -> bytes:
    stream = GzipStream()
    return b"".join(stream.encode(piece, wait) for piece, wait in zip(pieces, waits, strict=True)) + stream.end()


@given(st.lists(st.tuples(st.binary(max_size=300), st.sampled_from([0.0, EVER])), max_size=20))
def test_gzip_reads_it_back(pieces: list[tuple[bytes, float]]) -> None:
    contents = [content for content, _ in pieces]
    assert gzip.decompress(encode(contents, [wait for _, wait in pieces])) == b"".join(contents)


def test_deflated_and_stored_pieces_in_turn() -> None:
    generator = random.Random(1)
    pieces = [generator.randbytes(PIECE_BYTES // 2) * 2 for _ in range(40)]
    encoded = encode(pieces, [EVER if number % 3 else 0.0 for number in range(40)])
    assert gzip.decompress(encoded) == b"".join(pieces)


def test_a_fast_line_gets_stored_pieces_after_the_first_megabyte() -> None:
    pieces = [b"abcdefgh" * (PIECE_BYTES // 8)] * 40
    assert len(encode(pieces, [0.0] * 40)) > 9 * MEGABYTE - 10_000
    assert len(encode(pieces[:4], [0.0] * 4)) < 20_000
    assert len(encode(pieces, [EVER] * 40)) < 200_000


def test_a_stream_without_its_end_is_broken() -> None:
    stream = GzipStream()
    with pytest.raises(EOFError):
        gzip.decompress(stream.encode(b"abc", 0))
