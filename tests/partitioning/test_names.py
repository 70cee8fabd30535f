"""Columns whose names need quoting: as positions, ids, keys of parents and texts, from the build to the answers."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from partitioning.checks.repair import repair_release
from partitioning.checks.report import Full
from partitioning.checks.verify import verify_release
from partitioning.config import PositionFrom, TableConfig
from partitioning.exceptions import ConfigError
from partitioning.layout.paths import HEALPIX_COLUMN, escaped, unescaped
from partitioning.pipeline import append, build
from tests.harness import start_server, stop_server
from tests.partitioning.builders import CREATED, config, sky_rows, stored

ID, RA, DEC, KEY = "obj id", "ra (deg)", 'dec"2000', "x/y; the object's"
NAMES = [ID, RA, DEC, KEY, "naïve", "select", "a-b", "100%", "..", ".", "a,b=c#d\\e", "星", "_", "A"]
OTHERS = [
    f"{RA}.err",
    f"{DEC}.err",
    f"{ID}.x",
    "naïve.more",
    "g.mag",
    "g",
    "[0]",
    ".x",
    " outer ",
    "a,b=c#d\\e",
    "element",
    "list",
]
ROWS = 900

OBJECT = TableConfig(
    name="Object",
    input=("Object/*.parquet",),
    ra=RA,
    dec=DEC,
    id=(ID,),
    index=(ID, "naïve", ".."),
    target_rows=100,
    row_group_rows=64,
    margin_arcsec=30.0,
)
SOURCE = TableConfig(
    name="Source",
    input=("Source/*.parquet",),
    id=("select",),
    index=("select", KEY),
    position_from=PositionFrom(parent="Object", child_key=KEY, parent_key=ID),
    target_rows=100,
    row_group_rows=64,
)


def objects(seed: int, first_id: int) -> pa.Table:
    rows = sky_rows(ROWS, seed=seed, first_id=first_id).select(["id", "ra", "dec", "band", "mag"])
    for name in OTHERS:
        rows = rows.append_column(name, pa.array(np.arange(ROWS) // 2))
    rows = rows.rename_columns([ID, RA, DEC, "naïve", "..", *OTHERS])
    return rows.select(rows.column_names[::-1])  # those that begin like another come before it


def write(base: Path, table: str, name: str, rows: pa.Table) -> None:
    (base / table).mkdir(exist_ok=True)
    pq.write_table(rows, base / table / f"{name}.parquet")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with two published tables of such columns."""
    directory = tmp_path_factory.mktemp("names")
    rows = objects(1, first_id=1)
    write(directory, "Object", "first", rows)
    sources = pa.table({"select": np.arange(2 * ROWS), KEY: np.tile(rows[ID].to_numpy(), 2)})
    write(directory, "Source", "first", sources)
    build(config(directory, OBJECT, SOURCE), created=CREATED)
    return directory


def test_names_of_directories_tell_columns() -> None:
    assert [unescaped(escaped(name)) for name in NAMES] == NAMES
    assert len({escaped(name) for name in NAMES}) == len(NAMES)
    assert all(
        set(escaped(name)) <= set("-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") for name in NAMES
    )
    assert escaped("objectId_2") == "objectId_2"


def test_indexes_hold_the_ids_of_all_rows(base: Path) -> None:
    for table, columns in (("Object", [ID, "naïve", ".."]), ("Source", ["select", KEY])):
        release = base / f"catalogs/survey/{table}/{table}_r1"
        assert not verify_release(release, scope=Full()).findings
        for column in columns:
            index = pq.read_table(
                release.with_name(f"{release.name}_{escaped(column)}") / "dataset/index/part.0.parquet"
            )
            rows = [stored(release)[name].to_pylist() for name in (column, HEALPIX_COLUMN)]
            entries = [index[name].to_pylist() for name in (column, HEALPIX_COLUMN)]
            expected = sorted((key, place) for key, place in zip(*rows, strict=True) if key is not None)
            assert list(zip(*entries, strict=True)) == expected


