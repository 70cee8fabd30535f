"""Resolved trees to DuckDB SQL.

Nothing of the user's text gets here but literals and names of columns, both quoted anew. FROM items are called ``t0``,
``t1``, ... by their source numbers, common tables ``w0``, ``w1``, ...; every operation stands in parentheses.
"""

from collections import defaultdict
from collections.abc import Mapping

from ..models.query import PARTIAL_ROWS, TableScan
from ..models.schema import Column
from ..models.tree import (
    ColumnRef,
    CommonTableRef,
    Expr,
    FromItem,
    FunctionCall,
    Join,
    JoinKind,
    Query,
    Select,
    SetOperation,
    SubqueryRef,
    TableName,
    TableRef,
    With,
)
from ..models.walk import all_nodes
from .emit_expr import ExpressionWriter
from .emit_from import position_columns, scan_sql
from .emit_healpix import stored_index
from .emit_near import NearJoin, near_join, near_outside
from .emit_stored import StoredColumnWriter, stored_conditions
from .sqltext import quoted
from .windows import order_sql

__all__ = ["emit_query"]


def emit_query(tree: Query, scans: Mapping[int, TableScan], *, limit: int | None) -> str:
    """Return one SELECT for a resolved tree, of at most `limit` rows."""
    return _Emitter(tree, scans).top(tree, limit)


class _Emitter:
    """Writes one query; knows which columns of each base table it uses."""

    def __init__(self, tree: Query, scans: Mapping[int, TableScan]) -> None:
        self._scans = scans
        self._common = {PARTIAL_ROWS: quoted(PARTIAL_ROWS)}
        self._used: defaultdict[int, dict[str, Column]] = defaultdict(dict)
        nodes = all_nodes(tree)
        self._has_outer_join = any(isinstance(node, Join) and node.kind.is_outer for node in nodes)
        for node in nodes:
            if isinstance(node, ColumnRef):
                self._used[node.source][node.column.name] = node.column
        self._positions = position_columns(nodes)
        for node in nodes:
            index = stored_index(node, scans)
            if index is not None:
                assert isinstance(node, FunctionCall)
                self._used[index.source][index.column.name] = index.column
                self._positions.indexes[node] = index
        self._conditions: defaultdict[int, list[str]] = defaultdict(list)

    def top(self, tree: Query, limit: int | None) -> str:
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
        write = ExpressionWriter(self.query, self._positions, select.group_by).value
        stored = StoredColumnWriter(self.query, self._positions).value
        for source, condition in stored_conditions(select):
            self._conditions[source].append(stored(condition))
        values = [write(item.expr) for item in select.items]
        items = ", ".join(
            f"{value} AS {quoted(item.column.name)}"
            for value, item in zip(values, select.items, strict=True)
            if item.column is not None
        )
        parts = [f"SELECT {'DISTINCT ' if select.distinct else ''}{items}"]
        near = near_outside(select)
        if near is not None:
            parts += self._near_outside(select, near)
        elif select.source is not None:
            parts.append(f"FROM {self._from(select.source)}")
        if near is None and select.where is not None:
            parts.append(f"WHERE {self._write(select.where)}")
        if select.group_by:
            keys = ", ".join(write(key) for key in select.group_by)
            parts.append(f"GROUP BY ROLLUP ({keys})" if select.rollup else f"GROUP BY {keys}")
        having = ["count(*) > 0"] if select.rollup else []  # MySQL has no sum of no rows
        having += [] if select.having is None else [write(select.having)]
        if having:
            parts.append(f"HAVING {' AND '.join(having)}")
        # of distinct rows nothing is left out beforehand, and they are ordered by their columns only
        hidden = values if self._has_outer_join and not select.distinct else None
        return " ".join([*parts, *order_sql(select.order_by, write, hidden), *_cut(select, limit)])

    def _write(self, expr: Expr) -> str:
        """Return an expression of single rows: of WHERE or ON."""
        return ExpressionWriter(self.query, self._positions).value(expr)

    def _set_operation(self, query: SetOperation, limit: int | None) -> str:
        word = f"{query.op} ALL" if query.all else query.op
        combined, hidden = f"({self.query(query.left)}) {word} ({self.query(query.right)})", None
        if self._has_outer_join and any(item.nulls_first for item in query.order_by):
            combined, hidden = f'SELECT * FROM ({combined}) AS "u"', _columns_of(query)  # noqa: S608  # our own
        return " ".join([combined, *order_sql(query.order_by, self._write, hidden), *_cut(query, limit)])

    # --- FROM ---

    def _from(self, item: FromItem) -> str:
        match item:
            case TableRef(source=source):
                columns = [column for _, column in sorted(self._used[source].items())]
                return f'({scan_sql(self._scans[source], columns, self._conditions[source])}) AS "t{source}"'
            case SubqueryRef(source=source, query=query):
                return f'({self.query(query)}) AS "t{source}"'
            case CommonTableRef(source=source, name=name):
                return f'{self._common[name]} AS "t{source}"'
            case Join(kind=JoinKind.CROSS, left=left, right=right):
                return f"({self._from(left)} CROSS JOIN {self._from(right)})"
            case Join(kind=kind, left=left, right=right, on=on):
                assert on is not None
                near = near_join(item, self._scans)
                if near is not None:
                    return self._near_join(item, near)
                return f"({self._from(left)} {kind.value} JOIN {self._from(right)} ON {self._write(on)})"
            case TableName():
                raise TypeError(item)

    def _near_outside(self, select: Select, near: NearJoin) -> list[str]:
        """Return FROM and WHERE of a subquery whose rows lie close to one outside: found by cells, tested as it is."""
        assert select.source is not None
        assert select.where is not None
        write = ExpressionWriter(self.query, self._positions)
        name = f'"t{near.repeated_source}"'
        item = near.cells.repeated(self._from(select.source), name, write.position(near.repeated), near.column)
        meets = near.cells.meets(write.position(near.point), name, near.column)
        return [f"FROM {item}", f"WHERE ({meets} AND {write.value(select.where)})"]

    def _near_join(self, join: Join, near: NearJoin) -> str:
        """Return a join whose pairs are found by cells; ON is tested of them as it is."""
        assert join.on is not None
        write = ExpressionWriter(self.query, self._positions)
        name = f'"t{near.repeated_source}"'
        left, right = self._from(join.left), self._from(join.right)
        item = left if near.repeats_left else right
        repeated = near.cells.repeated(item, name, write.position(near.repeated), near.column)
        left, right = (repeated, right) if near.repeats_left else (left, repeated)
        meets = near.cells.meets(write.position(near.point), name, near.column)
        return f"({left} {join.kind.value} JOIN {right} ON ({meets} AND {write.value(join.on)}))"


def _columns_of(query: Query) -> list[str]:
    """Return the columns of a set operation called ``u``: those of its first SELECT."""
    while isinstance(query, SetOperation):
        query = query.left
    assert isinstance(query, Select)
    return [f'"u".{quoted(item.column.name)}' for item in query.items if item.column is not None]


def _cut(query: Select | SetOperation, limit: int | None) -> list[str]:
    """Return LIMIT and OFFSET: a query skips OFFSET rows, then takes TOP of them, of which `limit` are asked for."""
    cuts = [cut for cut in (query.top, limit) if cut is not None]
    limits = [f"LIMIT {min(cuts)}"] if cuts else []
    return [*limits, f"OFFSET {query.offset}"] if query.offset else limits
