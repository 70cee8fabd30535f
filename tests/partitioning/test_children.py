"""Child tables are placed by their parent's position, whatever the key, and joins stay inside a tile."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from partitioning.config import PositionFrom, TableConfig
from partitioning.exceptions import ConfigError, InputError, SchemaMismatchError
from partitioning.layout.manifest import read_partition_map
from partitioning.layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from partitioning.layout.properties import parse_properties
from partitioning.pipeline import BuiltTable, build
from partitioning.sky.healpix import radec_to_index
from partitioning.sky.separation import separation_deg
from tests.partitioning.builders import (
    BIG,
    build_all,
    by_id,
    config,
    leaves,
    sky_rows,
    sky_table,
    stored,
    tree,
    visible,
    write_files,
)

PARENTS = 700
PER_PARENT = 4


@pytest.fixture(scope="module")
def parents() -> pa.Table:
    table = sky_rows(PARENTS).select(["id", "ra", "dec", "mag"])
    return table.append_column("name", pa.array([f"{n}_é" for n in table["id"].to_pylist()]))


def child_rows(parents: pa.Table, *, scatter_deg: float, orphans: int = 0) -> pa.Table:
    """Return several rows a parent in random order, off its position by up to `scatter_deg`, and some orphans."""
    rng = np.random.default_rng(9)
    at = rng.permutation(np.repeat(np.arange(len(parents)), PER_PARENT))
    ra, dec = parents["ra"].to_numpy()[at], parents["dec"].to_numpy()[at]
    table = pa.table(
        {
            "n": np.arange(len(at)) + orphans,
            "parent_id": parents["id"].to_numpy()[at],
            "parent_name": parents["name"].take(pa.array(at)),
            "ra": ra + scatter_deg * rng.uniform(-1, 1, len(at)) if scatter_deg else ra,
            "dec": np.clip(dec + scatter_deg * rng.uniform(-1, 1, len(at)), -90, 90) if scatter_deg else dec,
        }
    )
    lost = pa.table(
        {
            "n": np.arange(orphans),
            "parent_id": pa.array([None if n % 2 else n for n in range(orphans)], pa.int64()),
            "parent_name": pa.array([None if n % 2 else f"nobody {n}" for n in range(orphans)], pa.string()),
            "ra": rng.uniform(0, 360, orphans),
            "dec": rng.uniform(-90, 90, orphans),
        }
    )
    return pa.concat_tables([lost, table])


def child(name: str, *, same: bool = False, text: bool = False, own: bool = True, **options: Any) -> TableConfig:
    key = ("parent_name", "name") if text else ("parent_id", "id")
    origin = PositionFrom(parent="Object", child_key=key[0], parent_key=key[1], same_position=same)
    position = {} if own else {"ra": None, "dec": None}
    defaults = {"id": ("n",), "position_from": origin, "target_rows": 400, **position}
    return sky_table(name, **{**defaults, **options})


PARENT = sky_table(target_rows=200, row_group_rows=64, margin_arcsec=0.0)


def built(base: Path, parents: pa.Table, rows: pa.Table, table: TableConfig, **options: Any) -> BuiltTable:
    write_files(base / "Object", parents)
    write_files(base / table.name, rows)
    return build_all(base, table, PARENT, **options)[table.name]


def parent_index(parents: pa.Table, ids: list[int]) -> NDArray[np.int64]:
    """Return the index of the parents' positions, by id: the oracle."""
    order = {key: n for n, key in enumerate(parents["id"].to_pylist())}
    at = [order[key] for key in ids]
    return radec_to_index(parents["ra"].to_numpy()[at], parents["dec"].to_numpy()[at])


def assert_inside_parent_tiles(base: Path, table: str) -> None:
    parent = read_partition_map(base / "catalogs/survey/Object/Object_r1").tile_ranges()
    for start, stop in read_partition_map(base / f"catalogs/survey/{table}/{table}_r1").tile_ranges().tolist():
        inside = (parent[:, 0] <= start) & (stop <= parent[:, 1])
        apart = (parent[:, 1] <= start) | (stop <= parent[:, 0])
        assert inside.any() or apart.all()


