"""What columns of a table are its key, its position and its chunk, by their names: no protocol tells it all."""

import re
from collections.abc import Sequence
from typing import Final

from .records import Column

__all__ = ["find_chunk", "find_key", "find_position", "is_integer"]

_POSITIONS: Final = (
    ("coord_ra", "coord_dec"),
    ("ra", "dec"),
    ("ra", "decl"),
    ("raj2000", "dej2000"),
    ("ra_icrs", "de_icrs"),
    ("radeg", "dedeg"),
    ("ra_deg", "dec_deg"),
    ("ra_true", "dec_true"),
    ("s_ra", "s_dec"),
    ("ra_ps", "decl_ps"),
)
_CHUNK: Final = "chunkid"


def find_position(columns: Sequence[Column]) -> tuple[str | None, str | None]:
    """Return the names of right ascension and declination: by UCD, else by well-known names."""
    ucds = {(one.ucd or "").lower(): one.name for one in columns}
    if "pos.eq.ra;meta.main" in ucds and "pos.eq.dec;meta.main" in ucds:
        return ucds["pos.eq.ra;meta.main"], ucds["pos.eq.dec;meta.main"]
    names = {one.name.lower(): one.name for one in columns if one.kind in {"float32", "float64"}}
    for ra, dec in _POSITIONS:
        if ra in names and dec in names:
            return names[ra], names[dec]
    return None, None


def find_key(table: str, columns: Sequence[Column], primary: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return the key: the declared one, else by UCD, else a column named after the table."""
    if primary:
        return primary
    for one in columns:
        if (one.ucd or "").lower() == "meta.id;meta.main":
            return (one.name,)
    stem = re.sub(r"_|\W", "", table.lower())
    names = {one.name.lower().replace("_", ""): one.name for one in columns}
    for name in (stem + "id", stem.removesuffix("s") + "id", "id", "objectid", "sourceid", stem):
        if name in names:
            return (names[name],)
    return None


def find_chunk(columns: Sequence[Column]) -> str | None:
    """Return the column that tells a row's chunk, if the table lists it."""
    return next((one.name for one in columns if one.name.lower() == _CHUNK), None)


def is_integer(column: Column) -> bool:
    """Tell whether a column holds integers."""
    return column.kind in {"int64", "uint64"}
