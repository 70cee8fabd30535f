"""What a Simple Cone Search asks for beyond its cone: labels, distances, order, format."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ..exceptions import ParameterError
from ..models.query import ResultFormat
from ..services.cone import ConeSearch
from ..services.cone_columns import Labels
from ..services.deliveries import ResultOptions
from ..services.parameters import Parameters, result_options, shown
from ..writers.negotiate import negotiate

__all__ = ["nearest_first", "scs_request"]

_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}
"""DALI 1.1 section 3.3.3, and the digits that old services take."""
_BY_VERBOSITY: Final[Mapping[str, tuple[str, ...] | None]] = {"1": (), "2": None, "3": ("*",)}
_XML: Final = "text/xml"
_OLD_XML: Final = "text/xml;serialization=TABLEDATA"


def scs_request(parameters: Parameters, table: str, labels: Labels) -> tuple[ConeSearch, ResultOptions]:
    """Return what a Simple Cone Search asks for.

    Parameters
    ----------
    parameters
        Those of SCS 1.03 (RA, DEC, SR, VERB), of DALI (MAXREC, RESPONSEFORMAT, RUNID), and COLUMNS, DISTANCE, ORDER
        and UCD1 of our own. SR=0 and MAXREC=0 ask for the columns only.
    table
        ``schema.table``.
    labels
        Of columns, if the request has no UCD1.

    Raises
    ------
    ParameterError
        If a parameter is missing, repeated or malformed.
    """
    labels = _labels(parameters, labels)
    cone = replace(
        _cone_search(parameters, table),
        labels=labels,
        with_distance=_boolean(parameters, "DISTANCE") or False,
        nearest_first=nearest_first(parameters.one("ORDER")),
    )
    options = _labelled_options(parameters, labels)
    return cone, replace(options, maxrec=0) if cone.radius_deg == 0 else options


def nearest_first(order: str | None) -> bool:
    """Return whether the value of ORDER asks for the nearest rows first.

    Raises
    ------
    ParameterError
        If it asks for any other order.
    """
    if order and order.lower() != "distance":
        raise ParameterError(f"ORDER={order[:60]!r} is not known; give ORDER=distance, or leave it out")
    return bool(order)


def _labels(parameters: Parameters, usual: Labels) -> Labels:
    chosen = _boolean(parameters, "UCD1")
    if chosen is None:
        return usual
    return Labels.UCD1 if chosen else Labels.UCD1PLUS


def _boolean(parameters: Parameters, name: str) -> bool | None:
    value = parameters.one(name)
    if not value:
        return None
    if value.lower() not in _BOOLEANS:
        raise ParameterError(f"{name}={value[:60]!r} is not true or false")
    return _BOOLEANS[value.lower()]


def _labelled_options(parameters: Parameters, labels: Labels) -> ResultOptions:
    """Return the options; VOTables are ``text/xml`` unless a media type is named.

    Clients that need UCD1 are older than BINARY2, so they get the rows as text.
    """
    options = result_options(parameters)
    asked = (parameters.one("RESPONSEFORMAT") or parameters.one("FORMAT") or "").strip()
    if not asked:
        return replace(
            options, format=replace(negotiate(_OLD_XML if labels is Labels.UCD1 else _XML), content_type=_XML)
        )
    is_votable = options.format.format in {ResultFormat.VOTABLE, ResultFormat.VOTABLE_TABLEDATA}
    named = options.format.content_type == asked
    return replace(options, format=replace(options.format, content_type=_XML)) if is_votable and not named else options


def _cone_search(parameters: Parameters, table: str) -> ConeSearch:
    """Return the cone of a Simple Cone Search request (SCS 1.03 section 2.1); RA is wrapped."""
    columns = parameters.one("COLUMNS")
    verbosity = parameters.one("VERB")
    if verbosity not in {None, "", "1", "2", "3"}:
        raise ParameterError(f"VERB={shown(verbosity or '')} is not 1, 2 or 3")
    radius = parameters.number("SR")
    return ConeSearch(
        table=table,
        ra_deg=parameters.number("RA"),
        dec_deg=parameters.number("DEC"),
        radius_deg=radius,
        columns=tuple(columns.split(",")) if columns else _BY_VERBOSITY[verbosity or "2"],
    )
