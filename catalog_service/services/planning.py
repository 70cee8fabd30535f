"""The steps from a text to what is read for it, the same for running, explaining and handing out a query."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from ..language.pipeline import parse, resolve
from ..models.query import QueryText, ResolvedQuery, ScanPlan
from ..models.user import Identity
from ..planner.ids import wanted_ids
from ..planner.joins import NO_DERIVED, Derived
from ..planner.plan import plan
from ..planner.statistics import wanted_statistics
from ..planner.totals import counted
from ..planner.uploads import uploaded_positions, uploaded_regions
from ..storage.ids import find_ids
from ..storage.uploads import position_cells
from .catalogs import Published
from .limits import Limits

__all__ = ["planned", "resolved_text"]

_LONG_TEXT: Final = 4096
"""Longer texts are parsed beside the event loop."""


async def resolved_text(query: QueryText, published: Published, identity: Identity, limits: Limits) -> ResolvedQuery:
    """Return the resolved tree of a text, by what its caller may read.

    Raises
    ------
    CatalogServiceError
        If the text is too long, or no query of its language.
    """
    limits.check_text(query.text)
    parsed = await asyncio.to_thread(parse, query) if len(query.text) > _LONG_TEXT else parse(query)
    return resolve(parsed, published.visible(identity))


async def planned(resolved: ResolvedQuery, published: Published, identity: Identity) -> tuple[ResolvedQuery, ScanPlan]:
    """Return a query with what the manifest answers filled in, and what is read for the rest."""
    resolved = counted(resolved, published.lookup)
    ids, columns = wanted_ids(resolved, published.lookup), wanted_statistics(resolved, published.lookup)
    choose = partial(plan, resolved, published.lookup, visible_schemas=published.visible(identity).schema_names)
    # what reads from disk, and plans by very many small ranges, is done beside the event loop
    if ids or published.uploads or not published.statistics.has(columns):
        return resolved, await asyncio.to_thread(
            lambda: choose(
                found=find_ids(ids),
                statistics=published.statistics.find(columns),
                uploaded=_uploaded(resolved, published) if published.uploads else NO_DERIVED,
            )
        )
    return resolved, choose(statistics=published.statistics.find(columns))


def _uploaded(resolved: ResolvedQuery, published: Published) -> Mapping[int, Derived]:
    """Return where the positions lie that a query uses of uploaded tables; reads them from disk."""
    positions = uploaded_positions(resolved.tree)
    return uploaded_regions(
        {one: position_cells(Path(published.lookup(one.table).plain_path()), one.ra, one.dec) for one in positions}
    )
