"""Servers and requests of the proxy's tests byte by byte: what libraries would not send."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class RawServer:
    """Answers every request with the same bytes, as soon as its headers have come."""

    answer: bytes
    is_early: bool = False
    """Whether it answers at once, reads no more, and leaves the connection open."""
    seen: list[bytes] = field(default_factory=list)
    url: str = ""

    def serve(self, listener: socket.socket, end: threading.Event) -> None:
        while not end.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._one, args=(connection, end), daemon=True).start()

    def _one(self, connection: socket.socket, end: threading.Event) -> None:
        with connection:
            connection.settimeout(5)
            got = b""
            while b"\r\n\r\n" not in got and (part := connection.recv(1 << 16)):
                got += part
            self.seen.append(got)
            if got:
                connection.sendall(self.answer)
            if self.is_early:
                end.wait(20)


@contextmanager
def raw_server(answer: bytes, *, is_early: bool = False) -> Iterator[RawServer]:
    server, end = RawServer(answer, is_early), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.serve, args=(listener, end), daemon=True)
        thread.start()
        yield server
        end.set()
        thread.join()


def ask_raw(url: str, request: bytes) -> bytes:
    """Return all that comes until the connection closes."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))
