"""Names to references: a tree of names becomes one of tables and columns that the caller may read.

A SELECT is resolved from the inside out: FROM first, since it says what names mean, then each clause, whose expressions
go through the passes of its dialect, then the whole. FROM items are numbered through the whole query.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from ..exceptions import QueryNameError, QueryRefusedError, QueryTypeError
from ..models.query import ParsedQuery, ResolvedQuery
from ..models.schema import Column, Table
from ..models.tree import (
    Aggregate,
    ColumnRef,
    CommonTable,
    CommonTableRef,
    Exists,
    Expr,
    FromItem,
    Identifier,
    InQuery,
    IntegerLiteral,
    Join,
    JoinKind,
    Name,
    NullLiteral,
    OrderItem,
    Query,
    ScalarQuery,
    Select,
    SelectItem,
    SetOperation,
    ShowColumns,
    Star,
    SubqueryRef,
    TableName,
    TableRef,
    With,
)
from .dialects import DIALECTS, Dialect, Note
from .errors import did_you_mean, error_at
from .mysql_statements import columns_text
from .outputs import Outputs
from .passes.aggregates import refuse_aggregates
from .passes.check import require_condition, require_sortable
from .passes.describe import describe_items, output_name, repeated
from .passes.joins import expand_join
from .passes.operands import align_operands
from .passes.windows import refuse_windows
from .qserv import parse_qserv
from .rewrite import LITERALS, map_children, walk_expression
from .scope import Scope, Source, same_name
from .types import query_columns

__all__ = ["SchemaView", "resolve_query"]


class SchemaView(Protocol):
    """The schemas that one caller may read; what the caller may not read does not exist here."""

    def find(self, schema: str | None, table: str) -> Sequence[Table]:
        """Return the visible tables of that name, ignoring case; without a schema, of any schema."""

    def table_names(self) -> Iterable[str]:
        """Return all visible names as ``schema.table``, for suggestions."""


def resolve_query(parsed: ParsedQuery, view: SchemaView) -> ResolvedQuery:
    """Return the tree of references for a tree of names.

    Raises
    ------
    QueryError
        If a name means nothing or too much, types do not fit, or something is not supported.
    """
    notes = dict.fromkeys(parsed.relaxations)
    resolver = _Resolver(view, notes.setdefault, DIALECTS[parsed.language])
    tree = resolver.described(parsed.tree) if isinstance(parsed.tree, ShowColumns) else resolver.top(parsed.tree)
    return ResolvedQuery(tree, query_columns(tree), tuple(sorted(notes)))


class _Resolver:
    """Resolves one query; keeps the count of FROM items and the common tables."""

    def __init__(self, view: SchemaView, note: Note, dialect: Dialect) -> None:
        self._view = view
        self._note = note
        self._dialect = dialect
        self._sources = 0
        self._common: dict[str, tuple[str, Query]] = {}

    def described(self, show: ShowColumns) -> Query:
        """Resolve the query that lists the columns of a table."""
        tree = parse_qserv(columns_text(self._base_table(show.table), full=show.full)).tree
        assert not isinstance(tree, ShowColumns)
        return self.top(tree)

    def top(self, tree: Query) -> Query:
        """Resolve a whole query."""
        if not isinstance(tree, With):
            return self._query(tree, None)
        tables = []
        for table in tree.tables:
            folded = table.name.text.lower()
            if folded in self._common:
                message = f"WITH defines '{table.name.text}' twice."
                raise error_at(QueryNameError, message, table.name.span)
            query = self._query(table.query, None)
            self._common[folded] = (table.name.text, query)
            tables.append(CommonTable(table.name, query, span=table.span))
        return replace(tree, tables=tuple(tables), body=self._query(tree.body, None))

    def _query(self, query: Query, parent: Scope | None) -> Query:
        match query:
            case Select():
                return self._select(query, parent)
            case SetOperation():
                return self._set_operation(query, parent)
            case With():
                raise error_at(QueryRefusedError, "WITH stands only at the beginning of a query.", query.span)

    # --- SELECT ---

    def _select(self, select: Select, parent: Scope | None) -> Select:
        source, scope = self._from(select.source, parent)
        items = tuple(self._item(part, scope) for item in select.items for part in _expanded(item, scope))
        outputs = Outputs(items)
        asked = None if select.where is None else self._dialect.where(select.where, source)
        where = self._condition(asked, scope, "WHERE", outputs)
        refuse_aggregates(where, "WHERE")
        refuse_windows(where, "WHERE")
        resolved = replace(
            select,
            items=items,
            source=source,
            where=where,
            group_by=tuple(self._group_key(key, scope, outputs) for key in select.group_by),
            having=self._condition(select.having, scope, "HAVING", outputs),
            order_by=tuple(self._order_item(item, scope, outputs) for item in select.order_by),
        )
        for change in self._dialect.select_passes:
            resolved = change(resolved, self._note)
        return describe_items(resolved)

    def _item(self, item: SelectItem, scope: Scope) -> SelectItem:
        if isinstance(item.expr, ColumnRef):  # of a star
            return item
        return replace(item, expr=self._dialect.value(self._expression(item.expr, scope)))

    def _expression(self, expr: Expr, scope: Scope, outputs: Outputs | None = None, clause: str = "") -> Expr:
        """Resolve one expression of a SELECT.

        With `outputs`, a name that means no column may mean an item of the select list.
        """
        resolved = self._names(expr, scope, outputs, clause)
        for change in self._dialect.expression_passes:
            resolved = change(resolved, self._note)
        return resolved

    def _names(self, expr: Expr, scope: Scope, outputs: Outputs | None, clause: str) -> Expr:
        match expr:
            case Name():
                return self._name(expr, scope, outputs, clause)
            case Aggregate() if clause in self._dialect.aliases_first:
                outputs = None  # inside, names mean columns
            case ScalarQuery(query=query) | InQuery(query=query) | Exists(query=query):
                expr = replace(expr, query=self._query(query, scope))
            case _:
                pass
        return map_children(expr, lambda child: self._names(child, scope, outputs, clause))

    def _name(self, name: Name, scope: Scope, outputs: Outputs | None, clause: str) -> Expr:
        item = None if outputs is None else outputs.find(name)
        if item is not None and clause in self._dialect.aliases_first:
            return item.expr
        found = scope.find(name)
        if found is not None:
            return found
        if item is None:
            raise scope.unknown(name)
        if clause == "WHERE":
            message = f"'{name.parts[0].text}' is an alias of the select list, which WHERE cannot use."
            raise error_at(QueryNameError, message, name.span, remedy="Repeat its expression.")
        self._note(f"alias in {clause}")
        return item.expr

    def _condition(self, expr: Expr | None, scope: Scope, clause: str, outputs: Outputs | None) -> Expr | None:
        if expr is None:
            return None
        resolved = self._dialect.condition(self._expression(expr, scope, outputs, clause))
        require_condition(resolved)
        return resolved

    def _group_key(self, key: Expr, scope: Scope, outputs: Outputs) -> Expr:
        if isinstance(key, IntegerLiteral):
            self._note("position in GROUP BY")
            return outputs.at(key, "GROUP BY").expr
        resolved = self._expression(key, scope, outputs, "GROUP BY")
        require_sortable(resolved, "GROUP BY")
        return resolved

    def _order_item(self, item: OrderItem, scope: Scope, outputs: Outputs) -> OrderItem:
        """Resolve a sort key: a position, the name of a result column, or an expression of the rows."""
        key = item.expr
        if isinstance(key, IntegerLiteral):
            outputs.at(key, "ORDER BY")
            return item
        position = outputs.position(key) if isinstance(key, Name) else None
        if position is not None:
            return replace(item, expr=IntegerLiteral(position, span=key.span))
        resolved = self._expression(key, scope, outputs, "an expression of ORDER BY")
        if isinstance(resolved, LITERALS):  # also what folds to an integer, which is no position
            raise error_at(QueryTypeError, "ORDER BY takes columns, expressions and positions.", key.span)
        return replace(item, expr=resolved)

    # --- set operations ---

    def _set_operation(self, query: SetOperation, parent: Scope | None) -> Query:
        left, right = self._query(query.left, parent), self._query(query.right, parent)
        left, right = align_operands(query, left, right, self._next_source)
        outputs = Outputs([SelectItem(NullLiteral(), Identifier(c.name), c) for c in query_columns(left)])
        order_by = tuple(self._set_order(item, outputs) for item in query.order_by)
        return self._dialect.sets(replace(query, left=left, right=right, order_by=order_by), self._next_source)

    def _set_order(self, item: OrderItem, outputs: Outputs) -> OrderItem:
        key = item.expr
        if isinstance(key, IntegerLiteral):
            outputs.at(key, "ORDER BY")
            return item
        position = outputs.position(key) if isinstance(key, Name) else None
        if position is None:
            message = "ORDER BY after a set operation takes names and positions of result columns."
            raise error_at(QueryNameError, message, key.span)
        return replace(item, expr=IntegerLiteral(position, span=key.span))

    # --- FROM ---

    def _next_source(self) -> int:
        self._sources += 1
        return self._sources - 1

    def _from(self, item: FromItem | None, parent: Scope | None) -> tuple[FromItem | None, Scope]:
        if item is None:
            return None, Scope((), parent=parent)
        resolved, scope = self._from_item(item, parent)
        return resolved, scope

    def _from_item(self, item: FromItem, parent: Scope | None) -> tuple[FromItem, Scope]:
        match item:
            case Join():
                return self._join(item, parent)
            case TableName():
                return self._table(item, parent)
            case SubqueryRef(query=query, alias=alias):
                inner = self._query(query, parent)
                columns, number = query_columns(inner), self._next_source()
                source = _derived(number, alias.text, columns, inner)
                return replace(item, query=inner, source=number, columns=columns), Scope((source,), parent=parent)
            case TableRef() | CommonTableRef():
                raise TypeError(item)

    def _table(self, name: TableName, parent: Scope | None) -> tuple[FromItem, Scope]:
        common = self._common_table(name)
        if common is not None:
            defined, query = common
            alias = name.alias.text if name.alias else defined
            columns, number = query_columns(query), self._next_source()
            reference = CommonTableRef(number, defined, alias, columns, span=name.span)
            return reference, Scope((_derived(number, alias, columns, query),), parent=parent)
        table = self._base_table(name)
        alias = name.alias.text if name.alias else table.name
        number = self._next_source()
        names = {**self._dialect.pseudo_columns(table), **table.columns_by_folded_name}
        source = Source(number, alias, table.columns, names, table, renamed=name.alias is not None)
        return TableRef(number, table, alias, span=name.span), Scope((source,), parent=parent)

    def _common_table(self, name: TableName) -> tuple[str, Query] | None:
        if len(name.parts) != 1:
            return None
        found = self._common.get(name.parts[0].text.lower())
        return found if found is not None and same_name(name.parts[0], found[0]) else None

    def _base_table(self, name: TableName) -> Table:
        *qualifier, last = name.parts
        written = ".".join(part.text for part in name.parts)
        if len(qualifier) > 1:
            message = f"'{written}' has too many parts; tables are called schema.table."
            raise error_at(QueryNameError, message, name.span)
        found = self._view.find(qualifier[0].text if qualifier else None, last.text)
        found = [table for table in found if same_name(last, table.name)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(table.full_name for table in found[:4])
            raise error_at(QueryNameError, f"'{written}' is ambiguous.", name.span, remedy=f"Write {choices}.")
        known = [*self._view.table_names(), *(defined for defined, _ in self._common.values())]
        hint = did_you_mean(written, known) or did_you_mean(last.text, known)
        raise error_at(QueryNameError, f"there is no table '{written}'.", name.span, remedy=hint)

    def _join(self, join: Join, parent: Scope | None) -> tuple[FromItem, Scope]:
        left, left_scope = self._from_item(join.left, parent)
        right, right_scope = self._from_item(join.right, parent)
        condition, scope = expand_join(join, left_scope, right_scope, parent)
        on = self._condition(condition, scope, "ON", None)
        refuse_aggregates(on, "ON")
        refuse_windows(on, "ON")
        kind = JoinKind.CROSS if on is None and join.kind is JoinKind.INNER else join.kind
        if on is not None and kind is not JoinKind.INNER:
            _refuse_subqueries(on)
        return replace(join, kind=kind, left=left, right=right, on=on, using=(), natural=False), scope


def _expanded(item: SelectItem, scope: Scope) -> list[SelectItem]:
    """Return `item`, or the items that its star stands for."""
    if not isinstance(item.expr, Star):
        return [item]
    items = [SelectItem(value, span=item.span) for value in scope.star(item.expr)]
    if not items:
        raise error_at(QueryNameError, "* needs a FROM.", item.span)
    return items


def _derived(number: int, alias: str, columns: tuple[Column, ...], query: Query) -> Source:
    while not isinstance(query, Select):
        query = query.left if isinstance(query, SetOperation) else query.body
    names = [output_name(item, index) for index, item in enumerate(query.items, start=1)]
    by_folded_name = {column.name.lower(): column for column in columns}
    return Source(number, alias, columns, by_folded_name, ambiguous=repeated(names))


def _refuse_subqueries(on: Expr) -> None:
    for part in walk_expression(on):
        if isinstance(part, ScalarQuery | InQuery | Exists):
            message = "a subquery in ON of an outer join is not supported."
            raise error_at(QueryRefusedError, message, part.span, remedy="Use it in WHERE or in a derived table.")