def test_child_with_its_parents_position(parents: pa.Table, tmp_path: Path) -> None:
    """Like ForcedSource: nothing is added, and the position was checked."""
    rows = child_rows(parents, scatter_deg=0)
    table = built(tmp_path, parents, rows, child("Forced", same=True))
    found = stored(table.directory)
    assert found.column_names == [HEALPIX_COLUMN, *rows.column_names, INPUT_COLUMN]
    assert by_id(found, ["ra", "dec", "parent_id"], "n") == by_id(rows, ["ra", "dec", "parent_id"], "n")
    assert (found[HEALPIX_COLUMN].to_numpy() == parent_index(parents, found["parent_id"].to_pylist())).all()
    placement = table.manifest.placement
    assert placement is not None
    assert (placement.ra_column, placement.own_ra_column, placement.parent) == ("ra", "ra", "Object")
    assert (placement.parent_key, placement.parent_release) == (("parent_id", "id"), 1)
    assert read_partition_map(table.directory).separations_deg.max() == 0
    assert_inside_parent_tiles(tmp_path, "Forced")
    assert len(leaves(table.directory)) > len(leaves(tmp_path / "catalogs/survey/Object/Object_r1"))


def test_child_with_another_position_keeps_both(parents: pa.Table, tmp_path: Path) -> None:
    """Like DiaSource: rows lie where the parent lies, and the largest distance to it is recorded per tile."""
    rows = child_rows(parents, scatter_deg=0.002)
    table = built(tmp_path, parents, rows, child("Dia"))
    found = stored(table.directory)
    assert found.column_names == [HEALPIX_COLUMN, PARENT_RA_COLUMN, PARENT_DEC_COLUMN, *rows.column_names, INPUT_COLUMN]
    assert by_id(found, ["ra", "dec"], "n") == by_id(rows, ["ra", "dec"], "n")
    assert (found[HEALPIX_COLUMN].to_numpy() == parent_index(parents, found["parent_id"].to_pylist())).all()
    position = dict(zip(parents["id"].to_pylist(), parents["ra"].to_pylist(), strict=True))
    assert found[PARENT_RA_COLUMN].to_pylist() == [position[key] for key in found["parent_id"].to_pylist()]
    tiles, first = read_partition_map(table.directory), 0
    for tile in range(len(tiles)):
        part = found.slice(first, int(tiles.rows[tile]))
        first += len(part)
        names = ("ra", "dec", PARENT_RA_COLUMN, PARENT_DEC_COLUMN)
        largest = separation_deg(*(part[name].to_numpy() for name in names)).max()
        assert largest <= tiles.separations_deg[tile] <= largest + 1e-11
    properties = parse_properties((table.directory / "hats.properties").read_text())
    assert (properties["hats_col_ra"], properties["hats_col_dec"]) == (PARENT_RA_COLUMN, PARENT_DEC_COLUMN)
    hidden = [column.name for column in table.manifest.columns if column.hidden]
    assert hidden == [HEALPIX_COLUMN, PARENT_RA_COLUMN, PARENT_DEC_COLUMN, INPUT_COLUMN]
    assert_inside_parent_tiles(tmp_path, "Dia")


def test_child_without_position_and_a_text_key(parents: pa.Table, tmp_path: Path) -> None:
    """Like MatchesTruth; rows without a parent have no place at all."""
    rows = child_rows(parents, scatter_deg=0, orphans=20).drop_columns(["ra", "dec"])
    table = built(tmp_path, parents, rows, child("Match", text=True, own=False))
    found = stored(table.directory)
    assert (found[HEALPIX_COLUMN].to_numpy() == parent_index(parents, found["parent_id"].to_pylist())).all()
    assert sorted(found["n"].to_pylist()) == list(range(20, len(rows)))
    assert (table.manifest.rows, table.manifest.rejected_rows) == (PARENTS * PER_PARENT, 20)
    assert table.manifest.placement is not None
    assert table.manifest.placement.own_ra_column is None
    rejects = pq.read_table(table.directory / "manifest/rejects.parquet")
    assert set(rejects["_reason"].to_pylist()) == {"no parent, and no position of its own"}
    assert rejects["n"].to_pylist() == list(range(20))
    assert_inside_parent_tiles(tmp_path, "Match")


