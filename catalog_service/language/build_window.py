"""Calls with OVER to nodes. A method is named like its rule and takes the list of the rule's parts."""

from typing import Any, Final

from ..exceptions import QueryNameError, QuerySyntaxError
from ..models.tree import Expr, RowsFrame, WindowCall
from .build_base import Clause, span_of
from .errors import error_at
from .functions import AGGREGATES
from .lexer import Word
from .statistics import check_count
from .windows import ROW_FUNCTIONS, RowFunction

__all__ = ["WindowBuilder"]

Parts = list[Any]

_MOST_ROWS: Final = 2**31 - 1
_FAR: Final = 1e300


class WindowBuilder:
    """Builds window functions."""

    def window_call(self, parts: Parts) -> Expr:
        """Build ``f([DISTINCT] a) OVER (...)``."""
        word, over = parts[0], parts[-1].value
        args = tuple(part for part in parts[1:-1] if not isinstance(part, Word))
        words = {part.type for part in parts[1:-1] if isinstance(part, Word)}
        name, distinct = word.value.lower(), "DISTINCT" in words
        if name in ROW_FUNCTIONS:
            _check_row_call(ROW_FUNCTIONS[name], word, len(args), words, over)
        elif name not in AGGREGATES or AGGREGATES[name].hidden:
            message = f"{word.value} is no function that takes OVER."
            remedy = f"Set functions do, and {', '.join(map(str.upper, ROW_FUNCTIONS))}."
            raise error_at(QueryNameError, message, word.span, remedy=remedy)
        elif "STAR" in words:
            if name != "count":
                raise error_at(QuerySyntaxError, f"only COUNT takes *; {name.upper()} needs a value.", parts[1].span)
        else:
            check_count(word, len(args))
        return WindowCall(name, args, distinct, **over, span=span_of(parts))

    def over(self, parts: Parts) -> Clause:
        """Build ``OVER (PARTITION BY a ORDER BY b ROWS ...)``."""
        clauses = {part.tag: part.value for part in parts[1:]}
        return Clause("over", clauses, span_of(parts))

    def partition_by(self, parts: Parts) -> Clause:
        """Build ``PARTITION BY a, b``."""
        return Clause("partition_by", tuple(parts[2:]), span_of(parts))

    def rows_frame(self, parts: Parts) -> Clause:
        """Build ``ROWS a`` or ``ROWS BETWEEN a AND b``, and the same of RANGE."""
        by_value = parts[0].type == "RANGE"
        bounds = [part for part in parts if isinstance(part, Clause)]
        first, last = bounds[0].value, bounds[1].value if len(bounds) > 1 else 0
        if first == "UNBOUNDED FOLLOWING" or last == "UNBOUNDED PRECEDING":
            message = f"a window cannot {'begin' if first == 'UNBOUNDED FOLLOWING' else 'end'} there."
            raise error_at(QuerySyntaxError, message, span_of(parts))
        start, stop = (None if isinstance(bound, str) else bound for bound in (first, last))
        frame = RowsFrame(start, stop, by_value)
        for bound in bounds:
            if isinstance(bound.value, float) and not by_value:
                raise error_at(QuerySyntaxError, "ROWS counts rows: write an unsigned integer.", bound.span)
        if frame.start is not None and frame.stop is not None and frame.start > frame.stop:
            message = "this window ends before it begins."
            raise error_at(QuerySyntaxError, message, span_of(parts), remedy="Write the earlier row first.")
        return Clause("rows", frame, span_of(parts))

    def frame_bound(self, parts: Parts) -> Clause:
        """Build ``UNBOUNDED PRECEDING``, ``3 FOLLOWING`` or ``CURRENT ROW``: a text, or a distance."""
        first, last = parts[0], parts[-1]
        if first.type in {"UINT", "NUMBER"}:
            distance = min(int(first.value[:18]), _MOST_ROWS) if first.type == "UINT" else min(float(first.value), _FAR)
            return Clause("bound", -distance if last.type == "PRECEDING" else distance, span_of(parts))
        value = 0 if first.type == "CURRENT" else f"UNBOUNDED {last.type}"
        return Clause("bound", value, span_of(parts))


def _check_row_call(function: RowFunction, word: Word, count: int, words: set[str], over: dict[str, Any]) -> None:
    """Refuse a call with a wrong number of arguments, with DISTINCT, or without the order that it needs."""
    name, most = word.value.upper(), len(function.params)
    if words:
        raise error_at(QuerySyntaxError, f"{name} takes no {' '.join(words)}.", word.span)
    if not function.required <= count <= most:
        wanted = str(most) if function.required == most else f"{function.required} or {most}"
        raise error_at(
            QuerySyntaxError, f"{name} takes {wanted} argument{'' if wanted == '1' else 's'}, not {count}.", word.span
        )
    if function.ordered and not over.get("order_by"):
        message = f"{name} needs an order of rows."
        raise error_at(QuerySyntaxError, message, word.span, remedy=f"Write {name}(...) OVER (ORDER BY ...).")
