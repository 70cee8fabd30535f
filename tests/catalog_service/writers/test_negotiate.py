import pytest

from catalog_service.exceptions import ParameterError
from catalog_service.models.query import ResultFormat
from catalog_service.writers.negotiate import OUTPUT_FORMATS, negotiate

F = ResultFormat


@pytest.mark.parametrize(
    ("requested", "result_format", "content_type"),
    [
        (None, F.VOTABLE, "application/x-votable+xml;serialization=BINARY2"),
        ("", F.VOTABLE, "application/x-votable+xml;serialization=BINARY2"),
        (" VOTable ", F.VOTABLE, "application/x-votable+xml;serialization=BINARY2"),
        ("votable/b2", F.VOTABLE, "application/x-votable+xml;serialization=BINARY2"),
        ("VOTABLE/TD", F.VOTABLE_TABLEDATA, "application/x-votable+xml;serialization=TABLEDATA"),
        ("csv", F.CSV, "text/csv;header=present"),
        ("TSV", F.TSV, "text/tab-separated-values"),
        ("json", F.JSON, "application/json"),
        ("FITS", F.FITS, "application/fits"),
        ("Parquet", F.PARQUET, "application/vnd.apache.parquet"),
        ("ARROW", F.ARROW, "application/vnd.apache.arrow.stream"),
        # a media type is answered as it was asked for
        ("text/xml", F.VOTABLE, "text/xml"),
        ("application/x-votable+xml", F.VOTABLE, "application/x-votable+xml"),
        (
            'application/x-votable+xml; serialization="tabledata"',
            F.VOTABLE_TABLEDATA,
            'application/x-votable+xml; serialization="tabledata"',
        ),
        ("text/xml;charset=UTF-8", F.VOTABLE, "text/xml;charset=UTF-8"),
        ("Text/CSV", F.CSV, "Text/CSV"),
        ("text/csv; header=present", F.CSV, "text/csv; header=present"),
        ("text/tab-separated-values", F.TSV, "text/tab-separated-values"),
        ("application/json;charset=utf-8", F.JSON, "application/json;charset=utf-8"),
        ("application/vnd.apache.parquet", F.PARQUET, "application/vnd.apache.parquet"),
        ("application/vnd.apache.arrow.stream", F.ARROW, "application/vnd.apache.arrow.stream"),
    ],
)
def test_known_formats(requested: str | None, result_format: ResultFormat, content_type: str) -> None:
    negotiated = negotiate(requested)
    assert (negotiated.format, negotiated.content_type) == (result_format, content_type)


@pytest.mark.parametrize(
    "requested",
    [
        "fit", "text/html", "votable/b", "text", "*/*", ";;;", "application/x-votable+xml;serialization=BINARY",
        "application/x-votable+xml;content=datalink", "text/csv;header=absent", "text/csv;charset=latin-1",
        "text/csv\r\nSet-Cookie: a=b", "text/csv;x=\u00e9", "csv\x00",
    ],
)  # fmt: skip
def test_unknown_formats_are_refused_with_a_list(requested: str) -> None:
    with pytest.raises(ParameterError) as caught:
        negotiate(requested)
    for entry in OUTPUT_FORMATS:
        assert entry.media_type in str(caught.value)
        assert all(name in str(caught.value) for name in entry.names)


def test_what_is_listed_is_accepted() -> None:
    for entry in OUTPUT_FORMATS:
        for name in (*entry.names, entry.media_type):
            assert negotiate(name).format is entry.format
            assert negotiate(name).suffix == entry.suffix
    assert {entry.format for entry in OUTPUT_FORMATS} == set(ResultFormat)
