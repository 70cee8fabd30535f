"""RESPONSEFORMAT: which format a request asks for, and how the answer is labelled (DALI 1.1 section 3.4.3)."""

from dataclasses import dataclass, replace
from email.message import Message
from typing import Final

from catalog_service.exceptions import ParameterError
from catalog_service.models.query import ResultFormat

__all__ = ["IN_PARTS", "OUTPUT_FORMATS", "NegotiatedFormat", "OutputFormat", "negotiate"]

_VOTABLE_TYPES: Final = frozenset({"application/x-votable+xml", "text/xml", "application/xml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiatedFormat:
    """A format and the labels of an answer in it."""

    format: ResultFormat
    content_type: str
    """As the client named it, if it named a media type."""
    suffix: str
    """Of file names, with the dot."""
    is_text: bool
    """Whether gzip as a content coding can gain anything; other formats are compressed or dense by themselves."""
    in_parts: bool = False
    """Whether the result of a job is to be several files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFormat:
    """A format as capabilities list it."""

    format: ResultFormat
    media_type: str
    """Sent if the client names no media type."""
    names: tuple[str, ...]
    """Short names, lower case."""
    suffix: str
    is_text: bool = True
    ivo_id: str | None = None
    """TAPRegExt's identifier of the format."""


OUTPUT_FORMATS: Final = (
    OutputFormat(
        format=ResultFormat.VOTABLE,
        media_type="application/x-votable+xml;serialization=BINARY2",
        names=("votable", "votable/b2"),
        suffix=".vot",
        ivo_id="ivo://ivoa.net/std/TAPRegExt#output-votable-binary2",
    ),
    OutputFormat(
        format=ResultFormat.VOTABLE_TABLEDATA,
        media_type="application/x-votable+xml;serialization=TABLEDATA",
        names=("votable/td",),
        suffix=".vot",
        ivo_id="ivo://ivoa.net/std/TAPRegExt#output-votable-td",
    ),
    OutputFormat(format=ResultFormat.CSV, media_type="text/csv;header=present", names=("csv",), suffix=".csv"),
    OutputFormat(format=ResultFormat.TSV, media_type="text/tab-separated-values", names=("tsv",), suffix=".tsv"),
    OutputFormat(format=ResultFormat.JSON, media_type="application/json", names=("json",), suffix=".json"),
    OutputFormat(
        format=ResultFormat.FITS, media_type="application/fits", names=("fits",), suffix=".fits", is_text=False
    ),
    OutputFormat(
        format=ResultFormat.PARQUET,
        media_type="application/vnd.apache.parquet",
        names=("parquet",),
        suffix=".parquet",
        is_text=False,
    ),
    OutputFormat(
        format=ResultFormat.ARROW,
        media_type="application/vnd.apache.arrow.stream",
        names=("arrow",),
        suffix=".arrows",
        is_text=False,
    ),
)
"""Every format, the default first."""

IN_PARTS: Final = "parquet/parts"
"""Format of a job whose result is several Parquet files, each usable as soon as it is there."""

_BY_NAME: Final = {name: entry for entry in OUTPUT_FORMATS for name in entry.names}
_BY_MEDIA_TYPE: Final = {entry.media_type.partition(";")[0]: entry for entry in reversed(OUTPUT_FORMATS)}
_BY_SERIALIZATION: Final = {"binary2": OUTPUT_FORMATS[0], "tabledata": OUTPUT_FORMATS[1]}


def negotiate(requested: str | None) -> NegotiatedFormat:
    """Return the format that a RESPONSEFORMAT value names; None or blank means VOTable in BINARY2.

    Short names and media types are taken in any case; the serialization parameter chooses between VOTable's forms.

    Raises
    ------
    ParameterError
        If there is no such format; the message lists what there is.

    Examples
    --------
    >>> negotiate("CSV").content_type
    'text/csv;header=present'
    >>> negotiate("application/x-votable+xml; serialization=tabledata").format
    <ResultFormat.VOTABLE_TABLEDATA: 'votable/td'>
    """
    wanted = (requested or "votable").strip() or "votable"
    if wanted.lower() == IN_PARTS:
        return replace(_negotiated(_BY_NAME["parquet"], _BY_NAME["parquet"].media_type), in_parts=True)
    entry = _BY_NAME.get(wanted.lower())
    if entry is not None:
        return _negotiated(entry, entry.media_type)
    entry = _by_media_type(wanted)
    if entry is None:
        raise ParameterError(f"RESPONSEFORMAT={wanted!r} is not supported.", remedy=f"Supported are {_supported()}.")
    return _negotiated(entry, wanted)


def _negotiated(entry: OutputFormat, content_type: str) -> NegotiatedFormat:
    return NegotiatedFormat(format=entry.format, content_type=content_type, suffix=entry.suffix, is_text=entry.is_text)


def _by_media_type(wanted: str) -> OutputFormat | None:
    if not (wanted.isascii() and wanted.isprintable()):
        return None  # the text becomes a header of the answer
    media_type, parameters = _parse_media_type(wanted)
    fits = parameters.pop("charset", "utf-8") == "utf-8"
    entry = _BY_MEDIA_TYPE.get(media_type)
    if media_type in _VOTABLE_TYPES:
        entry = _BY_SERIALIZATION.get(parameters.pop("serialization", "binary2"))
    elif media_type == "text/csv":
        fits = fits and parameters.pop("header", "present") == "present"
    return entry if fits and not parameters else None


def _parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """Return (media type, parameters), all in lower case."""
    message = Message()
    message["content-type"] = text
    parameters = message.get_params(failobj=[])
    return message.get_content_type(), {name.lower(): value.lower() for name, value in parameters[1:] if name}


def _supported() -> str:
    names = [name for entry in OUTPUT_FORMATS for name in entry.names]
    media_types = [entry.media_type for entry in OUTPUT_FORMATS]
    return ", ".join([*names, *media_types, "text/xml"])
