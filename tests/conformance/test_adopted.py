"""Other groups' catalogs, served where they lie: every answer equals brute force over what they hold."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo

from catalog_service.client import CatalogClient
from catalog_service.exceptions import StorageError
from partitioning.adopt import Adoption, adopt
from tests.conformance.oracle import Sky
from tests.conformance.test_cones import AWKWARD, random_cones
from tests.foreign import GOOD_ROWS, ROWS, good_table, pixels, rows, tile_groups, tracts, tree_state, write_hats
from tests.harness import RunningServer, start_server, stop_server

HEALPIX = "_healpix_29"


@dataclass
class Truth:
    """What an adopted table holds."""

    table: pa.Table
    sky: Sky

    @property
    def mag(self) -> np.ma.MaskedArray:
        mag = self.table["mag"].to_numpy()
        return np.ma.masked_array(mag, mask=np.isnan(mag))

    @property
    def ids(self) -> np.ndarray:
        return self.table["id"].to_numpy()


def write_lsdb(base: Path) -> None:
    import lsdb

    frame = good_table().drop_columns(["curve"]).to_pandas()
    catalog = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", catalog_name="lsdb", partition_rows=1000)
    catalog.write_catalog(base, catalog_name="lsdb", as_collection=True)


def write_hats_import(base: Path) -> None:
    """Write a catalog by hats-import itself, of two files, with row groups by pixels of the next order."""
    from dask.distributed import Client
    from hats_import.catalog.arguments import ImportArguments
    from hats_import.pipeline import pipeline_with_client

    table = good_table()
    inputs = [base.parent.parent / f"input/night{number}.parquet" for number in range(2)]
    inputs[0].parent.mkdir()
    for path, half in zip(inputs, (table[: GOOD_ROWS // 3], table[GOOD_ROWS // 3 :]), strict=True):
        pq.write_table(half, path)
    arguments = ImportArguments(
        output_path=base.parent,
        output_artifact_name=base.name,
        input_file_list=inputs,
        file_reader="parquet",
        ra_column="ra",
        dec_column="dec",
        pixel_threshold=300,
        highest_healpix_order=6,
        progress_bar=False,
        tmp_dir=inputs[0].parent,
        row_group_kwargs={"subtile_order_delta": 1},
    )
    scratch = str(inputs[0].parent)
    with Client(processes=False, n_workers=1, dashboard_address=None, local_directory=scratch) as client:  # type: ignore[no-untyped-call]
        pipeline_with_client(arguments, client)


def write_directory_leaves(base: Path) -> None:
    """Two unsorted files a leaf with columns in another order, RA from -180, and columns of older HATS versions."""
    leaves = []
    for order, pixel, part in tile_groups(good_table(folded=False)):
        older = part.append_column("Norder", pa.array([order] * len(part), pa.uint8()))
        older = older.append_column("Npix", pa.array([pixel] * len(part)))
        older = older.append_column(HEALPIX, pa.array(pixels(part, 29)).cast(pa.uint64()))
        half = len(part) // 2
        leaves.append((order, pixel, [older[:half], older[half:].select(older.column_names[::-1])]))
    write_hats(base, leaves, suffix="/", names=("properties",))


def write_other_suffix(base: Path) -> None:
    leaves = [(order, pixel, [part]) for order, pixel, part in tile_groups(good_table())]
    write_hats(base, leaves, suffix=".snappy.parquet", names=("properties",), partition_info=False)


def write_wrong_tiles(base: Path) -> None:
    """An index of another name and order, an order-29 one that lies, and each leaf's rows in the next one's pixel."""
    parts = list(tile_groups(good_table()))
    moved = [*parts[1:], parts[0]]
    leaves = []
    for (order, pixel, _), (_, _, part) in zip(parts, moved, strict=True):
        indexed = part.add_column(3, "_healpix_19", pa.array(pixels(part, 19)))
        leaves.append((order, pixel, [indexed.append_column(HEALPIX, pa.array(np.arange(len(part))))]))
    write_hats(base, leaves, extra="hats_col_healpix=_healpix_19\nhats_col_healpix_order=19\n")


def write_lying_index(base: Path) -> None:
    """Sorted and of the right name and type, but not the index of the positions."""
    leaves = [
        (order, pixel, [part.append_column(HEALPIX, pa.array(np.arange(len(part))))])
        for order, pixel, part in tile_groups(good_table())
    ]
    write_hats(base, leaves)


def write_mixed(base: Path) -> None:
    """Files whose types differ, as nights of one pipeline do: float and double, NULL only, narrow integers."""
    parts = [good_table()[start : start + 2000] for start in range(0, GOOD_ROWS, 2000)]
    base.mkdir(parents=True)
    short = pa.array((parts[0]["mag"].to_numpy() * 2).round() / 2, pa.float32())
    parts[0] = parts[0].set_column(parts[0].column_names.index("mag"), "mag", short)
    parts[2] = parts[2].set_column(parts[2].column_names.index("band"), "band", pa.nulls(len(parts[2])))
    for number, part in enumerate(parts):
        number_column = pa.array(np.arange(len(part)) % 100, [pa.int8(), pa.uint8(), pa.int64()][number])
        pq.write_table(part.append_column("n", number_column), base / f"night{number}.parquet")


def write_tracts(base: Path) -> None:
    tracts(base, rows())


TREES: dict[str, Callable[[Path], None]] = {
    "lsdb": write_lsdb,
    "hatsimport": write_hats_import,
    "directories": write_directory_leaves,
    "suffix": write_other_suffix,
    "wrongtiles": write_wrong_tiles,
    "lying": write_lying_index,
    "mixed": write_mixed,
    "tracts": write_tracts,
}

PLAIN = {"mixed", "tracts"}

TABLES: dict[str, tuple[str, set[str]]] = {
    **{name: (name, set()) for name in TREES},
    "lsdb_trusted": ("lsdb", {"trust_tiles"}),
    "hatsimport_trusted": ("hatsimport", {"trust_tiles"}),
    "suffix_trusted": ("suffix", {"trust_tiles"}),
    "hatsimport_scanned": ("hatsimport", {"scan"}),
    "tracts_scanned": ("tracts", {"scan"}),
}


def collect(directory: Path) -> pa.Table:
    """Return all rows of a tree, by reading each file by itself."""
    names = ["id", "ra", "dec", "mag", "mag32", "flux", "band"]
    margins = [path for path in directory.iterdir() if path.name.endswith("arcs")]
    below = "*.parquet" if directory.name in PLAIN else "dataset/Norder=*/**/*.parquet"
    files = [path for path in sorted(directory.rglob(below)) if not any(path.is_relative_to(one) for one in margins)]
    tables = [pq.ParquetFile(path).read(columns=names).select(names) for path in files]
    wide = pa.schema([tables[0].schema.field(name) for name in names])
    wide = wide.set(3, pa.field("mag", pa.float64())).set(6, pa.field("band", pa.string()))
    return pa.concat_tables([table.cast(wide) for table in tables])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with foreign trees, all of them adopted while nobody could write to them."""
    base = tmp_path_factory.mktemp("adopted")
    for name, write in TREES.items():
        write(base / "foreign" / name)
    for path in (base / "foreign").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree_state(base / "foreign")
    for name, (tree, options) in TABLES.items():
        position = ("ra", "dec") if tree in PLAIN else (None, None)
        wanted = Adoption(
            paths=(str(base / "foreign" / tree),),
            root=base / "catalogs",
            schema="other",
            table=name,
            ra=position[0],
            dec=position[1],
            id=("id",),
            trust_tiles="trust_tiles" in options,
            scan="scan" in options,
        )
        adopt(wanted)
    assert tree_state(base / "foreign") == before
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[RunningServer]:
    running = start_server(base / "catalogs", base)
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> CatalogClient:
    return CatalogClient(server.url)


