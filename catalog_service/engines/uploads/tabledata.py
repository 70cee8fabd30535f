"""Rows of TABLEDATA as the XML parser meets them: the inner loop of reading a VOTable."""

from collections.abc import Callable
from typing import Final
from xml.parsers import expat

import pyarrow as pa

from .cells import cells_array
from .fields import VOField
from .incoming import Tally

__all__ = ["TableDataRows"]

_TAGS: Final = ("TD", "TR", "TABLEDATA")


class TableDataRows:
    """Takes over a parser's events from the start of TABLEDATA to its end.

    Parameters
    ----------
    parser
        The parser, whose handlers are put back at the end.
    fields
        Columns.
    tally
        Counts rows.
    """

    def __init__(self, parser: expat.XMLParserType, fields: tuple[VOField, ...], tally: Tally) -> None:
        self._parser = parser
        self._fields = fields
        self._tally = tally
        self._texts: list[str] = []
        self._row: list[str] = []
        self._rows: list[list[str]] = []
        self._kinds: dict[str, str] = {}
        self._before = (parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler)
        parser.StartElementHandler, parser.EndElementHandler = self._handlers()
        # what stands between cells is cleared away when the next one starts
        parser.CharacterDataHandler = self._texts.append

    def take(self, least: int) -> list[pa.Array] | None:
        """Return the columns of the rows read, None if there are fewer than `least`.

        Raises
        ------
        UploadError
            If a cell holds no value of its column's type.
        """
        if len(self._rows) < least:
            return None
        columns = zip(*self._rows, strict=True)
        arrays = [cells_array(field, cells, self._tally) for field, cells in zip(self._fields, columns, strict=True)]
        self._rows.clear()
        return arrays

    def _handlers(self) -> tuple[Callable[[str, dict[str, str]], None], Callable[[str], None]]:
        """Return functions for the start and the end of an element; they are called for every cell."""
        kinds, texts, tally, width = self._kinds, self._texts, self._tally, len(self._fields)

        def start(tag: str, attributes: dict[str, str]) -> None:
            kind = kinds.get(tag) or self._kind(tag)
            if kind == "TD":
                texts.clear()
                if attributes.get("encoding", "none") != "none":
                    raise tally.error("a cell is encoded (TD encoding=...).", "Write its value as it is.")
            elif kind == "TR":
                tally.add_rows(1)
                self._row = []

        def end(tag: str) -> None:
            kind = kinds.get(tag) or self._kind(tag)
            if kind == "TD":
                self._row.append("".join(texts))
            elif kind == "TR":
                if len(self._row) != width:
                    raise tally.error(f"row {tally.rows} has {len(self._row)} cells, but there are {width} columns.")
                self._rows.append(self._row)
            else:
                self._end(tag)

        return start, end

    def _kind(self, tag: str) -> str:
        """Return the name of an element without its prefix."""
        kind = self._kinds[tag] = tag.rpartition(":")[2]
        if kind not in _TAGS:
            raise self._tally.error(f"an element {kind[:40]!r} stands among its rows.")
        return kind

    def _end(self, tag: str) -> None:
        parser, (_, ends, _) = self._parser, self._before
        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = self._before
        assert ends is not None
        ends(tag)
