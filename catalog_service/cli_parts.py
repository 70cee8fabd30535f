"""What the commands of ``catalog-service`` share: options, the client, records for people and programs."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from .client import CatalogClient, ParameterError
from .client.terminal import print_listing

__all__ = [
    "DEFAULT_URL",
    "AsJson",
    "Maxrec",
    "Url",
    "extra",
    "open_client",
    "print_json",
    "print_records",
    "query_text",
]

Url = Annotated[str, typer.Option(help="Address of the service.", envvar="CATALOG_SERVICE_URL", show_default=True)]
Maxrec = Annotated[int | None, typer.Option(help="Most rows to return; default: the service's.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_URL: Final = "http://127.0.0.1:8000"


def open_client(url: str) -> CatalogClient:
    """Return a client with the access token of the environment."""
    return CatalogClient(url, os.environ.get("CATALOG_SERVICE_TOKEN"))


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a missing library into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("catalog_service"):
            raise
        raise ParameterError(
            f"This command needs the extra {name!r} ({error.name} is not installed).",
            remedy=f"pip install 'catalog-service[{name}]'",
        ) from error


def query_text(adql: str | None, file: Path | None) -> str:
    """Return the query that an argument, a file or standard input holds."""
    if (adql is None) == (file is None):
        raise ParameterError("Give one query: as argument, as - for standard input, or with --file.")
    if file is not None:
        return file.read_text(encoding="utf-8")
    return sys.stdin.read() if adql == "-" else str(adql)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def print_records(records: Sequence[dict[str, Any]], heads: Sequence[str], *, as_json: bool) -> None:
    """Print JSON with all fields; else the main fields, as a table on a terminal and as CSV in a pipe."""
    if as_json:
        print_json(records)
        return
    rows = [["" if record[head] is None else str(record[head]) for head in heads] for record in records]
    if sys.stdout.isatty():
        print_listing(Console(), heads, rows)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    sys.stdout.write(text.getvalue())