@pytest.fixture(scope="module")
def truths(base: Path) -> dict[str, Truth]:
    found = {}
    for name, tree in ((name, tree) for name, (tree, _) in TABLES.items()):
        table = collect(base / "foreign" / tree)
        dec = table["dec"].to_numpy().copy()
        dec[np.abs(dec) > 90] = np.nan
        path = base / f"{name}.truth"
        pq.write_table(table.set_column(2, "dec", pa.array(dec)), path)
        found[name] = Truth(table, Sky([path], "id", "ra", "dec"))
    return found


@pytest.fixture(params=TABLES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ids(client: CatalogClient, query: str) -> np.ndarray:
    return client.query(query, maxrec=1_000_000).to_arrow().column("id").to_numpy()


def test_all_rows_are_there(client: CatalogClient, truths: dict[str, Truth], name: str) -> None:
    truth = truths[name]
    assert len(truth.table) == (ROWS if name.startswith("tracts") else GOOD_ROWS)
    assert len(truth.sky.ids) == GOOD_ROWS
    assert client.query(f"SELECT COUNT(*) AS n FROM other.{name}").to_arrow()["n"].to_pylist() == [len(truth.table)]
    every = client.query(f"SELECT * FROM other.{name}", maxrec=10_000).to_arrow()
    assert not {"Norder", "Dir", "Npix", HEALPIX} & set(every.column_names)
    columns = ["id", "flux", "band"]
    assert every.select(columns).sort_by("id").equals(truth.table.select(columns).sort_by("id"))


@pytest.mark.parametrize("cone", AWKWARD)
def test_awkward_cones(
    client: CatalogClient, truths: dict[str, Truth], name: str, cone: tuple[float, float, float]
) -> None:
    found = client.cone(*cone, table=f"other.{name}", columns=["id"], maxrec=100_000).to_arrow()
    truths[name].sky.check_cone(*cone, found.column("id").to_numpy())


def test_random_cones_over_tap(server: RunningServer, truths: dict[str, Truth], name: str) -> None:
    service = pyvo.dal.TAPService(f"{server.url}/tap")
    rows_found = 0
    for ra, dec, radius in random_cones(truths[name].sky, 25, 3, 120.0):
        region = f"CONTAINS(POINT(ra, dec), CIRCLE({ra!r}, {dec!r}, {radius!r})) = 1"
        found = service.run_sync(f"SELECT id FROM other.{name} WHERE {region}", maxrec=100_000)
        rows_found += truths[name].sky.check_cone(ra, dec, radius, np.asarray(found["id"]))
    assert rows_found > 100


def test_what_is_not_in_a_cone(client: CatalogClient, truths: dict[str, Truth], name: str) -> None:
    """A row without a position is neither inside nor outside."""
    sky = truths[name].sky
    outside = ids(client, f"SELECT id FROM other.{name} WHERE CONTAINS(POINT(ra, dec), CIRCLE(0, 0, 90)) = 0")
    assert set(outside) == set(sky.ids[sky.separation_deg(0, 0) > 90])
    derived = f"(SELECT id, ra AS x, dec AS y FROM other.{name}) AS d"
    inside = ids(client, f"SELECT d.id FROM {derived} WHERE DISTANCE(POINT(d.x, d.y), POINT(0, 0)) < 100")
    assert set(inside) == set(sky.ids[sky.separation_deg(0, 0) < 100])


def test_boxes_and_polygons(client: CatalogClient, truths: dict[str, Truth], name: str) -> None:
    sky = truths[name].sky
    found = ids(client, f"SELECT id FROM other.{name} WHERE dec BETWEEN -1 AND 1 AND ra BETWEEN -1 AND 1")
    assert set(found) == set(sky.ids[(np.abs(sky.dec) <= 1) & (np.abs(sky.ra) <= 1)])
    polar = ids(client, f"SELECT id FROM other.{name} WHERE dec > 88.5 AND dec <= 90")
    assert set(polar) == set(sky.ids[sky.dec > 88.5])


@pytest.mark.parametrize("column", ["mag", "mag32"])
def test_nan_is_null(client: CatalogClient, truths: dict[str, Truth], name: str, column: str) -> None:
    truth = truths[name]
    values = truth.table[column].to_numpy().astype(np.float64)
    mag = np.ma.masked_array(values, mask=np.isnan(values))
    conditions = {
        f"{column} > 25": mag > 25,
        f"{column} > 1000": mag > 1000,
        f"{column} < 20.5": mag < 20.5,
        f"NOT {column} > 25": ~(mag > 25),
        f"{column} BETWEEN 24 AND 26": (mag >= 24) & (mag <= 26),
        f"{column} <> 25": mag != 25,
        f"{column} + 1 > 26.5": mag + 1 > 26.5,
        f"({column} > 26 OR {column} < 21)": (mag > 26) | (mag < 21),
        f"{column} > 24 AND {column} < 26 AND flux > 0": (mag > 24) & (mag < 26) & (truth.table["flux"].to_numpy() > 0),
    }
    for condition, selected in conditions.items():
        found = ids(client, f"SELECT id FROM other.{name} WHERE {condition}")
        assert set(found) == set(truth.ids[np.ma.filled(selected, fill_value=False)]), condition
        count = client.query(f"SELECT COUNT(*) AS n FROM other.{name} WHERE {condition}").to_arrow()
        assert count["n"].to_pylist() == [np.ma.filled(selected, fill_value=False).sum()], condition
    assert set(ids(client, f"SELECT id FROM other.{name} WHERE {column} IS NULL")) == set(truth.ids[mag.mask])
    assert set(ids(client, f"SELECT id FROM other.{name} WHERE {column} IS NOT NULL")) == set(truth.ids[~mag.mask])


def test_aggregates_leave_nan_out(client: CatalogClient, truths: dict[str, Truth], name: str) -> None:
    truth, mag = truths[name], truths[name].mag
    finite = mag[np.isfinite(mag.filled(0))]
    query = f"SELECT MAX(mag) AS a, MIN(mag) AS b, AVG(mag) AS c, COUNT(mag) AS d, COUNT(*) AS e FROM other.{name}"
    (row,) = client.query(f"{query} WHERE mag > -1000 AND mag < 1000").to_arrow().to_pylist()
    assert (row["a"], row["b"], row["d"], row["e"]) == (finite.max(), finite.min(), finite.count(), finite.count())
    assert row["c"] == pytest.approx(finite.mean(), rel=1e-12)
    (row,) = client.query(query).to_arrow().to_pylist()
    assert (row["a"], row["b"], row["d"], row["e"]) == (np.inf, -np.inf, mag.count(), len(mag))
    groups = client.query(f"SELECT band, COUNT(mag) AS n, MAX(mag) AS m FROM other.{name} GROUP BY band").to_arrow()
    bands = np.array(truth.table["band"].to_pylist(), dtype=object)
    for group in groups.to_pylist():
        members = mag[bands == group["band"]]
        assert (group["n"], group["m"]) == (members.count(), members.max())


def test_order_and_groups_by_a_column_with_nan(client: CatalogClient, truths: dict[str, Truth], name: str) -> None:
    mag = truths[name].mag
    ordered = client.query(f"SELECT mag FROM other.{name} ORDER BY mag DESC", maxrec=10_000)
    values = ordered.to_arrow()["mag"].to_pylist()
    numbers = [value for value in values if value is not None]
    assert values == numbers + [None] * int(mag.mask.sum())
    assert numbers == sorted(mag.compressed().tolist(), reverse=True)
    query = f"SELECT mag, COUNT(*) AS n FROM other.{name} GROUP BY mag HAVING COUNT(*) > 500"
    assert client.query(query).to_arrow().to_pylist() == [{"mag": None, "n": mag.mask.sum()}]


def test_list_elements(client: CatalogClient) -> None:
    for name in ("tracts", "hatsimport", "tracts_scanned"):
        curves = client.query(f"SELECT curve FROM other.{name} WHERE id = {2**60 + 8}").to_arrow()["curve"].to_pylist()
        assert curves == [[7.0, None]]


def test_types_that_differ_are_widened(client: CatalogClient, truths: dict[str, Truth]) -> None:
    """Whatever file comes first: doubles stay doubles, and whole numbers whole."""
    found = client.query("SELECT id, mag, band, n FROM other.mixed", maxrec=10_000).to_arrow().sort_by("id")
    truth = truths["mixed"].table.sort_by("id")
    values = truth["mag"].to_numpy()
    assert found["mag"].equals(pa.chunked_array([pa.array(values, mask=np.isnan(values))]))
    assert found["band"].equals(truth["band"])
    assert set(found["n"].to_pylist()) == set(range(100))


def test_joins_of_adopted_tables(client: CatalogClient, truths: dict[str, Truth]) -> None:
    """Tables that nobody placed together are joined in full: rows of one key may lie anywhere."""
    query = """SELECT a.id FROM other.tracts AS a JOIN other.wrongtiles AS b ON a.id = b.id
        WHERE CONTAINS(POINT(a.ra, a.dec), CIRCLE(0, 0, 2)) = 1 AND b.mag > 25"""
    sky, mag = truths["tracts"].sky, truths["wrongtiles"]
    near = set(sky.ids[sky.separation_deg(0, 0) <= 2])
    bright = set(mag.ids[np.ma.filled(mag.mag > 25, fill_value=False)])
    assert set(ids(client, query)) == near & bright
    outer = """SELECT a.id, b.mag FROM other.tracts AS a LEFT JOIN other.lsdb AS b ON a.id = b.id AND b.mag > 25
        WHERE a.mag > 25"""
    every = truths["tracts"]
    assert set(ids(client, outer)) == set(every.ids[np.ma.filled(every.mag > 25, fill_value=False)])


def test_a_condition_on_the_outer_query_does_not_restrict_it(client: CatalogClient, truths: dict[str, Truth]) -> None:
    query = """SELECT a.id FROM other.tracts AS a
        WHERE NOT EXISTS (SELECT 1 FROM other.lsdb AS b WHERE b.id = a.id AND a.mag > 25)"""
    every, other = truths["tracts"], truths["lsdb"]
    bright = set(every.ids[np.ma.filled(every.mag > 25, fill_value=False)])
    assert set(ids(client, query)) == set(every.ids) - (bright & set(other.ids))


def tiles_read(client: CatalogClient, name: str, condition: str) -> tuple[int, int]:
    result = client.query(f"SELECT id FROM other.{name} WHERE {condition}", maxrec=100_000).to_arrow()
    read, total = result.schema.metadata[b"TILES_READ"].split(b" of ")
    return int(read), int(total)


def test_files_are_pruned(client: CatalogClient, name: str) -> None:
    read, total = tiles_read(client, name, "CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.0001)) = 1")
    assert 1 <= read < total or name == "mixed"
    if name not in PLAIN and not name.startswith("tracts"):
        assert read <= 2


def test_a_file_that_changed_or_vanished_is_an_error(base: Path, client: CatalogClient) -> None:
    path = base / "foreign/tracts/tract0.parquet"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
    try:
        with pytest.raises(StorageError, match=r"has changed since it was adopted.*catalog-partition adopt"):
            client.query("SELECT COUNT(*) AS n FROM other.tracts")
    finally:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.parent.chmod(0o755)
    path.rename(base / "away")
    try:
        with pytest.raises(StorageError, match=r"has vanished") as caught:
            client.query("SELECT COUNT(*) AS n FROM other.tracts")
        assert str(base) not in str(caught.value)
    finally:
        (base / "away").rename(path)
    assert client.query("SELECT COUNT(*) AS n FROM other.tracts").to_arrow()["n"].to_pylist() == [ROWS]


def test_a_table_adopted_later_is_served_without_a_restart(base: Path, client: CatalogClient) -> None:
    """Its files lie where no worker was allowed to read when it started."""
    tracts(base / "later/tracts", rows()[:500], count=2)
    wanted = Adoption(
        paths=(str(base / "later/tracts"),), root=base / "catalogs", schema="other", table="later", ra="ra", dec="dec"
    )
    adopt(wanted)
    for _ in range(100):
        if "other.later" in [table.name for table in client.tables()]:
            break
        time.sleep(0.1)
    answers = [client.query("SELECT COUNT(*) AS n FROM other.later").to_arrow()["n"].to_pylist() for _ in range(4)]
    assert answers == [[500]] * 4
