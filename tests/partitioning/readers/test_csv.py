"""CSV input: oracle is Python's own csv module; no value and no row changes silently."""

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partitioning.config import CsvConfig, TableConfig
from partitioning.exceptions import DamagedInputError, InputError, SchemaMismatchError
from partitioning.readers import csv as reader_module
from partitioning.readers.base import find_inputs
from partitioning.readers.source import Source, open_source

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
TEXT |= st.sampled_from(['"', '""', 'a"', '"a', "x\r\ny", "\n", "\r", ",", "\t", " ", 'say "hi"\n'])


def source(base: Path, *patterns: str, **kinds: pa.DataType) -> Source:
    table = TableConfig(name="T", input=patterns, types=kinds)
    return open_source(table, find_inputs(patterns, base), None)


def rows(opened: Source, *names: str) -> pa.Table:
    schema = pa.schema([opened.schema.field(name) for name in names or opened.schema.names])
    return pa.Table.from_batches([b for _, b in opened.batches(names or None, batch_rows=3)], schema)


@given(
    values=st.lists(st.tuples(st.integers(0, 2**64 - 1), TEXT), min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from([".csv", ".csv.gz", ".TSV", ".tsv.gz"]),
    mark=st.booleans(),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_the_csv_module_writes(
    tmp_path: Path, values: list[tuple[int, str]], end: str, suffix: str, *, mark: bool
) -> None:
    text = io.StringIO(newline="")
    dialect = "excel-tab" if "tsv" in suffix.lower() else "excel"
    writer = csv.writer(text, dialect, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([("id", "name"), *values])
    content = text.getvalue().encode("utf-8-sig" if mark else "utf-8")
    (tmp_path / f"1{suffix}").write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    found = rows(source(tmp_path, f"1{suffix}", id=pa.uint64(), name=pa.string()))
    assert found.to_pydict() == {"id": [i for i, _ in values], "name": [name for _, name in values]}


def test_long_integers_are_exact_or_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(f"a,b\n{2**53 + 1},{2**64 - 1}\n{-(2**63)},5\n")
    with pytest.raises(SchemaMismatchError, match=r"1\.csv: column 'b' holds integers beyond int64; declare its type"):
        source(tmp_path, "1.csv")
    found = rows(source(tmp_path, "1.csv", b=pa.uint64()))
    assert found.to_pydict() == {"a": [2**53 + 1, -(2**63)], "b": [2**64 - 1, 5]}
    assert rows(source(tmp_path, "1.csv", b=pa.float64()))["b"].to_pylist() == [float(2**64), 5.0]


def test_a_file_without_rows_takes_part(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("b,a\n")
    with pytest.raises(SchemaMismatchError, match=r"1\.csv: column 'b' holds only NULL and has no type"):
        source(tmp_path, "1.csv")
    assert rows(source(tmp_path, "1.csv", a=pa.int64(), b=pa.string())).num_rows == 0
    (tmp_path / "2.csv").write_text("a,b\n1,x\n")
    assert rows(source(tmp_path, "*.csv")).to_pydict() == {"b": ["x"], "a": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Empty CSV file"),
        (b"\n", "Empty CSV file"),
        (b'a,b\n1,"x\ny"\n1,2,3\n', r"Row #3: Expected 2 columns, got 3: 1,2,3 \(the header is row 1; line breaks"),
        (b"a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
        (b'a,b\n1,2\n3,"4\n', "a quote that opens in the last row is not closed"),
        (b'a,b\n1,"2\n3,4\n5,6\n', "a quote that opens in the last row is not closed"),
        (b'a,b\n1,2\n3,"say ""hi', "a quote that opens in the last row is not closed"),
        (b'a,b\n1,2\n"3,4\n', "Expected 2 columns, got 1"),
        ("a,b\n1,é\n".encode("latin-1"), "Row #2: .*invalid UTF8"),
        ("a,b\n1,2\n".encode("utf-16"), "1.csv"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "1.csv").write_bytes(content)
    for names in (("b",), ("a", "b")):
        with pytest.raises(DamagedInputError, match=message) as caught:
            rows(source(tmp_path, "1.csv", a=pa.string(), b=pa.string()), *names)
        assert (caught.value.file, caught.value.part) == ("1.csv", None)


def test_an_open_quote_is_found_though_its_column_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text('a,b\n1,"2\n3,4\n5,6\n')
    with pytest.raises(DamagedInputError, match="a quote that opens in the last row is not closed"):
        rows(source(tmp_path, "1.csv"), "a")


def test_inferred_text_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes("a\né\n".encode("latin-1"))
    with pytest.raises(SchemaMismatchError, match=r"1\.csv: column 'a' is not text in UTF-8"):
        source(tmp_path, "1.csv")


@pytest.mark.parametrize("cut", [1, 4, 8, 20])
def test_cut_gzip_is_damaged(tmp_path: Path, cut: int) -> None:
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(1000)))
    (tmp_path / "1.csv.gz").write_bytes(content[:-cut])
    with pytest.raises(DamagedInputError, match=r"1\.csv\.gz: .*Truncated compressed stream"):
        rows(source(tmp_path, "1.csv.gz"))


def test_rows_are_counted_through_blocks_and_types_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in a later block that is not of the type that the first one told stops the build, with its row."""
    monkeypatch.setattr(reader_module, "_BLOCK_BYTES", 200)
    monkeypatch.setattr(reader_module, "_SCHEMA_BYTES", 200)
    (tmp_path / "1.csv").write_text("a,b\n" + "".join(f'{n},"x\n{n}"\n' for n in range(100)) + "1.5,x\n")
    with pytest.raises(DamagedInputError, match=r"column #0: Row #102: .*'1\.5'.*types = \{ column"):
        rows(source(tmp_path, "1.csv"))
    found = rows(source(tmp_path, "1.csv", a=pa.float64()), "b", "a")
    assert found["a"].to_pylist() == [*map(float, range(100)), 1.5]
    assert found["b"].to_pylist() == [f"x\n{n}" for n in range(100)] + ["x"]


def test_values_that_are_no_python_objects_may_be_last(tmp_path: Path) -> None:
    """Nanoseconds and years outside 1 to 9999 have no Python object."""
    cases = {
        "2020-01-01T00:00:00.123456789": (pa.timestamp("ns"), 1_577_836_800_123_456_789),
        "0000-01-01": (pa.date32(), -719_528),
        "0000-01-01 00:00:00": (pa.timestamp("s"), -62_167_219_200),
    }
    for number, (text, (kind, value)) in enumerate(cases.items()):
        (tmp_path / f"{number}.csv").write_text(f"ra,x\n1,{text}\n")
        opened = source(tmp_path, f"{number}.csv", x=kind)
        stored = pa.array([value], pa.int32() if kind == pa.date32() else pa.int64()).view(kind)
        assert rows(opened)["x"].combine_chunks().equals(stored.cast(opened.schema.field("x").type)), text
        assert rows(opened, "ra").num_rows == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("above", [0, 2])
def test_empty_lines_of_a_single_column_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, above: int
) -> None:
    monkeypatch.setattr(reader_module, "_BLOCK_BYTES", 12)
    lines = [*[""] * above, "a", "1", "", "3", "", "", '"x"', ""]
    (tmp_path / "1.csv").write_bytes("".join(line + end for line in lines).encode("utf-8-sig"))
    values = ["1", None, "3", None, None, "x", None]
    assert rows(source(tmp_path, "1.csv", a=pa.string())).to_pydict() == {"a": values}
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(f"a{end}{end}7".encode()))
    assert rows(source(tmp_path, "2.csv.gz")).to_pydict() == {"a": [None, 7]}
    (tmp_path / "3.csv").write_bytes("".join(line + end for line in ["", "a,b", "", "1,2", "", ",", ""]).encode())
    assert rows(source(tmp_path, "3.csv")).to_pydict() == {"a": [1, None], "b": [2, None]}
    (tmp_path / "4.csv").write_text("a\n1\n\n2,3\n")
    with pytest.raises(DamagedInputError, match=r"Row #[34]: Expected 1 columns, got 2"):
        rows(source(tmp_path, "4.csv"))


def test_null_spellings(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text('a,b\n1,\nNULL,""\n\\N,"NULL"\n-,-\n')
    table = TableConfig(name="T", input=("1.csv",), csv=CsvConfig(null_values=("", "NULL", "\\N", "-")))
    found = rows(open_source(table, find_inputs(["1.csv"], tmp_path), None))
    assert found.to_pydict() == {"a": [1, None, None, None], "b": [None, "", "NULL", None]}


def test_column_names_that_need_quotes(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text('"a,b","c ""d""","e\nf"\n1,2,3\n')
    assert rows(source(tmp_path, "1.csv")).to_pydict() == {"a,b": [1], 'c "d"': [2], "e\nf": [3]}
    (tmp_path / "2.csv").write_text("a,A\n1,2\n")
    with pytest.raises(InputError, match=r"2\.csv: column 'A' differs from 'a' by case only"):
        source(tmp_path, "2.csv")
