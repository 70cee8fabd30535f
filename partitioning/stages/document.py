"""A document of tables and examples, as Markdown or as one self-contained web page."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Document", "Example", "Section", "Table", "to_html", "to_markdown"]


@dataclass(frozen=True)
class Table:
    """A table of texts; numbers are written out by whoever makes it."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    """Numbers of the columns that are set flush right."""


@dataclass(frozen=True)
class Example:
    """A piece of code to copy."""

    language: str
    text: str


@dataclass(frozen=True)
class Section:
    """A heading, a remark, and what it is about."""

    title: str
    remark: str
    parts: tuple[Table | Example, ...]


@dataclass(frozen=True)
class Document:
    """A title, a line below it, a picture, and sections."""

    title: str
    subtitle: str
    picture: bytes
    """A PNG file."""
    picture_name: str
    """Name of the file beside the document that holds the picture."""
    picture_text: str
    sections: tuple[Section, ...]


_MARKDOWN_SIGNS: Final = re.compile(r"([\\`*\[\]<>|&#~]|(?<![^\W_])_|_(?![^\W_]))")
"""Signs with a meaning in Markdown; an underscore inside a word has none."""

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; }
h2 { margin-top: 2rem; }
img { max-width: 100%; background: #fff; border-radius: 6px; }
div { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { padding: .75rem 1rem; background: #8882; border-radius: 6px; overflow-x: auto; }
"""


def to_markdown(document: Document) -> str:
    """Return the document as GitHub-flavoured Markdown, with a link to the picture beside it."""
    picture = f"![{_plain(document.picture_text)}]({document.picture_name})"
    blocks = [f"# {_plain(document.title)}", _plain(document.subtitle), picture]
    for section in document.sections:
        blocks.append(f"## {_plain(section.title)}")
        blocks += [_plain(section.remark)] if section.remark else []
        blocks += ["\n".join(_markdown_part(part)) for part in section.parts]
    return "\n\n".join(blocks) + "\n"


def to_html(document: Document) -> str:
    """Return the document as a web page that needs no other file, no script and no network."""
    source = f"data:image/png;base64,{base64.b64encode(document.picture).decode()}"
    lines = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(document.title)}</h1>\n<p>{escape(document.subtitle)}</p>",
        f'<p><img src="{source}" alt="{escape(document.picture_text)}"></p>',
    ]
    for section in document.sections:
        lines.append(f"<h2>{escape(section.title)}</h2>")
        lines += [f"<p>{escape(section.remark)}</p>"] if section.remark else []
        lines += [line for part in section.parts for line in _html_part(part)]
    return "\n".join([*lines, "</body>\n</html>\n"])


def _markdown_part(part: Table | Example) -> Iterator[str]:
    match part:
        case Example():
            yield f"```{part.language}\n{part.text}\n```"
        case Table():
            yield _markdown_row(part.header)
            yield "|" + "|".join("---:" if at in part.numeric else "---" for at in range(len(part.header))) + "|"
            yield from map(_markdown_row, part.rows)


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    """Return text on one line, with the signs of Markdown escaped."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", " ".join(text.split()))


def _html_part(part: Table | Example) -> Iterator[str]:
    match part:
        case Example():
            yield f"<pre><code>{escape(part.text)}</code></pre>"
        case Table():
            yield "<div><table>"
            yield _html_row("th", part.header, part.numeric)
            for row in part.rows:
                yield _html_row("td", row, part.numeric)
            yield "</table></div>"


def _html_row(tag: str, cells: tuple[str, ...], numeric: frozenset[int]) -> str:
    kinds = [' class="number"' if at in numeric else "" for at in range(len(cells))]
    return "<tr>" + "".join(f"<{tag}{k}>{escape(c)}</{tag}>" for k, c in zip(kinds, cells, strict=True)) + "</tr>"
