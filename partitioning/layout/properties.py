"""HATS property files: Java-properties text, UTF-8, one ``key=value`` a line (HATS 1.0)."""

from collections.abc import Mapping

from ..exceptions import LayoutError

__all__ = ["format_properties", "parse_properties"]


def format_properties(properties: Mapping[str, str]) -> str:
    r"""Return the text of a property file; backslashes are doubled, line breaks become ``\n``."""
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
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        cut = min((at for at in (stripped.find("="), stripped.find(":")) if at >= 0), default=-1)
        if cut <= 0:
            msg = f"line {number} of a property file is not key=value: {stripped[:80]!r}"
            raise LayoutError(msg)
        properties[stripped[:cut].strip()] = _unescaped(stripped[cut + 1 :].strip())
    return properties


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _unescaped(value: str) -> str:
    replaced = {"n": "\n", "r": "\r", "t": "\t"}
    out, escape = [], False
    for char in value:
        if escape:
            out.append(replaced.get(char, char))
            escape = False
        elif char == "\\":
            escape = True
        else:
            out.append(char)
    return "".join(out)