@pytest.mark.parametrize("same", [False, True])
def test_orphans_keep_their_own_position(parents: pa.Table, tmp_path: Path, same: bool) -> None:
    lines: list[str] = []
    rows = child_rows(parents, scatter_deg=0, orphans=30)
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", rows)
    build(config(tmp_path, PARENT, child("Dia", same=same)), report=lines.append)
    found = stored(tmp_path / "catalogs/survey/Dia/Dia_r1")
    assert by_id(found, ["ra", "dec"], "n") == by_id(rows, ["ra", "dec"], "n")
    own = radec_to_index(found["ra"].to_numpy(), found["dec"].to_numpy())
    assert (found[HEALPIX_COLUMN].to_numpy() == own).all()
    assert "survey.Dia: 30 rows have no parent in Object; placed by their own position" in lines
    assert_inside_parent_tiles(tmp_path, "Dia")


def test_unusable_own_positions_do_not_cost_a_row_that_has_a_parent(parents: pa.Table, tmp_path: Path) -> None:
    rows = child_rows(parents, scatter_deg=0.001).slice(0, 40)
    ra = rows["ra"].to_pylist()
    ra[3], ra[5] = float("nan"), None
    rows = rows.set_column(rows.column_names.index("ra"), "ra", pa.array(ra, pa.float64()))
    table = built(tmp_path, parents, rows, child("Dia"))
    assert (table.manifest.rows, table.manifest.rejected_rows) == (40, 0)
    assert stored(table.directory)["ra"].null_count == 2
    assert np.isfinite(read_partition_map(table.directory).separations_deg).all()


def test_a_row_that_is_not_at_its_parents_position_is_named(parents: pa.Table, tmp_path: Path) -> None:
    rows = child_rows(parents, scatter_deg=0)
    dec = rows["dec"].to_numpy().copy()
    dec[2189] += 1e-12
    rows = rows.set_column(rows.column_names.index("dec"), "dec", pa.array(dec))
    with pytest.raises(InputError, match=r"Forced/part2\.parquet: row 321 of 'Forced' is not at its parent's position"):
        built(tmp_path, parents, rows, child("Forced", same=True))
    assert visible(tmp_path / "catalogs") == {}


def test_parent_published_earlier(parents: pa.Table, tmp_path: Path) -> None:
    rows = child_rows(parents, scatter_deg=0.002)
    together = tmp_path / "together"
    built(together, parents, rows, child("Dia"))
    apart = tmp_path / "apart"
    write_files(apart / "Object", parents)
    write_files(apart / "Dia", rows)
    with pytest.raises(ConfigError, match="parent 'Object' is neither in this configuration nor published"):
        build_all(apart, child("Dia"))
    build_all(apart, PARENT)
    build_all(apart, child("Dia"))
    assert tree(apart / "catalogs") == tree(together / "catalogs")


def test_grandchildren_follow_the_declared_position(parents: pa.Table, tmp_path: Path) -> None:
    rows = child_rows(parents, scatter_deg=0.002)
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", rows)
    write_files(tmp_path / "Alert", pa.table({"n": rows["n"], "m": range(len(rows))}))
    origin = PositionFrom(parent="Dia", child_key="n", parent_key="n")
    alert = TableConfig(name="Alert", input=("Alert/*.parquet",), id=("m",), position_from=origin)
    tables = build_all(tmp_path, alert, child("Dia"), PARENT)
    found, between = stored(tables["Alert"].directory), stored(tables["Dia"].directory)
    index = dict(zip(between["n"].to_pylist(), between[HEALPIX_COLUMN].to_pylist(), strict=True))
    assert found[HEALPIX_COLUMN].to_pylist() == [index[key] for key in found["n"].to_pylist()]


