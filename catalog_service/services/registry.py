"""Records of the service for a registry of the Virtual Observatory: what lets others find it (VOResource 1.1)."""

from dataclasses import dataclass
from datetime import UTC
from urllib.parse import quote

from ..exceptions import NotFoundError
from ..models.user import ANONYMOUS
from .catalogs import Catalogs
from .metadata import MetadataService, SiteInfo
from .templates import TEMPLATES

__all__ = ["RegistryEntry", "RegistryService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryEntry:
    """What a registry wants to know and only the operator can tell."""

    ivoid: str
    publisher: str
    contact: str
    description: str
    subjects: tuple[str, ...]
    created: str
    contact_email: str | None = None
    creators: tuple[str, ...] = ()
    short_name: str | None = None
    reference_url: str | None = None


class RegistryService:
    """Writes records of the public tables: one of the TAP service, and one of each cone search.

    Parameters
    ----------
    catalogs
        What is published.
    metadata
        Describes capabilities.
    site
        How the service presents itself.
    entry
        What the operator tells; None: there are no records.
    """

    def __init__(
        self, catalogs: Catalogs, metadata: MetadataService, site: SiteInfo, entry: RegistryEntry | None
    ) -> None:
        self._catalogs = catalogs
        self._metadata = metadata
        self._site = site
        self._entry = entry

    def record(self, name: str | None = None) -> str:
        """Return the record of the TAP service, or of the cone search of a table.

        Raises
        ------
        NotFoundError
            If the operator has told nothing for it, or there is no such public table.
        ParameterError
            If the table has no positions.
        """
        if self._entry is None:
            message = "this service has no registry record."
            raise NotFoundError(message, remedy="Its operator can describe it under [registry] in the settings.")
        view = self._catalogs.published.visible(ANONYMOUS)
        table = None if name is None else view.table(name)
        if table is None:
            shown, of_kind = view.schemas, self._metadata.tap_values()
            about = {"title": self._site.title, "identifier": self._entry.ivoid, "description": self._entry.description}
        else:
            shown = tuple(schema for schema in view.schemas if table in schema.tables)
            of_kind = self._metadata.cone_values(ANONYMOUS, table.full_name)
            about = {
                "title": f"{self._site.title}: cone search of {table.full_name}",
                "identifier": f"{self._entry.ivoid}/{quote(table.full_name, safe='')}",
                "description": table.description or self._entry.description,
            }
        return TEMPLATES.get_template("registry_record.xml").render(
            {**of_kind, **about},
            about=self._entry,
            url=self._site.public_url,
            site_title=self._site.title,
            table=table,
            schemas=shown,
            updated=self._site.started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
