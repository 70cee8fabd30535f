"""ADQL texts to trees of names: words, grammar, and errors that say what was expected."""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer
from lark.parsers.lalr_analysis import Shift

from ..exceptions import QueryError, QueryNameError, QueryRefusedError, QuerySyntaxError
from ..models.query import ParsedQuery
from ..models.tree import Query, Span
from ..models.words import ADQL_RESERVED, SQL_RESERVED
from .build import TreeBuilder
from .errors import error_at
from .habits import STATEMENTS, comma_advice, qserv_word_advice, word_advice
from .kept import lalr_parser
from .lexer import Word, scan
from .limits import check_tree
from .parser import Parser
from .relaxations import relaxations

__all__ = ["grammar", "grammar_parser", "parse_adql", "parsed_tree", "refuse_statements"]


class _Words(Lexer):  # type: ignore[misc]  # lark is untyped here
    """Hands the words of `scan` to the parser."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, words: Sequence[Word]) -> Iterator[Word]:
        return iter(words)


@cache
def _parser(functions: frozenset[str]) -> Parser:
    """Return the parser; made once."""
    return grammar_parser(grammar("adql.lark"), TreeBuilder(functions))


def grammar(name: str) -> str:
    """Return the text of one of the grammars of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def grammar_parser(rules: str, builder: TreeBuilder) -> Parser:
    """Return a parser of words that builds trees."""
    return Parser(lalr_parser(rules, _Words, builder))


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
    refuse_statements(words, text)
    tree = parsed_tree(words, text, _parser(frozenset(functions)))
    return ParsedQuery(tree, relaxations(words, tree))


def parsed_tree(words: Sequence[Word], text: str, parser: Parser, quote: str = '"') -> Query:
    """Return the tree of the words of a text, which is within the limits.

    Parameters
    ----------
    words, text
        The words, and the text that they stand in.
    parser
        Of the language.
    quote
        What names are quoted with in it: a double quote or a backtick.

    Raises
    ------
    QueryError
        If the text is no query of the parser's language.
    LimitError
        If the tree is too deep or too large.
    """
    try:
        tree = cast("Query", parser.parse(words))
    except UnexpectedToken as error:
        raise _syntax_error(error, words, text, quote) from None
    check_tree(tree)
    return tree


_STATEMENTS: Final = frozenset(
    """
    ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT COMMENT COMMIT COPY CREATE DEALLOCATE DELETE DESC DESCRIBE DETACH DROP
    EXECUTE EXPLAIN EXPORT FORCE FROM GRANT IMPORT INSERT INSTALL KILL LOAD MERGE PIVOT PRAGMA PREPARE REINDEX RENAME
    REPLACE RESET REVOKE ROLLBACK SET SHOW START SUMMARIZE TABLE TRUNCATE UNPIVOT UPDATE USE VACUUM VALUES
    """.split()
)
"""First words of statements that other languages have."""


def refuse_statements(words: Sequence[Word], text: str) -> None:
    """Refuse whatever does not begin like a query."""
    if not words:
        raise error_at(QuerySyntaxError, "the query is empty.", Span(0, 0, text or " "))
    first = words[0]
    if first.type in {"SELECT", "WITH", "_LPAR"}:
        return
    if first.value.upper() in _STATEMENTS:
        message = f"{first.value.upper()} is never run: this service answers queries, which begin with SELECT or WITH."
        raise error_at(QueryRefusedError, message, first.span, remedy=STATEMENTS.get(first.value.upper()))
    close = get_close_matches(first.value.upper(), ["SELECT", "WITH"], n=1, cutoff=0.7)
    remedy = f"Did you mean {close[0]}?" if close else None
    message = f"a query begins with SELECT or WITH, not with {first.value[:40]}."
    raise error_at(QuerySyntaxError, message, first.span, remedy=remedy)


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
    "AMPERSAND": "'&'",
    "BANG": "'!'",
    "BAR": "'|'",
    "CARET": "'^'",
    "PERCENT": "'%'",
    "SHIFT": "'<<'",
    "TILDE": "'~'",
}

_VALUE_START: Final = frozenset({"NAME", "UINT", "STRING", "_LPAR", "FUNCTION", "GEOMETRY", "CAST"})
_IN_VALUES: Final = _VALUE_START | {
    "NUMBER", "DELIMITED", "NULL", "TRUE", "FALSE", "CASE", "IN_UNIT", "AGGREGATE", "PLUS", "MINUS", "NOT", "EXISTS"
}  # fmt: skip
_OPERATORS: Final = frozenset({"STAR", "SLASH", "PLUS", "MINUS", "CONCAT"})
_CONDITION_WORDS: Final = frozenset({"COMPARISON", "BETWEEN", "IN", "LIKE", "ILIKE", "IS", "NOT"})
_SET_WORDS: Final = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_JOIN_WORDS: Final = frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"})
_FIRST: Final = ("_COMMA", "FROM", "WHERE", "_RPAR", "AND", "OR", "AS", "NAME")
"""Terminals that are most often what is missing."""


