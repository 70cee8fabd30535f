"""Templates of documents; names, descriptions and texts of users are escaped."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..models.votypes import vo_type
from ..models.words import delimited_if_needed
from ..writers.votable import legal

__all__ = ["TEMPLATES"]


def _legal_in_xml(value: object) -> object:
    """Return what is written for a value: texts of users may hold what no document can."""
    return legal(value) if type(value) is str else value


TEMPLATES: Final = Environment(
    loader=PackageLoader("catalog_service", "web/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_legal_in_xml,
)
TEMPLATES.filters |= {"vo_type": vo_type, "delimited": delimited_if_needed}
