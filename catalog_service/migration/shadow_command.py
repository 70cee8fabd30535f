"""Command ``catalog-service migrate shadow``."""

import asyncio
import secrets
import sys
from typing import Annotated

import typer

from ..cli_parts import extra
from ..exceptions import ParameterError

__all__ = ["shadow"]


def shadow(  # noqa: PLR0913 - one parameter for each argument and option
    *,
    old: Annotated[str, typer.Option(help="Address of the service whose answers users get, without a path.")],
    new: Annotated[str, typer.Option(help="Address of the new TAP service, such as http://127.0.0.1:8000/tap.")],
    prefix: Annotated[str, typer.Option(help="Path of the old TAP service.")] = "/tap",
    log: Annotated[str, typer.Option(help="File for one JSON line a query; - for standard output.")] = "-",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=0, max=65535)] = 8001,
    old_host: Annotated[
        str | None, typer.Option(help="Host header for the old service; default: what the caller sent.")
    ] = None,
    keep_text: Annotated[
        bool, typer.Option("--keep-text", help="Log queries with their literals: positions, ids and comments.")
    ] = False,
    at_once: Annotated[int, typer.Option(help="Copies that the new service runs at a time.", min=1)] = 1,
    queue: Annotated[int, typer.Option(help="Copies that may wait; further ones are dropped.", min=1)] = 100,
    most_mb: Annotated[int, typer.Option(help="Largest answers in MB that are compared.", min=1)] = 32,
    timeout: Annotated[float, typer.Option(help="Longest copy in seconds.", min=1)] = 600.0,
) -> None:
    """Pass requests on to the old service, and copy their queries to the new one in the background."""
    if not new.startswith(("http://", "https://")):
        raise ParameterError(f"--new {new!r} is no address of a TAP service.", remedy="Write http://HOST:PORT/tap")
    with extra("server"):
        from .shadow_serve import serve  # noqa: PLC0415 - other commands do without a server
    from .shadow_copies import CopierSettings  # noqa: PLC0415
    from .shadow_queries import QueryNames  # noqa: PLC0415
    from .shadow_upstream import Upstream  # noqa: PLC0415

    settings = CopierSettings(new, log, at_once, timeout, most_mb << 20)
    names = QueryNames(secrets.token_bytes(32), keep_text=keep_text)
    sys.stderr.write(f"listening at http://{host}:{port}{prefix}; answers come from {old}, copies go to {new}\n")
    asyncio.run(serve(Upstream(old, old_host), prefix, settings, names, host=host, port=port, queue=queue))
