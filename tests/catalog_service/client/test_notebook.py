"""What notebooks show: complete, short and escaped."""

import pyarrow as pa

from catalog_service.client import Result
from catalog_service.client.notebook import Listing
from catalog_service.client.preview import preview_of, printable
from catalog_service.models.wire import ColumnInfo

EVIL = "<script>alert('x')</script>"


def evil_result(**options: bool) -> Result:
    field = pa.field(EVIL, pa.string(), metadata={"unit": "<b>m</b>"})
    return Result(pa.table([pa.array([EVIL, None])], schema=pa.schema([field])), query_id="<q>", **options)


def test_texts_of_the_service_are_escaped() -> None:
    shown = evil_result()._repr_html_()
    assert "<script" not in shown
    assert "<b>m" not in shown
    assert "<q>" not in shown
    assert shown.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") == 2
    assert "<i>null</i>" in shown


def test_a_cut_result_says_so() -> None:
    assert "Cut at MAXREC" in evil_result(overflow=True)._repr_html_()
    assert "Cut at MAXREC" not in evil_result()._repr_html_()
    assert "cut at MAXREC" in repr(evil_result(overflow=True))


def test_a_large_result_shows_its_beginning() -> None:
    table = pa.table({f"c{k}": pa.array(range(1200), pa.int64()) for k in range(40)})
    shown = Result(table)._repr_html_()
    assert "1,200 rows x 40 columns" in shown
    assert "1,190 more rows and 10 more columns" in shown
    assert shown.count("<td>") == 10 * 30
    assert "10 more columns" in repr(Result(table))


def test_an_empty_result_shows_its_columns() -> None:
    shown = Result(pa.table({"ra": pa.array([], pa.float64())}))._repr_html_()
    assert "0 rows x 1 column" in shown
    assert "<th>ra</th>" in shown
    assert "<th>double</th>" in shown


def test_floats_are_shown_with_the_digits_they_have() -> None:
    table = pa.table({"f": pa.array([9.1, None], pa.float32()), "d": pa.array([0.1 + 0.2, 1e-12], pa.float64())})
    assert preview_of(table, rows=2).rows == (("9.1", "0.30000000000000004"), (None, "1e-12"))


def test_long_and_hidden_text_is_tamed() -> None:
    shown = preview_of(pa.table({"t": ["x" * 200, "a\x1b[31mred\n b"]}), rows=2).rows
    assert len(str(shown[0][0])) == 60
    assert shown[1][0] == "a\N{REPLACEMENT CHARACTER}[31mred b"
    assert printable("\x07ok") == "\N{REPLACEMENT CHARACTER}ok"


def test_a_listing_is_a_tuple_that_shows_itself() -> None:
    listing = Listing([ColumnInfo(name="<ra>", datatype="double", unit="deg")])
    shown = listing._repr_html_()
    assert listing[0].name == "<ra>"
    assert isinstance(listing, tuple)
    assert "&lt;ra&gt;" in shown
    assert "<th>datatype</th>" in shown
    assert "nothing" in Listing([])._repr_html_()