def test_lsdb_reads_them(base: Path) -> None:
    import hats
    import lsdb

    rows = pq.read_table(base / "Object")
    catalog = lsdb.open_catalog(base / "catalogs/survey/Object")
    wanted = rows[ID][5].as_py()
    index = hats.read_hats(base / f"catalogs/survey/Object/Object_r1_{escaped(ID)}")
    found = catalog.id_search({ID: wanted}, index_catalogs={ID: index}).compute()
    assert found[RA].tolist() == [rows[RA][5].as_py()]
    band = catalog.id_search({"naïve": "g"}).compute()  # a collection names it: nothing in it separates names
    assert len(band) == rows["naïve"].to_pylist().count("g")


def test_the_service_asks_by_them(base: Path, tmp_path: Path) -> None:
    rows = pq.read_table(base / "Object")
    server = start_server(base / "catalogs", tmp_path)
    try:
        client = CatalogClient(server.url)
        ra, dec, ident = (rows[name][7].as_py() for name in (RA, DEC, ID))
        table = client.query(f'SELECT "{ID}" FROM survey.Object WHERE "{ID}" = {ident}').to_arrow()
        assert table.column(0).to_pylist() == [ident]
        assert table.schema.metadata[b"TILES_READ"].split(b" of ")[0] == b"1"
        name = DEC.replace('"', '""')
        cone = f"CONTAINS(POINT('ICRS', \"{RA}\", \"{name}\"), CIRCLE('ICRS', {ra % 360!r}, {dec!r}, 0.001)) = 1"
        table = client.query(f'SELECT "{ID}" FROM survey.Object WHERE {cone}').to_arrow()
        assert ident in table.column(0).to_pylist()
        assert int(table.schema.metadata[b"TILES_READ"].split(b" of ")[0]) <= 4
        join = f'survey.Object o JOIN survey.Source s ON s."{KEY}" = o."{ID}"'
        table = client.query(f'SELECT s."select" FROM {join} WHERE o."{ID}" = {ident}').to_arrow()
        keys = pq.read_table(base / "Source")
        expected = [n for n, key in zip(keys["select"].to_pylist(), keys[KEY].to_pylist(), strict=True) if key == ident]
        assert sorted(table.column(0).to_pylist()) == expected
        others = ", ".join('"' + other.replace('"', '""') + '"' for other in OTHERS)
        table = client.query(f'SELECT {others} FROM survey.Object WHERE "{ID}" = {ident}').to_arrow()
        assert [column.to_pylist() for column in table.columns] == [[3]] * len(OTHERS)
        texts = client.query("SELECT COUNT(*) FROM survey.Object WHERE \"naïve\" = 'u'").to_arrow()
        assert texts.column(0).to_pylist() == [rows["naïve"].to_pylist().count("u")]
    finally:
        stop_server(server)


def test_appended_and_repaired(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    write(tmp_path, "Object", "more", objects(2, first_id=5000))
    (table,) = append(config(tmp_path, OBJECT), created=CREATED)
    assert not verify_release(table.directory, scope=Full()).findings
    index = table.directory.with_name(f"{table.directory.name}_{escaped(ID)}")
    shutil.rmtree(index)
    assert verify_release(table.directory, scope=Full()).findings
    repair_release(table.directory, parts=["index"])
    assert not verify_release(table.directory, scope=Full()).findings
    assert index.is_dir()


@pytest.mark.parametrize("name", ["id\t", "i\nd", "i" * 230, "é" * 70])
def test_names_that_no_directory_or_property_can_have_are_refused(tmp_path: Path, name: str) -> None:
    rows = sky_rows(20).select(["id", "ra", "dec"]).rename_columns([name, "ra", "dec"])
    write(tmp_path, "Object", "first", rows)
    table = TableConfig(name="Object", input=("Object/*.parquet",), ra="ra", dec="dec", id=(name,))
    with pytest.raises(ConfigError, match="cannot be the name of a directory"):
        build(config(tmp_path, table), created=CREATED)
