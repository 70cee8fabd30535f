"""Nothing may be lost on the way into astropy, pandas and polars: NULL, 64-bit integers, units."""

import datetime as dt
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from catalog_service.client import Result
from catalog_service.client.conversion import load_extra

BIG = 2**63 - 1
"""No double holds it."""


def described(name: str, type_: pa.DataType, **texts: str) -> pa.Field:
    return pa.field(name, type_, metadata=texts)


@pytest.fixture
def result() -> Result:
    day = dt.datetime(2024, 2, 29, 12, 0, 0, 123456)  # noqa: DTZ001 - catalogs hold times without zone
    schema = pa.schema(
        [
            described("objectId", pa.int64(), ucd="meta.id;meta.main", description="Unique id"),
            described("coord_ra", pa.float64(), unit="deg", ucd="pos.eq.ra"),
            described("flux", pa.float32(), unit="nJy"),
            described("odd", pa.float64(), unit="furlong/fortnight2"),
            pa.field("flag", pa.bool_()),
            pa.field("band", pa.string()),
            pa.field("obsStart", pa.timestamp("us")),
            pa.field("spectrum", pa.list_(pa.float32())),
            pa.field("nothing", pa.null()),
            pa.field("blob", pa.binary()),
        ],
        metadata={"SERVICE_VERSION": "1.2", "IVOA.VOTable-Parquet.content": "<VOTABLE/>"},
    )
    columns = [
        [BIG, None, -BIG],
        [10.5, 350.0, None],
        [1.5, None, 2.5],
        [1.0, 2.0, 3.0],
        [True, None, False],
        ["g", None, "r"],
        [day, None, day],
        [[1.0], None, [2.0, 3.0]],
        [None, None, None],
        [b"a\0", None, b""],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    table = pa.concat_tables(
        [pa.Table.from_arrays(arrays, schema=schema).slice(0, 2)] * 1
        + [pa.Table.from_arrays(arrays, schema=schema).slice(2)]
    )
    return Result(table, overflow=True, query_id="q-1")


def test_astropy_keeps_ids_exact_and_masks_null(result: Result) -> None:
    table = result.to_table()
    assert isinstance(table, Table)
    assert table["objectId"].dtype == np.int64
    assert list(table["objectId"].mask) == [False, True, False]
    assert table["objectId"][0] == BIG
    assert table["objectId"][2] == -BIG
    for name in set(table.colnames) - {"odd", "nothing"}:
        assert isinstance(table[name], MaskedColumn), name
        assert sum(table[name].mask) == 1, name
    assert all(table["nothing"].mask)


def test_astropy_keeps_types_and_values(result: Result) -> None:
    table = result.to_table()
    assert table["flux"].dtype == np.float32
    assert table["coord_ra"][1] == 350.0
    assert not isinstance(table["odd"], MaskedColumn)
    assert list(table["flag"].filled(fill_value=False)) == [True, False, False]
    assert table["band"].dtype.kind == "U"
    assert table["band"][2] == "r"
    assert table["obsStart"][0] == np.datetime64("2024-02-29T12:00:00.123456")
    assert list(table["spectrum"][2]) == [2.0, 3.0]
    assert table["blob"][0] == b"a\0"


def test_astropy_knows_units_and_descriptions(result: Result) -> None:
    table = result.to_table()
    assert table["coord_ra"].unit == u.deg
    assert table["flux"].unit == u.nJy
    assert str(table["odd"].unit) == "furlong/fortnight2"
    assert table["objectId"].description == "Unique id"
    assert table["objectId"].meta["ucd"] == "meta.id;meta.main"
    assert table["objectId"].unit is None
    assert table.meta == {"SERVICE_VERSION": "1.2", "OVERFLOW": True}


def test_an_astropy_table_can_be_changed(result: Result) -> None:
    table = Result(result.to_arrow().combine_chunks()).to_table()
    table["odd"][0] = 7.0
    assert table["odd"][0] == 7.0
    assert result.to_arrow()["odd"][0].as_py() == 1.0


def test_lists_of_one_length_become_a_matrix() -> None:
    lists = pa.chunked_array([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]], pa.list_(pa.float64()))
    values = Result(pa.table({"a": lists.slice(1)})).to_table()["a"]
    assert np.array_equal(values, [[3.0, 4.0], [5.0, 6.0]])


def test_points_with_null_stay_aligned_with_their_rows() -> None:
    points = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float64(), 2))
    values = Result(pa.table({"point": points})).to_table()["point"]
    assert list(values.mask) == [False, True, False]
    assert list(values[2]) == [3.0, 4.0]


def test_pandas_keeps_ids_exact(result: Result) -> None:
    frame = result.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["objectId"].tolist()[0] == BIG
    assert frame["objectId"].isna().tolist() == [False, True, False]
    assert frame["objectId"].dropna().tolist() == [BIG, -BIG]
    assert frame.attrs["units"]["flux"] == "nJy"


def test_polars_keeps_ids_exact(result: Result) -> None:
    frame = result.to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame["objectId"].to_list() == [BIG, None, -BIG]
    assert frame["flux"].dtype == pl.Float32


def test_an_empty_result_converts_too(result: Result) -> None:
    empty = Result(result.to_arrow().slice(0, 0))
    assert len(empty) == 0
    assert len(empty.to_table()) == 0
    assert empty.to_table()["coord_ra"].unit == u.deg
    assert len(empty.to_pandas()) == 0
    assert len(empty.to_polars()) == 0


def test_the_result_describes_itself(result: Result) -> None:
    assert len(result) == 3
    assert result.columns[:2] == ("objectId", "coord_ra")
    assert result.units == {"coord_ra": "deg", "flux": "nJy", "odd": "furlong/fortnight2"}
    assert result.provenance == {"SERVICE_VERSION": "1.2"}
    assert result.to_arrow().num_rows == 3


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"polars.*catalog-service\[notebook\]"):
        load_extra("polars")
