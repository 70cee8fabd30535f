"""Positions of uploaded tables: which of their columns a query uses as such, and what that says of other tables."""

from collections.abc import Mapping
from dataclasses import dataclass

from partitioning.sky.coverage import Coverage

from ..models.schema import Column, SkyPosition, Table
from ..models.tree import ColumnRef, Point, Query, TableRef
from ..models.upload import UPLOAD_SCHEMA
from ..models.walk import all_nodes
from .joins import Derived
from .regions import Around

__all__ = ["UploadedPosition", "recognised_position", "uploaded_positions", "uploaded_regions"]

_UCDS = (
    ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"),
    ("pos_eq_ra_main", "pos_eq_dec_main"),
    ("pos.eq.ra", "pos.eq.dec"),
)
_NAMES = (
    ("ra", "dec"),
    ("ra", "decl"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("_raj2000", "_dej2000"),
    ("ra_deg", "dec_deg"),
    ("coord_ra", "coord_dec"),
)


@dataclass(frozen=True, slots=True)
class UploadedPosition:
    """Columns of an uploaded table that a query uses as a position."""

    source: int
    table: Table
    ra: Column
    dec: Column


def uploaded_positions(tree: Query) -> tuple[UploadedPosition, ...]:
    """Return one position of each reference to an uploaded table that has any.

    It is the first that the query makes a point of, or else the one that names or UCDs tell.
    """
    nodes = all_nodes(tree)
    uploads = {n.source: n.table for n in nodes if isinstance(n, TableRef) and n.table.schema_name == UPLOAD_SCHEMA}
    used: dict[int, tuple[Column, Column]] = {}
    for node in nodes:
        match node:
            case Point(ra=ColumnRef(source=one, column=ra), dec=ColumnRef(source=other, column=dec)) if one == other:
                if one in uploads:
                    used.setdefault(one, (ra, dec))
            case _:
                pass
    for source, table in uploads.items():
        known = recognised_position(table)
        if known is not None:
            used.setdefault(source, known)
    return tuple(UploadedPosition(source, uploads[source], ra, dec) for source, (ra, dec) in used.items())


def recognised_position(table: Table) -> tuple[Column, Column] | None:
    """Return the columns of right ascension and declination, if UCDs or names tell them without doubt."""
    numbers = [c for c in table.columns if c.datatype.is_numeric and not c.is_array]
    for pair in _UCDS:
        found = [[c for c in numbers if (c.ucd or "").lower() == ucd] for ucd in pair]
        if all(len(columns) == 1 for columns in found):
            return found[0][0], found[1][0]
    by_name = {column.name.lower(): column for column in numbers}
    for ra, dec in _NAMES:
        if ra in by_name and dec in by_name:
            return by_name[ra], by_name[dec]
    return None


def uploaded_regions(cells: Mapping[UploadedPosition, tuple[Coverage, int]]) -> dict[int, Derived]:
    """Return what the cells of positions, and their order, say of each source."""
    return {
        one.source: Derived(SkyPosition(one.ra.name, one.dec.name), Around(coverage, order))
        for one, (coverage, order) in cells.items()
    }
