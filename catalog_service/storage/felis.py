"""Felis YAML: descriptions, units, UCDs and keys of a schema, read with plain PyYAML.

Felis is the Rubin project's schema language. Used per column: ``description``, ``ivoa:ucd``, ``ivoa:unit`` (or
``fits:tunit``), ``votable:utype``, ``tap:principal``, ``tap:column_index``, ``tap:std``, ``length``; per table:
``primaryKey``, ``constraints`` of type ForeignKey, ``tap:table_index``. Nothing is required but names. Columns may come
from other files (`felis_resources`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..exceptions import ConfigurationError
from .felis_resources import with_resources

__all__ = ["FelisColumn", "FelisKey", "FelisSchema", "FelisTable", "parse_felis", "read_felis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FelisColumn:
    """Description of one column."""

    name: str
    description: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    length: int | None = None
    principal: bool = False
    std: bool = False
    index: int | None = None


@dataclass(frozen=True, slots=True)
class FelisKey:
    """A foreign key: column names here, and table and column names there."""

    name: str
    columns: tuple[str, ...]
    target_table: str
    target_columns: tuple[str, ...]
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FelisTable:
    """Description of one table."""

    name: str
    description: str | None = None
    utype: str | None = None
    index: int | None = None
    columns: Mapping[str, FelisColumn] = field(default_factory=dict)
    """By name, in the file's order."""
    primary_key: tuple[str, ...] = ()
    keys: tuple[FelisKey, ...] = ()


@dataclass(frozen=True, slots=True)
class FelisSchema:
    """Description of one schema."""

    name: str
    description: str | None = None
    utype: str | None = None
    tables: Mapping[str, FelisTable] = field(default_factory=dict)


def read_felis(path: Path) -> FelisSchema:
    """Read the Felis file at `path`.

    Raises
    ------
    ConfigurationError
        If the file is not YAML or not a Felis schema; the message names file and place.
    """
    try:
        return parse_felis(with_resources(_load(path), path.parent, _load, below=(path,)))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        msg = f"{path}: not a Felis schema: {error!r}"
        raise ConfigurationError(msg, remedy="Check the file with `felis validate`.") from error


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def parse_felis(body: Mapping[str, Any]) -> FelisSchema:
    """Return the schema that a parsed YAML document describes."""
    ids = _names_by_id(body["tables"])
    tables = [_table(table, ids) for table in body["tables"]]
    return FelisSchema(
        name=body["name"],
        description=_text(body.get("description")),
        utype=_text(body.get("votable:utype")),
        tables={table.name: table for table in tables},
    )


def _names_by_id(tables: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Map each column's ``@id`` (or the id that Felis would generate) to (table, column)."""
    ids: dict[str, tuple[str, str]] = {}
    for table in tables:
        for column in table.get("columns", ()):
            place = (table["name"], column["name"])
            ids[f"#{place[0]}.{place[1]}"] = place
            if "@id" in column:
                ids[column["@id"]] = place
    return ids


def _table(body: Mapping[str, Any], ids: Mapping[str, tuple[str, str]]) -> FelisTable:
    columns = [_column(column) for column in body.get("columns", ())]
    primary = body.get("primaryKey", ())
    constraints = [c for c in body.get("constraints", ()) if c.get("@type") == "ForeignKey"]
    return FelisTable(
        name=body["name"],
        description=_text(body.get("description")),
        utype=_text(body.get("votable:utype")),
        index=_integer(body, "tap:table_index"),
        columns={column.name: column for column in columns},
        primary_key=tuple(ids[key][1] for key in ([primary] if isinstance(primary, str) else primary)),
        keys=tuple(_key(constraint, ids) for constraint in constraints),
    )


def _key(body: Mapping[str, Any], ids: Mapping[str, tuple[str, str]]) -> FelisKey:
    here, there = [ids[key] for key in body["columns"]], [ids[key] for key in body["referencedColumns"]]
    return FelisKey(
        name=body["name"],
        columns=tuple(column for _, column in here),
        target_table=there[0][0],
        target_columns=tuple(column for _, column in there),
        description=_text(body.get("description")),
    )


def _column(body: Mapping[str, Any]) -> FelisColumn:
    return FelisColumn(
        name=body["name"],
        description=_text(body.get("description")),
        unit=_text(body.get("ivoa:unit") or body.get("fits:tunit")),
        ucd=_text(body.get("ivoa:ucd")),
        utype=_text(body.get("votable:utype")),
        length=_integer(body, "length"),
        principal=bool(body.get("tap:principal", 0)),
        std=bool(body.get("tap:std", 0)),
        index=_integer(body, "tap:column_index"),
    )


def _integer(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    if not isinstance(value, int | None):
        raise TypeError(f"{key} of {body['name']!r} is no whole number: {value!r}")
    return value


def _text(value: object) -> str | None:
    """Return a text on one line."""
    return None if value is None else " ".join(str(value).split())
