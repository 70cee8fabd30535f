"""Parquet input: directories, and every type either kept exactly or refused by name."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import TableConfig
from partitioning.exceptions import InputError, SchemaMismatchError
from partitioning.readers.base import find_inputs
from partitioning.readers.source import Source, open_source

BIG = 2**53 + 1
CURVES: list[Any] = [{"time": [1.5, 2.5], "mag": [20.0, None]}, None, {"time": [], "mag": []}]
UTC = dt.UTC


def source(base: Path, *patterns: str) -> Source:
    return open_source(TableConfig(name="T", input=patterns), find_inputs(patterns, base), None)


def rows(opened: Source) -> pa.Table:
    return pa.Table.from_batches([b for _, b in opened.batches(batch_rows=2, nan=True)], opened.schema)


def moments(*tz: dt.tzinfo) -> list[dt.datetime | None]:
    return [dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=tz[0] if tz else None), None]


KEPT: dict[str, tuple[pa.DataType, list[Any]]] = {
    **{f"int{n}": (pa.type_for_alias(f"int{n}"), [-(2 ** (n - 1)), None, 2 ** (n - 1) - 1]) for n in (8, 16, 32, 64)},
    **{f"uint{n}": (pa.type_for_alias(f"uint{n}"), [0, None, 2**n - 1]) for n in (8, 16, 32, 64)},
    "float16": (pa.float16(), [1.5, None, -65504.0, float("inf")]),
    "float32": (pa.float32(), [1.5, None, float("-inf"), -0.0]),
    "float64": (pa.float64(), [0.1, None, 1e300]),
    "bool": (pa.bool_(), [True, None, False]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["r", None, "g", "r"]),
    "integer dictionary": (pa.dictionary(pa.int8(), pa.int64()), [BIG, None, 5]),
    "string": (pa.string(), ["r", None, "", "é\n\x00"]),
    "large_string": (pa.large_string(), ["r", None, ""]),
    "string_view": (pa.string_view(), ["r", None, "longer than twelve bytes"]),
    "binary": (pa.binary(), [b"\x00\xff", None, b""]),
    "large_binary": (pa.large_binary(), [b"\x00\xff", None, b""]),
    "fixed binary": (pa.binary(2), [b"\x00\xff", None]),
    "decimal": (pa.decimal128(38, 2), [Decimal("123456789012345678901234567890123456.78"), None]),
    "short decimal": (pa.decimal64(6, 2), [Decimal("-1234.56"), None]),
    "wide decimal": (pa.decimal256(38, 0), [Decimal(10) ** 37 + 1, None]),
    **{f"timestamp {unit}": (pa.timestamp(unit), moments()) for unit in ("s", "ms", "us")},
    **{f"zoned {unit}": (pa.timestamp(unit, "UTC"), moments(UTC)) for unit in ("s", "ms", "us")},
    "date32": (pa.date32(), [dt.date(1582, 10, 15), None]),
    "date64": (pa.date64(), [dt.date(2030, 1, 2), None]),
    **{
        f"time {unit}": (kind(unit), [dt.time(1, 2, 3), None])
        for kind, unit in ((pa.time32, "s"), (pa.time32, "ms"), (pa.time64, "us"), (pa.time64, "ns"))
    },
    "list": (pa.list_(pa.int64()), [[BIG, None], None, []]),
    "large_list": (pa.large_list(pa.float64()), [[0.1, None], None, []]),
    "vector": (pa.list_(pa.float32(), 2), [[1.0, 2.0], None, [None, -0.0]]),
    "struct": (pa.struct([("id", pa.uint64()), ("band", pa.dictionary(pa.int8(), pa.string()))]), [None] * 2),
    "light curve": (pa.struct([("time", pa.list_(pa.float64())), ("mag", pa.list_(pa.float32()))]), CURVES),
    "list of structs": (pa.list_(pa.struct([("id", pa.int64())])), [[{"id": BIG}, None], None, []]),
    "list of dictionaries": (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["r", None], None, []]),
}
"""Types and values that are the same after reading and storing."""

REFUSED: dict[str, tuple[pa.Array, str]] = {
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())), "type map<.*> cannot be stored"),
    "list view": (pa.array([[1]], pa.list_view(pa.int32())), "type list_view<.*> cannot be stored"),
    "duration": (pa.array([1], pa.duration("us")), r"type duration\[us\] cannot be stored"),
    "long decimal": (pa.array([Decimal(1)], pa.decimal256(39, 0)), r"type decimal256\(39, 0\) cannot be stored"),
    "null": (pa.nulls(2), "holds only NULL and has no type; declare"),
    "list of null": (pa.array([[], None], pa.list_(pa.null())), "holds only NULL and has no type; declare"),
}


@pytest.mark.parametrize("name", KEPT)
def test_values_are_stored_as_they_are(tmp_path: Path, name: str) -> None:
    """Oracle: the Python values that went in come out of a file that was written with the stored types."""
    kind, values = KEPT[name]
    value_type = kind.value_type if pa.types.is_dictionary(kind) else kind
    array = pa.array(np.array(values, dtype="f2") if name == "float16" else values, value_type, from_pandas=True)
    array = array.dictionary_encode() if pa.types.is_dictionary(kind) else array.cast(kind)
    pq.write_table(pa.table({"x": array}), tmp_path / "in.parquet", row_group_size=2)
    pq.write_table(rows(source(tmp_path, "in.parquet")), tmp_path / "out.parquet")
    stored = pq.read_table(tmp_path / "out.parquet")["x"]
    assert stored.to_pylist() == values
    if pa.types.is_floating(kind):
        assert np.signbit(stored.to_numpy()).tolist() == np.signbit(np.array(values, float)).tolist()


@pytest.mark.parametrize("name", REFUSED)
def test_other_types_are_refused_by_name(tmp_path: Path, name: str) -> None:
    array, message = REFUSED[name]
    pq.write_table(pa.table({"good": [1] * len(array), "bad": array}), tmp_path / "1.parquet")
    with pytest.raises(SchemaMismatchError, match=rf"1\.parquet: column 'bad'.*{message}"):
        source(tmp_path, "1.parquet")


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    stamps = pa.array([2**62 + 1, None, -1], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"x": stamps}), tmp_path / "1.parquet")
    assert rows(source(tmp_path, "1.parquet"))["x"].combine_chunks().equals(stamps)


def test_extension_types_are_stored_as_what_they_are_made_of(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([b"0" * 16, None], pa.uuid())}), tmp_path / "1.parquet")
    assert rows(source(tmp_path, "1.parquet")).to_pydict() == {"x": [b"0" * 16, None]}


def test_parts_of_a_nested_column_without_values_take_their_type_from_other_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([[], [None]], pa.list_(pa.null()))}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": [[1.5]]}), tmp_path / "2.parquet")
    assert rows(source(tmp_path, "*.parquet")).to_pydict() == {"x": [[], [None], [1.5]]}


def test_names_with_dots_are_not_paths(tmp_path: Path) -> None:
    table = pa.table({"a": [{"b": 1}], "a.b": [2], "c.d": [3], "": [4], 'q"uote': [5]})
    pq.write_table(table, tmp_path / "1.parquet")
    opened = source(tmp_path, "1.parquet")
    for names in (["a"], ["a.b"], ["c.d", "a"], ["", 'q"uote']):
        found = pa.Table.from_batches(b for _, b in opened.batches(names, batch_rows=10))
        assert found.to_pydict() == table.select(names).to_pydict()


def test_directories_stand_for_their_parquet_files(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "b/c/1.PARQ", "b/3.pq", "a.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [name]}), tmp_path / name)
    for name in ("b/_metadata", "b/_temporary/0.parquet", "b/.hidden.parquet", "b/_x.parquet", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not Parquet")
    (tmp_path / "b" / "c" / "circle").symlink_to(tmp_path / "b")
    names = ["b/2.parquet", "b/3.pq", "b/c/1.PARQ"]
    assert [file.name for file in find_inputs(["b/"], tmp_path)] == names
    assert [file.name for file in find_inputs(["."], tmp_path)] == ["a.parquet", *names]
    assert rows(source(tmp_path, "b")).to_pydict() == {"x": names}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="input 'empty' matches only directories without Parquet files"):
        find_inputs(["empty"], tmp_path)


def test_columns_in_names_of_directories_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "d" / "band=g").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "d" / "band=g" / "1.parquet")
    with pytest.raises(InputError, match="column 'band' seems to be in the names of directories"):
        find_inputs(["d"], tmp_path)
    assert [file.name for file in find_inputs(["d/**/*.parquet"], tmp_path)] == ["d/band=g/1.parquet"]


def test_cosmodc2_layout(tmp_path: Path) -> None:
    """A file per nside-32 RING pixel: rows with positions like others; names that need quoting stay or are renamed."""
    quoted = "LSST_filters/magnitude:LSST_g:observed:dustAtlas"
    parts = []
    for pixel in (9557, 10070):
        part = pa.table({"galaxy_id": [pixel * 10**9 + BIG, 1], "ra": [60.0, 61.0], quoted: [24.5, float("nan")]})
        pq.write_table(part, tmp_path / f"cosmoDC2_v1.1.4_image_healpix{pixel}.parquet", row_group_size=1)
        parts.append(part)
    expected = pa.concat_tables([parts[1], parts[0]])  # by name of the file
    opened = source(tmp_path, ".")
    assert opened.part_rows(0) == (1, 1)
    assert str(rows(opened).to_pydict()) == str(expected.to_pydict())
    table = TableConfig(name="T", input=(".",), rename={quoted: "mag_g"})
    renamed = open_source(table, find_inputs(["."], tmp_path), None)
    assert str(rows(renamed).to_pydict()) == str(expected.rename_columns(["galaxy_id", "ra", "mag_g"]).to_pydict())
    found = [batch for _, batch in renamed.batches(["mag_g"], batch_rows=10)]
    assert pa.Table.from_batches(found).to_pydict() == {"mag_g": [24.5, None, 24.5, None]}
