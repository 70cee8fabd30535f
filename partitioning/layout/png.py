"""Writing of PNG pictures (W3C PNG, second edition), so that a picture needs no imaging library."""

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_png"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR: Final = 2


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return the bytes of a PNG file.

    Parameters
    ----------
    picture
        Red, green and blue from the upper left corner, uint8, shape ``(height, width, 3)``.
    """
    height, width, _ = picture.shape
    # each line is stored as differences from the line above (filter 2), which compresses maps well
    above = np.concatenate([np.zeros_like(picture[:1]), picture[:-1]])
    lines = np.full((height, 1 + 3 * width), 2, dtype=np.uint8)
    lines[:, 1:] = (picture - above).reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, _TRUE_COLOUR, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(name, body) for name, body in parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
