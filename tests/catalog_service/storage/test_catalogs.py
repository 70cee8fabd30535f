"""The registry: what is published, how it is described, who may see it, and new releases."""

import json
import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from catalog_service.exceptions import ConfigurationError
from catalog_service.models.schema import DataType, ForeignKey, SkyPosition
from catalog_service.models.user import ANONYMOUS, Identity
from catalog_service.storage.catalogs import Registry, SchemaRule, column_type
from partitioning.exceptions import LayoutError
from partitioning.layout.manifest import Placement
from partitioning.layout.partition_map import PartitionMap
from partitioning.layout.paths import COLLECTION_PROPERTIES
from tests.catalog_service.storage.publishing import OWN, point, publish, stored
from tests.harness import build_table

RA_DEC = (stored("ra"), stored("dec"))

FELIS = """
name: sky
description: >
  A small
  sky.
tables:
- name: stars
  "@id": "#stars"
  description: Stars.
  tap:table_index: 2
  primaryKey: "#stars.id"
  columns:
  - {name: dec, "@id": "#stars.dec", datatype: double, ivoa:ucd: pos.eq.dec;meta.main, fits:tunit: deg}
  - {name: ra, "@id": "#stars.ra", datatype: double, ivoa:unit: deg, tap:principal: 1, tap:std: 1, description: Where.}
  - {name: id, "@id": "#stars.id", datatype: long, tap:column_index: 5, tap:principal: 1}
  - {name: forgotten, "@id": "#stars.forgotten", datatype: long}
- name: epochs
  "@id": "#epochs"
  tap:table_index: 1
  columns:
  - {name: star, "@id": "#epochs.star", datatype: long}
  constraints:
  - name: epoch_star
    "@type": ForeignKey
    description: An epoch is of a star.
    columns: ["#epochs.star"]
    referencedColumns: ["#stars.id"]
"""


def registry(root: Path, rules: dict[str, SchemaRule] | None = None, default: SchemaRule | None = None) -> Registry:
    return Registry(root, rules or {}) if default is None else Registry(root, rules or {}, default)


# --- what is published ----------------------------------------------------------------------------


def test_a_table_is_what_its_manifest_says(tmp_path: Path) -> None:
    tiles: list[dict[str, float]] = [
        {"norder": 1, "npix": 3, "rows": 5},
        {"norder": 0, "npix": 2, "rows": 9, "max_separation_deg": 0.5},
    ]
    catalog = publish(tmp_path, "stars", [stored("_healpix_29", "int64", hidden=True), *RA_DEC], tiles=tiles)
    one = registry(tmp_path).snapshot.stored["sky.stars"]
    assert (one.rows, one.size_bytes, one.release, one.file_count) == (14, 1400, 1, 2)
    assert one.directory == catalog
    assert one.placement == OWN
    assert one.max_separation_deg == 0.5
    assert one.table.full_name == "sky.stars"
    assert one.table.rows == 14
    assert one.table.position == SkyPosition("ra", "dec")
    assert isinstance(one.partitions, PartitionMap)
    assert one.paths(one.partitions.select(one.partitions.tile_ranges()[1:])) == (
        f"{catalog}/dataset/Norder=0/Dir=0/Npix=2.parquet",
    )


def test_a_table_without_positions_is_one_plain_file(tmp_path: Path) -> None:
    catalog = publish(tmp_path, "visit", [stored("visit", "int64")], placement=None)
    one = registry(tmp_path).snapshot.stored["sky.visit"]
    assert one.partitions is None
    assert one.table.position is None
    assert one.plain_path() == f"{catalog}/table.parquet"


def test_a_child_without_a_position_of_its_own_has_none(tmp_path: Path) -> None:
    placement = Placement(
        ra_column="_parent_ra",
        dec_column="_parent_dec",
        own_ra_column=None,
        own_dec_column=None,
        parent="stars",
        parent_key=("star", "id"),
        parent_release=3,
    )
    publish(tmp_path, "forced", [stored("star", "int64")], placement=placement)
    one = registry(tmp_path).snapshot.stored["sky.forced"]
    assert one.table.position is None
    assert one.placement == placement


