"""Columns of many files: a widened type holds every value of each exactly, and is the narrowest that does."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.adoption.columns import ForeignColumn, read_columns
from partitioning.adoption.foreign import open_tree
from partitioning.exceptions import SchemaMismatchError

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float32(), pa.float64()]


def extremes(kind: pa.DataType) -> list[float]:
    """Return values that no narrower type holds."""
    numpy_type = kind.to_pandas_dtype()
    if pa.types.is_integer(kind):
        return [int(np.iinfo(numpy_type).min), int(np.iinfo(numpy_type).max)]
    return [1 + float(np.finfo(numpy_type).eps), float(np.finfo(numpy_type).max)]


def unified(directory: Path, *tables: pa.Table) -> ForeignColumn:
    for number, table in enumerate(tables):
        pq.write_table(table, directory / f"{number}.parquet")
    with ThreadPoolExecutor(1) as executor:
        (column,) = read_columns(open_tree([str(directory)]).files, lambda _: False, executor)
    return column


def holds(kind: pa.DataType, value: float) -> bool:
    try:
        back: float = pa.scalar(value, kind).as_py()
    except (pa.ArrowInvalid, OverflowError):
        return False
    return back == value


@pytest.mark.parametrize(("first", "second"), list(product(INTEGERS + FLOATS, repeat=2)))
def test_numbers(tmp_path: Path, first: pa.DataType, second: pa.DataType) -> None:
    values = extremes(first) + extremes(second)
    fits = [kind for kind in INTEGERS + FLOATS if all(holds(kind, value) for value in values)]
    tables = [pa.table({"x": pa.array([], kind)}) for kind in (first, second)]
    if not fits or (pa.float64() in (first, second) and {first, second} & {pa.int64(), pa.uint64()}):
        with pytest.raises(SchemaMismatchError, match="column 'x'"):
            unified(tmp_path, *tables)
        return
    column = unified(tmp_path, *tables)
    assert column.type in fits
    assert column.type.bit_width == min(kind.bit_width for kind in fits)
    assert column.mixed == (first != second)


def test_a_column_of_nulls_takes_any_type(tmp_path: Path) -> None:
    column = unified(tmp_path, pa.table({"x": pa.nulls(1)}), pa.table({"x": ["a"]}), pa.table({"x": pa.nulls(2)}))
    assert column == ForeignColumn("x", pa.string(), mixed=True)


def test_spellings_of_one_type_are_one_type(tmp_path: Path) -> None:
    column = unified(
        tmp_path,
        pa.table({"x": pa.array(["a"], pa.large_string())}),
        pa.table({"x": pa.array(["a"]).dictionary_encode()}),
        pa.table({"x": ["a"]}),
    )
    assert column == ForeignColumn("x", pa.string())
