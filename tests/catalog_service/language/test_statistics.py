"""Set functions that ADQL lacks, against numpy and `statistics` over the arrays that were stored."""

import math
import statistics
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.exceptions import QueryError
from catalog_service.language.functions import declared_features
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.statistics import STATISTICS
from catalog_service.models.query import QueryText, TableScan
from catalog_service.models.schema import DataType, Table
from tests.catalog_service.language.store import Store, View, column

ADOPTED = Table(
    "sky",
    "Adopted",
    (column("x", DataType.DOUBLE, may_be_nan=True), column("y", DataType.DOUBLE, may_be_nan=True)),
)

FIGURES = "median(x), stddev(x), stddev_pop(x), variance(x), var_pop(x), quantile(x, 0.9), corr(x, y), covar_pop(x, y)"


def magnitudes(store: Store, group: int | None = None) -> list[float]:
    pairs = zip(store.objects["mag"], store.objects["n"], strict=True)
    return [mag for mag, n in pairs if mag is not None and (group is None or n == group)]


def test_spread_of_a_whole_table(store: Store) -> None:
    row = store.run(
        "SELECT median(mag), stddev(mag), STDDEV_SAMP(mag), stddev_pop(mag), variance(mag), var_samp(mag), var_pop(mag),"
        " scisql_median(mag) FROM sky.Object"
    ).rows[0]
    values = magnitudes(store)
    median, one, all_ = statistics.median(values), np.std(values, ddof=1), np.std(values)
    assert row == pytest.approx((median, one, one, all_, one**2, one**2, all_**2, median), rel=1e-12)


@pytest.mark.parametrize("fraction", [0, 0.25, 0.5, 0.977, 1])
def test_quantiles_interpolate(store: Store, fraction: float) -> None:
    query = f"SELECT quantile(mag, {fraction}), scisql_percentile(mag, 100 * {fraction}) FROM sky.Object"
    expected = np.quantile(magnitudes(store), fraction)
    assert store.run(query).rows[0] == pytest.approx((expected, expected), rel=1e-12)


def test_groups_having_and_order(store: Store) -> None:
    query = "SELECT n, median(mag) FROM sky.Object WHERE n IS NOT NULL GROUP BY n HAVING median(mag) > 20 ORDER BY 2"
    found = store.run(query).rows
    medians = {n: statistics.median(magnitudes(store, n)) for n in range(-5, 8)}
    assert [n for n, _ in found] == [n for n in sorted(medians, key=medians.__getitem__) if medians[n] > 20]
    assert 0 < len(found) < len(medians)


def test_pairs_need_both_values(store: Store) -> None:
    both = [(m, f) for m, f in zip(store.objects["m"], store.objects["mag"], strict=True) if None not in {m, f}]
    x, y = np.array(both).T
    row = store.run("SELECT corr(m, mag), covar_samp(m, mag), covar_pop(m, mag) FROM sky.Object").rows[0]
    expected = (np.corrcoef(x, y)[0, 1], np.cov(x, y)[0, 1], np.cov(x, y, ddof=0)[0, 1])
    assert row == pytest.approx(expected, rel=1e-9)


def test_distinct(store: Store) -> None:
    row = store.run("SELECT median(DISTINCT n), stddev(DISTINCT n), quantile(ALL n, 0) FROM sky.Object").rows[0]
    values = sorted({n for n in store.objects["n"] if n is not None})
    assert row == pytest.approx((statistics.median(values), statistics.stdev(values), -5))


def figures(path: Path, x: list[Any], y: list[Any]) -> tuple[Any, ...]:
    """Return `FIGURES` of stored columns in which NaN means NULL."""
    pq.write_table(pa.table({"x": pa.array(x, pa.float64()), "y": pa.array(y, pa.float64())}), path)
    resolved = resolve(parse(QueryText(f"SELECT {FIGURES} FROM sky.Adopted")), View((ADOPTED,)))
    sql = emit(resolved, {0: TableScan(ADOPTED, (str(path),))}, max_rows=10)
    with duckdb.connect() as connection:
        return tuple(connection.execute(sql).fetchall()[0])


@pytest.mark.parametrize(
    "x",
    [
        [],
        [None, None],
        [math.nan],
        [1.0],
        [3.0, 3.0],
        [math.inf, 1.0],
        [math.inf] * 2,
        [-math.inf, math.inf],
        [1e300, 2e300],
    ],
)
def test_never_nan(tmp_path: Path, x: list[Any]) -> None:
    found = figures(tmp_path / "x.parquet", x, [1.0, math.nan][: len(x)])
    assert not any(value is not None and math.isnan(value) for value in found)
    if not any(value is not None and math.isfinite(value) for value in x) and math.inf not in x:
        assert found == (None,) * 8


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(-1e6, 1e6)), min_size=0, max_size=12))
def test_nan_counts_as_null(tmp_path_factory: pytest.TempPathFactory, values: list[float | None]) -> None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    found = figures(tmp_path_factory.mktemp("nan") / "x.parquet", values, [1.0] * len(values))
    deviation = statistics.stdev(known) if len(known) > 1 else None
    assert found[0] == (pytest.approx(statistics.median(known), abs=1e-9) if known else None)
    assert found[1] == (None if deviation is None else pytest.approx(deviation, rel=1e-6, abs=1e-6))


