"""ADQL texts to trees of names: words, grammar, and errors that say what was expected."""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

from lark import Lark
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer
from lark.parsers.lalr_analysis import Shift

from ..exceptions import QueryError, QueryNameError, QueryRefusedError, QuerySyntaxError
from ..models.query import ParsedQuery
from ..models.tree import Query, Span
from ..models.words import ADQL_RESERVED, SQL_RESERVED
from .build import TreeBuilder
from .errors import error_at
from .lexer import Word, scan
from .limits import check_tree
from .relaxations import relaxations

__all__ = ["parse_adql"]


class _Words(Lexer):  # type: ignore[misc]  # lark is untyped here
    """Hands the words of `scan` to the parser."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, words: Sequence[Word]) -> Iterator[Word]:
        return iter(words)


@cache
def _parser(functions: frozenset[str]) -> Lark:
    """Return the parser; made once, about 0.2 s."""
    grammar = files(__package__).joinpath("adql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer=_Words, transformer=TreeBuilder(functions), maybe_placeholders=False)


def parse_adql(text: str, functions: Collection[str] = ()) -> ParsedQuery:
    """Return the tree of a query text.

    Parameters
    ----------
    text
        One ADQL query.
    functions
        Names, in lower case, of functions to accept besides those of the allow-list.

    Raises
    ------
    QueryError
        If the text is no query of the language; one of its subclasses tells why, with the position.
    LimitError
        If the text is too long, too deep or otherwise too large.
    """
    words = scan(text)
    _refuse_statements(words, text)
    try:
        tree = cast("Query", _parser(frozenset(functions)).parse(words))
    except UnexpectedToken as error:
        raise _syntax_error(error, words, text) from None
    check_tree(tree)
    return ParsedQuery(tree, relaxations(words, tree))


_STATEMENTS: Final = frozenset(
    """
    ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT COMMENT COMMIT COPY CREATE DEALLOCATE DELETE DESC DESCRIBE DETACH DROP
    EXECUTE EXPLAIN EXPORT FORCE FROM GRANT IMPORT INSERT INSTALL KILL LOAD MERGE PIVOT PRAGMA PREPARE REINDEX RENAME
    REPLACE RESET REVOKE ROLLBACK SET SHOW START SUMMARIZE TABLE TRUNCATE UNPIVOT UPDATE USE VACUUM VALUES
    """.split()
)
"""First words of statements that other languages have."""


def _refuse_statements(words: Sequence[Word], text: str) -> None:
    """Refuse whatever does not begin like a query."""
    if not words:
        raise error_at(QuerySyntaxError, "the query is empty.", Span(0, 0, text or " "))
    first = words[0]
    if first.type in {"SELECT", "WITH", "_LPAR"}:
        return
    if first.value.upper() in _STATEMENTS:
        message = f"{first.value.upper()} is never run: this service answers queries, which begin with SELECT or WITH."
        raise error_at(QueryRefusedError, message, first.span)
    raise error_at(QuerySyntaxError, f"a query begins with SELECT or WITH, not with {first.value}.", first.span)


# --- what was expected ----------------------------------------------------------------------------

_SHOWN: Final = {
    "$END": "the end of the query",
    "NAME": "a name",
    "DELIMITED": "a name",
    "UINT": "an unsigned integer",
    "NUMBER": "a number",
    "STRING": "a text",
    "LITERALS": "a list",
    "FUNCTION": "a function",
    "GEOMETRY": "a geometry",
    "AGGREGATE": "an aggregate",
    "_LPAR": "'('",
    "_RPAR": "')'",
    "_COMMA": "','",
    "_DOT": "'.'",
    "STAR": "'*'",
    "SLASH": "'/'",
    "PLUS": "'+'",
    "MINUS": "'-'",
    "CONCAT": "'||'",
    "COMPARISON": "a comparison",
}

_OPERATORS: Final = frozenset({"STAR", "SLASH", "PLUS", "MINUS", "CONCAT", "COMPARISON", "_DOT"})
_CONDITION_WORDS: Final = frozenset({"BETWEEN", "IN", "LIKE", "ILIKE", "IS", "NOT"})
_VALUE_START: Final = frozenset({"NAME", "UINT", "STRING", "_LPAR", "FUNCTION", "GEOMETRY", "CAST"})


def _expected(terminals: Collection[str]) -> str:
    """Return what the parser could have gone on with, in words.

    >>> _expected({"FROM", "_COMMA", "AS"})
    "',', AS or FROM"
    """
    rest, parts = set(terminals), []
    if rest >= _VALUE_START:
        starts = {"NUMBER", "DELIMITED", "NULL", "TRUE", "FALSE", "CASE", "IN_UNIT", "AGGREGATE", "PLUS", "MINUS"}
        rest -= _VALUE_START | starts | {"NOT", "EXISTS"}
        parts.append("a value")
    if rest >= _OPERATORS - {"_DOT"}:
        rest -= _OPERATORS | _CONDITION_WORDS
        parts.append("an operator")
    rest.discard("LIMIT")
    rest.discard("NULLS")
    parts += sorted({_SHOWN.get(terminal, terminal) for terminal in rest})
    if len(parts) > 9:
        parts = [*parts[:8], "..."]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _acceptable(error: UnexpectedToken) -> set[str]:
    """Return the terminals with which the parser could have gone on: its table alone names some that fail later."""
    stack = error.state.state_stack
    return {terminal for terminal in error.expected if _fits(error.state.parse_conf, list(stack), terminal)}


def _fits(table: Any, stack: list[Any], terminal: str) -> bool:
    """Return whether `terminal` will be shifted, or ends the query, once all pending rules are reduced."""
    states = table.states
    while terminal in states[stack[-1]]:
        action, target = states[stack[-1]][terminal]
        if action is Shift:
            return True
        if target.expansion:
            del stack[-len(target.expansion) :]
        _, following = states[stack[-1]][target.origin.name]
        stack.append(following)
        if following == table.end_state:
            return True
    return False


def _syntax_error(error: UnexpectedToken, words: Sequence[Word], text: str) -> QueryError:
    """Return the error for the first word that fits no rule."""
    expected = _acceptable(error)
    word: Any = error.token
    index = len(words) if word.type == "$END" else next(i for i, w in enumerate(words) if w is word)
    before = words[index - 1] if index else None
    what = f"expected {_expected(expected)}"
    if word.type == "$END":
        end = words[-1].span.stop
        return error_at(QuerySyntaxError, f"the query ends too early: {what}.", Span(end, end, text))
    special = _special_case(word, before, expected)
    if special is not None:
        return special
    message = f"unexpected {_described(word)}: {what}."
    return error_at(QuerySyntaxError, message, word.span, remedy=_advice(word, before, expected))


def _special_case(word: Word, before: Word | None, expected: Collection[str]) -> QueryError | None:
    """Return the error for constructs of other languages that people try."""
    opens_from = before is not None and before.type in {"FROM", "JOIN", "_COMMA"}
    if word.type == "STRING" and opens_from:
        return error_at(QueryRefusedError, "files cannot be queried: FROM takes tables of this service.", word.span)
    if word.type == "_LPAR" and before is not None and before.type == "NAME":
        if before.value.upper() == "OVER":
            return error_at(QueryRefusedError, "window functions (OVER) are not supported.", before.span)
        if "JOIN" not in expected:
            return error_at(QueryNameError, f"there is no function {before.value} here.", before.span)
        message = f"{before.value}(...) cannot stand here: FROM takes tables of this service, joins and subqueries."
        return error_at(QueryRefusedError, message, before.span)
    if word.type == "WITH":
        message = "WITH stands only at the very beginning of a query, never in a subquery."
        return error_at(QuerySyntaxError, message, word.span)
    if before is not None and word.value.upper() == "INTO":
        return error_at(QueryRefusedError, "SELECT INTO is never run: queries only read.", word.span)
    return None


def _described(word: Word) -> str:
    return _SHOWN[word.type] if word.type.startswith("_") else word.value if len(word.value) <= 40 else "text"


def _advice(word: Word, before: Word | None, expected: Collection[str]) -> str | None:
    """Return what to do, where a rule of the language surprises people."""
    upper = word.value.upper()
    if upper in SQL_RESERVED | ADQL_RESERVED and "NAME" in expected:
        return f'{upper} is a reserved word; as a name, write it in double quotes: "{word.value}".'
    if before is not None and before.type in {"FUNCTION", "GEOMETRY", "AGGREGATE"} and expected == {"_LPAR"}:
        return f'{before.value.upper()} is a reserved word; as a name, write it in double quotes: "{before.value}".'
    if word.type in {"MINUS", "NUMBER"} and before is not None and before.type in {"TOP", "OFFSET"}:
        return f"{before.type} takes an unsigned integer."
    if word.value.upper() == "FLOAT":
        return "Write REAL or DOUBLE PRECISION."
    return None
