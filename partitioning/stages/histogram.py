"""Place units and histogram: the order-29 index of every row, and rows per HEALPix pixel.

Counts are coarse over the whole sky and finer where rows crowd.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..exceptions import ConfigError
from ..layout.paths import HEALPIX_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from ..sky.healpix import order_shift
from .damage import Damage, damage_array, read_damage
from .parents import Lookup, place_by_parent
from .places import CHUNK_ROWS, PlacedRows, Places, Unplaced, degrees, index_or_reason, write_places
from .plan import TablePlan
from .spill import write_record
from .units import UnitBatch, base_batches, unit_batches
from .workspace import Workspace

__all__ = ["COARSE_ORDER", "check_position_column", "coarse_counts", "count_within", "place_unit"]

COARSE_ORDER: Final = 9
"""Order of the all-sky histogram: 3.1 million pixels of 6.9 arcmin, 25 MB of counts."""


def place_unit(workspace: Workspace, plan: TablePlan, unit: int, lookup: Lookup | None) -> int:
    """Place every row of one input unit; return its rows.

    Writes the places, and a record with the rows of each input file and the counts of the coarse histogram.
    """
    files: dict[int, int] = {}
    orphans: dict[int, int] = {}
    damage = read_damage(workspace) if plan.skip_bad else ()
    places = Places(workspace.places(unit), has_parent=plan.stores_parent)

    def chunks() -> Iterator[PlacedRows]:
        if unit >= len(plan.units):
            yield from _base_places(plan, unit - len(plan.units))
            return
        if lookup is None:
            placed: Iterable[tuple[UnitBatch, PlacedRows]] = _own_places(plan, unit, damage)
        else:
            placed = place_by_parent(plan, unit, damage, lookup)
        for read, rows in placed:
            files[read.file] = files.get(read.file, 0) + len(rows.index)
            orphans[read.file] = orphans.get(read.file, 0) + rows.orphans
            yield rows

    write_places(places.directory, chunks(), has_parent=plan.stores_parent)
    counts = _sparse(_dense_counts(places.index_chunks(), COARSE_ORDER))
    write_record(
        workspace.record("place", unit),
        files=np.array(list(files), dtype=np.int64),
        rows=np.array(list(files.values()), dtype=np.int64),
        orphans=np.array(list(orphans.values()), dtype=np.int64),
        pixels=counts[0],
        counts=counts[1],
        damage=damage_array(damage),
    )
    return sum(files.values())


def _own_places(plan: TablePlan, unit: int, damage: tuple[Damage, ...]) -> Iterator[tuple[UnitBatch, PlacedRows]]:
    """Place rows by their own position; reads two columns."""
    ra, dec = plan.position_columns
    for read in unit_batches(plan, unit, damage, (ra, dec), CHUNK_ROWS):
        yield read, PlacedRows(index_or_reason(degrees(read.batch.column(0)), degrees(read.batch.column(1))))


def _base_places(plan: TablePlan, tile: int) -> Iterator[PlacedRows]:
    """Return the stored places of a tile of the base release; rows of replaced input files lose theirs."""
    assert plan.base is not None
    names = (HEALPIX_COLUMN, *((PARENT_RA_COLUMN, PARENT_DEC_COLUMN) if plan.stores_parent else ()))
    for read in base_batches(plan, tile, names, CHUNK_ROWS):
        index = read.batch.column(0).to_numpy().copy()
        assert read.numbers is not None
        index[np.isin(read.numbers, plan.base.removed)] = Unplaced.REMOVED
        if plan.stores_parent:
            yield PlacedRows(index, degrees(read.batch.column(1)), degrees(read.batch.column(2)))
        else:
            yield PlacedRows(index)


def check_position_column(schema: pa.Schema, name: str, where: str) -> None:
    """Raise `ConfigError` unless `name` is a numeric column of `schema`; `where` names the input in the message."""
    if name not in schema.names:
        msg = f"{where}: there is no position column {name!r}; set ra and dec to columns of the input"
        raise ConfigError(msg)
    kind = schema.field(name).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        msg = f"{where}: position column {name!r} is {kind}; it must hold degrees as numbers"
        raise ConfigError(msg)


def coarse_counts(workspace: Workspace, units: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the occupied pixels of `COARSE_ORDER`, sorted, and the rows of all units in each; shape ``(N,)``."""
    total = np.zeros(12 << (2 * COARSE_ORDER), dtype=np.int64)
    for unit in range(units):
        with np.load(workspace.record("place", unit)) as record:
            total[record["pixels"]] += record["counts"]
    return _sparse(total)


def count_within(
    units: Sequence[Places], pixels: NDArray[np.int64], order: int, depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the occupied descendants of some pixels and the rows in each.

    Parameters
    ----------
    units
        Places of all rows.
    pixels
        Sorted pixel numbers at `order`, shape ``(H,)``; needs ``H * 4**depth`` counters.
    depth
        Levels to descend.

    Returns
    -------
    tuple
        Sorted pixel numbers at ``order + depth`` and row counts, each of shape ``(N,)``.
    """
    children = 1 << (2 * depth)
    counts = np.zeros(len(pixels) * children, dtype=np.int64)
    for places in units:
        for index in places.index_chunks():
            fine = index >> order_shift(order + depth)
            slot = np.searchsorted(pixels, fine >> (2 * depth))
            found = pixels[np.minimum(slot, len(pixels) - 1)] == fine >> (2 * depth)
            cells = slot[found] * children + (fine[found] & (children - 1))
            counts += np.bincount(cells, minlength=len(counts))
    occupied = np.flatnonzero(counts)
    return (pixels[occupied // children] << (2 * depth)) + occupied % children, counts[occupied]


def _dense_counts(chunks: Iterable[NDArray[np.int64]], order: int) -> NDArray[np.int64]:
    counts = np.zeros(12 << (2 * order), dtype=np.int64)
    for index in chunks:
        counts += np.bincount(index >> order_shift(order), minlength=len(counts))
    return counts


def _sparse(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pixels = np.flatnonzero(counts)
    return pixels, counts[pixels]
