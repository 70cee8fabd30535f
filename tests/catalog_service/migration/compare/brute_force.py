"""The comparison by trying all pairs: slow, and short enough to be seen to be right."""

import math
from typing import Any

__all__ = ["cells_equal", "most_equal_rows"]


def cells_equal(a: Any, b: Any, tolerance: float) -> bool:
    if a is None or b is None:
        return a is None and b is None
    if not isinstance(a, float):
        return bool(a == b)
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (math.isnan(a) and math.isnan(b))
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


def most_equal_rows(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]], tolerance: float) -> int:
    """Return how many rows of the left can have a row of their own on the right."""
    partners = [
        [j for j, other in enumerate(right) if all(map(cells_equal, row, other, [tolerance] * len(row)))]
        for row in left
    ]
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column in partners[row]:
            if column not in tried:
                tried.add(column)
                if column not in row_of or place(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    return sum(place(row, set()) for row in range(len(left)))
