"""Two recordings: answers, tables and fingerprints, with each fault that can lie between them."""

import gzip
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from catalog_service.migrate_command import migrate_app
from catalog_service.migration.compare import DifferenceKind, Rule, Verdict
from catalog_service.migration.compare.found import Compared, Report
from catalog_service.migration.compare.page import to_html
from catalog_service.migration.compare.recordings import compare_recordings
from catalog_service.migration.compare.report import print_report, write_json
from catalog_service.migration.errors import ComparisonError
from catalog_service.migration.recorder.options import STEPS
from catalog_service.migration.recorder.records import Failure
from catalog_service.migration.recorder.wanted import Wanted, add_wanted
from tests.catalog_service.migration.compare.recordings import Made

COLUMNS = {"id": "int64", "mag": "float32", "name": "text"}
ROWS = [(1, 20.5, "a"), (2, None, ""), (3, "nan", None)]


@pytest.fixture
def left(tmp_path: Path) -> Made:
    return Made(tmp_path / "left")


@pytest.fixture
def right(tmp_path: Path) -> Made:
    return Made(tmp_path / "right", "tap")


def compare(left: Made, right: Made) -> Report:
    return compare_recordings(left.directory, right.directory)


def only(report: Report) -> Compared:
    (one,) = report.compared
    return one


def test_the_same_rows_in_any_order_and_language(left: Made, right: Made) -> None:
    left.answer("SELECT id, mag, name FROM Object", COLUMNS, ROWS)
    right.answer("SELECT id,  mag, name\nFROM Object", {**COLUMNS, "mag": "float64"}, ROWS[::-1], lang="ADQL")
    found = only(compare(left, right))
    assert found.comparison.verdict is Verdict.WITHIN
    assert found.comparison.rules == {Rule.ORDER: 2}
    assert (found.left.rows, found.right.rows, found.left.seconds) == (3, 3, 0.5)


def test_null_the_empty_text_and_nan_are_three_things(left: Made, right: Made) -> None:
    left.answer("SELECT 1", COLUMNS, ROWS)
    right.answer("SELECT 1", COLUMNS, [(1, 20.5, "a"), (2, "nan", None), (3, None, None)])
    found = only(compare(left, right)).comparison
    counts = {(one.kind, one.column): one.count for one in found.differences}
    assert counts == {(DifferenceKind.NULL_NAN, "mag"): 2, (DifferenceKind.CELLS, "name"): 1}


def test_the_order_that_was_asked_for(left: Made, right: Made) -> None:
    query = "SELECT id, mag FROM t ORDER BY mag"
    columns = {"id": "int64", "mag": "float64"}
    left.answer(query, columns, [(1, 5.0), (2, 5.0), (3, 6.0)])
    right.answer(query, columns, [(2, 5.0), (1, 5.0), (3, 6.0)])
    assert only(compare(left, right)).comparison.rules == {Rule.TIES: 2}
    other = Made(right.directory.parent / "other")
    other.answer(query, columns, [(3, 6.0), (1, 5.0), (2, 5.0)])
    found = only(compare(left, other)).comparison
    assert (found.verdict, found.count(DifferenceKind.ORDER)) == (Verdict.DIFFERENT, 2)


def test_an_order_by_what_the_answer_does_not_hold(left: Made, right: Made) -> None:
    left.answer("SELECT id FROM t ORDER BY mag", {"id": "int64"}, [(1,), (2,)])
    right.answer("SELECT id FROM t ORDER BY mag", {"id": "int64"}, [(2,), (1,)])
    found = only(compare(left, right)).comparison
    assert found.verdict is Verdict.DIFFERENT
    assert "do not hold all columns of ORDER BY" in found.notes[0]


MAGS = [(1, 20.1234), (2, 20.12345), (3, 20.12346), (4, 20.2)]
"""The second and third are the same with six digits."""


@pytest.mark.parametrize(
    ("direction", "rows", "verdict"),
    [
        ("", [1, 2, 3, 4], Verdict.WITHIN),
        ("", [1, 3, 2, 4], Verdict.DIFFERENT),
        ("DESC", [4, 3, 2, 1], Verdict.WITHIN),
        ("DESC", [4, 2, 3, 1], Verdict.DIFFERENT),
        ("DESC", [4, 3, 1, 2], Verdict.DIFFERENT),
    ],
)
def test_an_order_within_the_tolerance_is_that_of_each_sides_own_numbers(
    left: Made, right: Made, direction: str, rows: list[int], verdict: Verdict
) -> None:
    query = f"SELECT 'a' AS band, id, mag FROM t ORDER BY band, mag {direction}"
    columns = {"band": "text", "id": "int64", "mag": "float32"}
    printed = [("a", number, f"{mag:.6g}") for number, mag in MAGS]
    left.answer(query, columns, printed[::-1] if direction else printed)
    right.answer(query, columns, [("a", *MAGS[number - 1]) for number in rows])
    assert only(compare(left, right)).comparison.verdict is verdict
    assert only(compare(right, left)).comparison.verdict is verdict


