"""Files cut into parts, sources made again elsewhere, damaged files named with their part."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partitioning.config import TableConfig
from partitioning.exceptions import DamagedInputError, InputError
from partitioning.readers.base import InputFile, find_inputs, unreadable
from partitioning.readers.source import Source, open_source, source_from

TABLE = TableConfig(name="T", input=("*",))
ROWS = pa.table({"a": range(1000), "b": np.random.default_rng(1).random(1000)})


def written(tmp_path: Path, rows: pa.Table = ROWS, group_rows: int = 300) -> Source:
    path = tmp_path / "1.parquet"
    pq.write_table(rows, path, row_group_size=group_rows, write_page_checksum=True, use_dictionary=False)
    return open_source(TABLE, find_inputs(["1.parquet"], tmp_path), None)


def read(source: Source, parts: range | None = None, batch_rows: int = 128) -> pa.Table:
    return pa.Table.from_batches(source.file_batches(0, source.schema, batch_rows, parts), source.schema)


@pytest.mark.parametrize("parts", [None, range(4), range(1), range(1, 3), range(3, 4), range(2, 2)])
def test_parts_are_row_groups(tmp_path: Path, parts: range | None) -> None:
    source = written(tmp_path)
    assert source.part_rows(0) == (300, 300, 300, 100)
    chosen = range(4) if parts is None else parts
    assert read(source, parts).equals(ROWS.slice(300 * chosen.start, 300 * len(chosen)))


def test_a_csv_file_has_no_parts(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n")
    source = open_source(TABLE, find_inputs(["1.csv"], tmp_path), None)
    assert source.part_rows(0) is None
    with pytest.raises(AssertionError):
        read(source, range(1))


def test_sources_travel_between_processes(tmp_path: Path) -> None:
    """Neither way opens a file again; both read the same rows."""
    source = written(tmp_path)
    content = (tmp_path / "1.parquet").read_bytes()
    (tmp_path / "1.parquet").unlink()
    copies = [
        pickle.loads(pickle.dumps(source)),
        source_from(source.files, source.formats, source.schema, source.csv, source.original_names),
    ]
    (tmp_path / "1.parquet").write_bytes(content)
    assert all(copy == source and read(copy).equals(ROWS) for copy in copies)


@pytest.mark.parametrize("number", range(4))
def test_a_flipped_bit_is_named_with_its_row_group(tmp_path: Path, number: int) -> None:
    source = written(tmp_path)
    path = tmp_path / "1.parquet"
    chunk = pq.read_metadata(path).row_group(number).column(1)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(DamagedInputError, match=rf"1\.parquet: not a readable Parquet file in row group {number}") as e:
        read(source)
    assert (e.value.file, e.value.part) == ("1.parquet", number)
    assert pickle.loads(pickle.dumps(e.value)).part == number
    healthy = range(number) if number else range(1, 4)
    assert read(source, healthy).equals(ROWS.slice(300 * healthy.start, 300 * len(healthy)))


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_an_input_error_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    """Values are never silently others: pages have checksums, and the rest fails to be understood."""
    source = written(tmp_path)
    path = tmp_path / "1.parquet"
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
        content[at] ^= 1 << bit
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    path.write_bytes(content)
    try:
        assert read(source).equals(ROWS)
    except InputError as error:
        assert "1.parquet" in str(error)  # noqa: PT017


def test_vanished_files_are_named(tmp_path: Path) -> None:
    source = written(tmp_path)
    (tmp_path / "1.parquet").unlink()
    for attempt in (lambda: read(source), lambda: source.part_rows(0)):
        with pytest.raises(DamagedInputError, match=r"1\.parquet: .*No such file") as caught:
            attempt()
        assert (caught.value.file, caught.value.part) == ("1.parquet", None)


def test_replaced_files_are_named(tmp_path: Path) -> None:
    source = written(tmp_path)
    written(tmp_path, ROWS.slice(0, 300))
    with pytest.raises(DamagedInputError, match=r"1\.parquet: not a readable Parquet file in row group 2"):
        read(source, range(2, 4))
    written(tmp_path, ROWS.select(["a"]))
    with pytest.raises(DamagedInputError, match=r"1\.parquet: .*column 'b' is not there; was the file replaced\?"):
        read(source)


def test_too_many_open_files_are_not_a_damaged_file() -> None:
    error = unreadable(InputFile(Path("x"), "x"), "bad", OSError(24, "Too many open files"))
    assert not isinstance(error, DamagedInputError)
    assert not isinstance(unreadable(InputFile(Path("x"), "x"), "bad", MemoryError()), DamagedInputError)


def test_damaged_files_can_be_left_out_when_many_are_opened(tmp_path: Path) -> None:
    for number in range(200):
        pq.write_table(ROWS.slice(number, 1), tmp_path / f"{number:03}.parquet")
    for number in (0, 77, 199):
        (tmp_path / f"{number:03}.parquet").write_bytes(b"PAR1")
    files = find_inputs(["*.parquet"], tmp_path)
    with pytest.raises(DamagedInputError, match=r"000\.parquet"):
        open_source(TABLE, files, None)
    told: list[str] = []
    source = open_source(TABLE, files, None, on_damaged=lambda error: told.append(error.file))
    assert told == ["000.parquet", "077.parquet", "199.parquet"]
    assert [file.name for file in source.files] == [file.name for file in files if file.name not in told]
    found = pa.Table.from_batches([batch for _, batch in source.batches(["a"], batch_rows=10)])
    assert found["a"].to_pylist() == [number for number in range(200) if number not in (0, 77, 199)]
    with pytest.raises(DamagedInputError):
        open_source(TABLE, [files[0], files[77]], None, on_damaged=lambda _: None)
