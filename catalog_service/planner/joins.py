"""Joins that stay inside a tile: which FROM items share the position that places their rows.

A child row lies in the tile of its declared parent's position. Rows joined on the parent's key therefore have
the same placing position, and a region that bounds one of them bounds the others.
"""

from collections.abc import Iterable, Mapping

from ..models.stored import StoredTable
from ..models.tree import ColumnRef, Comparison, Expr

__all__ = ["placement_groups"]


def placement_groups(conditions: Iterable[Expr], tables: Mapping[int, StoredTable]) -> dict[int, frozenset[int]]:
    """Return, for each source, the set of sources (itself included) placed by the same position.

    Parameters
    ----------
    conditions
        Conjuncts of WHERE and of every ON clause of one SELECT.
    tables
        Its base tables by source number.
    """
    group = {source: frozenset({source}) for source in tables}
    for condition in conditions:
        pair = _key_join(condition, tables)
        if pair is not None:
            merged = group[pair[0]] | group[pair[1]]
            group |= dict.fromkeys(merged, merged)
    return group


def _key_join(condition: Expr, tables: Mapping[int, StoredTable]) -> tuple[int, int] | None:
    if not (isinstance(condition, Comparison) and condition.op == "="):
        return None
    left, right = condition.left, condition.right
    if not (isinstance(left, ColumnRef) and isinstance(right, ColumnRef)):
        return None
    if left.source not in tables or right.source not in tables:
        return None
    if _is_child_of(left, right, tables) or _is_child_of(right, left, tables):
        return left.source, right.source
    return None


def _is_child_of(child: ColumnRef, parent: ColumnRef, tables: Mapping[int, StoredTable]) -> bool:
    """Return whether `child` is the key by which its rows were placed at `parent`'s rows.

    Two children of one parent do not count: rows without a parent are placed by their own positions. Nor does a
    parent that was published anew since: its rows may have moved.
    """
    placement, there = tables[child.source].placement, tables[parent.source].table
    return (
        placement is not None
        and tables[child.source].table.schema_name == there.schema_name
        and placement.parent == there.name
        and placement.parent_release == tables[parent.source].release
        and placement.parent_key == (child.column.name, parent.column.name)
    )