@pytest.mark.parametrize(("mag", "verdict"), [(20.12346, Verdict.WITHIN), (20.1237, Verdict.DIFFERENT)])
def test_ties_at_limit_are_no_farther_apart_than_rounding(
    left: Made, right: Made, mag: float, verdict: Verdict
) -> None:
    columns = {"id": "int64", "mag": "float32"}
    query = "SELECT id, mag FROM t ORDER BY mag LIMIT 2"
    left.answer(query, columns, [(1, "20.1"), (2, "20.1235")])
    right.answer(query, columns, [(1, "20.1"), (3, mag)])
    assert only(compare(left, right)).comparison.verdict is verdict


TIES = "SELECT id, mag FROM t ORDER BY mag LIMIT 3"


@pytest.mark.parametrize(
    ("last", "verdict"),
    [((7, 6.0), Verdict.WITHIN), ((7, 6.5), Verdict.DIFFERENT), ((3, 6.5), Verdict.DIFFERENT)],
)
def test_ties_at_limit(left: Made, right: Made, last: tuple[int, float], verdict: Verdict) -> None:
    columns = {"id": "int64", "mag": "float64"}
    left.answer(TIES, columns, [(1, 5.0), (2, 5.5), (3, 6.0)])
    right.answer(TIES, columns, [(1, 5.0), (2, 5.5), last])
    found = only(compare(left, right)).comparison
    assert found.verdict is verdict
    assert (found.rules.get(Rule.TIES_AT_LIMIT) == 1) is (verdict is Verdict.WITHIN)


def test_the_last_row_with_another_value_is_no_tie(left: Made, right: Made) -> None:
    columns = {"id": "int64", "mag": "float64", "flag": "boolean"}
    left.answer("SELECT id, mag, flag FROM t ORDER BY id LIMIT 2", columns, [(1, 5.0, 1), (2, 5.5, 0)])
    right.answer("SELECT id, mag, flag FROM t ORDER BY id LIMIT 2", columns, [(1, 5.0, 1), (2, 5.5, 1)])
    found = only(compare(left, right)).comparison
    assert (found.verdict, found.count(DifferenceKind.CELLS)) == (Verdict.DIFFERENT, 1)


@pytest.mark.parametrize(
    ("query", "ours", "theirs", "verdict"),
    [
        ("SELECT id FROM t LIMIT 2", [1, 2], [2, 1], Verdict.WITHIN),
        ("SELECT id FROM t LIMIT 2", [1, 2], [5, 6], Verdict.NOT_COMPARED),
        ("SELECT id FROM t LIMIT 2", [1, 2], [1], Verdict.DIFFERENT),
        ("SELECT FLOOR(9 * RAND()) AS id FROM t", [1, 2], [5, 6], Verdict.NOT_COMPARED),
        ("SELECT FLOOR(9 * RAND()) AS id FROM t", [1, 2], [5], Verdict.DIFFERENT),
        ("SELECT rand AS id FROM t WHERE (rand) > 2", [1, 2], [5, 6], Verdict.DIFFERENT),
        ("SELECT TOP 1 id FROM t WHERE id = 5", [5], [6], Verdict.NOT_COMPARED),
        ("SELECT COUNT(*) AS id FROM t LIMIT 1", [100], [7], Verdict.DIFFERENT),
        ("SELECT TOP 1 ROUND(AVG(x) / 2, 3) AS id FROM t", [100], [7], Verdict.DIFFERENT),
        ("SELECT MAX(x) OVER (PARTITION BY y) AS id FROM t LIMIT 1", [100], [7], Verdict.NOT_COMPARED),
        ("SELECT COUNT(*) AS id FROM t GROUP BY b LIMIT 2", [1, 2], [9, 9], Verdict.NOT_COMPARED),
    ],
)
def test_limit_without_order(
    left: Made, right: Made, query: str, ours: list[int], theirs: list[int], verdict: Verdict
) -> None:
    for made, rows in ((left, ours), (right, theirs)):
        made.answer(query, {"id": "int64"}, [(one,) for one in rows])
    report = compare(left, right)
    found = only(report).comparison
    assert found.verdict is verdict
    if verdict is Verdict.NOT_COMPARED:
        assert found.notes[0].endswith("only what does not depend on that was compared.")
        assert report.exit_status == 2


