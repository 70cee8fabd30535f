"""What a comparison takes for equal, and what it finds.

A rule says which difference is none. It is used only where values are not the same without it, and every use is
counted: a verdict of `Verdict.WITHIN` names them.
"""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

__all__ = ["Comparison", "Difference", "DifferenceKind", "Rule", "Rules", "Shape", "Verdict", "worst"]


class Verdict(StrEnum):
    """How two answers compare."""

    EQUAL = "equal"
    WITHIN = "equal within rules"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"
    """One side has no answer to compare with, or the rows differ where the query leaves open which there are."""


class Rule(StrEnum):
    """Why a difference is none."""

    FLOAT = "FLOAT"
    """Single precision, printed with few digits: relative tolerance `Rules.float_tolerance`."""
    DOUBLE = "double"
    """Sums in another order: relative tolerance `Rules.double_tolerance`."""
    DECIMALS = "decimals"
    """Decimals against floats or integers: half a unit of the last of four and more digits, as of quotients."""
    INTEGERS = "integer widths"
    """Integers of other widths, and whole numbers in a float column below 2^53."""
    FLAGS = "flags"
    """0 and 1 against booleans."""
    TIMESTAMPS = "timestamps"
    """Times as text, or in another form of ISO 8601."""
    COLLATION = "text collation"
    """MySQL's: case and trailing blanks do not count."""
    NAN = "NaN is NULL"
    """Only where it is asked for: MySQL has neither NaN nor infinities, and holds NULL in their place."""
    NAMES = "names of columns"
    """Another case, or another text for the same unnamed expression."""
    COLUMNS = "order of columns"
    IGNORED = "ignored columns"
    """Columns whose values depend on the partitioning: `Rules.ignored`."""
    ORDER = "order not asked for"
    TIES = "ties in the order asked for"
    TIES_AT_LIMIT = "ties at LIMIT"
    """Which rows of equal rank are the last (or the first, after OFFSET) is not defined."""
    BOTH_REFUSED = "refused by both"


class DifferenceKind(StrEnum):
    """What differs."""

    MISSING_COLUMN = "column missing"
    EXTRA_COLUMN = "column extra"
    TYPES = "types differ"
    ROW_COUNT = "row count"
    ONLY_LEFT = "rows only left"
    ONLY_RIGHT = "rows only right"
    CELLS = "cells"
    NULL_NAN = "NULL against NaN"
    """Or against an infinity."""
    ORDER = "order"
    TRUNCATED = "truncated"
    ERROR_LEFT = "error left"
    ERROR_RIGHT = "error right"
    ERROR_BOTH = "error on both sides"


_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True)
class Shape:
    """What a query says of the rows of its answer."""

    order: tuple[tuple[str, ...], ...] = ()
    """Names that the columns of the top-level ORDER BY may have in the answer; a number is a position from 1.

    Without a name it may be several columns."""
    limit: int | None = None
    offset: int = 0
    groups: tuple[str, ...] = ()
    """Columns and expressions of GROUP BY and DISTINCT, and chunks that are chosen by their number, in lower case."""
    is_one_row: bool = False
    """Whether it is an aggregate without GROUP BY: LIMIT leaves nothing open."""
    unnamed: frozenset[int] = frozenset()
    """Places of expressions without an alias, from 0: programs name such columns as they like."""
    descending: frozenset[int] = frozenset()
    """Places of `order`, from 0, that are DESC."""
    is_random: bool = False
    """Whether a function that gives another value each time is called."""

    def is_by(self, columns: frozenset[str]) -> bool:
        """Tell whether rows are groups by one of some columns."""
        return any(not columns.isdisjoint(_WORD.findall(one)) for one in self.groups)


@dataclass(frozen=True)
class Rules:
    """What is taken for equal."""

    float_tolerance: float = 2e-5
    """Relative, where either side is a FLOAT: Qserv prints six digits."""
    double_tolerance: float = 1e-12
    """Relative, of doubles: AVG and SUM add in any order."""
    margin: float = 0.0
    """Absolute, of floats of either precision: differences of numbers that nearly cancel."""
    collation: bool = True
    """Whether texts are compared as MySQL does: without case and trailing blanks."""
    nan_is_null: bool = False
    """Whether NaN and infinities are NULL."""
    ignored: frozenset[str] = frozenset({"chunkid", "subchunkid", "qserv_trans_id"})
    """Columns that are not compared, in lower case."""
    key: tuple[str, ...] = ()
    """Columns that tell a row from others, to show which cells differ; empty: found among the columns."""
    shape: Shape = field(default_factory=Shape)
    """Order and limit of the query."""
    cut: bool = False
    """Whether both answers were cut, so that any rows may be in them."""
    same_chunks: bool = False
    """Whether both services cut the sky into the same chunks, so that groups by chunk are comparable."""
    shown: int = 10
    """Most examples of each difference."""

    @classmethod
    def exact(cls) -> "Rules":
        """Return rules under which values must be the same; their order is free."""
        return cls(float_tolerance=0.0, double_tolerance=0.0, collation=False, ignored=frozenset())

    def of(self, shape: Shape) -> "Rules":
        """Return these rules for a query of some shape."""
        return replace(self, shape=shape)


@dataclass(frozen=True)
class Difference:
    """One class of difference, with its first examples."""

    kind: DifferenceKind
    count: int
    """Rows, cells or columns that differ so."""
    column: str | None = None
    examples: tuple[dict[str, Any], ...] = ()
    """The first of them: rows by column; cells as ``row`` (key columns or position), ``left``, ``right``."""

    def __str__(self) -> str:
        return f"{self.kind}{'' if self.column is None else f' in {self.column}'}: {self.count}"


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    verdict: Verdict
    rules: dict[Rule, int] = field(default_factory=dict)
    """Rules that were needed, and for how many cells, rows or columns."""
    differences: tuple[Difference, ...] = ()
    rows_left: int | None = None
    rows_right: int | None = None
    notes: tuple[str, ...] = ()
    """What could not be compared, and why."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs that the rules do not allow."""
        return self.verdict in {Verdict.EQUAL, Verdict.WITHIN}

    def count(self, kind: DifferenceKind) -> int:
        """Return how many rows, cells or columns differ in one way."""
        return sum(one.count for one in self.differences if one.kind is kind)

    def __str__(self) -> str:
        used = ", ".join(f"{rule} ({count})" for rule, count in self.rules.items())
        parts = [str(self.verdict), f"rules used: {used}" if used else "", *map(str, self.differences), *self.notes]
        return "; ".join(part for part in parts if part)


_GRAVITY: Final = (Verdict.EQUAL, Verdict.WITHIN, Verdict.NOT_COMPARED, Verdict.DIFFERENT)


def worst(verdicts: "list[Verdict]") -> Verdict:
    """Return the gravest verdict: different, before not compared, before equal."""
    return max(verdicts, key=_GRAVITY.index, default=Verdict.EQUAL)
