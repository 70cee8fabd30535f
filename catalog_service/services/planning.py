"""From a resolved query to the files that it reads, with what is looked up on disk beside the event loop."""

import asyncio
from functools import partial

from ..models.query import ResolvedQuery, ScanPlan
from ..models.user import Identity
from ..planner.ids import wanted_ids
from ..planner.plan import plan
from ..planner.statistics import wanted_statistics
from ..storage.ids import find_ids
from ..storage.statistics import StatisticsStore
from .catalogs import Published

__all__ = ["Planning"]


class Planning:
    """Plans the queries of all front ends; keeps the statistics that they ask for."""

    def __init__(self) -> None:
        self._statistics = StatisticsStore()

    async def plan(self, resolved: ResolvedQuery, published: Published, identity: Identity) -> ScanPlan:
        """Return which files each base table of `resolved` needs."""
        visible = published.visible(identity).schema_names
        choose = partial(plan, resolved, published.lookup, visible_schemas=visible)
        ids, columns = wanted_ids(resolved, published.lookup), wanted_statistics(resolved, published.lookup)
        if not ids and not columns:
            return choose()
        # what reads from disk, and plans by very many small ranges, is done beside the event loop
        return await asyncio.to_thread(lambda: choose(found=find_ids(ids), statistics=self._statistics.find(columns)))