def test_joined_texts_are_in_order(store: Store) -> None:
    names = [name for name in store.objects["name"][:40] if name is not None]
    first = "(SELECT TOP 40 name FROM sky.Object ORDER BY objectId) AS t"
    assert store.run(f"SELECT ivo_string_agg(name, '; ') FROM {first}").rows == [("; ".join(sorted(names)),)]
    distinct = store.run(f"SELECT ivo_string_agg(DISTINCT name, '') FROM {first}").rows
    assert distinct == [("".join(sorted(set(names))),)]
    assert store.run(f"SELECT ivo_string_agg('a', ',') FROM {first}").rows == [(",".join("a" * 40),)]
    assert store.run("SELECT ivo_string_agg(name, ',') FROM sky.Object WHERE 1 = 0").rows == [(None,)]


def test_names_are_not_reserved(store: Store) -> None:
    query = "SELECT median, median(median) AS corr FROM (SELECT n AS median FROM sky.Object) AS t GROUP BY median"
    answer = store.run(query)
    assert answer.names == ["median", "corr"]
    assert all(median is None or median == corr for median, corr in answer.rows)
    assert answer.resolved.relaxations == ()


def test_units_follow(store: Store) -> None:
    query = "SELECT median(mag), stddev(mag), quantile(mag, 0), variance(mag), corr(mag, ra) FROM sky.Object"
    assert [one.unit for one in store.resolve(query).columns] == ["mag", "mag", "mag", "mag**2", None]
    assert store.resolve("SELECT var_pop(ra * dec) FROM sky.Object").columns[0].unit is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("median(name)", "MEDIAN needs numbers, not a text"),
        ("median(ra, dec)", "MEDIAN takes 1 argument, not 2. Its form is median(x DOUBLE"),
        ("quantile(ra)", "QUANTILE takes 2 arguments, not 1"),
        ("quantile(ra, 1.5)", "QUANTILE needs a constant number from 0 to 1 here"),
        ("quantile(ra, n)", "QUANTILE needs a constant number from 0 to 1 here"),
        ("scisql_percentile(ra, -1)", "SCISQL_PERCENTILE needs a constant number from 0 to 100 here"),
        ("ivo_string_agg(name, n)", "IVO_STRING_AGG needs a text in quotes here"),
        ("ivo_string_agg(n, ',')", "IVO_STRING_AGG needs texts, not a number. CAST"),
        ("corr(DISTINCT n, m)", "CORR takes pairs of values, which cannot be DISTINCT"),
        ("abs(DISTINCT n)", "only set functions take DISTINCT, which ABS is not"),
        ("median(AVG(n))", "AVG cannot stand inside MEDIAN"),
        ("medain(n)", "Did you mean 'MEDIAN'?"),
    ],
)
def test_what_does_not_fit_is_told(store: Store, item: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        store.run(f"SELECT {item} FROM sky.Object")
    assert message in str(error.value)


def test_a_condition_on_rows_cannot_use_them(store: Store) -> None:
    with pytest.raises(QueryError, match="MEDIAN cannot stand in WHERE"):
        store.run("SELECT n FROM sky.Object WHERE median(n) > 1")


def test_they_are_declared_as_functions_of_ours() -> None:
    forms = dict(declared_features())["features-udf"]
    assert {one.signature for one in STATISTICS.values()} <= set(forms)
    assert "quantile(x DOUBLE PRECISION, p DOUBLE PRECISION) -> DOUBLE PRECISION" in forms
    assert "ivo_string_agg(expression VARCHAR, delimiter VARCHAR) -> VARCHAR" in forms


@pytest.mark.parametrize(
    "call",
    [
        "COUNT(*)",
        "COUNT(mag)",
        "COUNT(DISTINCT name)",
        "SUM(n)",
        "MIN(name)",
        "AVG(mag)",
        "median(mag)",
        "corr(mag, n)",
    ],
)
@pytest.mark.parametrize("condition", ["n > 1", "flag = 1 OR name IS NULL", "n > 1 AND n < 1"])
def test_filter_is_where_for_one_function(store: Store, call: str, condition: str) -> None:
    filtered = store.run(f"SELECT {call} FILTER (WHERE {condition}), COUNT(*) FROM sky.Object").rows
    whole = store.run(f"SELECT {call} FROM sky.Object WHERE {condition}").rows
    assert filtered[0][0] == (pytest.approx(whole[0][0], rel=1e-12) if isinstance(whole[0][0], float) else whole[0][0])
    assert filtered[0][1] == len(store.objects["n"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LOG(n) FILTER (WHERE n > 1)", "LOG is no set function"),
        ("SUM(*) FILTER (WHERE n > 1)", "only COUNT takes *"),
        ("SUM() FILTER (WHERE n > 1)", "SUM needs a value"),
        ("SUM(n) FILTER (WHERE 1)", "a condition is needed here"),
        ("SUM(n) FILTER (WHERE SUM(n) > 1)", "SUM"),
        ("corr(n) FILTER (WHERE n > 1)", "corr"),
        ("RANK(n) FILTER (WHERE n > 1)", "RANK is no set function"),
    ],
)
def test_what_filter_does_not_go_with(store: Store, text: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        store.run(f"SELECT {text} FROM sky.Object")
    assert message.lower() in str(error.value).lower()
