"""Small tables in memory with random partition maps, and which of their rows a planned scan may return."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog_service.models.query import ResolvedQuery, ScanPlan, TableScan
from catalog_service.models.schema import Column, DataType, SkyPosition, Table
from catalog_service.models.stored import StoredTable
from catalog_service.models.tree import ColumnRef, Expr, IntegerLiteral, Select, SelectItem, TableRef
from catalog_service.planner.plan import plan
from partitioning.layout.manifest import Placement
from partitioning.layout.partition_map import PartitionMap
from partitioning.sky.healpix import order_shift, radec_to_index
from partitioning.sky.separation import separation_deg

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

POSITION = SkyPosition("ra", "dec")


@dataclass(frozen=True, eq=False)
class World:
    """A published table and its rows; arrays of shape ``(N,)``."""

    stored: StoredTable
    ra: Floats
    """Stored own RA in degrees, NaN for NULL."""
    dec: Floats
    index: NDArray[np.int64]
    """Stored order-29 index: of the position that places the row."""
    tile: NDArray[np.int64]

    @property
    def table(self) -> Table:
        return self.stored.table

    def column(self, name: str, source: int = 0) -> ColumnRef:
        return ColumnRef(source, self.table.columns_by_folded_name[name.lower()])

    def readable(self, scan: TableScan) -> Bools:
        """Return which rows the scan may return: in its files, inside its index ranges and its box."""
        assert self.stored.partitions is not None
        every_path = self.stored.paths(np.arange(len(self.stored.partitions)))
        assert set(scan.files) <= set(every_path)
        assert len(set(scan.files)) == len(scan.files)
        mask = np.isin(self.tile, [number for number, path in enumerate(every_path) if path in set(scan.files)])
        assert len(scan.healpix_ranges) <= 32
        if scan.healpix_ranges:
            mask &= np.any([(self.index >= low) & (self.index < high) for low, high in scan.healpix_ranges], axis=0)
        if scan.box is not None:
            mask &= (self.dec >= scan.box.dec_min_deg) & (self.dec <= scan.box.dec_max_deg)
            if scan.box.ra_ranges_deg:
                mask &= np.any([(self.ra >= low) & (self.ra <= high) for low, high in scan.box.ra_ranges_deg], axis=0)
        return mask


def make_table(name: str, *columns: str, position: SkyPosition | None = POSITION) -> Table:
    """Return a table of 64-bit integer `columns`, and of its position."""
    spot = () if position is None else (position.ra, position.dec)
    kinds = [(column, DataType.DOUBLE) for column in spot] + [(column, DataType.LONG) for column in columns]
    made = tuple(Column(name=column, datatype=kind, stored_name=column) for column, kind in kinds)
    return Table("sky", name, made, position=position)


def make_world(
    rng: np.random.Generator,
    table: Table,
    own: tuple[Floats, Floats],
    *,
    placed: tuple[Floats, Floats] | None = None,
    placement: Placement | None = None,
    finest: int = 7,
    splitting: float | None = None,
) -> World:
    """Publish rows in memory under a random multi-order tiling.

    Parameters
    ----------
    own
        Stored own RA and Dec in degrees; NaN for NULL where `placed` is given.
    placed
        Position that places the rows, if not their own.
    placement
        Its parent and key, if any; RA bounds are filled in.
    splitting
        Share of tiles that are split at each order; random by default.
    """
    ra, dec = own
    where = own if placed is None else placed
    index = radec_to_index(*where)
    separations = np.zeros(len(ra)) if placed is None else np.nan_to_num(separation_deg(ra, dec, *where))
    tiles, tile = random_tiling(rng, index, separations, finest, splitting or rng.uniform(0.2, 0.95))
    known = ra[np.isfinite(ra)]
    placement = placement or Placement(ra_column="ra", dec_column="dec", own_ra_column="ra", own_dec_column="dec")
    placement = replace(
        placement, ra_min=float(known.min()) if len(known) else None, ra_max=float(known.max()) if len(known) else None
    )
    stored = StoredTable(
        table=table,
        directory=Path("/catalogs/sky") / table.name,
        release=1,
        rows=len(ra),
        size_bytes=int(tiles.size_bytes.sum()),
        partitions=tiles,
        placement=placement,
    )
    return World(stored, ra, dec, index, tile)


def random_tiling(
    rng: np.random.Generator, index: NDArray[np.int64], separations: Floats, finest: int, splitting: float
) -> tuple[PartitionMap, NDArray[np.int64]]:
    """Return a random tiling of the occupied sky with random stored ranges, and the tile of each row."""
    pixels = []
    waiting = [(0, number) for number in range(12)]
    while waiting:
        order, number = waiting.pop()
        rows = np.count_nonzero(index >> order_shift(order) == number)
        if rows and order < finest and rng.random() < splitting:
            waiting += [(order + 1, 4 * number + child) for child in range(4)]
        elif rows:
            pixels.append((order, number))
    pixels.sort(key=lambda pixel: pixel[1] << order_shift(pixel[0]))
    firsts = np.array([number << order_shift(order) for order, number in pixels], dtype=np.int64)
    lasts = np.array([(number + 1) << order_shift(order) for order, number in pixels], dtype=np.int64)
    tile = np.searchsorted(firsts, index, side="right") - 1
    members = [index[tile == number] for number in range(len(pixels))]
    tight = rng.random(len(pixels)) < 0.7  # other tiles' rows reach their borders
    partitions = PartitionMap(
        orders=np.array([order for order, _ in pixels], dtype=np.uint8),
        numbers=np.array([number for _, number in pixels], dtype=np.int64),
        starts=np.where(tight, [m.min() for m in members], firsts),
        stops=np.where(tight, [m.max() + 1 for m in members], lasts),
        rows=np.array([len(m) for m in members], dtype=np.int64),
        size_bytes=np.array([100 * len(m) for m in members], dtype=np.int64),
        separations_deg=np.array([separations[tile == number].max() for number in range(len(pixels))]),
    )
    return partitions, tile


def points_near(
    rng: np.random.Generator, ra: float, dec: float, radius_deg: float, count: int
) -> tuple[Floats, Floats]:
    """Return positions about a centre: at it, inside, exactly on the circle, and somewhat outside."""
    share = rng.choice([0.0, 0.3, 0.9, 1.0, 1.0, 1.0, 1 + 1e-7, 1.02, 1.5], count)
    distance, angle = np.radians(np.minimum(share * radius_deg, 180)), rng.uniform(0, 2 * np.pi, count)
    a, d = np.radians(ra), np.radians(dec)
    centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.cross(centre, east)
    along = np.cos(angle)[:, None] * east + np.sin(angle)[:, None] * north
    points = np.cos(distance)[:, None] * centre + np.sin(distance)[:, None] * along
    decs = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    return np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360.0, decs


def anywhere(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Return positions all over the sky."""
    return rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))


def awkward() -> tuple[Floats, Floats]:
    """Return poles, the seam of RA, and corners of base cells."""
    ra = np.array([0.0, 123.4, 0.0, 359.99999999, 0.0, 45.0, 90.0, 180.0, 45.0, 315.0, 359.999999999999])
    dec = np.array([90.0, 90.0, -90.0, 0.0, 0.0, 41.810314895778596, 0.0, -41.810314895778596, 0.0, 89.9999999, 30.0])
    return ra, dec


def select(world: World, where: Expr | None, *, source: int = 0) -> ResolvedQuery:
    """Return the query ``SELECT 1 FROM world WHERE where``."""
    item = SelectItem(IntegerLiteral(1), column=Column(name="one", datatype=DataType.INT))
    assert item.column is not None
    tree = Select((item,), TableRef(source, world.table, world.table.name), where=where)
    return ResolvedQuery(tree, (item.column,))


def plan_one(world: World, where: Expr | None) -> tuple[TableScan, ScanPlan]:
    """Plan a query of one table."""
    planned = plan(select(world, where), lambda _: world.stored, visible_schemas={"sky"})
    return planned.scans[0], planned