def test_real_releases_are_read(tmp_path: Path) -> None:
    """What the partitioner writes is what the registry reads."""
    rows = pa.table({"id": [3, 1, 2], "ra": [10.0, 20.0, 200.0], "dec": [0.0, 5.0, -60.0], "name": ["a", None, "c"]})
    build_table(tmp_path / "catalogs", "stars", [rows], schema="sky", options='ra = "ra"\ndec = "dec"\nid = ["id"]')
    one = registry(tmp_path / "catalogs").snapshot.stored["sky.stars"]
    assert [(c.name, c.datatype) for c in one.table.columns] == [
        ("id", DataType.LONG),
        ("ra", DataType.DOUBLE),
        ("dec", DataType.DOUBLE),
        ("name", DataType.TEXT),
    ]
    assert one.rows == 3
    assert isinstance(one.partitions, PartitionMap)
    assert all(Path(path).is_file() for path in one.paths(one.partitions.select(one.partitions.tile_ranges())))
    assert one.placement is not None
    assert (one.placement.ra_min, one.placement.ra_max) == (10.0, 200.0)


def test_which_ids_are_each_one_rows(tmp_path: Path) -> None:
    """Neither one that two rows have, nor one that a row lacks."""
    ids = {"id": [1, 2, 3, 4], "twice": [1, 2, 2, 4], "lacking": [1, 2, None, 4], "name": ["a", "b", "c", "d"]}
    rows = pa.table({"ra": [1.0, 2.0, 3.0, 4.0], "dec": [0.0] * 4, **ids})
    options = f'ra = "ra"\ndec = "dec"\nid = {json.dumps(list(ids))}\n'
    build_table(tmp_path, "stars", [rows], options=options)
    indexes = registry(tmp_path).snapshot.stored["test.stars"].indexes
    assert {name: index.is_unique for name, index in indexes.items()} == {
        "id": True,
        "twice": False,
        "lacking": False,
        "name": True,
    }
    manifest = next(tmp_path.glob("test/stars/*/manifest/manifest.json"))
    body = json.loads(manifest.read_text())
    for record in body["indexes"]:
        del record["distinct"]  # as in releases of before
    manifest.write_text(json.dumps(body))
    indexes = registry(tmp_path).snapshot.stored["test.stars"].indexes
    assert not any(index.is_unique for index in indexes.values())


def test_tables_of_all_schemas_are_found(tmp_path: Path) -> None:
    for schema, table in (("b", "x"), ("a", "y"), ("a", "x")):
        publish(tmp_path, table, RA_DEC, schema=schema)
    (tmp_path / "a" / "unfinished" / ".staging").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("not a schema")
    snapshot = registry(tmp_path).snapshot
    assert [(s.name, [t.name for t in s.tables]) for s in snapshot.schemas] == [("a", ["x", "y"]), ("b", ["x"])]
    assert set(snapshot.stored) == {"a.x", "a.y", "b.x"}


def test_an_empty_root_is_empty(tmp_path: Path) -> None:
    assert registry(tmp_path).snapshot.schemas == ()


# --- descriptions ---------------------------------------------------------------------------------


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """Publish two tables with a Felis description that lacks a column and knows one too many."""
    columns = [stored("_healpix_29", "int64", hidden=True), stored("extra"), stored("id", "int64"), *RA_DEC]
    publish(tmp_path, "stars", columns, id_columns=("id",))
    publish(tmp_path, "epochs", [stored("star", "int64")], placement=None)
    publish(tmp_path, "Other", [stored("n", "int64")], placement=None)
    (tmp_path / "sky" / "schema.yaml").write_text(FELIS, encoding="utf-8")
    return tmp_path


def test_descriptions_are_joined_to_what_is_stored(described: Path) -> None:
    (schema,) = registry(described).snapshot.schemas
    stars = next(table for table in schema.tables if table.name == "stars")
    columns = stars.columns_by_folded_name
    assert schema.description == "A small sky."
    assert stars.description == "Stars."
    assert stars.primary_key == ("id",)
    assert (columns["ra"].unit, columns["ra"].description) == ("deg", "Where.")
    assert (columns["ra"].principal, columns["ra"].std) == (True, True)
    assert (columns["dec"].unit, columns["dec"].ucd, columns["dec"].principal) == ("deg", "pos.eq.dec;meta.main", False)
    assert columns["extra"].description is None
    assert "forgotten" not in columns, "described, but not stored"
    assert "_healpix_29" not in columns
    assert {name for name, column in columns.items() if column.indexed} == {"id", "ra", "dec"}


def test_columns_come_in_the_order_of_their_index_then_of_felis_then_as_stored(described: Path) -> None:
    stars = registry(described).snapshot.stored["sky.stars"].table
    assert [column.name for column in stars.columns] == ["id", "dec", "ra", "extra"]


