"""What the partitioner needs of a Felis schema file: column types for CSV, titles, principal columns.

Felis is the Rubin project's YAML language for catalog schemas. The file itself is published beside the tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import yaml

from ..exceptions import ConfigError

__all__ = ["FelisTable", "felis_resources", "read_felis"]

_TYPES: Final[Mapping[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "byte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "char": pa.string(),
    "string": pa.string(),
    "unicode": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
}
"""Arrow types of Felis data types; ``byte`` is VOTable's ``unsignedByte``."""


@dataclass(frozen=True, slots=True)
class FelisTable:
    """One table of a schema file."""

    name: str
    description: str | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    """Declared types by column name."""
    principal: tuple[str, ...] = ()
    """Columns with ``tap:principal``, those a user sees first."""


def read_felis(path: Path) -> dict[str, FelisTable]:
    """Return the tables of the Felis file at `path`, by name.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not a Felis schema.
    """
    body = _load(path)
    try:
        return {table["name"]: _table(table) for table in body["tables"]}
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{path}: not a Felis schema: {type(error).__name__} {error} in its tables"
        raise ConfigError(msg) from error


def felis_resources(path: Path) -> tuple[Path, ...]:
    """Return the files beside `path` that its ``resources`` name: they are published with it.

    Raises
    ------
    ConfigError
        If a resource is not a file beside `path`.
    """
    found = []
    for name, resource in (_load(path).get("resources") or {}).items():
        target = path.parent / str(resource.get("uri", ""))
        if target.parent != path.parent or not target.is_file():
            msg = f"{path}: resource {name!r} names {resource.get('uri')!r}, which is not a file beside it"
            raise ConfigError(msg)
        found.append(target)
    return tuple(found)


def _load(path: Path) -> dict[str, Any]:
    try:
        body = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path}: not a readable Felis file: {error}"
        raise ConfigError(msg) from error
    if not isinstance(body, dict):
        msg = f"{path}: not a Felis schema: no keys at the top"
        raise ConfigError(msg)
    return body


def _table(table: Mapping[str, Any]) -> FelisTable:
    columns = table.get("columns") or []
    return FelisTable(
        name=table["name"],
        description=table.get("description"),
        types={c["name"]: _TYPES[c["datatype"]] for c in columns if c.get("datatype") in _TYPES},
        principal=tuple(c["name"] for c in columns if c.get("tap:principal") in (1, True, "1")),
    )
