"""Random texts of the MySQL dialect, answered by MariaDB and by us over the same rows."""

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from catalog_service.exceptions import CatalogServiceError, QuerySyntaxError
from catalog_service.language.pipeline import parse, resolve
from catalog_service.migration.compare import Comparer, Rules, Shape
from catalog_service.models.query import Language, QueryText
from tests.catalog_service.language.mariadb import MariaDb, Row, insert, running_mariadb
from tests.catalog_service.language.qserv_calls import DATES, GROUPS, NUMBERS, SHAPES, TEXTS, listed
from tests.catalog_service.language.store import SMALL_ROWS, VIEW, Store

COLUMNS = {
    "objectId": "BIGINT",
    "ra": "DOUBLE",
    "`dec`": "DOUBLE",
    "mag": "FLOAT",
    "flux": "DOUBLE",
    "n": "SMALLINT",
    "m": "INT",
    "tiny": "TINYINT UNSIGNED",
    "flag": "TINYINT",
    "name": "VARCHAR(20)",
    "size": "DOUBLE",
    "seen": "DATETIME",
}


@pytest.fixture(scope="module")
def oracle(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    with running_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        server.execute(f"CREATE DATABASE sky; CREATE TABLE sky.Small ({columns});")
        rows = zip(*(_plain(store.objects[name.strip("`")]) for name in COLUMNS), strict=True)
        server.execute(insert("sky.Small", list(rows)[:SMALL_ROWS]))
        visits = zip(*(_plain(store.visits[name]) for name in ("visit", "band", "mjd")), strict=True)
        server.execute("CREATE TABLE sky.Visit (visit INT, band VARCHAR(5), mjd DOUBLE);" + insert("sky.Visit", visits))
        yield server


def _plain(values: Any) -> list[Any]:
    plain = values.tolist() if hasattr(values, "tolist") else values
    return [str(one) if isinstance(one, datetime) else one for one in plain]


# --- random texts ---------------------------------------------------------------------------------


class Texts:
    """Makes random expressions whose value MySQL defines exactly.

    Left out on purpose, since the dialect documents that they differ or are refused: numbers made of texts, decimals
    beyond doubles, results beyond 64 bits.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one(self, *choices: str) -> str:
        return self._random.choice(choices)

    def integer(self, depth: int) -> str:
        """A number that is an integer, small enough for any arithmetic with others."""
        if depth == 0 or self._random.random() < 0.2:
            return self.one("n", "m", "tiny", "flag", "3", "0", "7", "-2", "12", "NULL")
        a, b = self.integer(depth - 1), self.integer(depth - 1)
        return self.one(
            f"({a} + {b})",
            f"({a} - {b})",
            f"-({a})",
            f"({a} DIV {b})",
            f"(mag DIV {b})",
            "(size DIV -0.3e0)",
            f"({a} % {b})",
            f"({a} MOD {b})",
            f"MOD({a}, {b})",
            f"({a} & 15 | 16 ^ 3)",
            f"({a} & {b} & 1023)",
            f"((({a}) & 255) << ({b} & 7))",
            f"((({a}) & 4095) >> ({b} & 3))",
            f"(({a} ^ {b}) & 255)",
            f"(~({a}) & 255)",
            f"ABS({a})",
            f"FLOOR({a})",
            f"ROUND({a})",
            f"SIGN({a})",
            f"IF({self.condition(depth - 1)}, {a}, {b})",
            f"IFNULL({a}, {b})",
            f"NULLIF({a}, {b})",
            f"COALESCE({a}, {b}, 1)",
            f"GREATEST({a}, {b})",
            f"LEAST({a}, {b}, 3)",
            f"({self.condition(depth - 1)})",
            f"CASE WHEN {self.condition(depth - 1)} THEN {a} ELSE {b} END",
            f"CASE {a} WHEN {b} THEN 1 WHEN 2 THEN {a} END",
            f"CASE {self.text(0)} WHEN 'STAR 1' THEN 1 WHEN {self.text(0)} THEN 2 END",
            f"LENGTH({self.text(depth - 1)})",
            f"BIT_COUNT({a} & 255)",
            f"ISNULL({a})",
            f"CAST({a} AS SIGNED)",
        )

    def real(self, depth: int) -> str:
        if depth == 0 or self._random.random() < 0.2:
            return self.one("mag", "flux", "size", "ra", "`dec`", "2.5e0", "0.1e0", "1e3", "NULL")
        a, b = self.real(depth - 1), self.real(depth - 1)
        whole = self.integer(depth - 1)
        return self.one(
            f"({a} + {b})",
            f"({a} - {whole})",
            f"({a} * {whole})",
            f"({a} / {b})",
            f"({whole} / ({whole} + 0e0))",
            f"({a} % {b})",
            f"SQRT({a})",
            f"LOG10({a})",
            f"LN({a})",
            f"LOG({a})",
            f"LOG2({a})",
            f"LOG(2e0, {a})",
            f"POW(ABS({a}) / 1e3, 0.5e0)",
            f"FLOOR({a})",
            f"CEIL({a})",
            f"ROUND({a})",
            f"TRUNCATE({a}, 0)",
            f"ATAN({a}, {b})",
            f"SIN({a})",
            f"ASIN({a} / 100)",
            f"RADIANS({a})",
            f"IF({self.condition(depth - 1)}, {a}, {b})",
            f"IFNULL({a}, {b})",
            f"GREATEST({a}, {b})",
        )

    def text(self, depth: int) -> str:
        if depth == 0 or self._random.random() < 0.4:
            return self.one("name", "name", "'star 1'", '"STAR 2 "', "'it''s'", r"'a\'b'", "''")
        a, b = self.text(depth - 1), self.text(depth - 1)
        return self.one(
            f"CONCAT({a}, {b})",
            f"CONCAT({a}, {self.integer(0)})",
            f"LOWER({a})",
            f"UPPER({a})",
            f"LEFT({a}, {self.one('3', '0', '-1', 'n')})",
            f"RIGHT({a}, 2)",
            f"SUBSTRING({a}, {self.one('1', '0', '-3', '4', '30', 'n')})",
            f"SUBSTR({a}, 2, {self.one('3', '0', '-1', 'n')})",
            f"TRIM({a})",
            f"REPLACE({a}, 'r', 'xy')",
            f"IF({self.condition(0)}, {a}, {b})",
            f"IFNULL({a}, {b})",
        )

    def condition(self, depth: int) -> str:
        number = self.one("integer", "real")
        a, b = (getattr(self, number)(max(depth - 1, 0)) for _ in "ab")
        text, other = self.text(max(depth - 1, 0)), self.text(0)
        simple = self.one(
            f"{a} {self.one('=', '<>', '!=', '<', '<=', '>', '>=', '<=>')} {b}",
            f"{a} {self.one('', 'NOT ')}BETWEEN {b} AND {a} + 3",
            f"{self.integer(0)} {self.one('', 'NOT ')}IN (1, 2, 3, {self.integer(0)})",
            f"{self.integer(0)} {self.one('', 'NOT ')}IN (1, -2, 7)",
            f"{text} {self.one('=', '<>', '<', '>=', '<=>')} {other}",
            f"{text} {self.one('<', '>=')} {self.one(*map(repr, ('_', '5', '', 'star')))}",
            f"{text} BETWEEN {self.one(*map(repr, ('0', 'star 1')))} AND {self.one(*map(repr, ('[', 'STAR 5', 'zz')))}",
            f"{text} {self.one('', 'NOT ')}IN ('star 1', 'STAR 5', 'x')",
            f"{text} {self.one('', 'NOT ')}LIKE {self.one(repr('STAR 1%'), repr('%_'), repr('s%'), repr('%1'))}",
            rf"{text} LIKE 'star\_1'",
            "name LIKE 'star|_1' ESCAPE '|'",
            f"m {self.one('', 'NOT ')}LIKE '1%'",
            f"n = '{self.one('1', '-2', ' 3 ')}'",
            f"{a} IS {self.one('', 'NOT ')}NULL",
            f"({a}) IS {self.one('', 'NOT ')}{self.one('TRUE', 'FALSE')}",
            self.one("n", "flag", "mag", "m & 3", "flag > 0.5e0", "flag = 1"),
        )
        if depth == 0 or self._random.random() < 0.3:
            return simple
        left, right = self.condition(depth - 1), self.condition(depth - 1)
        return self.one(
            f"({left}) AND ({right})",
            f"({left}) && ({right})",
            f"({left} OR {right})",
            f"({left}) || ({right})",
            f"({left}) XOR ({right})",
            f"NOT ({left})",
            f"!({left})",
            simple,
        )

    def _others(self) -> str:
        """A query of a rarer shape."""
        return self.one(
            f"SELECT objectId, {self.integer(1)} AS k FROM sky.Small WHERE n > 0 HAVING k > 2",
            f"SELECT n, AVG(mag) AS mag FROM sky.Small GROUP BY n HAVING mag > {self.one('20', '19.9e0', 'AVG(size) + 18')}",
            "SELECT LOWER(name), COUNT(*) AS n FROM sky.Small GROUP BY name HAVING n > 20 AND MIN(m) < 0",
            "SELECT DISTINCT 'Small' AS t, 1 AS one FROM sky.Small",
            f"SELECT COUNT(*) FROM sky.Small WHERE {self.text(1)} IN (SELECT name FROM sky.Small WHERE n > 3)",
            f"SELECT COUNT(*) FROM sky.Small WHERE {self.text(0)} NOT IN (SELECT name FROM sky.Small WHERE name IS NOT NULL "
            "UNION ALL SELECT 'x')",
            "SELECT objectId, RANK() OVER (ORDER BY name) FROM sky.Small",
            "SELECT objectId, COUNT(*) OVER (PARTITION BY name) FROM sky.Small",
        )

    def query(self) -> str:
        match self._random.randrange(9):
            case 8:
                return self._others()
            case 0:
                return f"SELECT objectId FROM sky.Small WHERE {self.condition(2)}"
            case 1:
                return f"SELECT objectId, {self.integer(2)} FROM sky.Small"
            case 2:
                return f"SELECT objectId, {self.real(2)} FROM sky.Small"
            case 3:
                return f"SELECT objectId, {self.text(2)}, {self.condition(1)} FROM sky.Small"
            case 4:
                key = self.one("n", "flag", "name", "tiny DIV 64", "LEFT(name, 6)")
                return (
                    f"SELECT COUNT(*), SUM({self.integer(1)}), MIN(m), MAX(mag), AVG(size), STD(size), VARIANCE(mag), STDDEV_SAMP(size), COUNT(DISTINCT name) "
                    f"FROM sky.Small WHERE {self.condition(1)} GROUP BY {key} HAVING COUNT(*) > 1"
                )
            case 5 if self._random.random() < 0.4:
                key, over = self.integer(1), "PARTITION BY n % 3 ORDER BY m DESC, objectId"
                call = self.one("ROW_NUMBER()", f"SUM({key})", f"COUNT({key})", "RANK()", "LAG(m, 2)", "MAX(m)")
                frame = self.one("", " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW") if call[0] in "SC" else ""
                return f"SELECT objectId, {call} OVER ({over}{frame}) FROM sky.Small"
            case 5:
                return f"SELECT DISTINCT {self.one('LOWER(name)', 'n, flag', 'tiny % 5')} FROM sky.Small"
            case 6:
                key, more = self.integer(1), self.one("", " DESC")
                return f"SELECT {key} AS k FROM sky.Small ORDER BY k{more} LIMIT {self.one('7', '3, 9', '5 OFFSET 2')}"
            case _:
                return (
                    f"SELECT o.objectId, v.visit FROM sky.Small o, sky.Visit AS v "
                    f"WHERE o.n = v.visit && {self.condition(1)} ORDER BY o.objectId, v.visit"
                )


# --- comparison -----------------------------------------------------------------------------------


RULES = Rules(double_tolerance=2e-5, margin=1e-9, collation=False)
"""MariaDB prints FLOAT with six digits, and numbers that cancel are next to nothing on either side."""


def typed(mine: list[Any], theirs: list[str | None]) -> tuple[pa.Array, pa.Array]:
    """Return two columns of one type: MariaDB's texts are numbers where ours are none."""
    if any(isinstance(one, datetime) for one in mine):  # a date is its midnight
        mine = [None if one is None else str(one).removesuffix(" 00:00:00") for one in mine]
        theirs = [None if one is None else one.removesuffix(" 00:00:00").removesuffix(".0000") for one in theirs]
    if any(isinstance(one, str) for one in mine):
        return pa.array(mine), pa.array(theirs)
    numbers = [None if one is None else int(one) if one.lstrip("-").isdigit() else float(one) for one in theirs]
    if any(isinstance(one, float) for one in (*mine, *numbers)):
        mine, numbers = ([None if one is None else float(one) for one in values] for values in (mine, numbers))
    return pa.array(mine), pa.array(numbers)


def difference(comparer: Comparer, query: str, mine: list[tuple[Any, ...]], theirs: list[Row]) -> str | None:
    """Return what differs."""
    if not mine or not theirs:
        return None if len(mine) == len(theirs) else f"{len(mine)} and {len(theirs)} rows"
    names = [f"c{number}" for number in range(len(mine[0]))]
    columns = [typed([row[k] for row in mine], [row[k] for row in theirs]) for k in range(len(names))]
    left, right = (pa.Table.from_arrays([pair[side] for pair in columns], names) for side in (0, 1))
    ordered = " ORDER BY " in query and " OVER (" not in query
    found = comparer.compare(left, right, RULES.of(Shape(tuple((name,) for name in names) if ordered else ())))
    return None if found.is_equal else str(found)


def ours(store: Store, query: str) -> list[tuple[Any, ...]] | str:
    try:
        return store.execute(resolve(parse(QueryText(query, Language.QSERV)), VIEW)).rows
    except (CatalogServiceError, duckdb.Error) as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module")
def comparer() -> Iterator[Comparer]:
    with Comparer() as made:
        yield made


@pytest.mark.parametrize("seed", range(4))
def test_random_texts_mean_what_they_mean_to_mariadb(
    store: Store, oracle: MariaDb, comparer: Comparer, seed: int
) -> None:
    texts = Texts(seed)
    queries = [texts.query() for _ in range(250)]
    wrong, compared = [], 0
    for query, theirs in zip(queries, oracle.answers(queries, "sky"), strict=True):
        mine = ours(store, query)
        if isinstance(theirs, str):  # overflow and the like
            continue
        compared += 1
        found = mine if isinstance(mine, str) else difference(comparer, query, mine, theirs)
        if found is not None:
            wrong.append((query, found, theirs[:3]))
    assert compared > 200
    assert not wrong, f"{len(wrong)} of {compared} differ; the first: {wrong[:3]}"


def calls() -> Iterator[str]:
    """Each expression for rows, as condition-like values, and each set function for groups."""
    for expression in listed(DATES + TEXTS + NUMBERS):
        yield f"SELECT objectId, {expression} FROM sky.Small"
    for expression in listed(GROUPS):
        yield f"SELECT n, {expression} FROM sky.Small GROUP BY n"
    yield from SHAPES


def test_each_function_means_what_it_means_to_mariadb(store: Store, oracle: MariaDb, comparer: Comparer) -> None:
    wrong, queries = [], list(calls())
    for query, theirs in zip(queries, oracle.answers(queries, "sky"), strict=True):
        mine = ours(store, query)
        if isinstance(mine, str) or isinstance(theirs, str):
            found: str | None = f"{mine!s:.300}, {theirs!s:.300}"
        else:
            found = difference(comparer, query, mine, theirs)
        if found is not None:
            wrong.append((query, found, mine[:2], theirs[:2]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("word", ["order", "group", "select", "union"])
def test_a_reserved_word_is_advised_to_be_put_in_backticks(word: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(QueryText(f"SELECT objectId AS {word} FROM sky.Object", Language.QSERV))
    assert f"{word.upper()} is a reserved word; as a name, write it in backticks: `{word}`." in str(caught.value)
    parse(QueryText(f"SELECT objectId AS `{word}` FROM sky.Object", Language.QSERV))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("(n, m) = (1, 2, 3)", "a row of 2 values is compared with one of 3"),
        ("(n, m) IN ((1, 2), (3, 4, 5))", "a row of 2 values is compared with one of 3"),
        ("(n, m) < (1, 2)", "Compare value by value"),
        ("RAND(5) < 1", "RAND(seed) is not repeatable here"),
    ],
)
def test_what_is_no_row_and_no_seed_is_told(condition: str, message: str) -> None:
    with pytest.raises(CatalogServiceError) as caught:
        parse(QueryText(f"SELECT n FROM sky.Object WHERE {condition}", Language.QSERV))
    assert message in str(caught.value)
