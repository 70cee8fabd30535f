"""A report as JSON, and as text for a terminal."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from .found import Compared, Report, Side
from .rules import Difference, Verdict

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COLOURS", "differences_text", "print_report", "times", "to_json", "total_times", "write_json"]

COLOURS: Final = {
    Verdict.EQUAL: "green",
    Verdict.WITHIN: "cyan",
    Verdict.DIFFERENT: "red",
    Verdict.NOT_COMPARED: "yellow",
}
_QUERY_WIDTH: Final = 200


def to_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON: plain types only, numbers that JSON does not know as text."""
    return {
        "format": "catalog-comparison",
        "version": 1,
        "left": report.left,
        "right": report.right,
        "verdict": report.verdict,
        "counts": report.counts,
        "seconds": dict(zip(("answered", "left", "right"), report.seconds, strict=True)),
        "compared": [_compared_json(one) for one in report.compared],
    }


def _compared_json(one: Compared) -> dict[str, Any]:
    found = one.comparison
    return {
        "subject": one.subject,
        "name": one.name,
        "query": one.query,
        "lang": one.lang,
        "use_case": one.use_case,
        "verdict": found.verdict,
        "rules": found.rules,
        "differences": [_plain(asdict(difference)) for difference in found.differences],
        "notes": list(found.notes),
        "left": asdict(one.left),
        "right": asdict(one.right),
    }


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case float() if value != value or value in {float("inf"), -float("inf")}:  # noqa: PLR0124 - NaN
            return str(value)
        case Decimal() | datetime() | date() | time() | bytes():
            return str(value)
        case _:
            return value


def print_report(console: "Console", report: Report, *, everything: bool = False) -> None:
    """Print a report: what differs with its differences, and how many verdicts there were.

    Parameters
    ----------
    console
        Where to.
    report
        The report.
    everything
        Whether to print what is equal too.
    """
    from rich.text import Text  # noqa: PLC0415 - programs read the JSON

    console.print(Text(f"left:  {report.left}\nright: {report.right}"), soft_wrap=True)
    for one in report.compared:
        verdict = one.comparison.verdict
        if everything or verdict in {Verdict.DIFFERENT, Verdict.NOT_COMPARED}:
            head = Text.assemble((f"{verdict}", COLOURS[verdict]), f"  {one.subject} {one.name}  {times(one)}")
            console.print(head, soft_wrap=True)
            for line in _lines(one):
                console.print(Text(f"    {line}"), soft_wrap=True)
    console.print(Text(total_times(report)))
    summary = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items() if count)
    console.print(Text.assemble((_conclusion(report), f"bold {COLOURS[report.verdict]}"), f": {summary or 'nothing'}"))


def _conclusion(report: Report) -> str:
    """Return the verdict as it stands before the numbers: one that was not compared does not spoil the others."""
    counts = report.counts
    match report.verdict:
        case Verdict.DIFFERENT:
            return f"{counts[Verdict.DIFFERENT]} differ"
        case Verdict.NOT_COMPARED:
            missing = counts[Verdict.NOT_COMPARED]
            return f"nothing differs, {missing} not compared" if missing else "nothing was compared"
        case verdict:
            return str(verdict)


def _lines(one: Compared) -> Iterator[str]:
    if one.query is not None:
        yield " ".join(one.query.split())[:_QUERY_WIDTH]
    if one.comparison.rules:
        yield "rules: " + ", ".join(f"{rule} ({count})" for rule, count in one.comparison.rules.items())
    for difference in one.comparison.differences:
        yield from differences_text(difference)
    yield from one.comparison.notes


def differences_text(difference: Difference) -> Iterator[str]:
    """Yield lines that tell a difference and its first examples."""
    yield str(difference)
    for example in difference.examples:
        yield "  " + ", ".join(f"{name}: {_value(value)}" for name, value in example.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_value(one)}" for name, one in value.items()) + ")"
    return "NULL" if value is None else repr(value) if isinstance(value, str) else str(value)


def times(one: Compared) -> str:
    """Return rows and seconds of both sides."""
    return f"{_side(one.left)} | {_side(one.right)}"


def total_times(report: Report) -> str:
    """Return the seconds of all queries that both sides answered."""
    count, left, right = report.seconds
    return f"{count} queries answered by both: {left:.3g} s left, {right:.3g} s right"


def _side(side: Side) -> str:
    if side.error is not None:
        return side.error.partition(":")[0]
    parts = [
        None if side.rows is None else f"{side.rows} rows",
        None if side.seconds is None else f"{side.seconds:.3g} s",
    ]
    return ", ".join(part for part in parts if part) or "-"


def write_json(report: Report) -> str:
    """Return a report as a text of JSON."""
    return json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n"
