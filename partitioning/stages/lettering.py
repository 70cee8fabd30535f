"""Lettering: the few signs that a density picture is labelled with, as bitmaps of 5 by 7 dots."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_text", "text_size"]

_SIGNS: Final = {
    "0": "0E 11 13 15 19 11 0E",
    "1": "04 0C 04 04 04 04 0E",
    "2": "0E 11 01 02 04 08 1F",
    "3": "1F 02 04 02 01 11 0E",
    "4": "02 06 0A 12 1F 02 02",
    "5": "1F 10 1E 01 01 11 0E",
    "6": "06 08 10 1E 11 11 0E",
    "7": "1F 01 02 04 08 08 08",
    "8": "0E 11 11 0E 11 11 0E",
    "9": "0E 11 11 0F 01 02 0C",
    "+": "00 04 04 1F 04 04 00",
    "-": "00 00 00 1F 00 00 00",
    ".": "00 00 00 00 00 0C 0C",
    "/": "00 01 02 04 08 10 00",
    "°": "0C 12 12 0C 00 00 00",
    "²": "0C 12 04 08 1E 00 00",
    "d": "01 01 0D 13 11 11 0F",
    "e": "00 00 0E 11 1F 10 0E",
    "g": "00 0F 11 11 0F 01 0E",
    "k": "10 10 12 14 18 14 12",
    "o": "00 00 0E 11 11 11 0E",
    "r": "00 00 16 19 10 10 10",
    "s": "00 00 0E 10 0E 01 1E",
    "w": "00 00 11 11 15 15 0A",
    "G": "0E 11 10 17 11 11 0F",
    "M": "11 1B 15 15 11 11 11",
    "T": "1F 04 04 04 04 04 04",
    " ": "00 00 00 00 00 00 00",
}
"""Rows of each sign from the top, the leftmost dot in the highest of five bits."""

_SCALE: Final = 2
"""Picture elements of a dot."""

_INK: Final = (40, 42, 54)
_RIM: Final = (255, 255, 255)


def text_size(text: str) -> tuple[int, int]:
    """Return width and height of a text in picture elements."""
    return (6 * len(text) - 1) * _SCALE, 7 * _SCALE


def draw_text(picture: NDArray[np.uint8], text: str, left: int, top: int) -> None:
    """Draw a dark text with a light rim into a picture of shape ``(height, width, 3)``, kept inside the picture.

    Raises
    ------
    KeyError
        If the text has a sign that there is no bitmap of.
    """
    dots = np.concatenate([_sign(letter) for letter in text], axis=1)
    height, width = (size * _SCALE for size in dots.shape)
    left = min(max(left, 1), picture.shape[1] - width - 1)
    top = min(max(top, 1), picture.shape[0] - height - 1)
    y, x = np.nonzero(np.kron(dots, np.ones((_SCALE, _SCALE), dtype=np.bool_)))
    for up in (-1, 0, 1):
        for aside in (-1, 0, 1):
            picture[y + top + up, x + left + aside] = _RIM
    picture[y + top, x + left] = _INK


def _sign(letter: str) -> NDArray[np.bool_]:
    """Return a sign with an empty column to its right, shape ``(7, 6)``."""
    rows = np.array([int(row, 16) for row in _SIGNS[letter].split()])
    dots = (rows[:, None] >> np.arange(4, -1, -1)) & 1 > 0
    return np.pad(dots, ((0, 0), (0, 1)))