def test_tables_come_in_the_order_of_their_index_then_by_name(described: Path) -> None:
    (schema,) = registry(described).snapshot.schemas
    assert [table.name for table in schema.tables] == ["epochs", "stars", "Other"]


def test_keys_name_tables_in_full(described: Path) -> None:
    assert registry(described).snapshot.stored["sky.epochs"].table.foreign_keys == (
        ForeignKey("sky.epoch_star", "sky.epochs", "sky.stars", (("star", "id"),), "An epoch is of a star."),
    )


def test_keys_to_what_is_not_published_are_left_out(described: Path) -> None:
    publish(described, "epochs", [stored("ra"), stored("dec")], release=2)
    assert registry(described).snapshot.stored["sky.epochs"].table.foreign_keys == ()


def test_names_that_differ_by_case_are_refused(tmp_path: Path) -> None:
    publish(tmp_path, "stars", [*RA_DEC, stored("RA")])
    with pytest.raises(ConfigurationError, match="'ra' and 'RA' differ by case") as refused:
        registry(tmp_path)
    assert "sky.stars" in str(refused.value)
    assert refused.value.remedy


def test_a_hidden_twin_is_harmless(tmp_path: Path) -> None:
    publish(tmp_path, "stars", [*RA_DEC, stored("RA", hidden=True)])
    assert [c.name for c in registry(tmp_path).snapshot.stored["sky.stars"].table.columns] == ["ra", "dec"]


@pytest.mark.parametrize(
    ("arrow_type", "expected"),
    [
        ("bool", (DataType.BOOLEAN, False)),
        ("uint8", (DataType.BYTE, False)),
        ("int8", (DataType.SHORT, False)),
        ("int16", (DataType.SHORT, False)),
        ("uint16", (DataType.INT, False)),
        ("int32", (DataType.INT, False)),
        ("uint32", (DataType.LONG, False)),
        ("int64", (DataType.LONG, False)),
        ("float", (DataType.FLOAT, False)),
        ("double", (DataType.DOUBLE, False)),
        ("string", (DataType.TEXT, False)),
        ("binary", (DataType.BINARY, False)),
        ("timestamp[us]", (DataType.TIMESTAMP, False)),
        ("date32[day]", (DataType.TIMESTAMP, False)),
        ("uint64", None),
        ("timestamp[ns, tz=UTC]", (DataType.TIMESTAMP, False)),
        ("struct<a: double>", None),
        ("list<element: struct<a: double>>", None),
        ("map<string, double>", None),
        *(
            (str(kind), (DataType.FLOAT, True))
            for kind in (
                pa.list_(pa.float32()),
                pa.list_(pa.field("element", pa.float32())),
                pa.list_(pa.field("item", pa.float32(), nullable=False)),
                pa.large_list(pa.float32()),
                pa.list_(pa.float32(), 3),
            )
        ),
    ],
)
def test_types(arrow_type: str, expected: tuple[DataType, bool] | None) -> None:
    assert column_type(arrow_type) == expected


def test_columns_that_tap_cannot_name_are_left_out(tmp_path: Path) -> None:
    publish(
        tmp_path, "stars", [*RA_DEC, stored("nested", "struct<a: double>"), stored("flux", "list<element: double>")]
    )
    table = registry(tmp_path).snapshot.stored["sky.stars"].table
    assert [(c.name, c.is_array) for c in table.columns] == [("ra", False), ("dec", False), ("flux", True)]
    assert table.unserved == (("nested", "struct<a: double>"),)


# --- access and aliases ---------------------------------------------------------------------------


