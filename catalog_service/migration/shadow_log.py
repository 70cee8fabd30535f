"""The log of a shadow: one JSON line a query, written in one piece."""

import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["append_line"]


def append_line(log: str, line: dict[str, Any]) -> None:
    """Append a line with the time to a file, or to standard output if `log` is ``-``; what cannot be written is lost.

    Nobody is to wait, or to be refused, because a log is full.
    """
    text = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **line}, ensure_ascii=False) + "\n"
    with contextlib.suppress(OSError):
        if log == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(text)