@pytest.mark.parametrize(
    ("kind", "rows", "verdict"),
    [
        ("tap", [(6, 77), (5, 78)], Verdict.WITHIN),
        ("tap", [(11, 77)], Verdict.NOT_COMPARED),
        ("tap", [], Verdict.DIFFERENT),
        ("mysql", [(11, 77)], Verdict.DIFFERENT),
        ("mysql", [(5, 1), (7, 2)], Verdict.DIFFERENT),
    ],
)
def test_groups_by_chunk(left: Made, kind: str, rows: list[tuple[int, int]], verdict: Verdict) -> None:
    query = "SELECT COUNT(*) AS n, chunkId AS c FROM t GROUP BY c"
    right = Made(left.directory.parent / "right", kind)
    left.answer(query, {"n": "int64", "chunkId": "int64"}, [(5, 1), (6, 2)])
    right.answer(query, {"n": "int64", "chunkId": "int64"}, rows)
    assert only(compare(left, right)).comparison.verdict is verdict


@pytest.mark.parametrize(("rows", "verdict"), [([5, 6], Verdict.WITHIN), ([5], Verdict.NOT_COMPARED)])
def test_chunks_alone_tell_nothing_but_their_number(left: Made, right: Made, rows: list[int], verdict: Verdict) -> None:
    query = "SELECT DISTINCT chunkId FROM t"
    left.answer(query, {"chunkId": "int64"}, [(1,), (2,)])
    right.answer(query, {"chunkId": "int64"}, [(one,) for one in rows])
    assert only(compare(left, right)).comparison.verdict is verdict


@pytest.mark.parametrize("aggregate", ["COUNT(*)", "MAX(id)"])
def test_the_limit_of_one_row_of_aggregates_is_none(left: Made, right: Made, aggregate: str) -> None:
    for made, value in ((left, 5), (right, 6)):
        made.answer(f"SELECT {aggregate} AS n FROM t LIMIT 1", {"n": "int64"}, [(value,)])
    assert only(compare(left, right)).comparison.verdict is Verdict.DIFFERENT


def test_rows_below_a_limit_that_are_the_same(left: Made, right: Made) -> None:
    left.answer("SELECT id FROM t LIMIT 2", {"id": "int64"}, [(1,), (2,)])
    right.answer("SELECT id FROM t LIMIT 2", {"id": "int64"}, [(2,), (1,)])
    assert only(compare(left, right)).comparison.rules == {Rule.ORDER: 2}


