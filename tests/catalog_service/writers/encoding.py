"""Whole results for the writers' tests, and astropy's reading of them."""

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse
from astropy.io.votable.tree import VOTableFile

from catalog_service.models.query import ResultFormat
from catalog_service.models.schema import Column, DataType
from catalog_service.writers.base import MeasuringWriter, ResultDescription, Sample
from catalog_service.writers.columns import conform, result_schema
from catalog_service.writers.select import create_writer

Row = dict[str, Any]

COLUMNS = (
    Column(name="flag", datatype=DataType.BOOLEAN),
    Column(name="byte", datatype=DataType.BYTE),
    Column(name="short", datatype=DataType.SHORT),
    Column(name="int", datatype=DataType.INT),
    Column(name="objectId", datatype=DataType.LONG, ucd="meta.id;meta.main"),
    Column(name="flux", datatype=DataType.FLOAT, unit="nJy"),
    Column(name="ra", datatype=DataType.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", description="Right <ascension>"),
    Column(name="dec", datatype=DataType.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main"),
    Column(name="name", datatype=DataType.TEXT, utype="some:utype"),
    Column(name="when", datatype=DataType.TIMESTAMP),
    Column(name="bytes", datatype=DataType.BINARY),
    Column(name="where", datatype=DataType.POINT),
    Column(name="around", datatype=DataType.CIRCLE),
    Column(name="outline", datatype=DataType.POLYGON),
    Column(name="series", datatype=DataType.DOUBLE, is_array=True),
    Column(name="counts", datatype=DataType.LONG, is_array=True),
    Column(name="nothing", datatype=DataType.NULL),
)

ROWS: list[Row] = [
    {
        "flag": True,
        "byte": 255,
        "short": -(2**15),
        "int": 2**31 - 1,
        "objectId": 2**63 - 1,
        "flux": math.inf,
        "ra": 359.99999999999994,
        "dec": -90.0,
        "name": 'M 31 & "friends" <3',
        "when": datetime(2026, 11, 22, 18, 44, 44, 123456),  # noqa: DTZ001
        "bytes": b"\x00\xff",
        "where": [56.75, 24.12],
        "around": [56.75, 24.12, 0.5],
        "outline": [0.0, 0.0, 1.0, 0.0, 1.0, 1.0],
        "series": [1.5, -2.5],
        "counts": [2**53 + 1, -(2**63)],
        "nothing": None,
    },
    {column.name: None for column in COLUMNS},
    {
        "flag": False,
        "byte": 0,
        "short": 2**15 - 1,
        "int": -(2**31),
        "objectId": -(2**63) + 1,
        "flux": -math.inf,
        "ra": 5e-324,
        "dec": 1.7976931348623157e308,
        "name": "",
        "when": datetime(1, 1, 1),  # noqa: DTZ001
        "bytes": b"",
        "where": [0.0, -0.0],
        "around": [1.0, 2.0, 3.0],
        "outline": [],
        "series": [],
        "counts": [],
        "nothing": None,
    },
    {
        **{column.name: None for column in COLUMNS},
        "byte": 7,
        "objectId": 2**53 + 1,
        "flux": 0.1,
        "name": "Ωμέγα 星 \U0001f52d é",
        "series": [math.inf],
    },
]


def batch_of(rows: Sequence[Row], columns: tuple[Column, ...] = COLUMNS) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=result_schema(columns))


def encode(
    result_format: ResultFormat,
    batches: Iterable[pa.RecordBatch],
    columns: tuple[Column, ...] = COLUMNS,
    *,
    complete: bool = True,
    overflow: bool = False,
    failure: str | None = None,
    infos: dict[str, str] | None = None,
    position: tuple[str, str] | None = None,
) -> bytes:
    """Return a whole result; `complete` says whether the writer sees all batches before it begins."""
    schema = result_schema(columns)
    conformed = [conform(batch, schema) for batch in batches]
    sample = Sample(schema=schema, batches=tuple(conformed if complete else conformed[:1]), complete=complete)
    description = ResultDescription(columns=columns, infos=infos or {}, position=position)
    writer = create_writer(result_format, description, sample)
    if isinstance(writer, MeasuringWriter):
        for batch in conformed:
            writer.measure(batch)
        rows = sum(batch.num_rows for batch in conformed)
        return b"".join(writer.document(lambda: conformed, overflow=overflow, rows=rows))
    content = writer.header() + b"".join(writer.rows(batch) for batch in conformed)
    if failure is not None:
        return content + (writer.failure(failure) or b"")
    return content + writer.footer(overflow=overflow, rows=sum(batch.num_rows for batch in conformed))


def read_votable(content: bytes) -> VOTableFile:
    """Parse with every warning an error, except that astropy dislikes non-ASCII in `char`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return parse(io.BytesIO(content), verify="exception")


def rows_of(document: VOTableFile) -> list[Row]:
    """Return astropy's view of the rows, None for what it masks."""
    table = document.get_first_table()
    names = [field.name for field in table.fields]
    return [
        {name: _plain(table.array.data[row][i], table.array.mask[row][i]) for i, name in enumerate(names)}
        for row in range(len(table.array))
    ]


def _plain(value: Any, mask: Any) -> Any:
    if isinstance(value, np.ndarray):
        flat, undefined = np.ma.getdata(value).ravel(), np.broadcast_to(mask, value.shape) | np.ma.getmaskarray(value)
        return [_plain(v, m) for v, m in zip(flat, undefined.ravel(), strict=True)]
    if isinstance(value, np.ma.core.MaskedConstant) or np.all(mask):
        return None
    return value.item() if isinstance(value, np.generic) else value
