"""Records out of JSON: every field of the right type, or a `FormatError` that names the file."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import FormatError
from .records import Answer, Column, Failure, Fingerprint, Header, Source, Table

__all__ = ["answer_of", "fingerprint_of", "header_of", "read_json", "table_of", "told"]


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what a missing key or a wrong type causes into a `FormatError` that names the file."""
    try:
        yield
    except KeyError as error:
        raise FormatError(f"{path} is not a record of this format: {error} is missing.") from error
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path} is not a record of this format: {error}.") from error


def _columns(found: Any) -> tuple[Column, ...]:
    return tuple(_made(Column, one) for one in _of_type("columns", found, list))


def _failure(found: Any) -> Failure | None:
    return None if found is None else _made(Failure, found)


def _texts(name: str, found: Any) -> tuple[str, ...]:
    return tuple(_of_type(name, one, str) for one in _of_type(name, found, list))


def header_of(found: dict[str, Any]) -> Header:
    """Return what ``recording.json`` holds.

    Raises
    ------
    KeyError, TypeError
        If it is not a header.
    """
    return _made(Header, found | {"source": _made(Source, found["source"])})


def table_of(found: dict[str, Any]) -> Table:
    """Return a table out of its JSON; see `header_of` for errors."""
    key = None if found["key"] is None else _texts("key", found["key"])
    made = {"columns": _columns(found["columns"]), "key": key, "error": _failure(found["error"])}
    return _made(Table, found | made)


def answer_of(found: dict[str, Any]) -> Answer:
    """Return an answer out of its JSON; see `header_of` for errors.

    Raises
    ------
    ValueError
        If its id is none, which would be the name of any file.
    """
    number, _, digest = _of_type("id", found["id"], str).partition("-")
    if not (number.isdecimal() and re.fullmatch(r"\w+", digest)):
        raise ValueError(f"id is {found['id']!r}, not a number, - and a digest")
    return _made(Answer, found | {"columns": _columns(found["columns"]), "error": _failure(found["error"])})


def fingerprint_of(found: dict[str, Any]) -> Fingerprint:
    """Return fingerprints out of their JSON; see `header_of` for errors."""
    made: dict[str, Any] = {name: _texts(name, found[name]) for name in ("columns", "keys", "queries")}
    made |= {"fields": _columns(found["fields"]), "error": _failure(found["error"])}
    return _made(Fingerprint, found | made)


_Made = TypeVar("_Made")


def _made(record: type[_Made], found: Any) -> _Made:
    """Return a record of what it has fields for: a later recorder may write more.

    Raises
    ------
    KeyError
        If a field without a default is missing.
    TypeError
        If a value is of another type.
    """
    given = _of_type(record.__name__, found, dict)
    values = {}
    for name, type_ in _types(record).items():  # type: ignore[arg-type]
        if name in given:
            values[name] = _of_type(name, given[name], type_)
        elif record.__dataclass_fields__[name].default is MISSING:  # type: ignore[attr-defined]
            raise KeyError(name)
    return record(**values)


@cache
def _types(record: type) -> dict[str, Any]:
    """Return what values of each field are instances of; a whole number is a real one too."""
    found = {}
    for name, hint in get_type_hints(record).items():
        parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        plain = tuple(get_origin(part) or part for part in parts)
        found[name] = (*plain, int) if float in plain else plain
    return found


def _of_type(name: str, value: Any, types: type | tuple[type, ...]) -> Any:
    """Return a value of one of some types; to Python true is a number too, here it is none."""
    allowed = types if isinstance(types, tuple) else (types,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise TypeError(f"{name} cannot be {value!r}"[:200])
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file.

    Raises
    ------
    FormatError
        If there is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} does not hold a JSON object.")
    return found
