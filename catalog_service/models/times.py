"""Time systems of columns, as VOTable's TIMESYS names them (VOTable 1.4 section 3.5).

Felis has no place for scale and origin of a time: they are taken from the column's name and description, where these
name exactly one scale. Where they do not, nothing is claimed.
"""

import re
from dataclasses import dataclass
from typing import Final

from .schema import Column, DataType

__all__ = ["TimeSystem", "time_system"]

_SCALES: Final = frozenset({"TAI", "UTC", "UT", "TT", "TDB", "TCB", "TCG", "GPS"})
"""Of the IVOA's vocabulary of time scales."""
_LONG_SCALES: Final = {"international atomic time": "TAI", "coordinated universal time": "UTC"}
_EPOCHS: Final = ("time.epoch", "time.start", "time.end")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""Of texts and of names such as ``midpointMjdTai``."""


@dataclass(frozen=True, slots=True)
class TimeSystem:
    """A time scale, and where numbers count from."""

    scale: str
    origin: str | None = None
    """``MJD-origin`` or ``JD-origin`` for numbers of days, None for dates."""

    @property
    def identifier(self) -> str:
        """An XML identifier of it."""
        return f"time_{self.scale.lower()}" + ("" if self.origin is None else f"_{self.origin[:-7].lower()}")


def time_system(column: Column) -> TimeSystem | None:
    """Return the time system of a column of instants, None for others and where it is not told.

    >>> time_system(Column(name="midpointMjdTai", datatype=DataType.DOUBLE, unit="d", ucd="time.epoch"))
    TimeSystem(scale='TAI', origin='MJD-origin')
    """
    if column.is_array or not (column.ucd or "").lower().startswith(_EPOCHS):
        return None
    texts = f"{column.name} {column.description or ''}"
    words = {word.upper() for word in _WORD.findall(texts)}
    scales = words & _SCALES | {scale for text, scale in _LONG_SCALES.items() if text in texts.lower()}
    if len(scales) != 1:
        return None
    (scale,) = scales
    if column.datatype is DataType.TIMESTAMP:
        return TimeSystem(scale)
    origin = _origin(words) if column.unit == "d" and column.datatype.is_numeric else None
    return None if origin is None else TimeSystem(scale, origin)


def _origin(words: set[str]) -> str | None:
    if "MJD" in words or {"MODIFIED", "JULIAN"} <= words:
        return "MJD-origin"
    return "JD-origin" if "JD" in words or "JULIAN" in words else None
