"""Resolved trees to DuckDB SQL.

Nothing of the user's text gets here but literals and names of columns, both quoted anew. FROM items are called ``t0``,
``t1``, ... by their source numbers, common tables ``w0``, ``w1``, ...; every operation stands in parentheses.
"""

from collections import defaultdict
from collections.abc import Mapping

from ..models.query import TableScan
from ..models.schema import Column
from ..models.tree import (
    ColumnRef,
    CommonTableRef,
    Expr,
    FromItem,
    IntegerLiteral,
    Join,
    JoinKind,
    OrderItem,
    Query,
    Select,
    SetOperation,
    SubqueryRef,
    TableName,
    TableRef,
    With,
)
from .emit_expr import ExpressionWriter
from .emit_from import scan_sql
from .rewrite import walk
from .sqltext import quoted

__all__ = ["emit_query"]


def emit_query(tree: Query, scans: Mapping[int, TableScan], *, limit: int) -> str:
    """Return one SELECT for a resolved tree, of at most `limit` rows."""
    return _Emitter(tree, scans).top(tree, limit)


class _Emitter:
    """Writes one query; knows which columns of each base table it uses."""

    def __init__(self, tree: Query, scans: Mapping[int, TableScan]) -> None:
        self._scans = scans
        self._common: dict[str, str] = {}
        used: defaultdict[int, dict[str, Column]] = defaultdict(dict)
        finite: set[tuple[int, str]] = set()
        for node in walk(tree):
            if isinstance(node, ColumnRef):
                used[node.source][node.column.name] = node.column
            elif isinstance(node, TableRef) and node.table.position is not None:
                position = node.table.position
                finite |= {(node.source, position.ra), (node.source, position.dec)}
        self._used = used
        self._expressions = ExpressionWriter(self.query, finite)

    def top(self, tree: Query, limit: int) -> str:
        """Return a whole query, cut after `limit` rows."""
        if not isinstance(tree, With):
            return self.query(tree, limit)
        tables = []
        for number, table in enumerate(tree.tables):
            tables.append(f'"w{number}" AS ({self.query(table.query)})')
            self._common[table.name.text] = f'"w{number}"'
        return f"WITH {', '.join(tables)} {self.query(tree.body, limit)}"

    def query(self, query: Query, limit: int | None = None) -> str:
        """Return a query, cut after its own TOP and `limit` rows, whichever is less."""
        match query:
            case Select():
                return self._select(query, limit)
            case SetOperation():
                return self._set_operation(query, limit)
            case With():
                raise TypeError(query)

    def _select(self, select: Select, limit: int | None) -> str:
        items = ", ".join(
            f"{self._value(item.expr)} AS {quoted(item.column.name)}" for item in select.items if item.column is not None
        )
        parts = [f"SELECT {'DISTINCT ' if select.distinct else ''}{items}"]
        if select.source is not None:
            parts.append(f"FROM {self._from(select.source)}")
        if select.where is not None:
            parts.append(f"WHERE {self._value(select.where)}")
        if select.group_by:
            parts.append(f"GROUP BY {', '.join(self._value(key) for key in select.group_by)}")
        if select.having is not None:
            parts.append(f"HAVING {self._value(select.having)}")
        return " ".join(parts + self._ending(select, limit))

    def _set_operation(self, query: SetOperation, limit: int | None) -> str:
        word = f"{query.op} ALL" if query.all else query.op
        combined = f"({self.query(query.left)}) {word} ({self.query(query.right)})"
        return " ".join([combined, *self._ending(query, limit)])

    def _ending(self, query: Select | SetOperation, limit: int | None) -> list[str]:
        parts = []
        if query.order_by:
            parts.append(f"ORDER BY {', '.join(self._order_key(item) for item in query.order_by)}")
        cuts = [cut for cut in (query.top, limit) if cut is not None]
        if cuts:
            parts.append(f"LIMIT {min(cuts)}")
        if query.offset:
            parts.append(f"OFFSET {query.offset}")
        return parts

    def _order_key(self, item: OrderItem) -> str:
        """Return a sort key; NULLs come last in either direction unless the query says otherwise."""
        key = str(item.expr.value) if isinstance(item.expr, IntegerLiteral) else self._value(item.expr)
        direction = "DESC" if item.descending else "ASC"
        return f"{key} {direction} NULLS {'FIRST' if item.nulls_first else 'LAST'}"

    def _value(self, expr: Expr) -> str:
        return self._expressions.value(expr)

    # --- FROM ---

    def _from(self, item: FromItem) -> str:
        match item:
            case TableRef(source=source):
                scan = self._scans[source]
                return f'({scan_sql(scan, list(self._used[source].values()))}) AS "t{source}"'
            case SubqueryRef(source=source, query=query):
                return f'({self.query(query)}) AS "t{source}"'
            case CommonTableRef(source=source, name=name):
                return f'{self._common[name]} AS "t{source}"'
            case Join(kind=JoinKind.CROSS, left=left, right=right):
                return f"({self._from(left)} CROSS JOIN {self._from(right)})"
            case Join(kind=kind, left=left, right=right, on=on):
                assert on is not None
                return f"({self._from(left)} {kind.value} JOIN {self._from(right)} ON {self._value(on)})"
            case TableName():
                raise TypeError(item)