def test_a_schema_without_a_rule_is_closed(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    (schema,) = registry(tmp_path).snapshot.schemas
    assert schema.access is None
    assert not ANONYMOUS.may_read(schema.access)
    assert not Identity("somebody", frozenset({"None", "", "sky"})).may_read(schema.access)


def test_rules_open_schemas(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        publish(tmp_path, "stars", RA_DEC, schema=name)
    rules = {"a": SchemaRule("group:rubin", ("dp02", "DP02_all")), "b": SchemaRule(None)}
    found = {s.name: s for s in registry(tmp_path, rules, SchemaRule("public")).snapshot.schemas}
    assert {name: schema.access for name, schema in found.items()} == {"a": "group:rubin", "b": None, "c": "public"}
    assert {name: schema.aliases for name, schema in found.items()} == {"a": ("dp02", "DP02_all"), "b": (), "c": ()}
    assert Identity("x", frozenset({"rubin"})).may_read(found["a"].access)
    assert not ANONYMOUS.may_read(found["a"].access)


# --- releases -------------------------------------------------------------------------------------


def test_nothing_new_means_the_same_snapshot(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    one = registry(tmp_path)
    before = one.snapshot
    assert one.refresh() is False
    assert one.snapshot is before


def test_a_new_release_is_taken_up_and_the_old_snapshot_stays_usable(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    one = registry(tmp_path)
    old = one.snapshot.stored["sky.stars"]
    publish(tmp_path, "stars", [*RA_DEC, stored("mag")], release=2, tiles=[{"norder": 0, "npix": 1, "rows": 99}])
    assert one.snapshot.stored["sky.stars"] is old
    assert one.refresh() is True
    new = one.snapshot.stored["sky.stars"]
    assert (old.release, old.rows, new.release, new.rows) == (1, 7, 2, 99)
    assert new.directory.name == "stars_r2"
    assert len(new.table.columns) == 3
    assert one.refresh() is False


def test_new_and_removed_tables_are_noticed(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    one = registry(tmp_path)
    publish(tmp_path, "galaxies", RA_DEC)
    assert one.refresh() is True
    assert set(one.snapshot.stored) == {"sky.stars", "sky.galaxies"}
    (tmp_path / "sky" / "stars" / COLLECTION_PROPERTIES).unlink()
    assert one.refresh() is True
    assert set(one.snapshot.stored) == {"sky.galaxies"}


def test_a_release_of_the_same_size_and_second_is_noticed(tmp_path: Path) -> None:
    """Pointers of r1 and r2 have as many bytes; the rename gives the file another identity."""
    publish(tmp_path, "stars", RA_DEC)
    one = registry(tmp_path)
    publish(tmp_path, "stars", RA_DEC, release=2)
    assert one.refresh() is True
    assert one.snapshot.stored["sky.stars"].release == 2


def test_a_release_without_a_pointer_is_invisible(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    one = registry(tmp_path)
    shutil.copytree(tmp_path / "sky" / "stars" / "stars_r1", tmp_path / "sky" / "stars" / "stars_r2")
    assert one.refresh() is False


def break_manifest(catalog: Path) -> None:
    (catalog / "manifest" / "manifest.json").write_text("{", encoding="utf-8")


def change_version(catalog: Path) -> None:
    path = catalog / "manifest" / "manifest.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**body, "version": 99}), encoding="utf-8")


def break_files(catalog: Path) -> None:
    path = catalog / "manifest" / "files.parquet"
    path.write_bytes(path.read_bytes()[:-10])


def remove_files(catalog: Path) -> None:
    (catalog / "manifest" / "files.parquet").unlink()


def point_nowhere(catalog: Path) -> None:
    point(catalog.parent / COLLECTION_PROPERTIES, "obs_collection=stars\nhats_primary_table_url=stars_r9\n")


def garble_pointer(catalog: Path) -> None:
    point(catalog.parent / COLLECTION_PROPERTIES, "what is this\n")


def break_felis(catalog: Path) -> None:
    (catalog.parent.parent / "schema.yaml").write_text("tables: [", encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [break_manifest, change_version, break_files, remove_files, point_nowhere, garble_pointer, break_felis],
)
def test_a_broken_release_leaves_the_old_one_in_use(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(damage)
    publish(tmp_path, "stars", RA_DEC)
    one = registry(tmp_path)
    before = one.snapshot
    damage(publish(tmp_path, "stars", RA_DEC, release=2))
    with caplog.at_level(logging.ERROR):
        assert one.refresh() is False
    assert one.snapshot is before
    assert "previous one stays in use" in caplog.text
    (tmp_path / "sky" / "schema.yaml").unlink(missing_ok=True)
    publish(tmp_path, "stars", RA_DEC, release=3)
    assert one.refresh() is True
    assert one.snapshot.stored["sky.stars"].release == 3


def test_overlapping_tiles_are_refused(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC, tiles=[{"norder": 0, "npix": 2}, {"norder": 1, "npix": 11}])
    with pytest.raises(LayoutError, match="overlap"):
        registry(tmp_path)


def test_a_vanished_root_leaves_the_old_snapshot_in_use(tmp_path: Path) -> None:
    root = tmp_path / "catalogs"
    publish(root, "stars", RA_DEC)
    one = registry(root)
    root.rename(tmp_path / "away")
    assert one.refresh() is False
    assert set(one.snapshot.stored) == {"sky.stars"}


def test_a_missing_root_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a directory") as refused:
        registry(tmp_path / "nowhere")
    assert "catalog-partition build" in str(refused.value)
