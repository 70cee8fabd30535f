"""HATS property files: Java-properties text, UTF-8, one ``key=value`` a line (HATS 1.0)."""

import re
from collections.abc import Mapping
from typing import Final

from ..exceptions import LayoutError

__all__ = ["format_properties", "parse_properties"]

_BLANKS: Final = " \t\f\r"
"""What does not count at the ends of a line, or around the sign of equality."""

_NAMED: Final = {"\\": "\\", "\n": "n", "\r": "r", "\t": "t", "\f": "f"}
"""Characters that are written as a backslash and a letter; the backslash is replaced first."""

_BY_NAME: Final = {name: char for char, name in _NAMED.items()}
_OUTER_BLANK: Final = re.compile(r"\A | \Z")
_ESCAPE: Final = re.compile(r"((?:\\u[0-9a-fA-F]{4})+)|\\(.?)", re.DOTALL)


def format_properties(properties: Mapping[str, str]) -> str:
    r"""Return the text of a property file: backslashes are doubled, line breaks are ``\n``, outer blanks ``\u0020``."""
    lines = [f"{key}={_escaped(value)}" for key, value in properties.items()]
    return "#HATS catalog\n" + "\n".join(lines) + "\n"


def parse_properties(text: str) -> dict[str, str]:
    """Return the keys and values of a property file; unknown keys are kept.

    Raises
    ------
    LayoutError
        If a line is neither a comment, blank, nor ``key=value`` (or ``key:value``).
    """
    properties: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: U+2028 may be in a value
        stripped = line.strip(_BLANKS)
        if not stripped or stripped[0] in "#!":
            continue
        cut = min((at for at in (stripped.find("="), stripped.find(":")) if at >= 0), default=-1)
        if cut <= 0:
            msg = f"line {number} of a property file is not key=value: {stripped[:80]!r}"
            raise LayoutError(msg)
        properties[stripped[:cut].strip(_BLANKS)] = _unescaped(stripped[cut + 1 :].strip(_BLANKS))
    return properties


def _escaped(value: str) -> str:
    for char, name in _NAMED.items():
        value = value.replace(char, f"\\{name}")
    return _OUTER_BLANK.sub(r"\\u0020", value)


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(_meant, value)


def _meant(escape: re.Match[str]) -> str:
    """Return the text of an escape: code units of UTF-16, or the name of a character; others stand for themselves."""
    units, name = escape.groups()
    if units is not None:
        return bytes.fromhex(units.replace("\\u", "")).decode("utf-16-be", "replace")
    return _BY_NAME.get(name, name)
