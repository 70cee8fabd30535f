"""Fixed-size lists of fixed-size lists, such as matrices of FITS: pyarrow takes wrong values of slices of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.pipeline import append, build
from partitioning.stages.order import taken, unsliced
from tests.partitioning.builders import config, published, sky_rows, sky_table, stored, write_files

MATRIX = pa.list_(pa.list_(pa.float64(), 2), 2)
KINDS = {
    "matrix": MATRIX,
    "cube": pa.list_(MATRIX, 1),
    "inside": pa.struct([("a", MATRIX)]),
    "flags": pa.list_(pa.list_(pa.bool_(), 2), 2),
}


def values(kind: pa.DataType, ids: np.ndarray) -> pa.Array:
    def one(number: int, of: pa.DataType) -> object:
        if pa.types.is_struct(of):
            return {"a": one(number, of.field("a").type)}
        if pa.types.is_fixed_size_list(of):
            return [one(number * 3 + place, of.value_type) for place in range(of.list_size)]
        return bool(number % 3) if pa.types.is_boolean(of) else float(number)

    return pa.array([one(int(number), kind) for number in ids], kind)


def with_matrices(rows: pa.Table) -> pa.Table:
    ids = rows["id"].to_numpy() - rows["id"].to_numpy().min()
    for name, kind in KINDS.items():
        rows = rows.append_column(name, values(kind, ids))
    return rows


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_rows_of_slices_are_the_right_ones(kind: pa.DataType) -> None:
    whole, order = values(kind, np.arange(300)), np.array([99, 0, 50])
    expected = whole.take(pa.array(order + 200)).to_pylist()
    part = whole.slice(200)
    batch = pa.record_batch({"m": part, "n": pa.array(range(100))})
    assert taken(part, order).to_pylist() == expected
    assert taken(batch, order)["m"].to_pylist() == expected
    table = unsliced(pa.table({"m": pa.chunked_array([part]), "n": range(100)}))
    assert table.take(pa.array(order))["m"].to_pylist() == expected
    chosen = unsliced(batch).filter(pa.array(np.isin(np.arange(100), order)))
    assert chosen["m"].to_pylist() == [expected[1], expected[2], expected[0]]


def test_a_build_and_an_append_keep_them(tmp_path: Path) -> None:
    rows = with_matrices(sky_rows(900))
    first, last = rows.slice(0, 700), rows.slice(700)
    write_files(tmp_path / "Object", first)
    table = sky_table(target_rows=250, row_group_rows=64, margin_arcsec=60.0, input=("Object/**/*.parquet",))
    wanted = config(tmp_path, table, workers=1)
    build(wanted)
    check(tmp_path, first)
    write_files(tmp_path / "Object/later", last, files=1)
    append(wanted)
    check(tmp_path, rows)


def check(base: Path, rows: pa.Table) -> None:
    release, names = published(base / "catalogs/survey/Object"), ["id", *KINDS]
    found = stored(release).select(names).sort_by("id")
    assert found.to_pylist() == rows.select(names).sort_by("id").to_pylist()
    leaves = release.with_name(f"{release.name}_60arcs").rglob("Npix*")
    margin = [pq.read_table(path, partitioning=None) for path in leaves]
    expected = {row["id"]: row for row in found.to_pylist()}
    beside = pa.concat_tables(margin).select(names).to_pylist()
    assert beside
    assert all(row == expected[row["id"]] for row in beside)