@pytest.mark.parametrize(
    ("kinds", "values", "verdict"),
    [
        (("boolean", "int64"), (1, 1), Verdict.WITHIN),
        (("boolean", "int64"), (1, 2), Verdict.DIFFERENT),
        (("decimal", "float64"), ("0.3333", 1 / 3), Verdict.WITHIN),
        (("decimal", "float64"), ("0.3334", 1 / 3), Verdict.DIFFERENT),
        (("decimal", "int64"), ("12.000", 12), Verdict.WITHIN),
        (("decimal", "decimal"), ("3.50", "3.5"), Verdict.EQUAL),
        (("decimal", "decimal"), ("0E-10", "0.00"), Verdict.EQUAL),
        (("decimal", "decimal"), ("-1.10e2", "-0110"), Verdict.EQUAL),
        (("decimal", "decimal"), ("0003.50", "3.5"), Verdict.EQUAL),
        (("decimal", "decimal"), ("100", "1"), Verdict.DIFFERENT),
        (("decimal", "decimal"), ("-.5", "-0.50"), Verdict.EQUAL),
        (("decimal", "decimal"), ("1.1e-20", "1.1e-21"), Verdict.DIFFERENT),
        (("decimal", "float64"), ("10", 10.45), Verdict.DIFFERENT),
        (("decimal", "float64"), ("10", 10.0), Verdict.WITHIN),
        (("decimal", "float64"), ("10.5", 10.45), Verdict.DIFFERENT),
        (("decimal", "float64"), ("4503599627370497", 4503599627370496.0), Verdict.DIFFERENT),
        (("decimal", "float64"), ("9007199254740993", 9007199254740992.0), Verdict.DIFFERENT),
        (("decimal", "float32"), ("1234567", "1.23457e6"), Verdict.WITHIN),
        (("int64", "uint64"), (5, 5), Verdict.WITHIN),
        (("uint64", "uint64"), (2**64 - 1, 2**64 - 2), Verdict.DIFFERENT),
        (("int64", "float64"), (2**53 + 1, float(2**53)), Verdict.DIFFERENT),
        (("int64", "float64"), (7, 7.0), Verdict.WITHIN),
        (("float32", "float32"), ("20.1235", "20.123457"), Verdict.WITHIN),
        (("float32", "float64"), ("20.1235", "20.125"), Verdict.DIFFERENT),
        (("float64", "float64"), (0.1 + 0.2, 0.3), Verdict.WITHIN),
        (("float64", "float64"), (1.0, 1.00000001), Verdict.DIFFERENT),
        (("text", "text"), ("Star 1", "star 1  "), Verdict.WITHIN),
        (("text", "text"), (" star", "star"), Verdict.DIFFERENT),
        (("timestamp", "text"), ("2026-01-02T03:04:05", "2026-01-02 03:04:05.000"), Verdict.WITHIN),
        (("timestamp", "timestamp"), ("2026-01-02T03:04:05", "2026-01-02T03:04:06"), Verdict.DIFFERENT),
        (("timestamp", "timestamp"), ("2026-01-02T03:04:05+05:00", "2026-01-02T03:04:05Z"), Verdict.DIFFERENT),
        (("timestamp", "timestamp"), ("2026-01-02T03:04:05+05:00", "2026-01-01T22:04:05"), Verdict.WITHIN),
        (("timestamp", "timestamp"), ("2026-01-02T03:04:05.50-0330", "2026-01-02T06:34:05.5Z"), Verdict.WITHIN),
        (("timestamp", "timestamp"), ("2026-01-02T03:04:05+05", "2026-01-02T03:04:05-05"), Verdict.DIFFERENT),
        (("timestamp", "text"), ("2026-01-02", "2026-01-02 00:00:00"), Verdict.WITHIN),
        (("timestamp", "text"), ("2026-01-02T03:04", "2026-01-02 03:04:00.0"), Verdict.WITHIN),
        (
            ("timestamp", "timestamp"),
            ("2026-01-02T03:04:05.1234567891", "2026-01-02T03:04:05.1234567892"),
            Verdict.DIFFERENT,
        ),
        (("timestamp", "timestamp"), ("0000-00-00 00:00:00", "0000-00-00 00:00:01"), Verdict.DIFFERENT),
        (("bytes", "bytes"), ("00ff", "00ff"), Verdict.EQUAL),
        (("text", "int64"), ("5", 5), Verdict.DIFFERENT),
    ],
)
def test_kinds_of_values(
    left: Made, right: Made, kinds: tuple[str, str], values: tuple[object, object], verdict: Verdict
) -> None:
    left.answer("SELECT x FROM t", {"x": kinds[0]}, [(values[0],)])
    right.answer("SELECT x FROM t", {"x": kinds[1]}, [(values[1],)])
    assert only(compare(left, right)).comparison.verdict is verdict


def test_a_column_of_null_alone_has_any_type(left: Made, right: Made) -> None:
    path = left.answer("SELECT NULL AS x FROM t", {"x": "other"}, [(None,), (None,)])
    record = path.with_name(path.name.replace(".csv.gz", ".json"))
    record.write_text(record.read_text().replace('"type": "other"', '"type": "null"'))
    right.answer("SELECT NULL AS x FROM t", {"x": "text"}, [(None,), (None,)])
    assert only(compare(left, right)).comparison.verdict is Verdict.EQUAL
    other = Made(right.directory.parent / "other")
    other.answer("SELECT NULL AS x FROM t", {"x": "text"}, [(None,), ("a",)])
    assert only(compare(left, other)).comparison.verdict is Verdict.DIFFERENT


def test_names_of_columns(left: Made, right: Made) -> None:
    left.answer("SELECT 1", {"objectId": "int64", "COUNT(*)": "int64", "chunkId": "int64"}, [(1, 2, 77)])
    right.answer("SELECT 1", {"objectid": "int64", "count": "int64"}, [(1, 2)], lang="ADQL")
    found = only(compare(left, right)).comparison
    assert found.verdict is Verdict.DIFFERENT  # three columns and two: what has no name cannot be told by its place
    other = Made(right.directory.parent / "other")
    other.answer("SELECT 1", {"objectid": "int64", "count": "int64", "chunkid": "int64"}, [(1, 2, 3)])
    assert only(compare(left, other)).comparison.rules == {Rule.NAMES: 2, Rule.IGNORED: 1}


def test_columns_in_another_order(left: Made, right: Made) -> None:
    left.answer("SELECT 1", {"a": "int64", "b": "int64", "c": "int64"}, [(1, 2, 3)])
    right.answer("SELECT 1", {"b": "int64", "a": "int64", "c": "int64"}, [(2, 1, 3)])
    found = only(compare(left, right)).comparison
    assert (found.verdict, found.rules) == (Verdict.WITHIN, {Rule.COLUMNS: 2})


