"""What went wrong with a value while a query ran, in the service's own words."""

import re
from collections.abc import Callable
from typing import Final

from catalog_service.exceptions import QueryValueError

__all__ = ["value_error"]

_TYPES: Final = {
    "BOOL": "a boolean",
    "UINT8": "an integer from 0 to 255",
    "INT16": "a 16-bit integer",
    "INT32": "a 32-bit integer",
    "INT64": "a 64-bit integer",
    "INT128": "an integer",
    "FLOAT": "a number",
    "DOUBLE": "a number",
    "TIMESTAMP": "a timestamp",
}

_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (
        re.compile(r"Type \w+ with value (\S+) can't be cast .* destination type (\w+)"),
        lambda found: f"The value {found[1]} does not fit into {_type(found[2])}.",
    ),
    (
        re.compile(r"Could not convert string '(.*)' to (\w+)"),
        lambda found: f"The text '{found[1]}' is not {_type(found[2])}.",
    ),
    (
        re.compile(r"Overflow (?:in \w+ of \w+ |on \w+)\((.*)\)"),
        lambda found: f"An integer result does not fit into 64 bits ({found[1]}).",
    ),
    (
        re.compile(r'timestamp field .*?"(.*?)"'),
        lambda found: f"The text '{found[1]}' is not a timestamp.",
    ),
)
"""How DuckDB writes it, and how we do."""


def value_error(message: str) -> QueryValueError:
    """Return the error for a message of DuckDB about a value.

    >>> value_error("Overflow in addition of INT64 (9223372036854775807 + 1)!").args[0]
    'An integer result does not fit into 64 bits (9223372036854775807 + 1).'
    """
    for pattern, words in _FORMS:
        found = pattern.search(message)
        if found is not None:
            return QueryValueError(words(found), remedy="Leave such rows out in WHERE, or compute with doubles.")
    return QueryValueError("A value of the query cannot be converted or computed.")


def _type(name: str) -> str:
    return _TYPES.get(name, f"a value of type {name}")
