"""Thousands of broken texts of both languages: each is answered or refused with an error that is the user's.

An accepted one is also handed to DuckDB, which must be able to bind it: whatever a text is, it never ends in an error
that is the service's.
"""

import random
import re
import time
from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from catalog_service.exceptions import RequestError
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import Language, QueryText, TableScan
from catalog_service.models.tree import TableRef
from tests.catalog_service.language.store import VIEW, Store
from tests.catalog_service.language.test_golden import pairs
from tests.catalog_service.language.test_qserv_meaning import Texts, calls

TOKEN = re.compile(r"\s+|\w+|'[^']*'|<=>|[<>!]=|<>|.", re.DOTALL)

STRANGE = [
    *"()[]{}'\"`;,.*/%+-=<>!|&^~#@:\\?$ \n\0é☃",
    *("--", "/*", "*/", "||", "<=>", "0x1", "1e999", "9223372036854775808", "-1", "1.5", "''", "NULL", "TRUE"),
    *("SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS", "CASE", "WHEN", "END", "GROUP BY"),
    *("HAVING", "ORDER BY", "LIMIT", "TOP", "OFFSET", "UNION", "WITH", "AS", "JOIN", "ON", "USING", "DISTINCT", "DIV"),
    *("POINT", "CIRCLE", "CONTAINS", "DISTANCE", "POLYGON", "COUNT", "SUM", "ABS", "MOD", "CAST", "COALESCE", "IF"),
    *("ra", "dec", "mag", "name", "flag", "seen", "samples", "objectId", "sky.Object", "Source", "t", "o.", "*"),
    *("qserv_areaspec_box", "scisql_angSep", "rand()", "XOR", "~", "<<", "SHOW", "DESCRIBE", "INTO", "EXISTS"),
]


def mutated(text: str, rng: random.Random) -> str:
    tokens = TOKEN.findall(text)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at, other = rng.randrange(len(tokens) + 1), rng.randrange(len(tokens) + 1)
        match rng.randrange(7):
            case 0:
                del tokens[at : at + rng.choice((1, 1, 3))]
            case 1:
                tokens[at:at] = tokens[other : other + rng.choice((1, 4))]
            case 2 if tokens and max(at, other) < len(tokens):
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at:at] = [" ", rng.choice(STRANGE), " "]
            case 4 if at < len(tokens):
                tokens[at] = rng.choice(STRANGE)
            case 5:
                tokens[at:at] = ["(", *tokens[at : at + 3], ")"]
            case _:
                tokens = tokens[:at] if rng.random() < 0.2 else tokens
        tokens = tokens or ["SELECT"]
    return "".join(tokens)


def seeds(language: Language) -> list[str]:
    if language is Language.ADQL:
        return [text for text, _ in pairs()]
    texts = Texts(99)
    return [texts.query() for _ in range(60)] + [*calls(), "DESCRIBE sky.Object", "SHOW TABLES FROM sky"]


def texts_of(language: Language, count: int) -> Iterator[str]:
    rng, originals = random.Random(language.value), seeds(language)
    for number in range(count):
        yield mutated(originals[number % len(originals)], rng)


@pytest.mark.parametrize("language", list(Language))
def test_broken_texts_are_answered_or_refused(store: Store, language: Language) -> None:
    accepted, spent_s = 0, []
    for text in texts_of(language, 5000):
        began = time.process_time()
        try:
            resolved = resolve(parse(QueryText(text, language)), VIEW)
            tables = [node for node in walk(resolved.tree) if isinstance(node, TableRef)]
            scans = {node.source: TableScan(node.table, store.files[node.table.full_name]) for node in tables}
            sql = emit(resolved, scans, max_rows=10)
        except RequestError:
            continue
        except Exception as error:
            raise AssertionError(f"{language.value}: {text!r} ended in {error!r}") from error
        finally:
            spent_s.append(time.process_time() - began)
        accepted += 1
        try:
            columns = store.connection.sql(sql).columns
        except duckdb.Error as error:
            raise AssertionError(f"{language.value}: {text!r} became SQL that DuckDB refuses: {error}") from error
        assert columns == [column.name for column in resolved.columns], text
    assert accepted > 200
    assert np.percentile(spent_s, 99) < 0.05