def test_columns_that_are_missing_or_of_another_type(left: Made, right: Made) -> None:
    left.answer("SELECT 1", {"id": "int64", "mag": "float32", "band": "text"}, [(1, 2, "g")])
    right.answer("SELECT 1", {"id": "int64", "band": "int64", "extra": "text"}, [(1, 2, "x")])
    kinds = {(one.kind, one.column) for one in only(compare(left, right)).comparison.differences}
    assert kinds == {
        (DifferenceKind.MISSING_COLUMN, "mag"),
        (DifferenceKind.EXTRA_COLUMN, "extra"),
        (DifferenceKind.TYPES, "band"),
    }


@pytest.mark.parametrize(
    ("mine", "theirs", "verdict", "status"),
    [
        ("refused", "refused", Verdict.WITHIN, 0),
        (None, "refused", Verdict.DIFFERENT, 1),
        (None, "timeout", Verdict.NOT_COMPARED, 2),
        (None, "lost", Verdict.NOT_COMPARED, 2),
        ("timeout", None, Verdict.NOT_COMPARED, 2),
        ("lost", "refused", Verdict.NOT_COMPARED, 2),
    ],
)
def test_errors(left: Made, right: Made, mine: str | None, theirs: str | None, verdict: Verdict, status: int) -> None:
    for made, kind in ((left, mine), (right, theirs)):
        made.answer("SELECT 1", COLUMNS, ROWS, error=None if kind is None else Failure(kind, "it is so"))
    report = compare(left, right)
    assert (only(report).comparison.verdict, report.exit_status) == (verdict, status)


def test_a_query_that_was_not_asked_there(left: Made, right: Made) -> None:
    left.answer("SELECT 1", COLUMNS, ROWS)
    assert only(compare(left, right)).comparison.verdict is Verdict.NOT_COMPARED


def test_one_answer_that_was_cut(left: Made, right: Made) -> None:
    left.answer("SELECT 1", COLUMNS, ROWS)
    right.answer("SELECT 1", COLUMNS, ROWS[:2], overflow=True)
    found = only(compare(left, right)).comparison
    assert [one.kind for one in found.differences][:2] == [DifferenceKind.TRUNCATED, DifferenceKind.ROW_COUNT]


def test_both_answers_cut(left: Made, right: Made) -> None:
    left.answer("SELECT 1", COLUMNS, ROWS[:2], overflow=True)
    right.answer("SELECT 1", COLUMNS, ROWS[1:], overflow=True)
    assert only(compare(left, right)).comparison.verdict is Verdict.NOT_COMPARED


def test_a_damaged_file(left: Made, right: Made) -> None:
    left.answer("SELECT 1", COLUMNS, ROWS)
    path = right.answer("SELECT 1", COLUMNS, ROWS)
    path.write_bytes(path.read_bytes()[:-12])
    found = only(compare(left, right)).comparison
    assert found.verdict is Verdict.NOT_COMPARED
    assert "record this answer again" in found.notes[0].lower()


@pytest.mark.parametrize("theirs", [ROWS, ROWS[:2]])
@pytest.mark.parametrize("content", [b"", gzip.compress(b""), gzip.compress(b'9,"z",1.5\n')])
def test_a_replaced_file(left: Made, right: Made, content: bytes, theirs: list[tuple[object, ...]]) -> None:
    left.answer("SELECT 1", COLUMNS, ROWS)
    right.answer("SELECT 1", COLUMNS, theirs).write_bytes(content)
    assert only(compare(left, right)).comparison.verdict is Verdict.NOT_COMPARED


def test_a_replaced_file_of_fingerprints(left: Made, right: Made) -> None:
    left.fingerprints("sky.Object", BOXES, FIELDS, CELLS)
    right.fingerprints("sky.Object", BOXES, FIELDS, CELLS)
    (right.directory / "fingerprints" / "sky.Object.csv.gz").write_bytes(gzip.compress(b""))
    found = only(compare(left, right)).comparison
    assert found.verdict is Verdict.NOT_COMPARED
    assert "sky.Object.csv.gz is not what was recorded" in found.notes[0]


def test_one_damaged_record_is_not_the_end(left: Made, right: Made) -> None:
    for made in (left, right):
        made.answer("SELECT 1", COLUMNS, ROWS)
        made.answer("SELECT 2", COLUMNS, ROWS)
        made.table("sky.A", {"id": "int64"})
        made.table("sky.B", {"id": "int64"})
        made.fingerprints("sky.A", {"kind": "table"}, FIELDS, [("all", 3, *ONE[2:])])
        made.fingerprints("sky.B", {"kind": "table"}, FIELDS, [("all", 3, *ONE[2:])])
    answer = next((left.directory / "answers").glob("0001*.json"))
    answer.write_text("{")
    (left.directory / "fingerprints/sky.A.json").write_text("[]")
    (right.directory / "fingerprints/sky.B.csv.gz").write_bytes(b"\x1f\x8b")
    (right.directory / "tables/sky.B.json").write_text("{}")
    report = compare(left, right)
    verdicts = {(one.subject, one.name): one.comparison.verdict for one in report.compared}
    assert len(verdicts) == 6
    gone = {("answer", answer.stem), ("fingerprints", "sky.A"), ("fingerprints", "sky.B"), ("table", "sky.B")}
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.NOT_COMPARED} == gone
    assert report.exit_status == 2


