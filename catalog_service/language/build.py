"""Queries to nodes: what the parser makes of each rule of the grammar.

Called bottom-up by the parser, so that no text, however deep, is built by recursion.
"""

from typing import Any, Final

from ..exceptions import QuerySyntaxError
from ..models.tree import (
    CommonTable,
    FromItem,
    Identifier,
    Join,
    JoinKind,
    OrderItem,
    Query,
    Select,
    SelectItem,
    SetOperation,
    Star,
    SubqueryRef,
    TableName,
    With,
)
from .build_base import Clause, span_of
from .build_expr import ExpressionBuilder
from .build_window import WindowBuilder
from .errors import error_at
from .lexer import Word

__all__ = ["Parts", "TreeBuilder", "count_of"]

Parts = list[Any]

_MAX_COUNT: Final = 2**62
"""TOP and OFFSET beyond it mean the same as it."""


class TreeBuilder(ExpressionBuilder, WindowBuilder):
    """Builds query trees of names."""

    def with_query(self, parts: Parts) -> Query:
        """Build ``WITH a AS (...) SELECT ...``."""
        tables = tuple(part for part in parts if isinstance(part, CommonTable))
        return With(tables, parts[-1], span=span_of(parts))

    def common_table(self, parts: Parts) -> CommonTable:
        """Build ``a AS (SELECT ...)``."""
        return CommonTable(parts[0], parts[2], span=span_of(parts))

    def body(self, parts: Parts) -> Query:
        """Build a query with what sorts and cuts it."""
        clauses = _by_tag(parts[1:])
        inner = parts[0]
        if isinstance(inner, Clause):
            query: Query = inner.value
            if not clauses:
                return query
            inner = query if _is_bare(query) else _around(query)
        limit = clauses.get("limit")
        top = inner.top if limit is None else limit.value
        if limit is not None and inner.top is not None:
            raise error_at(QuerySyntaxError, "a query has either TOP or LIMIT, not both.", limit.span)
        order_by = clauses["order_by"].value if "order_by" in clauses else ()
        offset = clauses["offset"].value if "offset" in clauses else None
        if isinstance(inner, SetOperation):
            return SetOperation(
                inner.op, inner.all, inner.left, inner.right, order_by, top, offset, span=span_of(parts)
            )
        assert isinstance(inner, Select)
        return Select(
            inner.items,
            inner.source,
            inner.where,
            inner.group_by,
            inner.having,
            order_by,
            inner.distinct,
            top,
            offset,
            inner.rollup,
            span=span_of(parts),
        )

    def parenthesised(self, parts: Parts) -> Clause:
        """Build ``(SELECT ...)`` as an operand, or alone."""
        return Clause("parenthesised", parts[0], parts[0].span)

    def set_operation(self, parts: Parts) -> Query:
        """Build ``a UNION [ALL] b``."""
        every = isinstance(parts[2], Word)
        left, right = (part.value if isinstance(part, Clause) else part for part in (parts[0], parts[-1]))
        return SetOperation(parts[1].type, every, left, right, span=span_of(parts))

    def select(self, parts: Parts) -> Query:
        """Build ``SELECT ... FROM ... WHERE ...``."""
        clauses = _by_tag([part for part in parts if isinstance(part, Clause)])
        values = {tag: clause.value for tag, clause in clauses.items()}
        return Select(
            tuple(part for part in parts if isinstance(part, SelectItem)),
            values.get("from"),
            values.get("where"),
            values.get("group_by", values.get("rollup", ())),
            values.get("having"),
            distinct=isinstance(parts[1], Word) and parts[1].type == "DISTINCT",
            top=values.get("top"),
            rollup="rollup" in values,
            span=span_of(parts),
        )

    def top(self, parts: Parts) -> Clause:
        """Build ``TOP n``."""
        return Clause("top", count_of(parts[1]), span_of(parts))

    def offset(self, parts: Parts) -> Clause:
        """Build ``OFFSET n``."""
        return Clause("offset", count_of(parts[1]), span_of(parts))

    def limit(self, parts: Parts) -> Clause:
        """Build ``LIMIT n``."""
        return Clause("limit", count_of(parts[1]), span_of(parts))

    def star(self, parts: Parts) -> SelectItem:
        """Build ``*``."""
        span = parts[0].span
        return SelectItem(Star(span=span), span=span)

    def qualified_star(self, parts: Parts) -> SelectItem:
        """Build ``t.*``."""
        span = span_of(parts)
        return SelectItem(Star(tuple(parts[:-1]), span=span), span=span)

    def select_item(self, parts: Parts) -> SelectItem:
        """Build ``a [[AS] b]``."""
        alias = parts[-1] if len(parts) > 1 else None
        return SelectItem(parts[0], alias, span=span_of(parts))

    def where(self, parts: Parts) -> Clause:
        """Build ``WHERE a``."""
        return Clause("where", self.condition(parts[1]), span_of(parts))

    def group_by(self, parts: Parts) -> Clause:
        """Build ``GROUP BY a, b``."""
        return Clause("group_by", tuple(parts[2:]), span_of(parts))

    def having(self, parts: Parts) -> Clause:
        """Build ``HAVING a``."""
        return Clause("having", self.condition(parts[1]), span_of(parts))

    def order_by(self, parts: Parts) -> Clause:
        """Build ``ORDER BY a, b``."""
        return Clause("order_by", tuple(parts[2:]), span_of(parts))

    def order_item(self, parts: Parts) -> OrderItem:
        """Build ``a [ASC | DESC] [NULLS FIRST | LAST]``."""
        words = {part.type for part in parts[1:]}
        nulls_first = "FIRST" in words if "NULLS" in words else None
        return OrderItem(parts[0], descending="DESC" in words, nulls_first=nulls_first, span=span_of(parts))

    # --- FROM ---

    def from_clause(self, parts: Parts) -> Clause:
        """Build ``FROM a, b``: commas are cross joins."""
        item: FromItem = parts[1]
        for right in parts[2:]:
            item = Join(JoinKind.CROSS, item, right, span=right.span)
        return Clause("from", item, span_of(parts))

    def table_name(self, parts: Parts) -> FromItem:
        """Build ``schema.table [[AS] alias]``."""
        names = tuple(part for part in parts if isinstance(part, Identifier))
        alias = parts[-1].value if isinstance(parts[-1], Clause) else None
        return TableName(names, alias, span=span_of(names))

    def alias(self, parts: Parts) -> Clause:
        """Build the name a table goes by in the query."""
        return Clause("alias", parts[0], parts[0].span)

    def derived_table(self, parts: Parts) -> FromItem:
        """Build ``(SELECT ...) [AS] alias``."""
        return SubqueryRef(parts[0], parts[-1], span=parts[-1].span)

    def qualified_join(self, parts: Parts) -> FromItem:
        """Build ``a [LEFT] JOIN b [ON c | USING (d)]``; an inner join without a condition is a cross join."""
        clauses = _by_tag([part for part in parts if isinstance(part, Clause)])
        kind = clauses["kind"].value if "kind" in clauses else JoinKind.INNER
        word = next(part for part in parts if isinstance(part, Word))
        left, right = parts[0], parts[-2] if isinstance(parts[-1], Clause) else parts[-1]
        on = clauses["on"].value if "on" in clauses else None
        using = clauses["using"].value if "using" in clauses else ()
        if on is None and not using and kind is not JoinKind.INNER:
            message = f"a {kind.value} JOIN needs ON or USING."
            raise error_at(QuerySyntaxError, message, word.span)
        return Join(kind, left, right, on, using, span=word.span)

    def natural_join(self, parts: Parts) -> FromItem:
        """Build ``a NATURAL [LEFT] JOIN b``."""
        kinds = [part.value for part in parts if isinstance(part, Clause)]
        return Join(kinds[0] if kinds else JoinKind.INNER, parts[0], parts[-1], natural=True, span=parts[1].span)

    def cross_join(self, parts: Parts) -> FromItem:
        """Build ``a CROSS JOIN b``."""
        return Join(JoinKind.CROSS, parts[0], parts[-1], span=parts[1].span)

    def join_kind(self, parts: Parts) -> Clause:
        """Build ``INNER``, ``LEFT OUTER``, ..."""
        return Clause("kind", JoinKind(parts[0].type), span_of(parts))

    def on(self, parts: Parts) -> Clause:
        """Build ``ON a``."""
        return Clause("on", self.condition(parts[1]), span_of(parts))

    def using(self, parts: Parts) -> Clause:
        """Build ``USING (a, b)``."""
        return Clause("using", tuple(parts[1:]), span_of(parts))


def _is_bare(query: Query) -> bool:
    """Return whether a query in parentheses is neither sorted nor cut, so that what follows them may do so."""
    return not isinstance(query, With) and not query.order_by and query.top is None and query.offset is None


def _around(query: Query) -> Select:
    """Return the query that gives the rows of `query`, to be sorted and cut once more."""
    derived = SubqueryRef(query, Identifier("q"), span=query.span)
    return Select((SelectItem(Star(span=query.span), span=query.span),), derived, span=query.span)


def _by_tag(clauses: list[Clause]) -> dict[str, Clause]:
    found: dict[str, Clause] = {}
    for clause in clauses:
        if clause.tag in found:
            raise error_at(QuerySyntaxError, f"{clause.tag.upper()} is given twice.", clause.span)
        found[clause.tag] = clause
    return found


def count_of(word: Word) -> int:
    """Return the number of rows that an unsigned integer means."""
    return _MAX_COUNT if len(word.value) > 18 else int(word.value)
