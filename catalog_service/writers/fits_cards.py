"""Cards of FITS headers (FITS 4.0 section 4): 80 printable ASCII characters each, in blocks of 36."""

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["BLOCK_BYTES", "cards", "header_block", "history", "padding"]

BLOCK_BYTES: Final = 2880
_CARD: Final = 80
_VALUE_CHARACTERS: Final = 68
"""Between the quotes of one card."""
_HISTORY_CHARACTERS: Final = 72


def cards(keyword: str, value: str | int | bool, comment: str = "") -> Iterator[str]:  # noqa: FBT001
    """Yield the cards of one keyword; a text that is too long for one goes on in CONTINUE cards (section 4.2.1.2).

    Line breaks and tabs become blanks, and characters beyond ASCII a question mark: a header can hold neither.

    Examples
    --------
    >>> [card.rstrip() for card in cards("TUNIT1", "O'deg")]
    ["TUNIT1  = 'O''deg  '"]
    >>> [card.rstrip() for card in cards("NAXIS", 2, "rows and columns")]
    ['NAXIS   =                    2 / rows and columns']
    """
    if isinstance(value, str):
        yield from _text_cards(keyword, _printable(value))
        return
    shown = ("T" if value else "F") if isinstance(value, bool) else str(value)
    yield f"{keyword:8}= {shown:>20}{' / ' if comment else ''}{comment}".ljust(_CARD)


def history(text: str) -> Iterator[str]:
    """Yield a text in HISTORY cards."""
    text = _printable(text)
    for start in range(0, max(1, len(text)), _HISTORY_CHARACTERS):
        yield f"HISTORY {text[start : start + _HISTORY_CHARACTERS]}".ljust(_CARD)


def header_block(written: Iterable[str]) -> bytes:
    """Return a whole header: the cards, END, and blanks to the end of the block."""
    content = "".join(written) + "END".ljust(_CARD)
    return (content + " " * padding(len(content))).encode("ascii")


def padding(size: int) -> int:
    """Return the number of bytes that are missing to whole blocks."""
    return -size % BLOCK_BYTES


def _text_cards(keyword: str, text: str) -> Iterator[str]:
    pieces = _pieces(text)
    start = f"{keyword:8}= "
    for number, piece in enumerate(pieces, 1):
        goes_on = "&" if number < len(pieces) else ""
        yield f"{start}'{(piece + goes_on):8}'".ljust(_CARD)
        start = "CONTINUE  "


def _pieces(text: str) -> list[str]:
    """Return the text in pieces for one card each, quotes doubled and never torn apart."""
    pieces = [""]
    for character in text.replace("'", "\0"):
        shown = character.replace("\0", "''")
        if len(pieces[-1]) + len(shown) >= _VALUE_CHARACTERS:
            pieces.append("")
        pieces[-1] += shown
    return pieces


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else " " if c.isspace() else "?" for c in text)
