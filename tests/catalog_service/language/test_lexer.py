import re

import pytest

from catalog_service.exceptions import CatalogServiceError, LimitError, QueryRefusedError, QuerySyntaxError
from catalog_service.language.lexer import scan
from catalog_service.language.limits import MAX_DEPTH, MAX_TEXT_CHARACTERS, MAX_TOKENS


def types(text: str) -> list[str]:
    return [word.type for word in scan(text)]


def test_keywords_beat_names_in_any_case() -> None:
    assert types("sElEcT selected Distance \"select\" 'select'") == [
        "SELECT",
        "NAME",
        "GEOMETRY",
        "DELIMITED",
        "STRING",
    ]


def test_reserved_words_without_a_place_in_the_grammar_are_no_names() -> None:
    assert types("size position names value zone") == ["RESERVED"] * 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [("12", "UINT"), ("1.5", "NUMBER"), ("1.", "NUMBER"), (".5", "NUMBER"), ("1e5", "NUMBER"), ("1.5E-3", "NUMBER")],
)
def test_numbers(text: str, kind: str) -> None:
    assert types(text) == [kind]


@pytest.mark.parametrize("text", ["12abc", "0x10", "1.5e", "10_000", "3é"])
def test_a_number_does_not_run_into_a_name(text: str) -> None:
    with pytest.raises(QuerySyntaxError, match="neither a number nor a name"):
        scan(text)


def test_comments_end_with_the_line_or_the_text() -> None:
    assert [word.value for word in scan("a -- b 'c \"\n d--e")] == ["a", "d"]


def test_strings_and_names_keep_what_looks_like_comments_and_brackets() -> None:
    assert [word.value for word in scan("'it''s -- ( ;' \"a \"\"( -- b\"")] == ["'it''s -- ( ;'", '"a ""( -- b"']


def test_places() -> None:
    word = scan("SELECT\n  ra\t,\n dec")[3]
    assert (word.value, word.span.line, word.span.column) == ("dec", 3, 2)


def test_lists_of_literals_are_one_word() -> None:
    assert types("x IN (1, -2.5e3 , 'it''s')") == ["NAME", "IN", "LITERALS"]
    assert types("x IN (1, a)") == ["NAME", "IN", "_LPAR", "UINT", "_COMMA", "NAME", "_RPAR"]


def test_limit_and_nulls_are_names_unless_what_follows_says_otherwise() -> None:
    assert types("limit limit 10 nulls nulls first") == ["NAME", "LIMIT", "UINT", "NAME", "NULLS", "FIRST"]


@pytest.mark.parametrize("text", ["SELECT 1;", "SELECT 1 ; ;\n", "SELECT 1; -- done", "SELECT 1;;"])
def test_trailing_semicolons_are_dropped(text: str) -> None:
    assert types(text) == ["SELECT", "UINT"]


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "SELECT 1;x", "SELECT 1;--\nDROP TABLE t"])
def test_a_second_statement_is_refused(text: str) -> None:
    with pytest.raises(QueryRefusedError, match="second statement"):
        scan(text)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("SELECT 'abc", (1, 8), "no closing '"),
        ('SELECT "abc', (1, 8), 'no closing "'),
        ('SELECT ""', (1, 8), "empty"),
        ("SELECT (a", (1, 8), "never closed"),
        ("SELECT a)", (1, 9), "without a '('"),
        ("SELECT `a`", (1, 8), "double quotes"),
        ("SELECT [a]", (1, 8), "double quotes"),
        ("SELECT a % 2", (1, 10), "MOD(a, b)"),
        ("SELECT a /* b */", (1, 10), "--"),
        ("SELECT a::int", (1, 9), "CAST"),
        ("SELECT a\n, b @ c", (2, 5), "'@'"),
        ("SELECT a\u00a0FROM t", (1, 9), "U+00A0"),
        ("SELECT a\0 FROM t", (1, 9), "U+0000"),
        ("SELECT 'a\ud800'", (1, 10), "U+D800"),
        ("SELECT a ^ 2", (1, 10), "POWER"),
        ("SELECT $1", (1, 8), "'$'"),
        ("SELECT ?", (1, 8), "'?'"),
        ("SELECT _a", (1, 8), "start with a letter"),
    ],
)
def test_what_no_query_can_hold(text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(QuerySyntaxError, match=re.escape(words)) as caught:
        scan(text)
    assert (caught.value.line, caught.value.column) == place


def test_length_is_limited() -> None:
    scan("a" * MAX_TEXT_CHARACTERS)
    with pytest.raises(LimitError, match=f"the limit is {MAX_TEXT_CHARACTERS}") as caught:
        scan("a" * (MAX_TEXT_CHARACTERS + 1))
    assert caught.value.status == 413


def test_words_are_limited() -> None:
    assert len(scan("a " * MAX_TOKENS)) == MAX_TOKENS
    with pytest.raises(LimitError, match=f"more than {MAX_TOKENS} words"):
        scan("a " * (MAX_TOKENS + 1))


def test_brackets_are_limited_but_not_those_in_texts() -> None:
    scan("(" * MAX_DEPTH + ")" * MAX_DEPTH)
    scan("'" + "(" * 1000 + "'")
    with pytest.raises(LimitError, match=f"{MAX_DEPTH} levels") as caught:
        scan("(" * 5000 + ")" * 5000)
    assert caught.value.column == MAX_DEPTH + 1


@pytest.mark.parametrize("text", ["'" * 99_999, '"' * 99_999, "(" * 99_999, "1." * 50_000, "a IN (1," * 20_000])
def test_hostile_texts_take_linear_time(text: str) -> None:
    with pytest.raises(CatalogServiceError):
        scan(text + "\x01")
