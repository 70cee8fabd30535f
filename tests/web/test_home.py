"""The home page in a real browser: it lists catalogs and columns, and runs a cone."""

from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(chromium: str, server_url: str) -> Iterator[Page]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, headless=True, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(server_url)
        yield page
        browser.close()


def test_a_cone_search_shows_rows(page: Page) -> None:
    page.get_by_label("Table").select_option("tycho2.stars")
    page.get_by_label("Radius").fill("1")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#status")).to_contain_text("65 rows")
    expect(page.locator("#result tbody tr")).to_have_count(65)
    expect(page.locator("#result thead th").nth(0)).to_have_text("_r deg")
    expect(page.locator("#result thead th").nth(4)).to_have_text("vt_mag mag")
    distances = [float(text) for text in page.locator("#result tbody td:first-child").all_inner_texts()]
    assert distances == sorted(distances)


@pytest.mark.parametrize(
    ("ra", "dec"), [("03:47:00", "+24:07:12"), ("3h47m0s", "24d07m12s"), ("56d45m00s", "24 07 12")]
)
def test_positions_may_be_sexagesimal(page: Page, ra: str, dec: str) -> None:
    page.get_by_label("RA (deg)").fill(ra)
    page.get_by_label("Dec (deg)").fill(dec)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("RA (deg)")).to_have_value("56.75")
    expect(page.get_by_label("Dec (deg)")).to_have_value("24.12")
    expect(page.locator("#status")).to_contain_text("65 rows")


def test_what_is_shown_can_be_saved(page: Page) -> None:
    page.get_by_label("Radius").fill("1")
    page.get_by_role("button", name="Search").click()
    with page.expect_download() as loading:
        page.locator("#result .save").get_by_role("link", name="Parquet").click()
    assert pq.read_table(loading.value.path()).num_rows == 65


def test_a_cut_result_says_so(page: Page) -> None:
    page.get_by_label("Rows at most").fill("10")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#status")).to_contain_text("10 rows, more exist")


def test_an_error_is_shown(page: Page) -> None:
    page.get_by_label("Dec").fill("95")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#status.error")).to_contain_text("outside [-90, 90]")


def test_columns_appear_on_demand(page: Page) -> None:
    details = page.locator("details[data-table='tycho2.stars']")
    details.locator("summary").click()
    expect(details.locator("tbody tr")).to_have_count(4)
    expect(details).to_contain_text("pos.eq.ra;meta.main")


def test_a_query_is_run(page: Page) -> None:
    page.get_by_label("Text").fill("SELECT TOP 3 tyc_row, vt_mag FROM tycho2.stars ORDER BY vt_mag")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#query-status")).to_contain_text("3 rows")
    expect(page.locator("#query-result tbody tr")).to_have_count(3)
    expect(page.locator("#query-result thead th").nth(1)).to_have_text("vt_mag mag")
    with page.expect_download() as loading:
        page.locator("#query-result .save").get_by_role("link", name="Parquet").click()
    assert pq.read_table(loading.value.path()).num_rows == 3
    page.get_by_label("Text").fill("SELECT vt_mga FROM tycho2.stars")
    page.get_by_label("Text").press("Control+Enter")
    expect(page.locator("#query-status.error")).to_contain_text("line 1, column 8")


def test_a_query_is_explained(page: Page) -> None:
    page.get_by_label("Text").fill("SELECT ra FROM tycho2.stars WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(56, 24, 1))")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#query-status")).to_contain_text("files, at most")
    expect(page.locator("#query-result")).to_contain_text("meet the region")


def test_a_job_is_begun_kept_and_deleted(page: Page) -> None:
    page.get_by_label("Text").fill("SELECT TOP 7 ra FROM tycho2.stars")
    page.get_by_role("button", name="Run as a job").click()
    job = page.locator("#jobs li").first
    expect(job).to_contain_text("COMPLETED")
    expect(job).to_contain_text("7 rows")
    with page.expect_download() as loading:
        job.locator("a").click()
    assert pq.read_table(loading.value.path()).num_rows == 7
    page.reload()
    expect(page.locator("#jobs li")).to_have_count(1)
    page.locator("#jobs li").first.get_by_role("button", name="Delete").click()
    expect(page.locator("#jobs li")).to_have_count(0)
    page.reload()
    expect(page.locator("#jobs li")).to_have_count(0)


def test_nothing_is_loaded_from_elsewhere(page: Page, server_url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/docs"):
        page.goto(server_url + path, wait_until="networkidle")
    assert len(asked) > 3
    assert all(url.startswith((server_url, "data:")) for url in asked)
