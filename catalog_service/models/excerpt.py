"""Few rows of released files, told without SQL, so that an engine need not parse and bind any."""

from dataclasses import dataclass

__all__ = ["ConeTest", "Excerpt", "IdTest"]


@dataclass(frozen=True, slots=True)
class ConeTest:
    """Rows within a cone: the haversine of their distance is at most `haversine`.

    Rows whose haversine is `haversine` but for rounding are for SQL to decide.
    """

    ra: str
    """Stored name of the column, degrees; rows in which it is NULL are outside."""
    dec: str
    ra_deg: float
    dec_deg: float
    haversine: float
    """``sin(radius / 2)**2``, of a radius of at most 90 degrees."""


@dataclass(frozen=True, slots=True)
class IdTest:
    """Rows with one of a few integers."""

    column: str
    """Stored name; rows in which it is NULL have none of them."""
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first rows, in the order of the files, that satisfy all tests; of released files, which never change."""

    files: tuple[str, ...]
    """Absolute paths; the rows of each are sorted by `index`."""
    columns: tuple[str, ...]
    """Stored names, one for each column of the result."""
    index: str
    """Stored name of the column of HEALPix indices."""
    ranges: tuple[tuple[int, int], ...]
    """Half-open ranges of `index` outside of which no row satisfies the tests; empty means no bound."""
    rows: int
    """No more rows than these are wanted."""
    cones: tuple[ConeTest, ...] = ()
    ids: tuple[IdTest, ...] = ()
