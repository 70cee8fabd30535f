"""Place units and histogram: the order-29 index of every row, and rows per HEALPix pixel.

Counts are coarse over the whole sky and finer where rows crowd.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..exceptions import ConfigError
from ..layout.paths import HEALPIX_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from ..sky.healpix import order_shift
from .counts import Counts, sorted_counts, summed
from .damage import Damage, damage_array, read_damage
from .places import CHUNK_ROWS, Lookup, PlacedRows, Places, Unplaced, degrees, index_or_reason, write_places
from .plan import TablePlan
from .spill import write_record
from .units import UnitBatch, base_batches, unit_batches
from .workspace import Workspace

__all__ = [
    "COARSE_ORDER",
    "check_position_column",
    "coarse_counts",
    "count_unit",
    "count_within",
    "counts_of_units",
    "place_unit",
    "write_count_request",
]

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
            from .parents import place_by_parent  # noqa: PLC0415  DuckDB, which other tables do not need

            placed = place_by_parent(plan, unit, damage, lookup)
        for read, rows in placed:
            files[read.file] = files.get(read.file, 0) + len(rows.index)
            orphans[read.file] = orphans.get(read.file, 0) + rows.orphans
            yield rows

    write_places(places.directory, chunks(), has_parent=plan.stores_parent)
    counts = _coarse_counts(places.index_chunks())
    write_record(
        workspace.record("place", unit),
        flush=False,
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


def coarse_counts(workspace: Workspace, units: int) -> Counts:
    """Return the occupied pixels of `COARSE_ORDER`, sorted, and the rows of all units in each; shape ``(N,)``."""
    total = np.zeros(12 << (2 * COARSE_ORDER), dtype=np.int64)
    for unit in range(units):
        with np.load(workspace.record("place", unit)) as record:
            total[record["pixels"]] += record["counts"]
    return _sparse(total)


def count_within(units: Sequence[Places], pixels: NDArray[np.int64], order: int, depth: int) -> Counts:
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
    return _joined((_cells_within(places, pixels, order, depth) for places in units), pixels, depth)


def write_count_request(workspace: Workspace, stage: str, pixels: NDArray[np.int64], order: int, depth: int) -> None:
    """Write what the units of a count stage shall count: the arguments of `count_within`."""
    write_record(_request_path(workspace, stage), pixels=pixels, order=np.array(order), depth=np.array(depth))


def count_unit(workspace: Workspace, plan: TablePlan, stage: str, unit: int) -> int:
    """Count the rows of one unit as requested; return its rows."""
    with np.load(_request_path(workspace, stage)) as request:
        pixels, order, depth = request["pixels"], int(request["order"]), int(request["depth"])
    with np.load(workspace.record("place", unit)) as record:
        rows = int(record["rows"].sum())
        meets = np.isin(record["pixels"], pixels >> (2 * (order - COARSE_ORDER))).any()
    places = Places(workspace.places(unit), has_parent=plan.stores_parent)
    cells, counts = _cells_within(places, pixels, order, depth) if meets else (pixels[:0], pixels[:0])
    write_record(workspace.record(stage, unit), cells=cells, counts=counts)
    return rows


def counts_of_units(workspace: Workspace, stage: str, units: int) -> Counts:
    """Return the sum of what the units of a count stage counted, as `count_within` does."""
    with np.load(_request_path(workspace, stage)) as request:
        pixels, depth = request["pixels"], int(request["depth"])

    def counted() -> Iterator[Counts]:
        for unit in range(units):
            with np.load(workspace.record(stage, unit)) as record:
                yield record["cells"], record["counts"]

    return _joined(counted(), pixels, depth)


def _request_path(workspace: Workspace, stage: str) -> Path:
    return workspace.records / f"{stage}.npz"


def _cells_within(places: Places, pixels: NDArray[np.int64], order: int, depth: int) -> Counts:
    """Return the occupied descendants of `pixels` in one unit, numbered through all descendants, and their rows."""
    found = []
    for index in places.index_chunks():
        fine = index >> order_shift(order + depth)
        coarse = fine >> (2 * depth)
        slot = np.minimum(np.searchsorted(pixels, coarse), len(pixels) - 1)
        inside = pixels[slot] == coarse
        cells = (slot[inside] << (2 * depth)) + (fine[inside] & ((1 << (2 * depth)) - 1))
        found.append(sorted_counts(np.sort(cells)))
    return summed([cells for cells, _ in found], [rows for _, rows in found])


def _joined(parts: Iterable[Counts], pixels: NDArray[np.int64], depth: int) -> Counts:
    """Sum what units counted in numbered descendants, and return the occupied descendants by their pixel numbers."""
    total = np.zeros(len(pixels) << (2 * depth), dtype=np.int64)
    for cells, rows in parts:
        total[cells] += rows
    cells, rows = _sparse(total)
    return (pixels[cells >> (2 * depth)] << (2 * depth)) + (cells & ((1 << (2 * depth)) - 1)), rows


def _coarse_counts(chunks: Iterable[NDArray[np.int64]]) -> Counts:
    """Return the occupied pixels of `COARSE_ORDER`, sorted, and the rows in each."""
    shift = order_shift(COARSE_ORDER)
    found = [sorted_counts(np.sort((index >> shift).astype(np.int32))) for index in chunks]
    return summed([pixels for pixels, _ in found], [rows for _, rows in found])


def _sparse(counts: NDArray[np.int64]) -> Counts:
    pixels = np.flatnonzero(counts)
    return pixels, counts[pixels]
