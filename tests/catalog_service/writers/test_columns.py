import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from catalog_service.exceptions import CatalogServiceError, QueryValueError, ServerError
from catalog_service.models.schema import Column, DataType
from catalog_service.writers.columns import conform, result_schema


def cast(array: pa.Array, datatype: DataType, *, is_array: bool = False) -> pa.Array:
    columns = (Column(name="c", datatype=datatype, is_array=is_array),)
    batch = pa.record_batch([array], names=["whatever the engine calls it"])
    conformed = conform(batch, result_schema(columns, batch.schema))
    assert conformed.schema.names == ["c"]
    return conformed.column(0)


@pytest.mark.parametrize(
    ("array", "datatype", "expected"),
    [
        (pa.array([Decimal(3), None], pa.decimal128(38, 0)), DataType.LONG, [3, None]),
        (pa.array([Decimal("1.5")], pa.decimal128(2, 1)), DataType.DOUBLE, [1.5]),
        (pa.array([2**63 - 1], pa.uint64()), DataType.LONG, [2**63 - 1]),
        (pa.array([2**53 + 1], pa.int64()), DataType.DOUBLE, [2.0**53]),
        (pa.array([1.0, None]), DataType.INT, [1, None]),
        (pa.array([0.1]), DataType.FLOAT, [0.10000000149011612]),
        (pa.array([1.5, math.inf, -math.inf, None]), DataType.FLOAT, [1.5, math.inf, -math.inf, None]),
        (pa.array([True, False, None]), DataType.SHORT, [1, 0, None]),
        (pa.nulls(2), DataType.LONG, [None, None]),
        (pa.nulls(1, pa.int32()), DataType.NULL, [None]),
        (pa.array([date(2026, 11, 22)]), DataType.TIMESTAMP, [datetime(2026, 11, 22)]),  # noqa: DTZ001
        (
            pa.array([datetime(2026, 11, 22, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            DataType.TIMESTAMP,
            [datetime(2026, 11, 22, 1)],  # noqa: DTZ001
        ),
        (pa.array(["a", None, "a"]).dictionary_encode(), DataType.TEXT, ["a", None, "a"]),
        (pa.array([[1.0, 2.0], None]), DataType.POINT, [[1.0, 2.0], None]),
        (pa.array([[1.0, 2.0, 3.0]], pa.list_(pa.float64(), 3)), DataType.POLYGON, [[1.0, 2.0, 3.0]]),
    ],
)
def test_engine_types_become_announced_types(array: pa.Array, datatype: DataType, expected: list[Any]) -> None:
    assert cast(array, datatype).to_pylist() == expected


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (pa.array([300]), DataType.BYTE),
        (pa.array([-1]), DataType.BYTE),
        (pa.array([2**15]), DataType.SHORT),
        (pa.array([2**31]), DataType.INT),
        (pa.array([2**63], pa.uint64()), DataType.LONG),
        (pa.array([Decimal(2**63)], pa.decimal128(38, 0)), DataType.LONG),
        (pa.array([1.5]), DataType.LONG),
        (pa.array([1e300]), DataType.FLOAT),
        (pa.array(["abc"]), DataType.INT),
        (pa.array([[1.0, 2.0, 3.0]]), DataType.POINT),
    ],
)
def test_values_that_do_not_fit_are_refused(array: pa.Array, datatype: DataType) -> None:
    with pytest.raises(QueryValueError, match="Column 'c'"):
        cast(array, datatype)


def test_types_that_never_fit_are_our_fault() -> None:
    with pytest.raises(ServerError, match="'c' has the type struct") as caught:
        cast(pa.array([{"a": 1}]), DataType.DOUBLE)
    assert isinstance(caught.value, CatalogServiceError)


@pytest.mark.parametrize("datatype", [DataType.FLOAT, DataType.DOUBLE])
def test_nan_is_null(datatype: DataType) -> None:
    assert cast(pa.array([math.nan, 1.0, None]), datatype).to_pylist() == [None, 1.0, None]


def test_lists() -> None:
    array = cast(pa.array([[1, None], None, []]), DataType.SHORT, is_array=True)
    assert array.type == pa.list_(pa.int16())
    assert array.to_pylist() == [[1, None], None, []]


def test_timestamps_keep_their_resolution() -> None:
    for unit in ("s", "ms", "us", "ns"):
        assert cast(pa.array([1], pa.timestamp(unit)), DataType.TIMESTAMP).type == pa.timestamp(unit)
    assert result_schema((Column(name="t", datatype=DataType.TIMESTAMP),)).types == [pa.timestamp("us")]
