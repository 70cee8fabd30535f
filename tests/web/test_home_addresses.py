"""A search of the home page can be shared by its address, and an example position finds something in every table."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

PLEIADES = "#table=tycho2.stars&ra=56.75&dec=24.12&radius_deg=1&maxrec=100"


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=chromium, headless=True, args=arguments)
        yield browser.new_page()
        browser.close()


def test_an_address_fills_in_the_form_and_searches(page: Page, server_url: str) -> None:
    page.goto(f"{server_url}/{PLEIADES}")
    expect(page.locator("#status")).to_contain_text("65 rows")
    expect(page.get_by_label("Radius")).to_have_value("1")


def test_a_search_changes_the_address(page: Page, server_url: str) -> None:
    page.goto(server_url)
    page.get_by_label("RA (deg)").fill("83.6")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile(r"#table=[\w.]+&ra=83\.6&dec="))


def test_an_example_position_finds_something(page: Page, server_url: str) -> None:
    page.goto(server_url)
    for table in ("survey.Object", "survey.DiaSource", "tycho2.stars"):
        page.get_by_label("Table").select_option(table)
        with page.expect_response("**/api/v1/query"):
            page.get_by_role("button", name="Example position").click()
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#status")).to_contain_text(re.compile(r"^[1-9]\d* rows"))
        expect(page.locator("#result tbody tr").first).to_be_visible()


def test_the_service_tables_come_last(page: Page, server_url: str) -> None:
    page.goto(server_url)
    assert page.locator("h3").all_inner_texts() == ["survey", "tycho2", "TAP_SCHEMA"]
