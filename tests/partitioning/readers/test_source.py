"""Input files: one schema in any column order, clear errors that name file, column and row."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import CsvConfig, TableConfig
from partitioning.exceptions import ConfigError, InputError, SchemaMismatchError
from partitioning.readers.base import find_inputs
from partitioning.readers.felis import FelisTable, felis_resources, read_felis
from partitioning.readers.source import Source, open_source


def source(base: Path, *patterns: str, felis: FelisTable | None = None, csv: CsvConfig | None = None) -> Source:
    table = TableConfig(name="T", input=patterns, csv=csv or CsvConfig())
    return open_source(table, find_inputs(patterns, base), felis)


def rows(opened: Source, batch_rows: int = 7) -> pa.Table:
    batches = [batch for _, batch in opened.batches(batch_rows=batch_rows)]
    return pa.Table.from_batches(batches, opened.schema)


def test_files_are_found_once_and_sorted(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "sub/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    names = [file.name for file in find_inputs(("b.csv", "**/*.csv"), tmp_path)]
    assert names == ["b.csv", "a.csv", "sub/c.csv"]
    with pytest.raises(InputError, match=r"input 'n\*\.csv' matches no file below"):
        find_inputs(("n*.csv",), tmp_path)


def test_columns_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": [3]}), tmp_path / "2.parquet")
    assert rows(source(tmp_path, "*.parquet")).to_pydict() == {"a": [1, 2, 3], "b": ["x", None, "y"]}


def test_equivalent_types_agree(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array(["x", "y"]).dictionary_encode()}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array(["z"], pa.large_string())}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"a": pa.array([None], pa.null())}), tmp_path / "3.parquet")
    assert rows(source(tmp_path, "*.parquet")).to_pydict() == {"a": ["x", "y", "z", None]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": [1]}, r"2\.parquet: lacks column 'b', which the first file \(1\.parquet\) has"),
        ({"a": [1], "b": [1.0], "c": [2]}, r"2\.parquet: has column 'c', which the first file"),
        ({"a": [1.5], "b": [1.0]}, r"2\.parquet: column 'a' is double, but int64 in the first file"),
        ({"a": [1], "A": [2], "b": [1.0]}, r"2\.parquet: column 'A' differs from 'a' by case only"),
    ],
)
def test_schema_differences_name_file_and_column(tmp_path: Path, other: dict[str, list[float]], message: str) -> None:
    pq.write_table(pa.table({"a": [1], "b": [1.0]}), tmp_path / "1.parquet")
    pq.write_table(pa.table(other), tmp_path / "2.parquet")
    with pytest.raises(SchemaMismatchError, match=message):
        source(tmp_path, "*.parquet")


def test_a_column_of_unknown_type_needs_a_declaration(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([None], pa.null())}), tmp_path / "1.parquet")
    with pytest.raises(SchemaMismatchError, match=r"1\.parquet: column 'a' holds only NULL and has no type"):
        source(tmp_path, "*.parquet")
    declared = FelisTable("T", types={"a": pa.int32()})
    assert rows(source(tmp_path, "*.parquet", felis=declared)).schema == pa.schema([("a", pa.int32())])


def test_computed_columns_of_another_store_are_left_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"_healpix_29": [1], "a": [1]}), tmp_path / "1.parquet")
    assert source(tmp_path, "*.parquet").schema.names == ["a"]


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"a": np.random.default_rng(1).random(100_000)}), path, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"1\.parquet: not a readable Parquet file"):
        rows(source(tmp_path, "*.parquet"), batch_rows=10_000)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"1\.parquet: not a readable Parquet file"):
        source(tmp_path, "*.parquet")


def test_csv_types_come_from_the_schema_file(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text('id,flag,mag,name,when\n9007199254740993,true,,,2030-01-02T03:04:05\n1,0,NaN,"",\n')
    declared = {
        "id": pa.int64(),
        "flag": pa.bool_(),
        "mag": pa.float32(),
        "name": pa.string(),
        "when": pa.timestamp("us"),
        "absent": pa.int8(),
    }
    table = rows(source(tmp_path, "1.csv", felis=FelisTable("T", types=declared)))
    assert [field.type for field in table.schema] == list(declared.values())[:5]
    assert table["id"].to_pylist() == [9007199254740993, 1]
    assert table["mag"].to_pylist() == [None, None]
    assert table["name"].to_pylist() == [None, ""]
    assert str(table["when"][0]) == "2030-01-02 03:04:05"


def test_csv_forms(tmp_path: Path) -> None:
    (tmp_path / "1.tsv").write_text("a\tb\n1\tx\n")
    with gzip.open(tmp_path / "2.csv.gz", "wt") as file:
        file.write("b,a\ny,2\n")
    (tmp_path / "3.csv").write_text("b;a\nz;-\n")
    semicolon = CsvConfig(delimiter=";", null_values=("-",))
    assert rows(source(tmp_path, "1.tsv")).to_pydict() == {"a": [1], "b": ["x"]}
    assert rows(source(tmp_path, "2.csv.gz")).to_pydict() == {"b": ["y"], "a": [2]}
    assert rows(
        source(tmp_path, "3.csv", felis=FelisTable("T", types={"a": pa.int8()}), csv=semicolon)
    ).to_pydict() == {
        "b": ["z"],
        "a": [None],
    }


def test_later_csv_files_take_the_types_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1.5\n")
    (tmp_path / "2.csv").write_text("a\n2\n")
    assert rows(source(tmp_path, "*.csv")).to_pydict() == {"a": [1.5, 2.0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"1\.csv: .*column #1: Row #3: .*'x'.*declared in the schema file"),
        ("a,b\n1,2\n3\n", r"1\.csv: .*Row #3: Expected 2 columns, got 1"),
        ("", r"1\.csv: not a readable CSV file: Empty"),
    ],
)
def test_csv_errors_name_file_and_row(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "1.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        rows(source(tmp_path, "1.csv", felis=FelisTable("T", types={"a": pa.int64(), "b": pa.int64()})))


def test_unknown_suffix_asks_for_the_format(tmp_path: Path) -> None:
    (tmp_path / "data.dat").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"set format = 'parquet' or 'csv' or .* for table 'T'"):
        source(tmp_path, "data.dat")


def test_felis(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(
        "name: s\nresources: {base: {uri: base.yaml}}\ntables:\n- name: T\n  description: d\n  columns:\n"
        "  - {name: a, datatype: long, 'tap:principal': 1}\n  - {name: b, datatype: binary}\n"
    )
    expected = FelisTable("T", "d", {"a": pa.int64()}, ("a",))
    assert read_felis(path) == {"T": expected}
    with pytest.raises(ConfigError, match=r"resource 'base' names 'base\.yaml', which is not a file beside it"):
        felis_resources(path)
    (tmp_path / "base.yaml").write_text("name: base\n")
    assert felis_resources(path) == (tmp_path / "base.yaml",)
    path.write_text("just text")
    with pytest.raises(ConfigError, match="not a Felis schema"):
        read_felis(path)
    path.write_text("tables: [{no: name}]")
    with pytest.raises(ConfigError, match="not a Felis schema"):
        read_felis(path)
