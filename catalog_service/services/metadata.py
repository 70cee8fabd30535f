"""Descriptions of the service and its tables: VOSI documents, JSON for our own clients, the home page."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter

from ..exceptions import ParameterError
from ..language.functions import declared_features
from ..models.schema import Column, Table
from ..models.user import Identity
from ..models.wire import CatalogList, ColumnInfo, SchemaInfo, TableDetail, TableSummary
from ..writers.negotiate import OUTPUT_FORMATS
from .admission import Admission
from .budgets import ScanBudget
from .catalogs import Catalogs, Published
from .examples import examples_of
from .job_limits import JobLimits
from .lanes import Lanes
from .limits import Limits
from .spots import spot_of
from .templates import TEMPLATES
from .uploads import UploadLimits
from .visibility import VisibleCatalogs

__all__ = ["MetadataService", "SiteInfo"]

_DETAIL: Final = TypeAdapter(TableDetail)

_TEST_ROWS: Final = 20
"""Rows of a test query, about."""


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """How the service presents itself."""

    title: str
    public_url: str
    """Without a trailing slash."""
    started: datetime
    job_limits: JobLimits
    admission: Admission
    budget: ScanBudget

    @property
    def path(self) -> str:
        """Path of the public address, without a trailing slash; mostly empty."""
        return urlsplit(self.public_url).path


class MetadataService:
    """Describes the service to a caller; every answer comes from memory.

    What takes a while to write is written beside the event loop, and once for all who see the same tables.
    """

    def __init__(self, catalogs: Catalogs, lanes: Lanes, limits: Limits, uploads: UploadLimits, site: SiteInfo) -> None:
        self._uploads = uploads
        self._catalogs = catalogs
        self._lanes = lanes
        self._limits = limits
        self._site = site

    async def vosi_tables(self, identity: Identity, *, detail: str = "max") -> str:
        """Return the VOSI tableset (VOSI 1.1); ``detail="min"`` leaves out columns."""
        view, template = self._catalogs.published.visible(identity), TEMPLATES.get_template("tables.xml")
        return await _written(view, f"tables, {detail}", lambda: template.render(schemas=view.schemas, detail=detail))

    async def vosi_table(self, identity: Identity, name: str) -> str:
        """Return the VOSI description of one table.

        Raises
        ------
        NotFoundError
            If the caller can see no such table.
        """
        view, template = self._catalogs.published.visible(identity), TEMPLATES.get_template("tables.xml")
        table = view.table(name)
        return await _written(view, f"table {table.full_name}", lambda: template.render(table=table, detail="max"))

    def capabilities(self) -> str:
        """Return the VOSI capabilities: what is really supported, with the real limits."""
        return TEMPLATES.get_template("capabilities.xml").render(self.tap_values())

    def tap_values(self) -> dict[str, object]:
        """Return what the template of TAP's capabilities is filled with."""
        return {
            "tap_url": f"{self._site.public_url}/tap",
            "language_features": declared_features(),
            "formats": OUTPUT_FORMATS,
            "limits": self._limits,
            "jobs": self._site.job_limits,
            "uploads": self._uploads,
            "limits_of_caller": _limits_of_caller(self._site.admission, self._site.budget),
        }

    def cone_capabilities(self, identity: Identity, name: str) -> str:
        """Return the VOSI capabilities of one table's cone search (SimpleDALRegExt 1.1 section 3.1).

        Raises
        ------
        NotFoundError
            If the caller can see no such table.
        ParameterError
            If it has no positions.
        """
        return TEMPLATES.get_template("cone_capabilities.xml").render(self.cone_values(identity, name))

    def cone_values(self, identity: Identity, name: str) -> dict[str, object]:
        """Return what the template of a cone search's capabilities is filled with; raises as these do."""
        table = self._catalogs.published.visible(identity).table(name)
        if table.position is None:
            raise ParameterError(f"table {table.full_name} has no positions; a cone search needs them")
        spot = spot_of(self._catalogs.published.lookup(table))
        return {
            "url": self._site.public_url,
            "cone_url": f"{self._site.public_url}/cone/{quote(table.full_name)}",
            "limits": self._limits,
            "spot": spot,
            "radius_deg": 0.0 if spot is None else min(spot.radius_deg(_TEST_ROWS), self._limits.cone_max_radius_deg),
        }

    def availability(self) -> str:
        """Return the VOSI availability document."""
        return TEMPLATES.get_template("availability.xml").render(
            available=self._lanes.ready(),
            up_since=self._site.started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            note=self._site.title,
        )

    def ready(self) -> bool:
        """Return whether queries can be answered: a worker answers and something is published."""
        return self._lanes.ready() and self._catalogs.published.table_count > 0

    def catalogs(self, identity: Identity) -> CatalogList:
        """Return schemas and tables that the caller may see."""
        visible = self._catalogs.published.visible(identity)
        return CatalogList(
            schemas=tuple(
                SchemaInfo(name=s.name, description=s.description, tables=tuple(map(_summary, s.tables)))
                for s in visible.schemas
            )
        )

    async def table_json(self, identity: Identity, name: str) -> str:
        """Return one table with its columns, a `TableDetail` as JSON.

        Raises
        ------
        NotFoundError
            If the caller can see no such table.
        """
        view = self._catalogs.published.visible(identity)
        table = view.table(name)
        return await _written(view, f"JSON of {table.full_name}", lambda: _DETAIL.dump_json(_detail(table)).decode())

    async def home_page(self, identity: Identity) -> str:
        """Return the HTML of the home page."""
        view = self._catalogs.published.visible(identity)
        return await _written(view, "home page", lambda: self._home_page(self.catalogs(identity)))

    def _home_page(self, catalogs: CatalogList) -> str:
        return TEMPLATES.get_template("home.html").render(
            title=self._site.title,
            url=self._site.public_url,
            base=self._site.path,
            catalogs=catalogs,
            first_table=_first_table(catalogs),
        )

    async def examples_page(self, identity: Identity) -> str:
        """Return queries to begin with, as XHTML that clients can read, too (DALI 1.1 section 2.3)."""
        published = self._catalogs.published
        view = published.visible(identity)
        return await _written(view, "examples", lambda: self._examples_page(published, view))

    def _examples_page(self, published: Published, view: VisibleCatalogs) -> str:
        examples = examples_of(view, published.lookup)
        return TEMPLATES.get_template("examples.xhtml").render(
            title=self._site.title, url=self._site.public_url, base=self._site.path, examples=examples
        )