def test_other_rows_than_were_recorded(left: Made, right: Made) -> None:
    path = left.answer("SELECT 1", COLUMNS, ROWS)
    other = right.answer("SELECT 1", COLUMNS, ROWS[:1])
    path.write_bytes(other.read_bytes())
    found = only(compare(left, right)).comparison
    assert found.verdict is Verdict.NOT_COMPARED


def test_what_was_to_be_recorded(left: Made, right: Made) -> None:
    for made in (left, right):
        made.answer("SELECT 1", COLUMNS, ROWS)
    asked = [{"lang": "QSERV", "query": f"SELECT {number}", "use_case": "x"} for number in (1, 2)]
    (left.directory / "queries.json").write_text(json.dumps({"builtin": [], "asked": asked}))
    report = compare(left, right)
    assert [one.comparison.verdict for one in report.compared] == [Verdict.EQUAL, Verdict.NOT_COMPARED]
    assert (report.compared[1].query, report.exit_status) == ("SELECT 2", 2)
    (left.directory / "queries.json").write_text("{}")
    assert compare(left, right).exit_status == 2


def test_what_no_run_has_recorded_yet(left: Made, right: Made) -> None:
    """A recording that was stopped early must not pass for a whole one."""
    add_wanted(left.directory, Wanted(frozenset(STEPS)))
    report = compare(left, right)
    assert [(one.subject, one.name) for one in report.compared] == [("answer", "queries.json"), ("table", "all")]
    add_wanted(left.directory, Wanted(tables=frozenset({"sky.A", "sky.B", "sky.C/D"})))
    for made in (left, right):
        made.table("sky.A", {"id": "int64"})
        made.table("sky.C/D", {"id": "int64"}, error=Failure("refused", "no"))
    report = compare(left, right)
    missing = {(one.subject, one.name): one.comparison.verdict for one in report.compared[2:]}
    assert missing == dict.fromkeys(
        [("answer", "queries.json"), ("fingerprints", "sky.A"), ("table", "sky.B")], Verdict.NOT_COMPARED
    )
    assert report.exit_status == 2
    left.answer("SELECT 1", {"id": "int64"}, [(1,)])
    next((left.directory / "answers").glob("*.json")).write_text("{")
    status = CliRunner().invoke(migrate_app, ["status", str(left.directory)]).output
    assert "not recorded yet: 1 fingerprints, 1 table\ndamaged: 0001-" in status
    (left.directory / "wanted.json").write_text("{")
    assert "wanted.json is damaged" in compare(left, right).compared[-1].comparison.notes[0]


def test_blanks_in_texts_are_no_blanks_between_words(left: Made, right: Made) -> None:
    left.answer("SELECT a FROM t WHERE s = 'a  b'", COLUMNS, ROWS)
    right.answer("SELECT a FROM t WHERE s = 'a b'", COLUMNS, ROWS)
    assert only(compare(left, right)).comparison.verdict is Verdict.NOT_COMPARED


def test_no_recording(left: Made, tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="holds no recording"):
        compare_recordings(left.directory, tmp_path)


def test_tables(left: Made, right: Made) -> None:
    for name in ("sky.Same", "sky.Rows", "sky.Types", "sky.Gone"):
        left.table(name, {"id": "int64", "chunkId": "int64"})
    right.table("sky.same", {"ID": "int64"})
    right.table("sky.Rows", {"id": "int64"}, rows=2)
    right.table("sky.Types", {"id": "text"})
    found = {one.name: [d.kind for d in one.comparison.differences] for one in compare(left, right).compared}
    assert found == {
        "sky.Same": [],
        "sky.Rows": [DifferenceKind.ROW_COUNT],
        "sky.Types": [DifferenceKind.TYPES],
        "sky.Gone": [DifferenceKind.ERROR_RIGHT],
    }


def test_tables_whose_names_differ_in_case_alone(left: Made, right: Made) -> None:
    for made in (left, right):
        for name, rows in (("sky.Object", 3), ("sky.object", 4)):
            made.table(name, {"id": "int64"}, rows=rows)
            made.fingerprints(name, {"kind": "table"}, FIELDS, [("all", rows, *ONE[2:])])
    assert [one.comparison.verdict for one in compare(left, right).compared] == [Verdict.EQUAL] * 4


