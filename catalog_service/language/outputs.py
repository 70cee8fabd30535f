"""The result columns of a SELECT, as ORDER BY, GROUP BY and HAVING may name them."""

from collections.abc import Sequence

from ..exceptions import QueryNameError
from ..models.tree import ColumnRef, Expr, Identifier, IntegerLiteral, Name, SelectItem
from .errors import error_at
from .scope import same_name

__all__ = ["Outputs"]


class Outputs:
    """Items of a select list whose names are resolved.

    Parameters
    ----------
    items
        In order; stars already expanded.
    """

    def __init__(self, items: Sequence[SelectItem]) -> None:
        self._items = items

    def at(self, position: IntegerLiteral, clause: str) -> SelectItem:
        """Return the item at a position (from 1); raise `QueryNameError` if there is none."""
        if not 1 <= position.value <= len(self._items):
            message = f"{clause} {position.value} is no position in a select list of {len(self._items)}."
            raise error_at(QueryNameError, message, position.span)
        return self._items[position.value - 1]

    def position(self, name: Name) -> int | None:
        """Return the position of the item called `name`, None if there is none.

        Raises
        ------
        QueryNameError
            If several items that differ have the name.
        """
        if len(name.parts) > 1:
            return None
        found = [index for index, item in enumerate(self._items) if _is_called(item, name.parts[0])]
        if not found:
            return None
        if any(self._items[index].expr != self._items[found[0]].expr for index in found):
            written = name.parts[0].text
            message = f"several result columns are called '{written}'."
            raise error_at(QueryNameError, message, name.span, remedy="Give them different aliases, or use a position.")
        return found[0] + 1

    def find(self, name: Name) -> SelectItem | None:
        """Return the item called `name`, None if there is none."""
        position = self.position(name)
        return None if position is None else self._items[position - 1]


def _is_called(item: SelectItem, identifier: Identifier) -> bool:
    if item.alias is not None:
        return same_name(identifier, item.alias.text)
    return _column_name(item.expr) is not None and same_name(identifier, _column_name(item.expr) or "")


def _column_name(expr: Expr) -> str | None:
    return expr.column.name if isinstance(expr, ColumnRef) else None