async def _written(view: VisibleCatalogs, name: str, write: Callable[[], str]) -> str:
    """Return a document of what a caller may see; it is written once."""
    if name not in view.documents:
        view.documents[name] = await asyncio.to_thread(write)
    return view.documents[name]


def _limits_of_caller(admission: Admission, budget: ScanBudget) -> str:
    """Return the limits that the standard has no elements for."""
    text = (
        f"Synchronous queries that run at the same time: {admission.per_user} of one user, {admission.per_address} of "
        f"all anonymous callers at one address; {admission.queued} more of each wait."
    )
    if not budget.most_bytes:
        return text
    return (
        f"{text} They may choose data files of {budget.most_bytes / 1e6:g} MB within {budget.window_s:g} s; jobs wait."
    )


def _first_table(catalogs: CatalogList) -> str:
    """Return a table for a first query: one with positions, if there is any."""
    tables = [table for schema in catalogs.schemas for table in schema.tables]
    return next((table.name for table in tables if table.ra is not None), tables[0].name)


def _summary(table: Table) -> TableSummary:
    position = table.position
    return TableSummary(
        name=table.full_name,
        description=table.description,
        rows=table.rows,
        columns=len(table.columns),
        ra=None if position is None else position.ra,
        dec=None if position is None else position.dec,
    )


def _detail(table: Table) -> TableDetail:
    return TableDetail(table=_summary(table), columns=tuple(_column_infos(table.columns)))


def _column_infos(columns: Iterable[Column]) -> Iterable[ColumnInfo]:
    for column in columns:
        yield ColumnInfo(
            name=column.name,
            datatype=column.datatype.value,
            is_array=column.is_array,
            unit=column.unit,
            ucd=column.ucd,
            description=column.description,
            principal=column.principal,
            indexed=column.indexed,
        )
