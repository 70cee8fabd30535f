"""Command ``history``: what one has asked before."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from .cli_parts import DEFAULT_URL, AsJson, Url, open_client, print_records

__all__ = ["history"]

_LISTED: Final = ("started", "seconds", "status", "rows", "query_id", "query")


def history(
    *,
    last: Annotated[int, typer.Option(help="Most queries to list.", min=0)] = 20,
    since: Annotated[str | None, typer.Option(help="Only queries since this ISO time in UTC.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Queries of everybody, for operators.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List your queries, the newest first; those of anonymous users are not listed."""
    with open_client(url) as client:
        found = client.queries(last=last, since=since, everybody=everybody)
        print_records([asdict(query) for query in found], _LISTED, as_json=as_json)
