"""Run the shadowing proxy with uvicorn until it is stopped."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from .shadow_app import ShadowApp
from .shadow_copies import CopierSettings, Copies
from .shadow_protocol import ShadowProtocol
from .shadow_queries import QueryNames
from .shadow_upstream import Upstream

__all__ = ["serve"]

_WAITING_ANSWERS: Final = 4
"""How many of the largest answers may wait to be compared, in bytes."""


class _Server(uvicorn.Server):
    """Lets the program go on after a signal has stopped it: what was copied is still to be logged."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self.handle_exit, one, None)
        yield


async def serve(  # noqa: PLR0913 - settings of one start
    old: Upstream,
    prefix: str,
    settings: CopierSettings,
    names: QueryNames,
    *,
    host: str,
    port: int,
    queue: int,
) -> None:
    """Listen until SIGTERM or SIGINT; answers under way are finished, and what was copied is compared and logged."""
    copies = Copies(settings, names, length=queue, most_bytes=_WAITING_ANSWERS * settings.most_bytes)
    app = ShadowApp(old, prefix, copies, most_bytes=settings.most_bytes)
    copies.start()
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=ShadowProtocol,
            ws="none",  # asked for an upgrade, the old service answers as to any request
            lifespan="off",
            # no headers of our own, and no lines with addresses of users
            server_header=False,
            date_header=False,
            access_log=False,
            log_level="critical",
            proxy_headers=False,
            timeout_graceful_shutdown=10,
        )
    )
    try:
        await server.serve()
    finally:
        await copies.close()
