"""Property files read back as written."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jproperties import Properties

from partitioning.exceptions import LayoutError
from partitioning.layout.properties import format_properties, parse_properties

KEYS = st.from_regex(r"[a-z][a-z0-9_.]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=12))
def test_round_trip(properties: dict[str, str]) -> None:
    assert parse_properties(format_properties(properties)) == properties


def test_awkward_values_survive() -> None:
    awkward = {
        "obs_title": "Étoiles = bright: 100 % ∀\u2028x\x85y",
        "path": r"C:\new\table",
        "text": "two\nlines\tand a tab",
        "x_unknown_key": "kept",
        "empty": "",
        "hats_col_ra": " ra ",
        "blank": " ",
        "path_u": r"\u0041",
    }
    assert parse_properties(format_properties(awkward)) == awkward


def test_other_writers_are_understood() -> None:
    text = "# comment\n! also one\n\n  hats_order : 7 \nhats_col_ra=ra\nall_margins=a b\n"
    assert parse_properties(text) == {"hats_order": "7", "hats_col_ra": "ra", "all_margins": "a b"}


def test_what_hats_reads_is_what_was_written() -> None:
    awkward = {"a": " ra ", "b": 'a"b', "c": r"C:\u0041\new", "d": "\ttwo\nlines\f", "e": "= # ! naïve \U0001f600"}
    found = Properties()
    found.load(io.BytesIO(format_properties(awkward).encode()), "utf-8")
    assert found.properties == awkward


def test_escapes_of_other_writers_are_understood() -> None:
    assert parse_properties(r"a=na\u00efve\ \ud83d\uDE00" + "\n") == {"a": "naïve \U0001f600"}


def test_a_line_without_a_key_names_its_number() -> None:
    with pytest.raises(LayoutError, match=r"line 2 .*nonsense"):
        parse_properties("a=1\nnonsense\n")
