"""Arrow streams as the service sends them, and a web server that misbehaves on purpose."""

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest

ARROW = "application/vnd.apache.arrow.stream"


def closed_stream(table: pa.Table, *, overflow: bool = False, rows: int | None = None, batch_rows: int = 100) -> bytes:
    """Return an Arrow stream with the service's closing batch; `rows` replaces the true number in it."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(batch_rows):
            writer.write_batch(batch)
        writer.write_batch(
            pa.RecordBatch.from_pylist([], schema=table.schema),
            custom_metadata={
                "rows": str(table.num_rows if rows is None else rows),
                "overflow": "true" if overflow else "false",
            },
        )
    return sink.getvalue()


class Request(BaseHTTPRequestHandler):
    """One request; the server's `script` answers it."""

    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def start_chunks(self, content_type: str = ARROW) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("X-Query-Id", "q-7")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """Send one chunk; an empty one ends the body."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Keep quiet."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.server.bodies.append(self.rfile.read(length))
        self.server.requests.append(self)
        self.server.script(self)


class ScriptedServer(ThreadingHTTPServer):
    """Answers every request by its script, which may as well cut the connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, script: Callable[[Request], None]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.script = script
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@dataclass
class Servers:
    """Starts servers, and stops them all."""

    running: list[ScriptedServer] = field(default_factory=list)

    def __call__(self, script: Callable[[Request], None]) -> ScriptedServer:
        server = ScriptedServer(script)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.running.append(server)
        return server


@pytest.fixture
def serve() -> Iterator[Servers]:
    """Start a server that answers as the given function does."""
    servers = Servers()
    yield servers
    for server in servers.running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stream_of() -> Callable[..., bytes]:
    """Encode a table as the service does."""
    return closed_stream


@pytest.fixture
def table() -> pa.Table:
    """1,000 rows of two columns."""
    return pa.table(
        {"id": pa.array(range(1000), pa.int64()), "ra": pa.array([k * 0.36 for k in range(1000)], pa.float64())}
    )