def test_an_ambiguous_parent_is_refused(parents: pa.Table, tmp_path: Path) -> None:
    first = parents.slice(100, 1)
    moved = first.set_column(2, "dec", pa.array([first["dec"][0].as_py() + 1e-9]))
    same = pa.concat_tables([parents, first])
    rows = child_rows(parents, scatter_deg=0)
    table = built(tmp_path / "same", same, rows, child("Forced", same=True))
    assert table.manifest.rows == len(rows)  # a parent that is there twice at one position places its children once
    message = f"parent table 'Object' has several positions for id = {first['id'][0].as_py()}"
    with pytest.raises(InputError, match=message):
        built(tmp_path / "moved", pa.concat_tables([parents, moved]), rows, child("Forced"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("nothing", "id"), "there is no key column 'nothing'"),
        (("parent_id", "nothing"), "parent table 'Object' has no column 'nothing'"),
        (("parent_id", "name"), "'parent_id' is int64, the parent's 'name' is string"),
        (("ra", "ra"), "needs two integer or two text keys"),
    ],
)
def test_unfit_keys_are_named(parents: pa.Table, tmp_path: Path, key: tuple[str, str], message: str) -> None:
    origin = PositionFrom(parent="Object", child_key=key[0], parent_key=key[1])
    with pytest.raises(ConfigError, match=message):
        built(tmp_path, parents, child_rows(parents, scatter_deg=0), child("Dia", position_from=origin))


def test_keys_of_other_widths_and_null_match(parents: pa.Table, tmp_path: Path) -> None:
    small = parents.set_column(0, "id", pa.array(np.arange(len(parents)), pa.int64()))
    rows = pa.table({"n": range(3), "parent_id": pa.array([7, None, 9], pa.int16())})
    table = built(tmp_path, small, rows, child("Dia", own=False))
    assert stored(table.directory)["parent_id"].to_pylist() in ([7, 9], [9, 7])
    assert table.manifest.rejected_rows == 1


def test_damaged_child_input_is_named(parents: pa.Table, tmp_path: Path) -> None:
    """An error inside the look-up comes out as the reader's own."""
    rows = child_rows(parents, scatter_deg=0)
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", rows)
    path = tmp_path / "Dia/part1.parquet"
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"Dia/part1\.parquet: not a readable Parquet file"):
        build_all(tmp_path, PARENT, child("Dia"))


def test_children_are_deterministic(parents: pa.Table, tmp_path: Path) -> None:
    rows = child_rows(parents, scatter_deg=0.001, orphans=10)
    for number, options in enumerate([{"workers": 1}, {"workers": 3, "memory": 64 << 20}]):
        built(tmp_path / str(number), parents, rows, child("Dia"), **options)
    assert tree(tmp_path / "0/catalogs") == tree(tmp_path / "1/catalogs")


def test_ids_beyond_float_precision_find_their_own_parent(tmp_path: Path) -> None:
    ids = [BIG + n for n in range(8)]
    parents = pa.table({"id": ids, "ra": np.arange(8) * 40.0, "dec": np.zeros(8)})
    rows = pa.table({"n": range(8), "parent_id": ids[::-1]})
    table = built(tmp_path, parents, rows, child("Dia", own=False))
    found = stored(table.directory)
    assert sorted(zip(found["parent_id"].to_pylist(), found[PARENT_RA_COLUMN].to_pylist(), strict=True)) == [
        (BIG + n, n * 40.0) for n in range(8)
    ]


def test_schema_difference_between_child_files(parents: pa.Table, tmp_path: Path) -> None:
    rows = child_rows(parents, scatter_deg=0)
    write_files(tmp_path / "Object", parents)
    write_files(tmp_path / "Dia", rows, files=1)
    pq.write_table(rows.rename_columns(["m", *rows.column_names[1:]]), tmp_path / "Dia/part9.parquet")
    with pytest.raises(SchemaMismatchError, match=r"Dia/part9\.parquet: lacks column 'n'"):
        build_all(tmp_path, PARENT, child("Dia"))


def test_rebuilding_a_parent_alone_warns_about_its_children(parents: pa.Table, tmp_path: Path) -> None:
    lines: list[str] = []
    built(tmp_path, parents, child_rows(parents, scatter_deg=0), child("Forced", same=True))
    build(config(tmp_path, PARENT), report=lines.append)
    warning = "survey.Object: warning: Forced was placed by an older release of this table; build it again"
    assert lines[-2:-1] == [warning] or lines[-1] == warning
    lines.clear()
    build(config(tmp_path, PARENT, child("Forced", same=True)), report=lines.append)
    assert not [line for line in lines if "warning" in line]
