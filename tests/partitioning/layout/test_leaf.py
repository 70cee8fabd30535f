"""Data files: row groups, encodings, statistics, checksums."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xxhash

from partitioning.layout.leaf import MAX_COLUMN_CHUNKS, LeafFormat, encoding_options, row_groups, write_leaf
from partitioning.layout.paths import HEALPIX_COLUMN

ROWS = 10_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rng = np.random.default_rng(3)
    columns = {
        HEALPIX_COLUMN: np.sort(rng.integers(0, 1 << 60, ROWS)),
        "id": rng.permutation(ROWS) + (1 << 53),
        "flux": pa.array(rng.lognormal(0, 1, ROWS), mask=rng.random(ROWS) < 0.2),
        "mag": pa.array(rng.normal(20, 1, ROWS).astype("f4")),
        "band": pa.array(np.array(["u", "g", "r"])[rng.integers(0, 3, ROWS)]),
        "name": pa.array([f"object number {n}" for n in range(ROWS)]),
        "tract": rng.integers(0, 50, ROWS),
        "flag": rng.random(ROWS) < 0.1,
        "curve": pa.array([[1.0, None]] * ROWS, pa.list_(pa.float64())),
        "when": pa.array(np.arange(ROWS) * 1_000_000 + (1 << 50), pa.timestamp("us")),
    }
    return pa.table(columns)


@pytest.fixture(scope="module")
def form(table: pa.Table) -> LeafFormat:
    return LeafFormat(table.schema, ("id",), row_group_rows=3000)


def test_file_and_summary(table: pa.Table, form: LeafFormat, tmp_path: Path) -> None:
    path = tmp_path / "leaf.parquet"
    summary = write_leaf(path, row_groups(table, form), form)
    assert pq.read_table(path).equals(table)
    assert (summary.rows, summary.size_bytes) == (ROWS, path.stat().st_size)
    assert summary.checksum == xxhash.xxh3_128_hexdigest(path.read_bytes())
    assert summary.column_nulls.tolist() == [column.null_count for column in table.columns]
    metadata = pq.read_metadata(path)
    sizes = [
        sum(metadata.row_group(g).column(c).total_compressed_size for g in range(metadata.num_row_groups))
        for c in range(metadata.num_columns)
    ]
    assert summary.column_bytes.tolist() == sizes
    assert pc.sum(summary.groups["bytes"]).as_py() == sum(sizes)


def test_row_groups_are_bounded_and_even(table: pa.Table, form: LeafFormat) -> None:
    assert [group.num_rows for group in row_groups(table, form)] == [2500] * 4
    by_bytes = LeafFormat(table.schema, row_group_bytes=80_000, row_bytes=100.0)
    sizes = [group.num_rows for group in row_groups(table, by_bytes)]
    assert sum(sizes) == ROWS
    assert max(sizes) <= 800
    assert list(row_groups(table.slice(0, 0), form)) == []


def test_statistics_equal_the_data(table: pa.Table, form: LeafFormat, tmp_path: Path) -> None:
    groups = write_leaf(tmp_path / "leaf.parquet", row_groups(table, form), form).groups
    for number, group in enumerate(row_groups(table, form)):
        index = group[HEALPIX_COLUMN]
        assert groups["healpix_min"][number].as_py() == index[0].as_py()
        assert groups["healpix_max"][number].as_py() == index[-1].as_py()
        for name in ("id", "flux", "mag", "band", "name", "tract", "flag", "when"):
            bounds = pc.min_max(group[name])
            assert groups[f"{name}.min"][number] == bounds["min"]
            assert groups[f"{name}.max"][number] == bounds["max"]
            assert groups[f"{name}.nulls"][number].as_py() == group[name].null_count
    assert "curve.min" not in groups.column_names


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint8(), pa.uint32(), pa.uint64(), pa.timestamp("ns", "UTC"), pa.date32(), pa.time64("us")],
    ids=str,
)
def test_statistics_of_other_types(kind: pa.DataType, tmp_path: Path) -> None:
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    values = [5, None, 100]
    array = pa.array(values, width).view(kind) if pa.types.is_temporal(kind) else pa.array(values, kind)
    table = pa.table({"x": array, "nothing": pa.array([None] * 3, kind)})
    form = LeafFormat(table.schema)
    groups = write_leaf(tmp_path / "leaf.parquet", row_groups(table, form), form).groups
    assert groups["x.min"].combine_chunks() == array.slice(0, 1)
    assert groups["x.max"].combine_chunks() == array.slice(2, 1)
    assert groups["nothing.min"].null_count == 1
    assert groups["nothing.nulls"].to_pylist() == [3]


def test_large_unsigned_values_keep_their_bounds(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([2**63 + 5, 1], pa.uint64())})
    form = LeafFormat(table.schema)
    groups = write_leaf(tmp_path / "leaf.parquet", row_groups(table, form), form).groups
    assert groups["x.max"].to_pylist() == [2**63 + 5]


def test_encodings(table: pa.Table, form: LeafFormat, tmp_path: Path) -> None:
    path = tmp_path / "leaf.parquet"
    write_leaf(path, row_groups(table, form), form)
    metadata = pq.read_metadata(path)
    columns = {metadata.schema.column(c).path: metadata.row_group(0).column(c) for c in range(metadata.num_columns)}
    used = {name: set(column.encodings) for name, column in columns.items()}
    assert {name for name, column in columns.items() if column.compression != "ZSTD"} == {HEALPIX_COLUMN}
    for name in (HEALPIX_COLUMN, "id", "when"):
        assert "DELTA_BINARY_PACKED" in used[name]
    for name in ("flux", "mag", "curve.list.element"):
        assert "BYTE_STREAM_SPLIT" in used[name]
    for name in ("band", "tract"):
        assert "RLE_DICTIONARY" in used[name]
    assert "RLE_DICTIONARY" not in used["name"]
    assert [column.column_index for column in metadata.row_group(0).sorting_columns] == [0, 1]


def test_noise_is_not_compressed(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).integers(0, 1 << 32, ROWS, dtype=np.uint32) & 0xBFFF_FFFF  # no NaN
    late = np.arange(ROWS) < ROWS // 2
    table = pa.table(
        {
            "noise": bits.view("f4"),
            "numbers": np.random.default_rng(6).integers(-(1 << 62), 1 << 62, ROWS),
            "half": np.where(late, bits, 0).view("f4"),
            "late": pa.array(np.linspace(0, 1, ROWS), mask=late),  # the rows that tell are NULL
            "few": np.repeat(np.array([1, 2], np.float32), ROWS // 2),
            "curve": pa.array(bits.view("f4").reshape(-1, 1).tolist(), pa.list_(pa.float32())),
        }
    )
    form = LeafFormat(table.schema, row_group_rows=3000)
    summary = write_leaf(tmp_path / "leaf.parquet", row_groups(table, form), form)
    group = pq.read_metadata(tmp_path / "leaf.parquet").row_group(3)
    assert [group.column(n).compression == "UNCOMPRESSED" for n in range(6)] == [True, True, True, False, False, False]
    names = table.column_names[:5]
    assert pq.read_table(tmp_path / "leaf.parquet", columns=names).equals(table.select(names))
    assert summary.column_bytes[3] < 8 * ROWS // 2 + 5000
    assert write_leaf(tmp_path / "none.parquet", [], form).rows == 0


def test_page_checksums_find_one_flipped_bit(table: pa.Table, form: LeafFormat, tmp_path: Path) -> None:
    path = tmp_path / "leaf.parquet"
    write_leaf(path, row_groups(table, form), form)
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(1).column(2)
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"CRC|corrupt|verification"):
        pq.read_table(path, page_checksum_verification=True)


def test_wide_files_stay_within_the_chunk_limit() -> None:
    schema = pa.schema([(f"c{n}", pa.float32()) for n in range(991)])
    form = LeafFormat(schema, row_bytes=991 * 4)
    assert form.most_file_rows / form.most_group_rows * 991 <= MAX_COLUMN_CHUNKS
    assert form.most_group_rows * 991 * 4 <= 32 << 20


@pytest.mark.parametrize(("length", "rows"), [(5, 32_768), (9000, 1024)])
def test_long_texts_do_not_make_large_pages(length: int, rows: int) -> None:
    first = pa.table({"text": ["x" * length] * 100, "flux": np.zeros(100)})
    assert encoding_options(first, LeafFormat(first.schema))["write_batch_size"] == rows


def test_a_column_chunk_of_numbers_is_one_page(tmp_path: Path) -> None:
    values = pa.table({"x": np.random.default_rng(2).random(32_768).astype("f4")})
    write_leaf(tmp_path / "x.parquet", [values], LeafFormat(values.schema))
    chunk = pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0)
    header_bytes = 67  # with statistics and levels
    assert chunk.total_uncompressed_size - values.nbytes < 2 * header_bytes


def test_same_input_gives_the_same_bytes(table: pa.Table, form: LeafFormat, tmp_path: Path) -> None:
    checksums = {write_leaf(tmp_path / name, row_groups(table, form), form).checksum for name in ("a", "b")}
    assert len(checksums) == 1
