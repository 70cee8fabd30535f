"""The catalogs published now, TAP_SCHEMA included, and what each caller may see of them."""

import shutil
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ..models.query import ResolvedQuery
from ..models.schema import Schema, Table
from ..models.stored import StoredTable
from ..models.tree import TableRef
from ..models.user import Identity
from ..models.walk import all_nodes
from ..storage.catalogs import Registry
from ..storage.statistics import StatisticsCache
from .tap_schema import TAP_SCHEMA, build_tap_schema
from .visibility import VisibleCatalogs

__all__ = ["Catalogs", "Published"]


@dataclass(frozen=True)
class Published:
    """One immutable state of all catalogs."""

    schemas: tuple[Schema, ...]
    stored: dict[str, StoredTable]
    tap_schema_dir: Path
    statistics: StatisticsCache = field(default_factory=StatisticsCache)
    """Of columns that queries constrained."""
    uploads: tuple[Table, ...] = ()
    """Tables that came with one query; only what is published for it has them."""
    _visible: dict[frozenset[str], VisibleCatalogs] = field(default_factory=dict)
    """By the groups of a caller, on which alone it depends."""

    def lookup(self, table: Table) -> StoredTable:
        """Return where a table's rows lie."""
        return self.stored[table.full_name]

    def releases(self, query: ResolvedQuery) -> dict[str, str]:
        """Return the info that names the release of each catalog in a query; none if there is no catalog in it."""
        tables = {node.table.full_name for node in all_nodes(query.tree) if isinstance(node, TableRef)}
        named = [f"{name} {self.stored[name].release}" for name in sorted(tables & self._catalog_tables)]
        return {"RELEASES": ", ".join(named)} if named else {}

    @cached_property
    def _catalog_tables(self) -> frozenset[str]:
        return frozenset(name for name, one in self.stored.items() if one.table.schema_name != TAP_SCHEMA.name)

    def visible(self, identity: Identity) -> VisibleCatalogs:
        """Return what `identity` may see; kept, since names are indexed once per state."""
        if identity.groups not in self._visible:
            self._visible[identity.groups] = VisibleCatalogs(self.schemas, identity, self.uploads)
        return self._visible[identity.groups]

    def with_uploads(self, uploads: tuple[StoredTable, ...]) -> "Published":
        """Return what is published for one query that brought tables along."""
        if not uploads:
            return self
        stored = {**self.stored, **{one.table.full_name: one for one in uploads}}
        return replace(self, stored=stored, uploads=tuple(one.table for one in uploads), _visible={})

    @cached_property
    def foreign_directories(self) -> tuple[str, ...]:
        """Directories of adopted tables' files, outside the catalog root."""
        return tuple(sorted({one for stored in self.stored.values() for one in stored.foreign_directories}))

    @cached_property
    def table_count(self) -> int:
        """Number of published tables, without TAP_SCHEMA's."""
        return sum(len(schema.tables) for schema in self.schemas) - len(TAP_SCHEMA.tables)


class Catalogs:
    """Keeps the published state up to date.

    Parameters
    ----------
    registry
        Published catalogs on disk.
    state_dir
        Existing local directory for TAP_SCHEMA's files.
    """

    def __init__(self, registry: Registry, state_dir: Path) -> None:
        self._registry = registry
        self._state_dir = state_dir
        self._retired: list[Path] = []
        self._taken = registry.snapshot
        self.published = self._publish()

    def refresh(self) -> bool:
        """Take up newly published releases; return whether there were any.

        TAP_SCHEMA files of the state before the last are removed: queries planned for them have ended by then.
        """
        self._registry.refresh()
        if self._registry.snapshot is self._taken:
            return False
        published = self._publish()
        for directory in self._retired:
            shutil.rmtree(directory, ignore_errors=True)
        self._retired = [self.published.tap_schema_dir]
        self.published = published
        return True

    def _publish(self) -> Published:
        snapshot = self._registry.snapshot
        tap_schema = build_tap_schema(snapshot.schemas, self._state_dir)
        directory = next(iter(tap_schema.values())).directory.parent
        described = replace(TAP_SCHEMA, tables=tuple(stored.table for stored in tap_schema.values()))
        self._taken = snapshot
        return Published((described, *snapshot.schemas), {**snapshot.stored, **tap_schema}, directory)
