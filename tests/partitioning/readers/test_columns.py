"""Files that differ: declared types, optional and renamed columns; everything else stops with file and column."""

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import TableConfig
from partitioning.exceptions import InputError, SchemaMismatchError
from partitioning.layout.schema import stored_type
from partitioning.readers.base import find_inputs
from partitioning.readers.source import Source, open_source
from partitioning.readers.types import arrow_type, is_widening

EXTREMES: dict[str, list[Any]] = {
    **{f"int{n}": [-(2 ** (n - 1)), 0, 2 ** (n - 1) - 1, None] for n in (8, 16, 32, 64)},
    **{f"uint{n}": [0, 2**n - 1, None] for n in (8, 16, 32, 64)},
    "float": [1.5, 2.0**-149, float("inf"), None],
    "double": [0.1, 1e300, None],
    "bool": [True, False, None],
    "string": ["1", None],
    "binary": [b"1", None],
    "date32": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None],
    "time32[ms]": [dt.time(23, 59, 59, 999000), None],
    "time64[us]": [dt.time(23, 59, 59, 999999), None],
    **{f"timestamp[{u}]": [dt.datetime(1, 1, 1), dt.datetime(9999, 1, 1), None] for u in ("ms", "us")},  # noqa: DTZ001
    "timestamp[us, tz=UTC]": [dt.datetime(2030, 1, 1, tzinfo=dt.UTC), None],
    "timestamp[ns]": [dt.datetime(2030, 1, 1), None],  # noqa: DTZ001
    "decimal(5, 2)": [None],
    "decimal(7, 2)": [None],
    "decimal(7, 4)": [None],
    "list<int32>": [[2**31 - 1, None], [], None],
    "list<double>": [[0.1], None],
}


def source(base: Path, *patterns: str, **keys: Any) -> Source:
    types = {name: arrow_type(text) for name, text in keys.pop("types", {}).items()}
    table = TableConfig(name="T", input=patterns, types=types, **keys)
    return open_source(table, find_inputs(patterns, base), None)


def rows(opened: Source, *names: str) -> dict[str, Any]:
    schema = pa.schema([opened.schema.field(name) for name in names or opened.schema.names])
    return pa.Table.from_batches([b for _, b in opened.batches(names or None, batch_rows=3)], schema).to_pydict()


def write(base: Path, *tables: dict[str, Any] | pa.Table) -> None:
    for number, table in enumerate(tables, start=1):
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), base / f"{number}.parquet")


@pytest.mark.parametrize("kind", EXTREMES)
def test_no_widening_loses_a_value(kind: str) -> None:
    """A conversion is either not a widening, or gives equal values, or fails; integers to floats by value."""
    here = arrow_type(kind)
    wider = [there for there in map(arrow_type, EXTREMES) if is_widening(here, there)]
    assert here in wider
    for there, value in itertools.product(wider, EXTREMES[kind]):
        try:
            found = pa.array([value], here).cast(there)
        except pa.ArrowInvalid:
            continue
        back = found.cast(here, safe=False).to_pylist()
        assert back == [value]
        if isinstance(value, int):
            assert found.to_pylist() == [value]


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("double", "float"), ("int64", "int32"), ("int64", "uint64"), ("float", "int64"), ("string", "int64"),
        ("int64", "string"), ("timestamp[us]", "timestamp[ms]"), ("timestamp[us]", "timestamp[us, tz=UTC]"),
        ("timestamp[us]", "date32"), ("bool", "int8"), ("string", "binary"), ("binary", "string"),
        ("decimal(7, 2)", "decimal(7, 4)"), ("decimal(7, 4)", "decimal(7, 2)"), ("list<double>", "list<float>"),
        ("list<int32>", "int32"), ("int32", "list<int32>"),
    ],
)  # fmt: skip
def test_these_are_no_widenings(kind: str, to: str) -> None:
    assert not is_widening(arrow_type(kind), arrow_type(to))


@pytest.mark.parametrize(
    ("narrow", "to"),
    [
        (pa.array([-1, None], pa.int32()), "int64"),
        (pa.array([2**32 - 1], pa.uint32()), "int64"),
        (pa.array([2**63 - 1], pa.uint64()), "int64"),
        (pa.array([1.5, None], pa.float32()), "double"),
        (pa.array([2**53, -(2**53)], pa.int64()), "double"),
        (pa.array([2**24], pa.int32()), "float"),
        (pa.array([dt.date(2030, 1, 2)]), "timestamp[us]"),
        (pa.array([dt.datetime(2030, 1, 2)], pa.timestamp("s")), "timestamp[ns]"),  # noqa: DTZ001
        (pa.array([[1], None], pa.list_(pa.int16())), "list<double>"),
        (pa.array([[1, 2], None], pa.list_(pa.int16(), 2)), "list<int32>"),
        (pa.array(["r"]).dictionary_encode(), "string"),
        (pa.nulls(2), "string"),
    ],
)
def test_declared_types_are_stored(tmp_path: Path, narrow: pa.Array, to: str) -> None:
    wide = arrow_type(to)
    write(tmp_path, pa.table({"x": narrow}), pa.table({"x": pa.nulls(1, wide)}))
    opened = source(tmp_path, "*.parquet", types={"x": to})
    assert opened.schema.field("x").type == stored_type(wide)
    expected = [dt.datetime(v.year, v.month, v.day) if type(v) is dt.date else v for v in narrow.to_pylist()]  # noqa: DTZ001
    assert rows(opened) == {"x": [*expected, None]}