@pytest.mark.parametrize(("kinds", "rules"), [(("float32", "float64"), {Rule.FLOAT: 1}), (("float64", "float64"), {})])
def test_floats_of_two_widths_are_told(left: Made, right: Made, kinds: tuple[str, str], rules: dict[Rule, int]) -> None:
    for made, kind in zip((left, right), kinds, strict=True):
        made.table("sky.A", {"id": "int64", "mag": kind})
    assert only(compare(left, right)).comparison.rules == rules


@pytest.mark.parametrize(
    ("rows", "kind", "verdict"),
    [(None, "lost", Verdict.NOT_COMPARED), (None, "refused", Verdict.DIFFERENT), (None, None, Verdict.NOT_COMPARED)],
)
def test_a_table_that_was_not_counted(
    left: Made, right: Made, rows: int | None, kind: str | None, verdict: Verdict
) -> None:
    left.table("sky.A", {"id": "int64"})
    right.table("sky.A", {"id": "int64"}, rows, error=None if kind is None else Failure(kind, "it is so"))
    assert only(compare(left, right)).comparison.verdict is verdict


BOXES = {"kind": "box", "width_deg": 1.0, "ra": "ra", "dec": "decl"}
FIELDS = {
    "cell": "text",
    "rows": "int64",
    "id:sum": "int64",
    "mag:nulls": "int64",
    "mag:min": "float32",
    "mag:max": "float32",
    "mag:avg": "float64",
}
CELLS = [(f"{k} -3", 100, 1000 + k, 0, "18.1235", "24.5", 20.1 + k / 100) for k in range(9)]


def with_cell(number: int, **values: object) -> list[tuple[object, ...]]:
    names = [name.rpartition(":")[2] if name != "id:sum" else "sum" for name in FIELDS]
    changed = tuple(values.get(name, value) for name, value in zip(names, CELLS[number], strict=True))
    return [changed if k == number else cell for k, cell in enumerate(CELLS)]


@pytest.mark.parametrize(
    ("cells", "fields"),
    [
        (CELLS, set()),
        (with_cell(4, sum=7), {"id:sum"}),
        (with_cell(4, rows=99, sum=7), {"rows", "id:sum"}),
        (with_cell(4, nulls=1), {"mag:nulls"}),
        (with_cell(4, avg=20.1400001), {"mag:avg"}),
        (with_cell(4, min="18.123457"), set()),
        ([*CELLS[:4], *CELLS[5:]], {"cell"}),
        ([*CELLS, ("77 1", 1, 1, 0, 1.0, 1.0, 1.0)], {"cell"}),
    ],
)
def test_fingerprints_name_the_cell(left: Made, right: Made, cells: list[tuple[object, ...]], fields: set[str]) -> None:
    left.fingerprints("sky.Object", BOXES, FIELDS, CELLS)
    right.fingerprints("sky.Object", BOXES, FIELDS, cells)
    found = only(compare(left, right)).comparison
    assert {one.column for one in found.differences} == fields
    for one in found.differences:
        (example,) = one.examples
        place = example.get("row", example)
        assert place["ra"] == ("77 to 78" if place["cell"] == "77 1" else "4 to 5")


def test_averages_of_rounded_values_differ_everywhere(left: Made, right: Made) -> None:
    left.fingerprints("sky.Object", BOXES, FIELDS, CELLS)
    right.fingerprints("sky.Object", BOXES, FIELDS, [(*cell[:-1], cell[-1] * (1 + 1e-8)) for cell in CELLS])
    found = only(compare(left, right)).comparison
    assert (found.verdict, found.rules) == (Verdict.WITHIN, {Rule.FLOAT: 9})


ONE = ("all", 1_000_000, 7, 0, 1.0, 5.0, 3.0)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ([ONE], Verdict.EQUAL),
        ([(*ONE[:4], 1.0, "inf", "inf")], Verdict.DIFFERENT),
        ([(*ONE[:4], 1.0, 5.0, "nan")], Verdict.DIFFERENT),
        ([(*ONE[:6], 3.000002)], Verdict.DIFFERENT),
        ([(*ONE[:5], 5.00001, 3.0)], Verdict.WITHIN),
        ([("all", 99, 8, 0, 1.0, 5.0, 3.0), ONE], Verdict.NOT_COMPARED),
    ],
)
def test_one_cell(left: Made, right: Made, other: list[tuple[object, ...]], verdict: Verdict) -> None:
    left.fingerprints("sky.Object", {"kind": "table"}, FIELDS, [ONE])
    right.fingerprints("sky.Object", {"kind": "table"}, FIELDS, other)
    mirrored = compare(right, left)
    assert only(compare(left, right)).comparison.verdict is only(mirrored).comparison.verdict is verdict


