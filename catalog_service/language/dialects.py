"""What the query languages mean differently once their names are resolved."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..models.query import Language
from ..models.schema import SUB_TILE, TILE_NUMBER, TRANSACTION, Column, Table
from ..models.tree import Expr, FromItem, FunctionCall, Query, Select, SetOperation
from .build_mysql import AREAS
from .passes.aggregates import check_aggregates
from .passes.areas import limit_area, refuse_area
from .passes.check import check
from .passes.coerce import coerce
from .passes.fold import fold
from .passes.mysql import as_condition, as_value, collate, mysql_meaning
from .passes.mysql_sets import collate_sets
from .passes.near import join_near
from .passes.ordering import check_order
from .passes.shapes import shapes
from .passes.units import convert_units
from .passes.windows import check_windows
from .rewrite import map_children

__all__ = ["DIALECTS", "Dialect", "Note"]

Note = Callable[[str], None]

ExpressionPass = Callable[[Expr, Note], Expr]
SelectPass = Callable[[Select, Note], Select]

EXPRESSION_PASSES: Final[tuple[ExpressionPass, ...]] = (
    lambda expr, _note: fold(expr),
    lambda expr, _note: convert_units(expr),
    lambda expr, _note: shapes(expr),
    coerce,
    lambda expr, _note: check(expr),
)

SELECT_PASSES: Final[tuple[SelectPass, ...]] = (
    lambda select, _note: check_windows(select),
    check_aggregates,
    lambda select, _note: check_order(select),
    lambda select, _note: join_near(select),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Rules of one language."""

    expression_passes: tuple[ExpressionPass, ...] = EXPRESSION_PASSES
    """What each expression goes through once its names are resolved, in this order."""
    select_passes: tuple[SelectPass, ...] = SELECT_PASSES
    """What each SELECT goes through once its expressions are done, in this order."""
    sets: Callable[[SetOperation, Callable[[], int]], Query] = lambda query, _next_source: query
    """Changes each set operation once it is resolved; numbers the FROM items that it adds."""
    where: Callable[[Expr, FromItem | None], Expr] = lambda condition, _source: condition
    """Changes WHERE before its names are resolved, by the resolved FROM."""
    condition: Callable[[Expr], Expr] = lambda expr: expr
    """Makes a resolved value of WHERE, ON or HAVING a condition."""
    value: Callable[[Expr], Expr] = lambda expr: expr
    """Makes a resolved condition of the select list a value."""
    aliases_first: frozenset[str] = frozenset()
    """Clauses in which a name means an item of the select list before it means a column."""
    pseudo_columns: Callable[[Table], Mapping[str, Column]] = lambda _table: {}
    """Columns that a table has besides its own, by folded name; no star stands for them."""


def _of_qserv(table: Table) -> Mapping[str, Column]:
    found = () if table.partition_position is None else (TILE_NUMBER, SUB_TILE, TRANSACTION)
    return {column.name.lower(): column for column in found}


def _refuse_areas(expr: Expr, _note: Note) -> Expr:
    if isinstance(expr, FunctionCall) and expr.name in AREAS:
        raise refuse_area(expr)
    return map_children(expr, lambda child: _refuse_areas(child, _note))


DIALECTS: Final[Mapping[Language, Dialect]] = {
    Language.ADQL: Dialect(),
    Language.QSERV: Dialect(
        expression_passes=(_refuse_areas, lambda expr, _note: mysql_meaning(expr), *EXPRESSION_PASSES),
        select_passes=(lambda select, _note: collate(select), *SELECT_PASSES),
        sets=collate_sets,
        where=limit_area,
        condition=as_condition,
        value=as_value,
        aliases_first=frozenset({"HAVING"}),
        pseudo_columns=_of_qserv,
    ),
}
"""By language."""
