"""Columns that a Felis schema takes from other files: ``resources`` names the files, ``columnRefs`` the columns.

::

    resources:
      base: {uri: base.yaml}
    tables:
    - name: Object
      columnRefs:
        base:                       # the resource
          Object:                   # its table
            objectId:               # a column, as it is there
            ra: {ref_name: coord_ra, overrides: {"tap:principal": 1}}
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["with_resources"]

Body = Mapping[str, Any]
"""A parsed YAML document, or a part of one."""


def with_resources(body: Body, directory: Path, load: Callable[[Path], Body], *, below: tuple[Path, ...] = ()) -> Body:
    """Return a schema whose tables have the columns that they refer to, after their own.

    Parameters
    ----------
    body
        The schema.
    directory
        Where its resources lie; other places are not read.
    load
        Reads a YAML file.
    below
        The files that led here.

    Raises
    ------
    ValueError
        If a resource is no file of the directory, or refers to itself.
    KeyError
        If a resource, or a table or column of it, does not exist.
    """
    resources = {}
    for name, resource in (body.get("resources") or {}).items():
        path = directory / str(resource["uri"])
        if path.parent != directory or path in below or not path.is_file():
            raise ValueError(f"resource {name!r} must be another file beside the schema, not {resource['uri']!r}")
        resources[name] = with_resources(load(path), directory, load, below=(*below, path))
    return {**body, "tables": [_with_references(table, resources) for table in body["tables"]]}


def _with_references(table: Body, resources: Mapping[str, Body]) -> Body:
    identity = table.get("@id") or f"#{table['name']}"
    columns = list(table.get("columns") or ())
    for resource, tables in (table.get("columnRefs") or {}).items():
        by_table = _by_name(resources[resource]["tables"])
        for name, wanted in tables.items():
            there = _by_name(by_table[name].get("columns") or ())
            columns += [_referred(there, local, reference or {}, identity) for local, reference in wanted.items()]
    return {**table, "columns": columns}


def _referred(there: Mapping[str, Body], name: str, reference: Body, table_identity: str) -> Body:
    """Return the column called `name` here, by which keys of this schema know it."""
    column = there[reference.get("ref_name") or name]
    return {**column, **(reference.get("overrides") or {}), "name": name, "@id": f"{table_identity}.{name}"}


def _by_name(items: Iterable[Body]) -> dict[str, Body]:
    return {item["name"]: item for item in items}
