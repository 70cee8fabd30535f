"""FITS binary tables: oracle is what astropy was told to write."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partitioning.config import TableConfig
from partitioning.exceptions import DamagedInputError, InputError, SchemaMismatchError
from partitioning.readers import fits as reader_module
from partitioning.readers import fits_columns
from partitioning.readers.base import find_inputs
from partitioning.readers.source import Source, open_source


def source(base: Path, *patterns: str, hdu: int | None = None) -> Source:
    return open_source(TableConfig(name="T", input=patterns, hdu=hdu), find_inputs(patterns, base), None)


def rows(opened: Source, parts: range | None = None, batch_rows: int = 2) -> pa.Table:
    return pa.Table.from_batches(opened.file_batches(0, opened.schema, batch_rows, parts), opened.schema)


def write(path: Path, *columns: fits.Column) -> None:
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)


def column(form: str, values: Any, **more: Any) -> fits.Column:
    return fits.Column("x", form, array=values, **more)


def arrays(*values: Any) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = [np.array(value) for value in values]
    return found


U64 = np.array([0, 2**53 + 1, 2**64 - 1], "u8")
I64 = np.array([-(2**63), 2**53 + 1, 2**63 - 1], "i8")
MATRIX = np.arange(18, dtype="f4").reshape(3, 3, 2)

CASES: dict[str, tuple[fits.Column, pa.DataType, list[Any]]] = {
    "uint8": (column("B", np.array([0, 1, 255], "u1")), pa.uint8(), [0, 1, 255]),
    "int8": (column("B", np.array([-128, 0, 127], "i1"), bzero=-128), pa.int8(), [-128, 0, 127]),
    "int16": (column("I", np.array([-(2**15), 0, 7], "i2")), pa.int16(), [-(2**15), 0, 7]),
    "uint16": (column("I", np.array([0, 5, 2**16 - 1], "u2"), bzero=2**15), pa.uint16(), [0, 5, 2**16 - 1]),
    "int32": (column("J", np.array([-(2**31), 0, 7], "i4")), pa.int32(), [-(2**31), 0, 7]),
    "uint32": (column("J", np.array([0, 5, 2**32 - 1], "u4"), bzero=2**31), pa.uint32(), [0, 5, 2**32 - 1]),
    "int64": (column("K", I64), pa.int64(), I64.tolist()),
    "uint64": (column("K", U64, bzero=2**63), pa.uint64(), U64.tolist()),
    "null": (column("K", I64, null=2**53 + 1), pa.int64(), [-(2**63), None, 2**63 - 1]),
    "float32": (column("E", np.array([1.5, -0.0, np.inf], "f4")), pa.float32(), [1.5, -0.0, float("inf")]),
    "float64": (column("D", [0.1, 1e300, -np.inf]), pa.float64(), [0.1, 1e300, float("-inf")]),
    "logical": (column("L", [True, False, True]), pa.bool_(), [True, False, True]),
    "text": (column("5A", ["ab", " c d ", "   "]), pa.string(), ["ab", " c d", ""]),
    "empty text": (column("2A", ["ab", "", "x"]), pa.string(), ["ab", None, "x"]),
    "texts": (
        column("6A", np.array([["ab", "c"], ["d", "efg"], ["h", "i"]]), dim="(3,2)"),
        pa.list_(pa.field("element", pa.string()), 2),
        [["ab", "c"], ["d", "efg"], ["h", "i"]],
    ),
    "bit": (column("1X", np.array([[True], [False], [True]])), pa.bool_(), [True, False, True]),
    "bits": (
        column("11X", np.arange(33).reshape(3, 11) % 3 == 0),
        pa.list_(pa.field("element", pa.bool_()), 11),
        (np.arange(33).reshape(3, 11) % 3 == 0).tolist(),
    ),
    "vector": (
        column("3D", np.arange(9.0).reshape(3, 3)),
        pa.list_(pa.field("element", pa.float64()), 3),
        np.arange(9.0).reshape(3, 3).tolist(),
    ),
    "vector with nulls": (
        column("2J", np.array([[1, -1], [2, 3], [-1, -1]]), null=-1),
        pa.list_(pa.field("element", pa.int32()), 2),
        [[1, None], [2, 3], [None, None]],
    ),
    "matrix": (
        column("6E", MATRIX, dim="(2,3)"),
        pa.list_(pa.field("element", pa.list_(pa.field("element", pa.float32()), 2)), 3),
        MATRIX.tolist(),
    ),
    "one in a vector": (column("1K", np.array([[1], [2], [3]]), dim="(1)"), pa.int64(), [1, 2, 3]),
    "arrays": (column("PJ()", arrays([1, 2], [], [3])), pa.list_(pa.field("element", pa.int32())), [[1, 2], [], [3]]),
    "long arrays": (
        column("QD()", arrays([1.5], [2, 3], [])),
        pa.list_(pa.field("element", pa.float64())),
        [[1.5], [2, 3], []],
    ),
    "text arrays": (column("PA()", np.array(["abc", "d  ", ""])), pa.string(), ["abc", "d", ""]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", ["fits", "fits.gz"])
def test_types_and_values(tmp_path: Path, name: str, suffix: str) -> None:
    made, kind, values = CASES[name]
    write(tmp_path / f"1.{suffix}", fits.Column("before", "B", array=[1, 2, 3]), made, fits.Column("after", "2A"))
    opened = source(tmp_path, f"1.{suffix}")
    assert opened.schema.field("x").type == kind
    found = rows(opened)
    assert found["x"].to_pylist() == values
    assert np.signbit(found["x"].to_numpy()[1]) == (name == "float32") if pa.types.is_floating(kind) else True
    assert found["before"].to_pylist() == [1, 2, 3]


def test_nan_stays_until_it_is_null(tmp_path: Path) -> None:
    write(tmp_path / "1.fits", column("E", np.array([np.nan, 1], "f4")))
    opened = source(tmp_path, "1.fits")
    assert str(rows(opened)["x"].to_pylist()) == "[nan, 1.0]"
    assert [batch.column(0).to_pylist() for _, batch in opened.batches(batch_rows=9)] == [[None, 1.0]]


def test_scaled_integers(tmp_path: Path) -> None:
    write(tmp_path / "1.fits", column("I", np.array([1, 2, -9], "i2"), null=-9))
    with fits.open(tmp_path / "1.fits", "update") as file:
        file[1].header.update({"TSCAL1": 0.5, "TZERO1": 10})
    assert rows(source(tmp_path, "1.fits"))["x"].to_pylist() == [10.5, 11.0, None]


def test_logical_without_value(tmp_path: Path) -> None:
    write(tmp_path / "1.fits", column("L", [True, False, True]))
    content = bytearray((tmp_path / "1.fits").read_bytes())
    content[-2880 + 1] = 0
    (tmp_path / "1.fits").write_bytes(content)
    assert rows(source(tmp_path, "1.fits"))["x"].to_pylist() == [True, None, True]


@given(
    curves=st.lists(
        st.tuples(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), st.text("ab ", max_size=4)), min_size=1
    ),
    window=st.sampled_from([1, 40, 1 << 20]),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_arrays_on_the_heap(tmp_path: Path, curves: list[tuple[list[int], str]], window: int) -> None:
    """Whatever of the heap is in memory at a time."""
    ids = arrays(*[np.array(ids, "i8") for ids, _ in curves])
    write(tmp_path / "1.fits", column("QK()", ids), fits.Column("t", "PA()", array=np.array([t for _, t in curves])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits_columns, "_WINDOW_BYTES", window)
        found = rows(source(tmp_path, "1.fits"), batch_rows=7)
    assert found["x"].to_pylist() == [ids for ids, _ in curves]
    assert found["t"].to_pylist() == [text.rstrip() for _, text in curves]


@pytest.mark.parametrize(("form", "values"), [("C", [1j]), ("M", [1j]), ("PC()", arrays([1j]))])
def test_complex_numbers_are_refused_by_name(tmp_path: Path, form: str, values: Any) -> None:
    write(tmp_path / "1.fits", column(form, values))
    with pytest.raises(SchemaMismatchError, match=r"1\.fits: column 'x': FITS type '.*' cannot be stored"):
        source(tmp_path, "1.fits")


def many(tmp_path: Path, count: int = 25) -> pa.Table:
    ids = np.arange(count) + 2**53
    write(tmp_path / "1.fits", fits.Column("id", "K", array=ids), fits.Column("name", "3A", array=ids.astype(str)))
    return pa.table({"id": ids, "name": [str(i)[:3] for i in ids]})


@pytest.mark.parametrize("parts", [None, range(3), range(1), range(1, 3), range(2, 3), range(1, 1)])
def test_parts_are_row_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: range | None) -> None:
    monkeypatch.setattr(reader_module, "PART_ROWS", 10)
    expected = many(tmp_path)
    opened = source(tmp_path, "1.fits")
    assert opened.part_rows(0) == (10, 10, 5)
    chosen = range(3) if parts is None else parts
    for batch_rows in (3, 10, 1000):
        assert rows(opened, parts, batch_rows).equals(expected.slice(10 * chosen.start, 10 * len(chosen)))
    with pytest.raises(DamagedInputError, match=r"1\.fits: .*was the file replaced"):
        rows(opened, range(2, 4))


def test_memory_is_bounded_for_wide_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_CHUNK_BYTES", 30)
    expected = many(tmp_path)
    opened = source(tmp_path, "1.fits")
    batches = list(opened.file_batches(0, opened.schema, 1000))
    assert max(batch.num_rows for batch in batches) == 2
    assert pa.Table.from_batches(batches).equals(expected)


@pytest.mark.parametrize("keep", [0, 1, 2880, 3000, 5760, 5800])
def test_cut_files_are_damaged(tmp_path: Path, keep: int) -> None:
    many(tmp_path)
    path = tmp_path / "1.fits"
    opened = source(tmp_path, "1.fits")
    path.write_bytes(path.read_bytes()[:keep])
    for attempt in (lambda: rows(opened), lambda: opened.part_rows(0), lambda: source(tmp_path, "1.fits")):
        with pytest.raises(InputError, match=r"1\.fits: "):
            attempt()


def test_damage_in_a_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "PART_ROWS", 10)
    many(tmp_path)
    path = tmp_path / "1.fits"
    content = bytearray(path.read_bytes())
    content[5760 + 17 * 11 + 8] = 0xFF  # a byte of the name in row 17
    path.write_bytes(content)
    with pytest.raises(
        DamagedInputError, match=r"1\.fits: .*\(part 1\): column 'name', rows 10 to 19: .*UTF8"
    ) as caught:
        rows(source(tmp_path, "1.fits"), batch_rows=10)
    assert (caught.value.file, caught.value.part) == ("1.fits", 1)


def test_damaged_gzip(tmp_path: Path) -> None:
    many(tmp_path, 2000)
    packed = gzip.compress((tmp_path / "1.fits").read_bytes())
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    for content in (packed[: len(packed) // 2], packed[:-1], bytes(flipped)):
        (tmp_path / "2.fits.gz").write_bytes(content)
        with pytest.raises(DamagedInputError, match=r"2\.fits\.gz: not a readable FITS"):
            rows(source(tmp_path, "2.fits.gz"))


def test_which_extension(tmp_path: Path) -> None:
    image = fits.ImageHDU(np.zeros((3, 50, 50)))
    tables = [fits.BinTableHDU.from_columns([fits.Column(n, "J", array=[1])]) for n in "ab"]
    fits.HDUList([fits.PrimaryHDU(np.zeros(5)), image, *tables]).writeto(tmp_path / "1.fits")
    assert source(tmp_path, "1.fits").schema.names == ["a"]
    assert source(tmp_path, "1.fits", hdu=3).schema.names == ["b"]
    with pytest.raises(
        InputError, match=r"1\.fits: has no binary table as extension 1; it has 0: primary, 1: IMAGE, 2: B"
    ):
        source(tmp_path, "1.fits", hdu=1)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((50, 50)))]).writeto(tmp_path / "2.fits")
    with pytest.raises(InputError, match=r"2\.fits: has no binary table; it has 0: primary, 1: BINTABLE"):
        source(tmp_path, "2.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns([fits.Column("a", "I4", array=[1])])]).writeto(
        tmp_path / "3.fits"
    )
    with pytest.raises(InputError, match=r"3\.fits: has no binary table; it has 0: primary, 1: TABLE"):
        source(tmp_path, "3.fits")


def test_a_table_without_rows(tmp_path: Path) -> None:
    write(tmp_path / "1.fits", column("J", np.array([], "i4")), fits.Column("y", "PJ()", array=np.array([], object)))
    opened = source(tmp_path, "1.fits")
    assert (opened.part_rows(0), rows(opened).num_rows) == ((), 0)