def _expected(terminals: Collection[str]) -> str:
    """Return what the parser could have gone on with, in words, the likeliest first.

    >>> _expected({"FROM", "_COMMA", "AS", "UNION", "EXCEPT", "INTERSECT", "$END"})
    "',', FROM, AS, a set operation or the end of the query."
    """
    rest, parts = set(terminals), []
    if rest >= _VALUE_START:
        rest -= _IN_VALUES
        parts.append("a value")
    if rest >= _CONDITION_WORDS:
        rest -= _CONDITION_WORDS
        parts.append("a comparison")
    if rest >= _OPERATORS:
        rest -= _OPERATORS | {"_DOT", "_LPAR"}
        parts.append("an operator")
    first = [terminal for terminal in _FIRST if terminal in rest]
    parts += dict.fromkeys(_SHOWN.get(terminal, terminal) for terminal in first)
    groups = {"a join": _JOIN_WORDS, "a set operation": _SET_WORDS}
    rest -= {*first, "DELIMITED", "LIMIT", "NULLS"}
    named = {name for name, group in groups.items() if rest >= group}
    rest -= {terminal for name in named for terminal in groups[name]}
    parts += [*sorted({_SHOWN.get(terminal, terminal) for terminal in rest - {"$END"}} | named)]
    if len(parts) > _LONGEST_LIST:
        return f"{', '.join(parts[: _LONGEST_LIST - 1])}, ..."
    if "$END" in rest:
        parts.append(_SHOWN["$END"])
    return f"{parts[0]}." if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}."


_LONGEST_LIST: Final = 8


def _acceptable(error: UnexpectedToken, words: Sequence[Word]) -> set[str]:
    """Return the terminals with which the parser could have gone on after `words`.

    The parser has already reduced rules by the word that then did not fit; so its way is gone again without it.
    """
    table = error.state.parse_conf
    stack = [table.start_state]
    for word in words:
        _advance(table, stack, word.type)
    return {terminal for terminal in table.states[stack[-1]] if _advance(table, list(stack), terminal)}


def _advance(table: Any, stack: list[Any], terminal: str) -> bool:
    """Move a stack of parser states on by one terminal; return whether it fits there."""
    states = table.states
    while terminal in states[stack[-1]]:
        action, target = states[stack[-1]][terminal]
        if action is Shift:
            stack.append(target)
            return True
        if target.expansion:
            del stack[-len(target.expansion) :]
        _, following = states[stack[-1]][target.origin.name]
        stack.append(following)
        if following == table.end_state:
            return True
    return False


def _syntax_error(error: UnexpectedToken, words: Sequence[Word], text: str, quote: str) -> QueryError:
    """Return the error for the first word that fits no rule."""
    word: Any = error.token
    index = len(words) if word.type == "$END" else next(i for i, w in enumerate(words) if w is word)
    expected = {terminal for terminal in _acceptable(error, words[:index]) if terminal.upper() == terminal}
    before = words[index - 1] if index else None
    what = f"expected {_expected(expected)}"
    if word.type == "$END":
        end = words[-1].span.stop
        message = f"the query ends too early: {what}"
        ends = words[-1].type == "_RPAR" and "AS" in expected and "JOIN" not in expected
        remedy = "A subquery in FROM needs a name: (SELECT ...) AS q." if ends else None
        return error_at(QuerySyntaxError, message, Span(end, end, text), remedy=remedy)
    special = _special_case(word, before, expected)
    if special is not None:
        return special
    message = f"unexpected {_described(word)}: {what}"
    earlier = words[index - 2] if index > 1 else None
    remedy = _habit(word, before, earlier, expected, quote) or _advice(word, before, expected, quote)
    remedy = remedy or comma_advice(word, before, expected)
    return error_at(QuerySyntaxError, message, word.span, remedy=remedy)


def _habit(word: Word, before: Word | None, earlier: Word | None, expected: set[str], quote: str) -> str | None:
    """Return advice about a habit of another language than the one whose names are in `quote`."""
    return word_advice(word, before, earlier, expected) if quote == '"' else qserv_word_advice(word, before)


def _special_case(word: Word, before: Word | None, expected: Collection[str]) -> QueryError | None:
    """Return the error for constructs of other languages that people try."""
    opens_from = before is not None and before.type in {"FROM", "JOIN", "_COMMA"}
    if word.type == "STRING" and opens_from:
        return error_at(QueryRefusedError, "files cannot be queried: FROM takes tables of this service.", word.span)
    if word.type == "_LPAR" and before is not None and before.type == "NAME":
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


_CLAUSES: Final = ("SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "OFFSET", "UNION", "BETWEEN", "LIKE", "JOIN")
"""Words whose misspelling is taken for a name."""

_STRUCTURE: Final = frozenset({*_CLAUSES, *_SET_WORDS, "AND", "AS", "BY", "ON", "OR", "USING", "WITH", "TOP"})
"""Reserved words that nobody takes for a name."""


def _advice(word: Word, before: Word | None, expected: Collection[str], quote: str) -> str | None:
    """Return what to do, where a rule of the language surprises people."""
    upper, previous = word.value.upper(), "" if before is None else before.type
    if upper in {"DISTINCT", "TOP"}:
        return "SELECT is followed by DISTINCT, if any, then by TOP n, if any."
    if "NAME" in expected and upper in _RESERVED and (upper not in _STRUCTURE or previous == "AS"):
        return _quote_advice(word, quote)
    if before is not None and previous in {"FUNCTION", "GEOMETRY", "AGGREGATE"} and expected == {"_LPAR"}:
        return _quote_advice(before, quote)
    if word.type in {"MINUS", "NUMBER"} and previous in {"TOP", "OFFSET"}:
        return f"{previous} takes an unsigned integer."
    for candidate in (word, before):
        close = (
            []
            if candidate is None or candidate.type != "NAME"
            else get_close_matches(candidate.value.upper(), _CLAUSES, n=1, cutoff=0.75)
        )
        if close and candidate is not None:
            return f"{candidate.value} was read as a name. Did you mean {close[0]}?"
    return None


_RESERVED: Final = SQL_RESERVED | ADQL_RESERVED


def _quote_advice(word: Word, quote: str) -> str:
    marks = "double quotes" if quote == '"' else "backticks"
    return f"{word.value.upper()} is a reserved word; as a name, write it in {marks}: {quote}{word.value}{quote}."
