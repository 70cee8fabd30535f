"""The configuration that ``catalog-partition build`` needs to publish dumped tables: ``release.toml``."""

import json
from collections.abc import Iterator
from pathlib import Path

from .dump_files import Plan, read_plan, renamed

__all__ = ["release_text", "write_release"]


def write_release(directory: Path) -> None:
    """Write ``release.toml`` for all tables below a schema's directory whose dump is complete.

    Raises
    ------
    StorageError
        If it cannot be written, or a plan cannot be read.
    """
    complete = [path.parent for path in sorted(directory.glob("*/_manifest.json"))]
    plans = [plan for plan in map(read_plan, complete) if plan is not None]
    with renamed(directory / "release.toml") as part:
        part.write_text(release_text(directory.name, plans), encoding="utf-8")


def release_text(schema: str, plans: list[Plan]) -> str:
    """Return the configuration of a build; every table that a parent places comes after it."""
    order = sorted(plans, key=lambda plan: (plan.parent is not None, plan.table))
    tables = "".join(f"\n[[table]]\n{chr(10).join(_table(plan, order))}\n" for plan in order)
    return (
        "# By catalog-service migrate dump. What it makes is told by: catalog-partition build release.toml --dry-run\n"
        f'\n[release]\nroot = "../catalogs"\nschema = {_text(schema)}\n{tables}'
    )


def _table(plan: Plan, plans: list[Plan]) -> Iterator[str]:
    yield f"name = {_text(plan.table)}"
    yield f"input = {_text(f'{plan.table}/*.parquet')}"
    if plan.ra is not None and plan.dec is not None:
        yield f"ra = {_text(plan.ra)}"
        yield f"dec = {_text(plan.dec)}"
    if plan.id:
        yield f"id = [{', '.join(map(_text, plan.id))}]"
    if plan.parent is not None and plan.parent_key is not None:
        key = ", ".join(map(_text, plan.parent_key))
        yield f"position_from = {{ parent = {_text(plan.parent)}, key = [{key}] }}"
        if plan.parent not in {one.table for one in plans}:
            yield f"# {plan.parent} must be dumped too, or be published already"
    elif plan.ra is None:
        yield "# no position: stored as one file. For a large table give --ra and --dec, or --parent, to the dump"


def _text(value: str) -> str:
    """Return a text of TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
