"""What there is to know about a function that queries may call."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..models.schema import DataType

__all__ = ["Aggregation", "Function", "Kind", "declared_form"]


class Kind(Enum):
    """What an argument must be, and how it is passed on."""

    NUMBER = "number"
    """Any number; passed as a double."""
    EXACT = "exact number"
    """Any number; passed as a 64-bit integer if all arguments are integers, else as a double."""
    DIGITS = "integer"
    """An integer; passed as a 32-bit integer."""
    WHOLE = "whole number"
    """An integer; passed as a 64-bit integer."""
    BITS = "number of bits"
    """Any number; passed as a 64-bit integer, rounded."""
    TEXT = "text"
    KEY = "integer or a text"
    """Passed as a text."""
    ANY = "value"
    """Any type, the same for all arguments."""
    FRACTION = "constant number from 0 to 1"
    PERCENT = "constant number from 0 to 100"
    """Passed as a fraction."""
    QUOTED = "text in quotes"
    MOMENT = "timestamp"
    """A timestamp, or a text that says one; passed as a timestamp, NULL for other texts."""


@dataclass(frozen=True, slots=True)
class Function:
    """One scalar function."""

    name: str
    """Canonical name, lower case."""
    params: tuple[Kind, ...]
    """Kinds of the arguments; the last one repeats if `variadic`."""
    result: DataType | None
    """None: the common type of the arguments (64-bit integer or double for exact numbers)."""
    templates: Mapping[int, str]
    """By number of arguments: DuckDB SQL in which ``{0}``, ``{1}`` stand for the arguments; 0: for any number."""
    integer_template: str | None = None
    """For exact numbers that are all integers."""
    variadic: bool = False
    doc: str = ""
    signature: str = ""
    """As TAP capabilities declare it, if it is none of ADQL's own."""
    hidden: bool = False
    """Whether it is made by another dialect or by rewrites, and not called by its name."""

    @property
    def is_common(self) -> bool:
        """Whether its arguments and its result are of one type, whatever it is."""
        return self.result is None and self.params[0] is Kind.ANY

    @property
    def arities(self) -> str:
        """How many arguments it takes, for messages."""
        if self.variadic:
            return f"at least {len(self.params)} argument"
        counts = sorted(self.templates)
        words = " or ".join(str(count) for count in counts)
        return f"{words} argument{'' if counts[-1] == 1 else 's'}"

    def takes(self, count: int) -> bool:
        """Return whether it can be called with `count` arguments."""
        return count >= len(self.params) if self.variadic else count in self.templates

    def kind(self, index: int) -> Kind:
        """Return what argument number `index` (from 0) must be."""
        return self.params[min(index, len(self.params) - 1)]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One set function."""

    name: str
    numeric: bool
    """Whether its argument must be a number."""
    doc: str = ""
    hidden: bool = False
    """Whether it is made by rewrites only."""
    params: tuple[Kind, ...] = (Kind.ANY,)
    """Kinds of the arguments."""
    result: DataType | None = None
    """None: it depends on the argument."""
    template: str = ""
    """DuckDB SQL of those that ADQL lacks: ``{0}``, ``{1}`` stand for the arguments, ``{distinct}`` and ``{over}`` for
    the word before them and the window after them, if any."""
    signature: str = ""
    """As TAP capabilities declare it, if it is none of ADQL's own."""


def declared_form(signature: str, result: str) -> str:
    """Return a function of doubles as TAP capabilities declare it.

    >>> declared_form("f(a, b)", "INTEGER")
    'f(a DOUBLE PRECISION, b DOUBLE PRECISION) -> INTEGER'
    """
    name, _, parameters = signature.removesuffix(")").partition("(")
    typed = ", ".join(f"{parameter} DOUBLE PRECISION" for parameter in parameters.split(", "))
    return f"{name}({typed}) -> {result}"
