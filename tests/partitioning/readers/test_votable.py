"""VOTable input: oracle is what was written, by astropy in each serialisation or by hand."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table

from partitioning.config import TableConfig
from partitioning.exceptions import DamagedInputError, InputError, SchemaMismatchError
from partitioning.readers import votable as reader_module
from partitioning.readers.base import find_inputs
from partitioning.readers.source import Source, open_source

BIG = 2**53 + 1


def source(base: Path, *patterns: str) -> Source:
    return open_source(TableConfig(name="T", input=patterns), find_inputs(patterns, base), None)


def rows(opened: Source, batch_rows: int = 2) -> pa.Table:
    return pa.Table.from_batches([b for _, b in opened.batches(batch_rows=batch_rows)], opened.schema)


def by_hand(path: Path, fields: list[str], cells: list[list[str]], before: str = "") -> None:
    head = "".join(f"<FIELD {field}/>" for field in fields)
    body = "".join("<TR>" + "".join(f"<TD>{cell}</TD>" for cell in row) + "</TR>" for row in cells)
    path.write_text(
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        f"{before}<TABLE>{head}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )


COLUMNS: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    "long": (
        MaskedColumn(np.array([-(2**63), BIG, 5], "i8"), mask=[0, 0, 1]), pa.int64(), [-(2**63), BIG, None]
    ),
    "int": (np.array([1, -(2**31), 3], "i4"), pa.int32(), [1, -(2**31), 3]),
    "short": (MaskedColumn(np.array([1, 2, 3], "i2"), mask=[0, 1, 0]), pa.int16(), [1, None, 3]),
    "byte": (np.array([0, 5, 255], "u1"), pa.uint8(), [0, 5, 255]),
    "float": (np.array([1.5, np.nan, np.inf], "f4"), pa.float32(), [1.5, None, float("inf")]),
    "double": (MaskedColumn([0.1, 2.0, 1e300], mask=[0, 1, 0]), pa.float64(), [0.1, None, 1e300]),
    "flag": (np.array([True, False, True]), pa.bool_(), [True, False, True]),
    "text": (np.array(["ab", "é", "c d"]), pa.string(), ["ab", "é", "c d"]),
    "vector": (
        np.arange(6, dtype="i4").reshape(3, 2),
        pa.list_(pa.field("element", pa.int32()), 2),
        [[0, 1], [2, 3], [4, 5]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_serialisation(tmp_path: Path, form: str, *, packed: bool) -> None:
    table = Table({name: made for name, (made, _, _) in COLUMNS.items()})
    if form == "binary":  # NULL integers need a declared value there, which astropy does not write
        table.remove_columns(["long", "short"])
    path = tmp_path / "1.vot"
    writeto(from_table(table), str(path), tabledata_format=form)
    if packed:
        path = tmp_path / "1.vot.gz"
        path.write_bytes(gzip.compress((tmp_path / "1.vot").read_bytes()))
    opened = source(tmp_path, path.name)
    assert opened.part_rows(0) is None
    found = rows(opened)
    for name in table.colnames:
        _, kind, values = COLUMNS[name]
        assert found.schema.field(name).type == kind
        assert found[name].to_pylist() == values, name
    some = [batch for _, batch in opened.batches(["text", "int"], batch_rows=10)]
    assert pa.Table.from_batches(some)["text"].to_pylist() == ["ab", "é", "c d"]


def test_arrays_of_any_length_and_null_values(tmp_path: Path) -> None:
    by_hand(
        tmp_path / "1.xml",
        [
            'name="a" datatype="long" arraysize="*"',
            'name="b" datatype="int" arraysize="2x*"',
            'name="c" datatype="char" arraysize="*"',
            'name="d" datatype="float" arraysize="3*"',
            'name="e" datatype="int" arraysize="1"',
            'name="f g" ID="x" datatype="boolean"',
            'name="h" datatype="int" arraysize="2x3"',
        ],
        [
            [str(BIG), "1 2 3 4", "x &amp; y", "1 NaN", "7", "T", "1 2 3 4 5 6"],
            ["", "", "", "", "", "?", "6 5 4 3 2 1"],
        ],
    )
    assert rows(source(tmp_path, "1.xml")).to_pydict() == {
        "a": [[BIG], []],
        "b": [[[1, 2], [3, 4]], []],
        "c": ["x & y", ""],
        "d": [[1.0, None], []],
        "e": [7, None],
        "f g": [True, None],
        "h": [[[1, 2], [3, 4], [5, 6]], [[6, 5], [4, 3], [2, 1]]],
    }


def test_declared_null_value(tmp_path: Path) -> None:
    field = 'name="a" datatype="int"><VALUES null="-99"/></FIELD><FIELD name="b" datatype="int"'
    by_hand(tmp_path / "1.vot", [field], [["-99", "1"], ["5", "2"]])
    assert rows(source(tmp_path, "1.vot")).to_pydict() == {"a": [None, 5], "b": [1, 2]}


def test_the_first_table_with_columns_is_read(tmp_path: Path) -> None:
    by_hand(tmp_path / "1.vot", ['name="a" datatype="int"'], [["1"]], before="<TABLE name='empty'/>")
    assert rows(source(tmp_path, "1.vot")).to_pydict() == {"a": [1]}
    (tmp_path / "2.vot").write_text('<VOTABLE><RESOURCE><INFO name="QUERY_STATUS" value="ERROR"/></RESOURCE></VOTABLE>')
    with pytest.raises(InputError, match=r"2\.vot: the VOTable has no table with columns"):
        source(tmp_path, "2.vot")


@pytest.mark.parametrize("field", ['datatype="doubleComplex"', 'datatype="char" arraysize="2x3"', 'datatype="uuid"'])
def test_other_types_are_refused_by_name(tmp_path: Path, field: str) -> None:
    by_hand(tmp_path / "1.vot", [f'name="a" {field}'], [])
    with pytest.raises(SchemaMismatchError, match=r"1\.vot: column 'a': VOTable type datatype=.* cannot be stored"):
        source(tmp_path, "1.vot")


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ('datatype="int"', "2147483648"),
        ('datatype="int"', "x"),
        ('datatype="long"', str(2**63)),
        ('datatype="unsignedByte"', "-1"),
        ('datatype="float"', "x"),
        ('datatype="double" arraysize="2"', "1 2 3"),
        ('datatype="char" arraysize="2"', "abc"),
        ('datatype="boolean"', "maybe"),
    ],
)
def test_values_that_do_not_fit_are_not_changed(tmp_path: Path, field: str, cell: str) -> None:
    """astropy clips, cuts or masks some of them with a warning, and keeps back the warnings after the tenth."""
    nulls = [["", "null"]] * 20
    by_hand(tmp_path / "1.vot", [f'name="a" {field}', 'name="b" datatype="double"'], [*nulls, [cell, "1"]])
    with pytest.raises(DamagedInputError, match=r"1\.vot: not a readable VOTable"):
        rows(source(tmp_path, "1.vot"))


def test_null_in_words(tmp_path: Path) -> None:
    by_hand(tmp_path / "1.vot", ['name="a" datatype="double"'], [["null"], ["1.5"]])
    assert rows(source(tmp_path, "1.vot")).to_pydict() == {"a": [None, 1.5]}


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_cut_files_are_damaged(tmp_path: Path, form: str) -> None:
    table = Table({"a": np.arange(500), "b": np.array(["x"] * 500)})
    writeto(from_table(table), str(tmp_path / "1.vot"), tabledata_format=form)
    content = (tmp_path / "1.vot").read_bytes()
    opened = source(tmp_path, "1.vot")
    for keep in (0, 10, 200, len(content) // 2, len(content) - 20):
        (tmp_path / "1.vot").write_bytes(content[:keep])
        with pytest.raises(DamagedInputError, match=r"1\.vot: not a readable VOTable") as caught:
            rows(opened)
        assert caught.value.file == "1.vot"
    (tmp_path / "1.vot").unlink()
    with pytest.raises(DamagedInputError, match="No such file"):
        rows(opened)


def test_large_files_are_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(tmp_path / "1.vot", ['name="a" datatype="int"'], [["1"]])
    monkeypatch.setattr(reader_module, "_MOST_TEXT_BYTES", 100)
    with pytest.raises(InputError, match=r"1\.vot: a VOTable in TABLEDATA above .* stilts tpipe in=1\.vot out=1\.fits"):
        source(tmp_path, "1.vot")
