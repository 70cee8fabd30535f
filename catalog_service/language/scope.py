"""Which tables and columns a name can mean at some place of a query."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..exceptions import QueryError, QueryNameError
from ..models.schema import Column, Table
from ..models.tree import ColumnRef, Expr, Identifier, Name, Star
from .errors import did_you_mean, error_at

__all__ = ["Scope", "Source", "same_name"]


def same_name(identifier: Identifier, name: str) -> bool:
    """Return whether an identifier means `name`: exactly if delimited, else ignoring case (ADQL 2.1 section 2.1.3)."""
    return identifier.text == name if identifier.delimited else identifier.text.lower() == name.lower()


@dataclass(frozen=True, eq=False)
class Source:
    """One item of FROM."""

    number: int
    alias: str
    """Name by which the query knows it."""
    columns: Sequence[Column]
    by_folded_name: Mapping[str, Column]
    table: Table | None = None
    """Of a base table."""
    renamed: bool = False
    """Whether the query gave a base table another name, which hides its own."""
    ambiguous: frozenset[str] = frozenset()
    """Folded names that a subquery gave to several of its columns."""

    def answers_to(self, qualifier: Sequence[Identifier]) -> bool:
        """Return whether ``qualifier.column`` may mean a column of this item."""
        if len(qualifier) == 1:
            return same_name(qualifier[0], self.alias)
        return (
            len(qualifier) == 2
            and self.table is not None
            and not self.renamed
            and same_name(qualifier[0], self.table.schema_name)
            and same_name(qualifier[1], self.table.name)
        )

    def find(self, identifier: Identifier) -> ColumnRef | None:
        """Return the column that `identifier` means, or None."""
        column = self.by_folded_name.get(identifier.text.lower())
        if column is None or not same_name(identifier, column.name):
            return None
        if column.name.lower() in self.ambiguous:
            message = f"several columns of {self.alias} are called {column.name}."
            raise error_at(QueryNameError, message, identifier.span, remedy="Give them aliases in the subquery.")
        return ColumnRef(self.number, column, span=identifier.span)

    def unserved(self, identifier: Identifier) -> str | None:
        """Return what to say if `identifier` means a stored column that is not served; None if it does not."""
        for name, kind in () if self.table is None else self.table.unserved:
            if same_name(identifier, name):
                return f"column '{name}' of {self.alias} has type {kind}, which is not served."
        return None


@dataclass(frozen=True, eq=False)
class Scope:
    """The FROM items that a SELECT's expressions can see; those of enclosing queries through `parent`."""

    sources: tuple[Source, ...]
    merged: Mapping[str, tuple[Expr, frozenset[int]]] = field(default_factory=dict)
    """Columns of USING and NATURAL by folded name: their value, and the sources whose columns it stands for."""
    parent: "Scope | None" = None

    def find(self, name: Name) -> Expr | None:
        """Return what a name means here or in an enclosing query; None if nothing.

        Raises
        ------
        QueryNameError
            If it may mean several columns.
        """
        scope: Scope | None = self
        while scope is not None:
            found = scope._find_here(name)  # noqa: SLF001
            if found is not None:
                return found
            scope = scope.parent
        return None

    def resolve(self, name: Name) -> Expr:
        """Return what a name means; raise `QueryNameError` with a suggestion if it means nothing."""
        found = self.find(name)
        if found is None:
            raise self.unknown(name)
        return found

    def _find_here(self, name: Name) -> Expr | None:
        *qualifier, last = name.parts
        if qualifier:
            chosen = [source for source in self.sources if source.answers_to(qualifier)]
            candidates = [(source, source.find(last)) for source in chosen]
        else:
            merged = self.merged.get(last.text.lower())
            covered = frozenset() if merged is None else merged[1]
            candidates = [(source, source.find(last)) for source in self.sources if source.number not in covered]
            if merged is not None:
                named = [source for source, found in candidates if found is not None]
                if named:
                    raise _ambiguous(name, named)
                return merged[0]
        matches = [(source, found) for source, found in candidates if found is not None]
        if len(matches) > 1:
            raise _ambiguous(name, [source for source, _ in matches])
        return matches[0][1] if matches else None

    def star(self, star: Star) -> Iterator[Expr]:
        """Yield the columns that ``*`` or ``t.*`` stands for, in order; merged ones first, once (SQL-92 7.5)."""
        if star.qualifier:
            chosen = [source for source in self.sources if source.answers_to(star.qualifier)]
            if len(chosen) != 1:
                raise self._unknown_table(star.qualifier)
            for column in chosen[0].columns:
                yield ColumnRef(chosen[0].number, column, span=star.span)
            return
        for value, _ in self.merged.values():
            yield value
        for source in self.sources:
            for column in source.columns:
                merged = self.merged.get(column.name.lower())
                if merged is None or source.number not in merged[1]:
                    yield ColumnRef(source.number, column, span=star.span)

    def names(self) -> list[str]:
        """Return the names of all columns in sight, for suggestions."""
        own = [column.name for source in self.sources for column in source.columns]
        return own if self.parent is None else own + self.parent.names()

    def unknown(self, name: Name) -> QueryError:
        """Return the error for a name that means nothing here."""
        *qualifier, last = name.parts
        if qualifier:
            chosen = [source for scope in self._chain() for source in scope.sources if source.answers_to(qualifier)]
            if not chosen:
                return self._unknown_table(qualifier)
            sources, place, known = chosen, f"in {chosen[0].alias}", [column.name for column in chosen[0].columns]
        else:
            here = [source.alias for source in self.sources]
            sources = [source for scope in self._chain() for source in scope.sources]
            place, known = f"in {' or '.join(here)}" if here else "here, without FROM", self.names()
        exact = [candidate for candidate in known if candidate.lower() == last.text.lower()]
        if exact and last.delimited:
            message = f'there is no column "{last.text}" {place}; names in double quotes are case-sensitive.'
            return error_at(QueryNameError, message, last.span, remedy=f'Write "{exact[0]}".')
        if unserved := next(filter(None, (source.unserved(last) for source in sources)), None):
            return error_at(QueryNameError, unserved, last.span)
        hint = did_you_mean(last.text, known)
        if hint is None and last.delimited:
            hint = "Texts are written in single quotes."
        if hint is None and not qualifier and not self.sources and self.parent is None:
            hint = "FROM, after the select list, names the table."
        return error_at(QueryNameError, f"there is no column '{last.text}' {place}.", last.span, remedy=hint)

    def _chain(self) -> Iterator["Scope"]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def _unknown_table(self, qualifier: Sequence[Identifier]) -> QueryError:
        written = ".".join(part.text for part in qualifier)
        sources = [source for scope in self._chain() for source in scope.sources]
        for source in sources:
            if source.renamed and source.table is not None and same_name(qualifier[-1], source.table.name):
                message = f"'{written}' is called {source.alias} in this query."
                return error_at(QueryNameError, message, qualifier[0].span, remedy=f"Write {source.alias} instead.")
        aliases = [source.alias for source in sources]
        if sum(source.answers_to(qualifier) for source in sources) > 1:
            message = f"several tables of FROM are called '{written}'."
            return error_at(QueryNameError, message, qualifier[0].span, remedy="Give them aliases.")
        hint = did_you_mean(written, aliases) or (f"FROM has {', '.join(aliases)}." if aliases else None)
        return error_at(QueryNameError, f"there is no table '{written}' in FROM.", qualifier[0].span, remedy=hint)


def _ambiguous(name: Name, sources: Sequence[Source]) -> QueryNameError:
    last = name.parts[-1]
    choices = " or ".join(f"{source.alias}.{last.text}" for source in sources[:4])
    return error_at(QueryNameError, f"'{last.text}' is ambiguous.", last.span, remedy=f"Write {choices}.")
