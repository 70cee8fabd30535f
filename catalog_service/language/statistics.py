"""Set functions that ADQL lacks: what describes a distribution, and texts joined.

They are called by plain names, which are not reserved: a column may be called ``median``. NULL is left out. A value
that is not finite (of infinite or huge values, or of a constant in a correlation) is NULL, except that quantiles of
infinite values may be infinite.
"""

from collections.abc import Mapping
from typing import Final

from ..exceptions import QuerySyntaxError
from ..models.schema import DataType
from ..models.tree import Aggregate, Expr, Span
from .errors import error_at
from .function import Aggregation, Kind
from .lexer import Word

__all__ = ["STATISTICS", "check_count", "statistic"]

_SQL_TYPES: Final = {
    Kind.NUMBER: "DOUBLE PRECISION",
    Kind.FRACTION: "DOUBLE PRECISION",
    Kind.PERCENT: "DOUBLE PRECISION",
    Kind.TEXT: "VARCHAR",
    Kind.QUOTED: "VARCHAR",
}

_FINITE: Final = "CASE WHEN isfinite({call}) THEN {call} END"
_NUMBER: Final = "CASE WHEN NOT isnan({call}) THEN {call} END"


def _of_numbers(name: str, params: Mapping[str, Kind], call: str, doc: str, guard: str = _FINITE) -> Aggregation:
    """Return a set function of numbers; `call` is what it is in DuckDB."""
    template = guard.replace("{call}", f"{call}{{over}}")
    return Aggregation(
        name,
        numeric=True,
        doc=doc,
        params=tuple(params.values()),
        result=DataType.DOUBLE,
        template=template,
        signature=_form(name, params),
    )


def _form(name: str, params: Mapping[str, Kind], result: str = "DOUBLE PRECISION") -> str:
    declared = ", ".join(f"{param} {_SQL_TYPES[kind]}" for param, kind in params.items())
    return f"{name}({declared}) -> {result}"


def _spread(name: str, function: str, doc: str) -> Aggregation:
    return _of_numbers(name, {"x": Kind.NUMBER}, f"{function}({{distinct}}{{0}})", doc)


def _of_pairs(name: str, doc: str) -> Aggregation:
    return _of_numbers(name, {"y": Kind.NUMBER, "x": Kind.NUMBER}, f"{name}({{0}}, {{1}})", doc)


def _quantile(name: str, params: Mapping[str, Kind], fraction: str, doc: str) -> Aggregation:
    return _of_numbers(name, params, f"quantile_cont({{distinct}}{{0}}, {fraction})", doc, _NUMBER)


_JOINED: Final = {"expression": Kind.TEXT, "delimiter": Kind.QUOTED}

_ALL: Final = (
    _quantile("median", {"x": Kind.NUMBER}, "0.5e0", "median; the mean of the two middle values of an even number"),
    _quantile(
        "quantile",
        {"x": Kind.NUMBER, "p": Kind.FRACTION},
        "{1}",
        "value below which the fraction `p` (a constant from 0 to 1) of the values lies, interpolated",
    ),
    _spread("stddev", "stddev_samp", "standard deviation of a sample; NULL of fewer than 2 values"),
    _spread("stddev_samp", "stddev_samp", "the same as `STDDEV`"),
    _spread("stddev_pop", "stddev_pop", "standard deviation of a whole population"),
    _spread("variance", "var_samp", "variance of a sample; NULL of fewer than 2 values"),
    _spread("var_samp", "var_samp", "the same as `VARIANCE`"),
    _spread("var_pop", "var_pop", "variance of a whole population"),
    _of_pairs("corr", "Pearson's correlation coefficient of the pairs without NULL"),
    _of_pairs("covar_samp", "covariance of a sample of pairs"),
    _of_pairs("covar_pop", "covariance of a whole population of pairs"),
    _quantile("scisql_median", {"x": Kind.NUMBER}, "0.5e0", "the same as `MEDIAN`"),
    _quantile(
        "scisql_percentile",
        {"x": Kind.NUMBER, "p": Kind.PERCENT},
        "{1}",
        "the same as `QUANTILE`, with a constant from 0 to 100",
    ),
    Aggregation(
        "ivo_string_agg",
        numeric=False,
        doc="texts joined by a constant, in their order; NULL of none",
        params=tuple(_JOINED.values()),
        result=DataType.TEXT,
        # without CAST, DuckDB refuses a constant as sort key
        template="string_agg({distinct}CAST({0} AS VARCHAR), {1} ORDER BY CAST({0} AS VARCHAR)){over}",
        signature=_form("ivo_string_agg", _JOINED, "VARCHAR"),
    ),
)

STATISTICS: Final[Mapping[str, Aggregation]] = {aggregation.name: aggregation for aggregation in _ALL}
"""Set functions by canonical name."""


def statistic(word: Word, args: tuple[Expr, ...], *, distinct: bool, span: Span) -> Aggregate:
    """Return the node of one call of the function that `word` names.

    Raises
    ------
    QuerySyntaxError
        If the number of arguments is wrong.
    """
    check_count(word, len(args))
    return Aggregate(word.value.lower(), args, distinct=distinct, span=span)


def check_count(word: Word, count: int) -> None:
    """Refuse a call of the set function that `word` names with a wrong number of arguments."""
    name = word.value.lower()
    wanted = len(STATISTICS[name].params) if name in STATISTICS else 1
    if count != wanted:
        message = f"{name.upper()} takes {wanted} argument{'' if wanted == 1 else 's'}, not {count}."
        form = f"Its form is {STATISTICS[name].signature}." if name in STATISTICS else None
        raise error_at(QuerySyntaxError, message, word.span, remedy=form)
