"""HEALPix indices of a table's own position: they are stored, so they need not be computed."""

from collections.abc import Mapping

from ..models.query import TableScan
from ..models.schema import Column, DataType
from ..models.tree import ColumnRef, Coordinate, Expr, FunctionCall, Node, Point
from .ivo import HEALPIX_INDEX

__all__ = ["stored_index"]


def stored_index(call: Node, scans: Mapping[int, TableScan]) -> ColumnRef | None:
    """Return the stored order-29 index that `call` is computed from; None if it is no such call."""
    if not (isinstance(call, FunctionCall) and call.name == HEALPIX_INDEX):
        return None
    ra, dec = (_plain(arg) for arg in call.args[1:])
    if not (isinstance(ra, ColumnRef) and isinstance(dec, ColumnRef) and ra.source == dec.source):
        return None
    scan = scans.get(ra.source)
    if scan is None or not scan.own_index or scan.table.position is None:
        return None
    own = scan.table.position
    if (ra.column.name, dec.column.name) != (own.ra, own.dec):
        return None
    name = scan.healpix_column
    return ColumnRef(ra.source, Column(name=name, datatype=DataType.LONG, stored_name=name))


def _plain(expr: Expr) -> Expr:
    """Return the coordinate that COORD1 or COORD2 of ``POINT(ra, dec)`` is."""
    match expr:
        case Coordinate(axis=axis, point=Point(ra=ra, dec=dec)):
            return ra if axis == 1 else dec
        case _:
            return expr
