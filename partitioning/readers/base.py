"""What every reader offers, and which files it is offered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ..exceptions import InputError

__all__ = ["InputFile", "Reader", "find_inputs"]


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file."""

    path: Path
    name: str
    """How messages and provenance name it: relative to the input directory where it lies inside."""

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size


class Reader(Protocol):
    """Reads files of one format as Arrow batches."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return names and types of the columns of `file`, as in the file."""

    def batches(self, file: InputFile, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `file` in order, at most `batch_rows` at a time, the given columns only."""


def find_inputs(patterns: Sequence[str], base: Path) -> tuple[InputFile, ...]:
    """Return the files that `patterns` name: in the patterns' order, sorted by path within one, each once.

    Parameters
    ----------
    patterns
        File names or glob patterns (``**`` descends), relative to `base` or absolute.

    Raises
    ------
    InputError
        If a pattern matches no file.
    """
    found: dict[Path, InputFile] = {}
    for pattern in patterns:
        matches = [Path(match) for match in sorted(glob(str(base / pattern), recursive=True))]  # noqa: PTH207
        files = [match for match in matches if match.is_file()]
        if not files:
            msg = f"input {pattern!r} matches no file below {base}; check the name, or pass --input-dir"
            raise InputError(msg)
        for path in files:
            found.setdefault(path.resolve(), InputFile(path, _display_name(path, base)))
    return tuple(found.values())


def _display_name(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