@pytest.mark.parametrize(
    ("values", "to"),
    [
        (pa.array([2**53 + 1]), "double"),
        (pa.array([2**24 + 1], pa.int32()), "float"),
        (pa.array([2**63], pa.uint64()), "int64"),
        (pa.array([dt.date(9999, 1, 1)]), "timestamp[ns]"),
        (pa.array([dt.datetime(9999, 1, 1)], pa.timestamp("ms")), "timestamp[ns]"),  # noqa: DTZ001
        (pa.array([[2**53 + 1]]), "list<double>"),
    ],
)
def test_values_that_would_change_stop_with_file_column_and_rows(tmp_path: Path, values: pa.Array, to: str) -> None:
    ones = pa.nulls(5, values.type)
    write(tmp_path, pa.table({"x": pa.concat_arrays([ones, values])}))
    opened = source(tmp_path, "1.parquet", types={"x": to})
    with pytest.raises(InputError, match=r"1\.parquet: rows 3 to 5: column 'x' does not fit .*: "):
        rows(opened)


def test_other_conversions_stop_with_file_column_and_types(tmp_path: Path) -> None:
    write(tmp_path, {"x": [1.5]}, {"x": ["1"]})
    with pytest.raises(SchemaMismatchError, match=r"2\.parquet: column 'x' is string, which does not become double"):
        source(tmp_path, "*.parquet", types={"x": "double"})
    with pytest.raises(SchemaMismatchError, match=r"1\.parquet: column 'x' is double, which does not become int64"):
        source(tmp_path, "1.parquet", types={"x": "int64"})
    with pytest.raises(
        SchemaMismatchError,
        match=r"2\.parquet: column 'x' is string, but double in the first file \(1\.parquet\); declare .* = \{ 'x'",
    ):
        source(tmp_path, "*.parquet")


def test_csv_is_read_with_declared_types(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("LSST:g,id\n1,007\n")
    (tmp_path / "2.csv").write_text("id,LSST:g\n2,1.5\n")
    keys: dict[str, Any] = {"types": {"g": "double", "id": "string"}, "rename": {"LSST:g": "g"}}
    assert rows(source(tmp_path, "*.csv", **keys)) == {"g": [1.0, 1.5], "id": ["007", "2"]}


def test_formats_may_be_mixed(tmp_path: Path) -> None:
    write(tmp_path, {"a": [2**60], "b": ["x"]})
    (tmp_path / "2.csv").write_text("b,a\ny,5\n")
    assert rows(source(tmp_path, "1.parquet", "2.csv")) == {"a": [2**60, 5], "b": ["x", "y"]}


def test_optional_columns(tmp_path: Path) -> None:
    write(tmp_path, {"a": [1]}, {"b": [[1.5]], "a": [2]}, {"c": ["x"], "a": [3]})
    with pytest.raises(SchemaMismatchError, match=r"2\.parquet: has column 'b', which .* optional = \['b'\]"):
        source(tmp_path, "*.parquet", optional=("c",))
    opened = source(tmp_path, "*.parquet", optional=("c", "b", "d"), types={"d": "int8"})
    assert opened.schema.names == ["a", "b", "c", "d"]
    assert rows(opened) == {"a": [1, 2, 3], "b": [None, [1.5], None], "c": [None, None, "x"], "d": [None] * 3}
    assert rows(opened, "c") == {"c": [None, None, "x"]}  # also where the file has none of the columns
    assert rows(opened, "d", "b") == {"d": [None] * 3, "b": [None, [1.5], None]}
    write(tmp_path, {"a": [1]}, {"b": [[1.5]]})
    with pytest.raises(SchemaMismatchError, match=r"2\.parquet: lacks column 'a'"):
        source(tmp_path, "*.parquet", optional=("b", "c"))


def test_renamed_columns(tmp_path: Path) -> None:
    write(
        tmp_path, {"LSST_filters/magnitude:LSST_g": [1.5], "a": [1]}, {"a": [2], "LSST_filters/magnitude:LSST_g": [2.5]}
    )
    rename = {"LSST_filters/magnitude:LSST_g": "mag_g"}
    opened = source(tmp_path, "*.parquet", rename=rename)
    assert rows(opened) == {"mag_g": [1.5, 2.5], "a": [1, 2]}
    assert rows(opened, "a", "mag_g") == {"a": [1, 2], "mag_g": [1.5, 2.5]}
    assert rows(source(tmp_path, "*.parquet", rename={"a": "b", **rename}, types={"b": "double"}))["b"] == [1.0, 2.0]
    with pytest.raises(SchemaMismatchError, match=r"column 'a' differs from 'A' by case only"):
        source(tmp_path, "*.parquet", rename={"LSST_filters/magnitude:LSST_g": "A"})
    swapped = source(tmp_path, "*.parquet", rename={"a": "x", "LSST_filters/magnitude:LSST_g": "a"})
    assert rows(swapped) == {"a": [1.5, 2.5], "x": [1, 2]}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"types": {"flx": "double"}},
            r"key 'types' names column 'flx', which no input file has; did you mean 'flux'\?",
        ),
        ({"optional": ("other",)}, "key 'optional' names column 'other', which no input file has"),
        ({"rename": {"other": "o"}}, "key 'rename' names column 'other', which no input file has"),
    ],
)
def test_keys_name_columns_that_exist(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    write(tmp_path, {"flux": [1.5]})
    with pytest.raises(SchemaMismatchError, match=message):
        source(tmp_path, "*.parquet", **keys)


def test_reserved_columns_are_made_anew(tmp_path: Path) -> None:
    own = {"_healpix_29": [1], "_parent_ra": [1.0], "_parent_dec": [1.0], "_input": pa.array([1], pa.int32())}
    write(tmp_path, {**own, "a": [1]}, {"a": [2]})
    assert rows(source(tmp_path, "*.parquet")) == {"a": [1, 2]}
