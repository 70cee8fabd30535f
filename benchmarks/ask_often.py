"""Asks for some addresses again and again, from a process that does nothing else; prints the seconds each took.

``python -m benchmarks.ask_often HOST PORT SECONDS PATH...``. A client that plays a hundred users answers late itself.
"""

import json
import socket
import sys
import time
from collections.abc import Sequence
from itertools import cycle

__all__ = ["ask_often"]

EVERY_S = 0.025
"""Seconds between two requests."""


def ask_often(host: str, port: int, seconds: float, paths: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Return status and seconds of each request, by path; each takes a connection of its own."""
    answers: dict[str, list[tuple[int, float]]] = {path: [] for path in paths}
    end = time.perf_counter() + seconds
    for path in cycle(paths):
        began = time.perf_counter()
        if began >= end:
            return answers
        answers[path].append((_status(host, port, path), time.perf_counter() - began))
        time.sleep(EVERY_S)
    return answers


def _status(host: str, port: int, path: str) -> int:
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head = b""
        while piece := connection.recv(65_536):
            head = head or piece
    return int(head.split()[1])


if __name__ == "__main__":
    json.dump(ask_often(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]), sys.stdout)
