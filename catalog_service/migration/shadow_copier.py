"""The process that asks the new service the copied queries, compares, and writes the log.

It is apart from the proxy: however slow, hungry or broken it is, no user notices.
"""

import json
import os
import resource
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from .shadow_answers import Answered, NewService
from .shadow_compare import compared
from .shadow_log import append_line

__all__ = ["main"]

_KEPT_JOBS: Final = 50
"""Answers to jobs that wait until the old one is fetched."""

_MEMORY: Final = 2 << 30
_MEMORY_PER_BYTE: Final = 32
"""Memory of this process in bytes, and in addition for each byte of the largest answers that are compared."""

TOKEN_VARIABLE: Final = "CATALOG_SHADOW_TOKEN"  # noqa: S105 - the name of a variable


class Copier:
    """Asks, compares and logs."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._new = NewService(
            settings["new"],
            os.environ.get(TOKEN_VARIABLE),
            timeout_s=settings["timeout_s"],
            most_bytes=settings["most_bytes"],
        )
        self._longest_s = 3 * settings["timeout_s"] + 2
        self._log = settings["log"]
        self._pool = ThreadPoolExecutor(settings["at_once"])
        self._room = threading.Semaphore(settings["at_once"])
        self._writing, self._comparing = threading.Lock(), threading.Lock()
        self._jobs: OrderedDict[str, Future[Answered]] = OrderedDict()

    def take(self, head: dict[str, Any], body: bytes) -> None:
        """Do what a message says; wait while as many as allowed are being done: then the queue fills up, and drops."""
        match head["kind"]:
            case "run":
                self._jobs[head["job"]] = self._submit(self._run, head)
                while len(self._jobs) > _KEPT_JOBS:
                    self._jobs.popitem(last=False)
            case kind:
                self._submit(self._compare, head, body, self._jobs.pop(head["job"], None) if kind == "result" else None)

    def close(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown(cancel_futures=False)

    def _submit(self, work: Any, *arguments: Any) -> "Future[Any]":
        self._room.acquire()
        future = self._pool.submit(work, *arguments)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: "Future[Any]") -> None:
        self._room.release()
        if (fault := future.exception()) is not None:  # its text may hold what a user looked for
            self._write({"event": "fault", "why": type(fault).__name__})

    def _run(self, head: dict[str, Any]) -> Answered:
        with self._watched():
            new = self._new.run(head["parameters"])
        self._write({"event": "ran", "kind": "async", **head["names"], "new": new.described()})
        return new

    def _compare(self, head: dict[str, Any], body: bytes, job: "Future[Answered] | None") -> None:
        told = head["old"]
        old = Answered(
            told["status"],
            told["type"],
            told["encoding"],
            # of a result that is fetched this is the time of fetching, not of the query
            told["seconds"] if head["kind"] == "sync" else None,
            told["first_byte_s"] if head["kind"] == "sync" else None,
            told["bytes"],
            body if told["is_whole"] else None,
        )
        new = self._ask(head["parameters"]) if head["kind"] == "sync" else self._answer_of(job, head)
        with self._comparing:  # one at a time: memory
            found = compared(old, new, head["parameters"])
        kind = "sync" if head["kind"] == "sync" else "async"
        line = {"event": "compared", "kind": kind, **head["names"], "old": old.described(), "new": new.described()}
        self._write({**line, **found})

    def _answer_of(self, job: "Future[Answered] | None", head: dict[str, Any]) -> Answered:
        if job is not None:
            return job.result()
        with self._watched():
            return self._new.run(head["parameters"])

    def _ask(self, parameters: Sequence[tuple[str, str]]) -> Answered:
        with self._watched():
            return self._new.ask(parameters)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End this process, which the proxy starts again, if the new service keeps it past all limits of time.

        Limits of single reads do not help against headers that come byte by byte, or never end.
        """
        timer = threading.Timer(self._longest_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._write({"event": "fault", "why": "the new service did not end an answer"})
        os._exit(1)

    def _write(self, line: dict[str, Any]) -> None:
        with self._writing:
            append_line(self._log, line)


def _messages(source: BinaryIO) -> Iterator[tuple[dict[str, Any], bytes]]:
    while len(lengths := source.read(8)) == 8:
        head = json.loads(source.read(int.from_bytes(lengths[:4], "big")))
        body = source.read(int.from_bytes(lengths[4:], "big"))
        head["parameters"] = [(name, value) for name, value in head.get("parameters", ())]
        yield head, body


def main() -> None:
    """Take messages from standard input until it ends."""
    os.nice(10)
    settings = json.loads(sys.argv[1])
    # what answers unfold to is not known before: a table of Parquet may be much larger than its file
    limit = _MEMORY + _MEMORY_PER_BYTE * settings["most_bytes"]
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    copier = Copier(settings)
    for head, body in _messages(sys.stdin.buffer):
        copier.take(head, body)
    copier.close()


if __name__ == "__main__":
    main()
