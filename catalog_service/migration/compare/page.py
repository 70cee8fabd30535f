"""A report as one page of HTML that needs nothing else: light and dark, filtered by verdict."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from .found import Compared, Report, Side
from .report import total_times
from .rules import Difference, Verdict

__all__ = ["to_html"]

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_CLASSES: Final = {
    Verdict.EQUAL: "equal",
    Verdict.WITHIN: "within",
    Verdict.DIFFERENT: "different",
    Verdict.NOT_COMPARED: "uncompared",
}


def to_html(report: Report) -> str:
    """Return a report as a page; what differs comes first."""
    order = [Verdict.DIFFERENT, Verdict.NOT_COMPARED, Verdict.WITHIN, Verdict.EQUAL]
    sorted_ones = sorted(report.compared, key=lambda one: order.index(one.comparison.verdict))
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        left=escape(report.left),
        right=escape(report.right),
        times=escape(total_times(report)),
        verdict=escape(report.verdict),
        verdict_class=_CLASSES[report.verdict],
        filters="".join(_filter(verdict, count) for verdict, count in report.counts.items()),
        rows="\n".join(_row(one) for one in sorted_ones),
    )


def _filter(verdict: Verdict, count: int) -> str:
    name = _CLASSES[verdict]
    return (
        f'<label class="{name}"><input type="checkbox" checked data-verdict="{name}"> '
        f"{escape(verdict)} <b>{count}</b></label>"
    )


def _row(one: Compared) -> str:
    name = _CLASSES[one.comparison.verdict]
    opened = " open" if one.comparison.verdict is Verdict.DIFFERENT else ""
    return (
        f'<details class="one {name}"{opened}><summary><span class="verdict">{escape(one.comparison.verdict)}</span>'
        f"<span>{escape(one.subject)} {escape(one.name)}</span><span>{escape(one.use_case or '')}</span></summary>"
        f"{''.join(_inside(one))}</details>"
    )


def _inside(one: Compared) -> Iterator[str]:
    if one.query is not None:
        yield f"<pre>{escape(one.query)}</pre>"
    yield _table([{"": "left", **_side(one.left)}, {"": "right", **_side(one.right)}])
    if one.comparison.rules:
        used = ", ".join(f"{rule} ({count})" for rule, count in one.comparison.rules.items())
        yield f"<p>Rules used: {escape(used)}</p>"
    for difference in one.comparison.differences:
        yield _difference(difference)
    for note in one.comparison.notes:
        yield f"<p>{escape(note)}</p>"


def _side(side: Side) -> dict[str, Any]:
    return {
        "rows": side.rows,
        "seconds": side.seconds,
        "to the first row, s": side.seconds_to_first_row,
        "bytes": side.bytes,
        "error": side.error,
    }


def _difference(difference: Difference) -> str:
    shown = len(difference.examples)
    some = f", the first {shown}" if 1 < shown < difference.count else ""
    return f"<h3>{escape(str(difference))}{some}</h3>{_table(list(map(_flat, difference.examples)))}"


def _flat(example: dict[str, Any]) -> dict[str, Any]:
    """Return an example with the key of its row as columns of their own."""
    row = example.get("row")
    return (
        {**row, **{name: one for name, one in example.items() if name != "row"}} if isinstance(row, dict) else example
    )


def _table(records: list[dict[str, Any]]) -> str:
    if not records:
        return ""
    heads = list(dict.fromkeys(name for record in records for name in record))
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(_cell(record.get(name)) for name in heads) + "</tr>" for record in records)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(value: Any) -> str:
    return '<td class="null">NULL</td>' if value is None else f"<td>{escape(str(value))}</td>"
