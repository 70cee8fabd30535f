"""The steps from a text to what is read for it, the same for running, explaining and handing out a query."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from ..language.pipeline import parse, resolve
from ..models.ids import IdBound
from ..models.query import QueryText, ResolvedQuery, ScanPlan
from ..models.statistics import ColumnKey
from ..models.user import Identity
from ..planner.ids import wanted_ids
from ..planner.joins import NO_DERIVED, Derived
from ..planner.plan import plan
from ..planner.statistics import wanted_statistics
from ..planner.totals import counted
from ..planner.uploads import uploaded_positions, uploaded_regions
from ..storage.ids import find_ids
from ..storage.uploads import position_cells
from .attention import Attention
from .catalogs import Published
from .limits import Limits

__all__ = ["planned", "resolved_text"]

_LONG_TEXT: Final = 4096
"""Whatever is done with longer texts is done beside the event loop: a list of 50,000 ids takes two seconds."""


async def resolved_text(
    query: QueryText, published: Published, identity: Identity, limits: Limits, attention: Attention
) -> ResolvedQuery:
    """Return the resolved tree of a text, by what its caller may read.

    Raises
    ------
    CatalogServiceError
        If the text is too long, or no query of its language.
    """
    limits.check_text(query.text)
    view = published.visible(identity)
    if len(query.text) > _LONG_TEXT:
        return await attention.at_length(lambda: replace(resolve(parse(query), view), is_long=True))
    async with attention.turn():
        return resolve(parse(query), view)


async def planned(
    resolved: ResolvedQuery, published: Published, identity: Identity, attention: Attention
) -> tuple[ResolvedQuery, ScanPlan]:
    """Return a query with what the manifest answers filled in, and what is read for the rest."""
    visible = published.visible(identity).schema_names
    if resolved.is_long:
        return await attention.at_length(lambda: _Wanted.by(resolved, published).planned(visible))
    async with attention.turn():
        wanted = _Wanted.by(resolved, published)
        # what reads from disk, and plans by very many small ranges, is done beside the event loop
        if not (wanted.ids or published.uploads) and published.statistics.has(wanted.columns):
            return wanted.planned(visible)
    return await attention.beside(wanted.planned, visible)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A query, and what must be looked up before it is planned."""

    resolved: ResolvedQuery
    published: Published
    ids: tuple[IdBound, ...]
    columns: tuple[ColumnKey, ...]

    @classmethod
    def by(cls, resolved: ResolvedQuery, published: Published) -> Self:
        """Return what a query wants that may take up what the manifest answers."""
        resolved, lookup = counted(resolved, published.lookup), published.lookup
        return cls(resolved, published, wanted_ids(resolved, lookup), wanted_statistics(resolved, lookup))

    def planned(self, visible_schemas: Collection[str]) -> tuple[ResolvedQuery, ScanPlan]:
        """Look it up and plan."""
        found, statistics = find_ids(self.ids), self.published.statistics.find(self.columns)
        return self.resolved, plan(
            self.resolved,
            self.published.lookup,
            visible_schemas=visible_schemas,
            found=found,
            statistics=statistics,
            uploaded=_uploaded(self.resolved, self.published) if self.published.uploads else NO_DERIVED,
        )


def _uploaded(resolved: ResolvedQuery, published: Published) -> Mapping[int, Derived]:
    """Return where the positions lie that a query uses of uploaded tables; reads them from disk."""
    positions = uploaded_positions(resolved.tree)
    return uploaded_regions(
        {one: position_cells(Path(published.lookup(one.table).plain_path()), one.ra, one.dec) for one in positions}
    )
