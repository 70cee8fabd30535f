"""Which parts of a condition name ids, integers or texts, of an indexed column.

As with regions, what is not recognised bounds nothing. The ids are looked up elsewhere, since that reads from disk.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from ..models.comparisons import long_value
from ..models.ids import MOST_IDS, IdBound
from ..models.query import ResolvedQuery
from ..models.schema import DataType, Table
from ..models.stored import StoredTable
from ..models.tree import (
    Between,
    ColumnRef,
    Comparison,
    Expr,
    InList,
    Or,
    Select,
    StringLiteral,
)
from ..models.walk import all_nodes, base_tables, on_clauses
from .regions import conjuncts

__all__ = ["condition_ids", "wanted_ids"]

Column = tuple[int, str]
"""Source and column."""

Ids = tuple[int, ...] | tuple[str, ...]


def wanted_ids(query: ResolvedQuery, lookup: Callable[[Table], StoredTable]) -> tuple[IdBound, ...]:
    """Return the ids that `query` names, of columns that have an index; each once."""
    found: dict[IdBound, None] = {}
    for node in all_nodes(query.tree):
        if isinstance(node, Select) and node.source is not None:
            tables = {ref.source: lookup(ref.table) for ref in base_tables(node.source)}
            for condition in (node.where, *on_clauses(node.source)):
                found |= dict.fromkeys(condition_ids(condition, tables))
    return tuple(found)


def condition_ids(condition: Expr | None, tables: Mapping[int, StoredTable]) -> Iterator[IdBound]:
    """Yield what `condition` demands of indexed columns, by ``=``, IN, BETWEEN and OR of ids of one column."""
    for part in conjuncts(condition):
        named = _named_ids(part)
        if named is not None:
            (source, column), ids = named
            index = tables[source].indexes.get(column) if source in tables else None
            if index is not None:
                yield IdBound(source, column, index, ids)
        elif isinstance(part, Between):
            yield from _range(part, tables)


def _named_ids(condition: Expr) -> tuple[Column, Ids] | None:
    """Return the column whose values must be some ids, and these, sorted."""
    match condition:
        case Comparison(op="=", left=left, right=right):
            column, items = (left, (right,)) if isinstance(left, ColumnRef) else (right, (left,))
        case InList(operand=column, items=items, negated=False) if len(items) <= MOST_IDS:
            pass
        case Or(operands=operands):
            return _either([_named_ids(operand) for operand in operands])
        case _:
            return None
    if not isinstance(column, ColumnRef):
        return None
    ids = _ids(items, column)
    return None if ids is None else ((column.source, column.column.name), ids)


def _ids(items: Sequence[Expr], column: ColumnRef) -> Ids | None:
    """Return literals as ids of a column, None if one of them, or the column, is none."""
    if _is_id(column):
        numbers = {long_value(item) for item in items}
        return None if None in numbers else tuple(sorted(number for number in numbers if number is not None))
    if column.column.datatype is DataType.TEXT and not column.column.is_array:
        texts = {item.value for item in items if isinstance(item, StringLiteral)}
        return tuple(sorted(texts)) if all(isinstance(item, StringLiteral) for item in items) else None
    return None


def _either(branches: list[tuple[Column, Ids] | None]) -> tuple[Column, Ids] | None:
    known = [branch for branch in branches if branch is not None]
    if len(known) < len(branches) or len({column for column, _ in known}) != 1:
        return None
    union = {one for _, ids in known for one in ids}  # of one column: all integers or all texts
    return known[0][0], cast("Ids", tuple(sorted(union, key=_in_order)))


def _in_order(ident: int | str) -> Any:
    return ident


def _range(condition: Between, tables: Mapping[int, StoredTable]) -> Iterator[IdBound]:
    column, low, high = condition.operand, long_value(condition.low), long_value(condition.high)
    if condition.negated or not isinstance(column, ColumnRef) or not _is_id(column) or low is None or high is None:
        return
    index = tables[column.source].indexes.get(column.column.name) if column.source in tables else None
    if index is not None:
        yield IdBound(column.source, column.column.name, index, low=low, high=high)


def _is_id(expr: Expr) -> bool:
    return isinstance(expr, ColumnRef) and expr.column.datatype.is_integer and not expr.column.is_array
