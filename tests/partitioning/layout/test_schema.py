"""Stored types, and NaN turned into NULL wherever it hides."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioning.exceptions import SchemaMismatchError
from partitioning.layout.schema import has_nan, schema_fingerprint, stored_schema, stored_type, without_nan

FLOATS = st.one_of(st.none(), st.just(math.nan), st.sampled_from([-0.0, math.inf, -math.inf]), st.floats(width=32))
LISTS = st.one_of(st.none(), st.lists(FLOATS, max_size=4))
PAIRS = st.one_of(st.none(), st.lists(FLOATS, min_size=2, max_size=2))
STRUCTS = st.one_of(st.none(), st.fixed_dictionaries({"x": FLOATS, "y": LISTS}))

TYPES: list[tuple[Any, pa.DataType]] = [
    (FLOATS, pa.float64()),
    (FLOATS, pa.float32()),
    (LISTS, pa.list_(pa.float64())),
    (PAIRS, pa.list_(pa.float64(), 2)),
    (STRUCTS, pa.struct([("x", pa.float64()), ("y", pa.list_(pa.float32()))])),
]


def cleaned(value: Any) -> Any:
    """Return what a Python value becomes when NaN is NULL: the oracle."""
    match value:
        case float():
            return None if math.isnan(value) else value
        case list():
            return [cleaned(item) for item in value]
        case dict():
            return {key: cleaned(item) for key, item in value.items()}
        case other:
            return other


@pytest.mark.parametrize(("values", "kind"), TYPES, ids=[str(kind) for _, kind in TYPES])
def test_nan_becomes_null(values: Any, kind: pa.DataType) -> None:
    @settings(deadline=None)
    @given(st.lists(values, max_size=8), st.integers(0, 3), st.integers(0, 8))
    def check(rows: list[Any], offset: int, length: int) -> None:
        array = pa.array(rows, kind).slice(offset, length)
        clean = without_nan(array)
        assert repr(clean.to_pylist()) == repr(cleaned(array.to_pylist()))  # repr tells -0.0 from 0.0
        assert clean.type == kind
        assert not has_nan(clean)

    check()


def test_columns_without_nan_are_left_alone() -> None:
    array = pa.array([1.0, None, math.inf])
    assert without_nan(array) is array


def test_stored_types() -> None:
    replaced = {
        pa.dictionary(pa.int8(), pa.large_string()): pa.string(),
        pa.large_list(pa.float16()): pa.list_(pa.float32()),
        pa.struct([("a", pa.string_view())]): pa.struct([("a", pa.string())]),
        pa.timestamp("s", "UTC"): pa.timestamp("ms", "UTC"),
        pa.date64(): pa.date32(),
    }
    for given_type, kept in replaced.items():
        assert stored_type(given_type) == kept
    for same in (pa.int64(), pa.uint64(), pa.float32(), pa.bool_(), pa.timestamp("ns"), pa.decimal128(12, 3)):
        assert stored_type(same) == same


def test_unfit_schemas_are_refused() -> None:
    with pytest.raises(SchemaMismatchError, match="'Ra' differs from 'ra' by case only"):
        stored_schema(pa.schema([("ra", pa.float64()), ("Ra", pa.float64())]))
    with pytest.raises(SchemaMismatchError, match="'ra' is there twice"):
        stored_schema(pa.schema([("ra", pa.float64()), ("ra", pa.float64())]))
    with pytest.raises(SchemaMismatchError, match="column 'tags': type map"):
        stored_schema(pa.schema([("tags", pa.map_(pa.string(), pa.int32()))]))


def test_fingerprint_tells_names_types_and_order_apart() -> None:
    a, b = ("a", pa.int32()), ("b", pa.int32())
    schemas = [pa.schema([a, b]), pa.schema([b, a]), pa.schema([a, ("b", pa.int64())]), pa.schema([a])]
    assert len({schema_fingerprint(schema) for schema in schemas}) == len(schemas)
    assert schema_fingerprint(schemas[0]) == schema_fingerprint(schemas[0].with_metadata({"k": "v"}))
    assert np.isin([len(schema_fingerprint(schema)) for schema in schemas], 32).all()
