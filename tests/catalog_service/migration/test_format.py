"""The files of a recording: what is written is read back, by us and by pyarrow, and a broken file is told."""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from catalog_service.migration.recorder.errors import FormatError
from catalog_service.migration.recorder.files import replaced
from catalog_service.migration.recorder.format import Recording
from catalog_service.migration.recorder.records import (
    Answer,
    Column,
    Failure,
    Fingerprint,
    Header,
    Source,
    Table,
    answer_digest,
)
from catalog_service.migration.recorder.rows import RowWriter, read_rows

TEXTS = st.none() | st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
HEADER = Header(Source("mysql", "mysql://127.0.0.1:4040/survey", "10.11"), "2026-01-01T00:00:00Z", "1")


def write(path: Path, kinds: Sequence[str], rows: Sequence[Sequence[str | bytes | None]]) -> RowWriter:
    with replaced(path) as sink:
        writer = RowWriter(sink, kinds)
        writer.write(rows)
        writer.close()
    return writer


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_texts_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.csv.gz"
    writer = write(path, ["text", "text"], rows)
    assert list(read_rows(path)) == rows
    assert writer.rows == len(rows)
    assert writer.size == len(gzip.decompress(path.read_bytes()))


@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_a_single_column_keeps_its_nulls(tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.csv.gz"
    write(path, ["text"], [(text,) for text in texts])
    assert list(read_rows(path)) == [(text,) for text in texts]


def test_pyarrow_reads_the_rows(tmp_path: Path) -> None:
    rows = [("9007199254740993", 'a "b", c\nd', b"\x00\xff", "2026-01-01 10:00:00", "true", "NaN"), (None,) * 6]
    rows.append(("1", "", b"", "2026-01-01T10:00:00.5", "f", "-Infinity"))
    write(tmp_path / "a.csv.gz", ["int64", "text", "bytes", "timestamp", "boolean", "float64"], rows)
    table = csv.read_csv(
        tmp_path / "a.csv.gz",
        csv.ReadOptions(autogenerate_column_names=True),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(null_values=["", "NULL"], quoted_strings_can_be_null=False, strings_can_be_null=True),
    )
    assert table["f0"].to_pylist() == [9007199254740993, None, 1]
    assert table["f1"].to_pylist() == ['a "b", c\nd', None, ""]
    assert table["f2"].to_pylist() == ["00ff", None, ""]
    assert table["f4"].to_pylist() == [1, None, 0]
    assert str(table["f5"].to_pylist()) == "[nan, None, -inf]"


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.begin(HEADER)
    columns = (Column("id", "bigint(20)", "int64", nullable=False), Column("ra", "double", "float64", unit="deg"))
    table = Table("survey", "Object", columns, 3, 0.1, ("id",), "ra", "decl", "chunkId")
    answer = Answer("0001-" + answer_digest("QSERV", "SELECT 1"), "SELECT 1", "QSERV", "one", "2026", 1.5)
    failed = Answer("0002-x", "SELECT x", "QSERV", "", "2026", 1.5, error=Failure("refused", "no x"))
    cells = {"kind": "box", "width_deg": 0.5, "ra": "ra", "dec": "decl"}
    fingerprint = Fingerprint("survey", "Object", cells, 97, ("ra",), ("id",), ("SELECT",), columns)
    for record in (table, answer, failed, fingerprint):
        recording.save(record)
    again = Recording(tmp_path)
    assert again.header() == HEADER
    assert list(again.tables()) == [table]
    assert list(again.answers()) == [answer, failed]
    assert list(again.fingerprints()) == [fingerprint]


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    write(path, ["text"], [(str(number),) for number in range(1000)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"a\.csv\.gz cannot be read"):
        list(read_rows(path))


def recorded(directory: Path) -> tuple[Recording, tuple[Answer | Fingerprint, ...]]:
    recording = Recording(directory)
    recording.begin(HEADER)
    answer = Answer("0001-x", "SELECT 1", "QSERV", "one", "2026", 1.5)
    fingerprint = Fingerprint("s", "t", {"kind": "table"}, 97, (), (), ("SELECT",), ())
    made = [write(recording.rows_path(one), ["int64"], [("1",), ("2",)]) for one in (answer, fingerprint)]
    answer = replace(answer, rows=2, bytes=made[0].size, sha256=made[0].sha256)
    return recording, (answer, replace(fingerprint, rows=7, cell_count=2, sha256=made[1].sha256))


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(b""), gzip.compress(b"1\n3\n"), gzip.compress(b"1\n"), b"1\n2\n"]
)
def test_rows_that_are_not_those_of_the_record_are_told(tmp_path: Path, content: bytes) -> None:
    recording, records = recorded(tmp_path)
    for record in records:
        assert list(recording.rows_of(record)) == [("1",), ("2",)]
        recording.check_rows(record)
        path = recording.rows_path(record)
        path.write_bytes(content)
        with pytest.raises(FormatError, match=path.name.replace(".", r"\.")):
            list(recording.rows_of(record))
        with pytest.raises(FormatError, match=path.name.replace(".", r"\.")):
            recording.check_rows(record)


def _changed(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield records with each key of the first version missing, and with each value of a wrong type."""
    for name, value in found.items():
        yield name, {one: found[one] for one in found if one != name}
        yield name, found | {name: [1] if isinstance(value, str) else {"a": 1} if not isinstance(value, dict) else "x"}


def _read_all(recording: Recording) -> str:
    try:
        recording.header()
        list(chain(recording.tables(), recording.answers(), recording.fingerprints()))
    except FormatError as error:
        return str(error)
    return ""


def test_each_missing_key_and_wrong_type_names_the_file(tmp_path: Path) -> None:
    recording, records = recorded(tmp_path)
    columns = (Column("id", "bigint(20)", "int64", nullable=False),)
    failure = Failure("lost", "x")
    for one in (*records, Table("survey", "Object", columns, 3, 0.1, ("id",), "ra", "decl", "chunkId", failure)):
        recording.save(one)
    for path in sorted(tmp_path.rglob("*.json")):
        content = path.read_text()
        told = []
        for name, changed in _changed(json.loads(content)):
            path.write_text(json.dumps(changed))
            message = _read_all(recording)
            assert path.name in message or name not in changed, (path, name)
            told.append(path.name in message)
        assert told.count(True) > len(told) / 2
        path.write_text(content)
    (tmp_path / "recording.json").write_text('{"format": "catalog-recording", "version": 1}')
    with pytest.raises(FormatError, match=r"recording\.json .*'source' is missing"):
        recording.header()


def test_another_version_and_no_recording_are_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds no recording"):
        Recording(tmp_path).header()
    (tmp_path / "recording.json").write_text('{"format": "catalog-recording", "version": 2}')
    with pytest.raises(FormatError, match=r"version 2; this program reads .* version 1"):
        Recording(tmp_path).header()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replaced(tmp_path / "a") as sink:
        sink.write(bytes(1 // 0))
    assert list(tmp_path.iterdir()) == []