def test_infinities_on_both_sides(left: Made, right: Made) -> None:
    for made, sign in ((left, ""), (right, "-")):
        made.fingerprints("t.t", {"kind": "table"}, FIELDS, [(*ONE[:4], "-inf", "inf", f"{sign}inf")])
    assert only(compare(left, right)).comparison.verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("value", "verdict"), [("9007199254740992.000", Verdict.EQUAL), ("9007199254740993", Verdict.DIFFERENT)]
)
def test_ends_of_decimals_are_exact(left: Made, right: Made, value: str, verdict: Verdict) -> None:
    fields = {"cell": "text", "rows": "int64", "x:max": "decimal"}
    left.fingerprints("t.t", {"kind": "table"}, fields, [("all", 3, "9007199254740992")])
    right.fingerprints("t.t", {"kind": "table"}, fields, [("all", 3, value)])
    assert only(compare(left, right)).comparison.verdict is verdict


@pytest.mark.parametrize(("average", "verdict"), [(3.00000001, Verdict.NOT_COMPARED), (3.000002, Verdict.DIFFERENT)])
def test_rounded_values_in_few_cells_cannot_be_told_from_an_altered_row(
    left: Made, right: Made, average: float, verdict: Verdict
) -> None:
    left.fingerprints("sky.Object", {"kind": "table"}, FIELDS, [ONE])
    right.fingerprints("sky.Object", {"kind": "table"}, FIELDS, [(*ONE[:6], average)])
    found = only(compare(left, right)).comparison
    assert found.verdict is verdict
    assert ("--cells remainder" in found.notes[-1]) is (verdict is Verdict.NOT_COMPARED)


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [({**BOXES, "ra": "RA"}, Verdict.EQUAL), ({**BOXES, "ra": "ra_psf"}, Verdict.NOT_COMPARED)],
)
def test_boxes_of_other_positions_are_other_cells(
    left: Made, right: Made, cells: dict[str, object], verdict: Verdict
) -> None:
    left.fingerprints("sky.Object", BOXES, FIELDS, CELLS)
    right.fingerprints("sky.Object", cells, FIELDS, CELLS)
    assert only(compare(left, right)).comparison.verdict is verdict


def test_averages_of_many_are_off_by_less(left: Made, right: Made) -> None:
    many = [(cell[0], 1_000_000, *cell[2:]) for cell in CELLS]
    left.fingerprints("sky.Object", BOXES, FIELDS, many)
    right.fingerprints("sky.Object", BOXES, FIELDS, [(*cell[:-1], float(str(cell[-1])) * (1 + 1e-6)) for cell in many])
    assert only(compare(left, right)).comparison.verdict is Verdict.DIFFERENT


def test_cells_that_do_not_hold_the_table(left: Made, right: Made) -> None:
    for made in (left, right):
        made.table("sky.Object", {"id": "int64"}, rows=1_000_000)
        made.fingerprints("sky.Object", {"kind": "table"}, FIELDS, [("all", 5, *ONE[2:])])
    found = compare(left, right).compared[1].comparison
    assert found.verdict is Verdict.NOT_COMPARED
    assert "hold 5 rows left, the table 1000000" in found.notes[1]


def test_cells_of_another_kind_are_not_compared(left: Made, right: Made) -> None:
    left.fingerprints("sky.Object", {"kind": "chunk", "column": "chunkId"}, FIELDS, CELLS)
    right.fingerprints("sky.Object", BOXES, FIELDS, CELLS)
    found = only(compare(left, right)).comparison
    assert found.verdict is Verdict.NOT_COMPARED
    assert "--cells box" in found.notes[0]


def test_report(left: Made, right: Made) -> None:
    query = "SELECT '<b>' AS x FROM t"
    left.answer(query, {"x": "float64", "y": "text"}, [("nan", "<script>alert(1)</script>")])
    right.answer(query, {"x": "float64", "y": "text"}, [(None, "b")])
    left.answer("SELECT 2", {"x": "int64"}, [(1,)])
    right.answer("SELECT 2", {"x": "int64"}, [(1,)])
    report = compare(left, right)
    described = json.loads(write_json(report))
    assert described["verdict"] == "different"
    assert described["counts"] == {"equal": 1, "equal within rules": 0, "different": 1, "not compared": 0}
    assert described["seconds"] == {"answered": 2, "left": 1.0, "right": 1.0}
    assert [one["verdict"] for one in described["compared"]] == ["different", "equal"]
    page = to_html(report)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "http" not in page.replace("http-equiv", "")
    console = Console(record=True, width=100, file=(left.directory / "text").open("w"))
    print_report(console, report)
    text = console.export_text()
    assert "1 differ: 1 equal, 1 different" in text
    assert "2 queries answered by both: 1 s left, 1 s right" in text
    assert "NULL against NaN in x: 1" in text
