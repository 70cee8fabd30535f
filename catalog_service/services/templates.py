"""Templates of documents; names, descriptions and texts of users are escaped."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..models.votypes import vo_type
from ..models.words import delimited_if_needed

__all__ = ["TEMPLATES"]

TEMPLATES: Final = Environment(
    loader=PackageLoader("catalog_service", "web/templates"), autoescape=True, undefined=StrictUndefined
)
TEMPLATES.filters |= {"vo_type": vo_type, "delimited": delimited_if_needed}
