"""Markdown and web pages of one document, read back by independent parsers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from markdown_it import MarkdownIt

from partitioning.stages.document import Document, Example, Section, Table, to_html, to_markdown

NASTY = [
    "a|b",
    "<script>alert(1)</script>",
    "_healpix_29",
    "coord_ra",
    "*x*",
    "`tick`",
    "back\\slash",
    "a & b",
    "[l](u)",
    "",
]


def document(cells: list[str]) -> Document:
    table = Table(("Name", "Value"), tuple((cell, "1") for cell in cells), frozenset({1}))
    example = Example("sql", "SELECT 1 < 2 AND 'a|b' <> '<b>'")
    return Document(
        "a_b <t>", "x & y", b"\x89PNG bytes", "density.png", "Rows", (Section("S", "r*", (table, example)),)
    )


def cells_of(page: str) -> list[str]:
    return [cell.text_content() for cell in html.fromstring(page).xpath("//tr/td[1]")]


def test_html_shows_the_texts_as_they_are() -> None:
    page = to_html(document(NASTY))
    assert cells_of(page) == NASTY
    assert "<script" not in page
    tree = html.fromstring(page)
    assert tree.xpath("//pre")[0].text_content() == "SELECT 1 < 2 AND 'a|b' <> '<b>'"
    assert tree.xpath("//h1")[0].text_content() == "a_b <t>"


def test_html_needs_no_other_file() -> None:
    sources = html.fromstring(to_html(document(NASTY))).xpath("//@src | //@href")
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")


@pytest.mark.parametrize("cell", NASTY)
def test_markdown_shows_the_texts_as_they_are(cell: str) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(to_markdown(document([cell])))
    assert cells_of(rendered) == [cell]
    assert "<script" not in rendered
    assert '<img src="density.png"' in rendered
    assert html.fromstring(rendered).xpath("//pre")[0].text_content() == "SELECT 1 < 2 AND 'a|b' <> '<b>'\n"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Zs", "Cf"]), min_size=1))
def test_no_text_breaks_a_table(cell: str) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(to_markdown(document([cell, "next"])))
    assert cells_of(rendered) == [cell, "next"]


def test_plain_names_stay_plain() -> None:
    text = to_markdown(document(["coord_ra", "g_psfFlux", "list"]))
    assert "| coord_ra | 1 |" in text
    assert "| g_psfFlux | 1 |" in text
