"""A server in this process whose callers are whom they say they are: a bearer token is a name."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

from catalog_service.config import load_config
from catalog_service.dependencies import get_identity
from catalog_service.main import create_app
from catalog_service.models.user import ANONYMOUS, Identity

__all__ = ["OPERATOR", "serving_names"]

OPERATOR = "olga"
"""The name of the one operator."""


async def _named(request: Request) -> Identity:
    name = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return Identity(name, is_admin=name == OPERATOR) if name else ANONYMOUS


@contextmanager
def serving_names(root: Path, state: Path, **settings: object) -> Iterator[tuple[str, FastAPI]]:
    """Serve the catalogs below `root`; yield the address and the application."""
    config = load_config(None, catalog_root=root, state_dir=state, access="public", **{"workers": 2, **settings})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(config, public_url=url)
        app.dependency_overrides[get_identity] = _named
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5))
        running = threading.Thread(target=server.run, args=([listener],))
        running.start()
        try:
            while not server.started:
                assert running.is_alive()
                time.sleep(0.02)
            yield url, app
        finally:
            server.should_exit = True
            running.join()
