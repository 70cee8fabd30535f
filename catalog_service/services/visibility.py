"""What one caller may see: the one place where access rules are applied.

Tables of closed schemas do not exist for a caller: not in names, suggestions, metadata or errors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from ..exceptions import NotFoundError
from ..models.schema import Schema, Table
from ..models.upload import UPLOAD_SCHEMA
from ..models.user import Identity

__all__ = ["VisibleCatalogs"]


@dataclass(frozen=True)
class VisibleCatalogs:
    """The schemas that one caller may read, looked up as query languages do.

    Parameters
    ----------
    schemas
        All schemas published now, TAP_SCHEMA included.
    identity
        Who asks.
    uploads
        Tables that came with the query: found by their whole names, and no part of any list of what is published.
    documents
        What was written of it for callers, to be given to the next ones.
    """

    all_schemas: tuple[Schema, ...]
    identity: Identity
    uploads: tuple[Table, ...] = ()
    documents: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def schemas(self) -> tuple[Schema, ...]:
        """Schemas that the caller may read."""
        return tuple(schema for schema in self.all_schemas if self.identity.may_read(schema.access))

    @cached_property
    def schema_names(self) -> frozenset[str]:
        """Names of the schemas that the caller may read."""
        return frozenset(schema.name for schema in self.schemas)

    def tables(self) -> Iterator[Table]:
        """Yield every visible table."""
        for schema in self.schemas:
            yield from schema.tables

    @cached_property
    def _by_name(self) -> dict[str, dict[str, Table]]:
        """Tables by folded schema name or alias, then by folded table name; a name wins over an alias."""
        by_alias = {alias.lower(): _by_folded_name(schema) for schema in self.schemas for alias in schema.aliases}
        return by_alias | {schema.name.lower(): _by_folded_name(schema) for schema in self.schemas}

    def find(self, schema: str | None, table: str) -> tuple[Table, ...]:
        """Return the visible tables of that name, ignoring case; without a schema, of any schema."""
        if schema is not None and schema.upper() == UPLOAD_SCHEMA:
            return tuple(t for t in self.uploads if t.name.lower() == table.lower())
        if schema is not None:
            found = self._by_name.get(schema.lower(), {}).get(table.lower())
            return () if found is None else (found,)
        return tuple(t for t in self.tables() if t.name.lower() == table.lower())

    def find_full_name(self, full_name: str) -> Table | None:
        """Return the table called ``schema.table``, or by its bare name where that is unique."""
        schema, _, table = full_name.strip().rpartition(".")
        found = self.find(schema or None, table)
        return found[0] if len(found) == 1 else None

    def table(self, name: str) -> Table:
        """Return the table called ``schema.table``, or by its bare name where that is unique.

        Raises
        ------
        NotFoundError
            If the caller can see no such table; a similar name is suggested.
        """
        table = self.find_full_name(name)
        if table is None:
            close = get_close_matches(name, self.table_names(), n=1)
            raise NotFoundError(f"no table {name!r} here.", remedy=f"Did you mean {close[0]}?" if close else None)
        return table

    def table_names(self) -> tuple[str, ...]:
        """Return all visible names as ``schema.table``, for suggestions."""
        return tuple(table.full_name for table in (*self.uploads, *self.tables()))


def _by_folded_name(schema: Schema) -> dict[str, Table]:
    return {table.name.lower(): table for table in schema.tables}
