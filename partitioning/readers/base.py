"""What every reader offers, and which files it is offered."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import xxhash

from ..config import FormatName
from ..exceptions import DamagedInputError, InputError
from .directories import parquet_files
from .hats import catalog_leaves, is_catalog

__all__ = ["FileFormat", "InputFile", "Reader", "ends_checksum", "find_inputs", "unreadable"]

_END_BYTES: Final = 64 << 10

_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Faults of this machine at this moment, which say nothing about the file."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file."""

    path: Path
    name: str
    """How messages and provenance name it: relative to the input directory where it lies inside."""
    format: FormatName | None = None
    """Format that its place tells; None: its suffix does, or the configuration."""

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How one input file is read: plain data, for a process that did not open the file itself."""

    name: FormatName
    absent: tuple[str, ...] = ()
    """Stored names of columns that the file lacks: they are NULL."""
    hdu: int | None = None
    """FITS only: number of the extension; None: the first binary table."""


class Reader(Protocol):
    """Reads files of one format as Arrow batches."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return names and types of the columns of `file`, as in the file.

        Raises
        ------
        DamagedInputError
            If the file is missing or not of this format.
        """

    def part_rows(self, file: InputFile) -> tuple[int, ...] | None:
        """Return the rows of each part of `file` that can be read by itself; None if it is read from start to end.

        Raises
        ------
        DamagedInputError
            If the file is missing or not of this format.
        """

    def batches(
        self, file: InputFile, columns: Sequence[str], batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows of `file` in order, at most `batch_rows` at a time, the given columns only.

        Parameters
        ----------
        file
            File to read.
        columns
            Names of columns, at least one.
        batch_rows
            Most rows in a batch.
        parts
            Parts to read, in order; None means the whole file, and is the only choice if `part_rows` is None.

        Raises
        ------
        DamagedInputError
            If the file is missing or damaged; names the file and, if known, the part.
        """


def ends_checksum(path: Path) -> str:
    """Return the xxh3-128 of the first and the last 64 kB of a file, hexadecimal.

    A file that was written again with the same size nearly always differs there: the footer of a Parquet file has the
    places, sizes and extremes of all its pages.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        digest.update(file.read(_END_BYTES))
        file.seek(max(file.tell(), path.stat().st_size - _END_BYTES))
        digest.update(file.read())
    return digest.hexdigest()


def unreadable(
    file: InputFile, problem: str, error: BaseException, part: int | None = None, *, remedy: str = ""
) -> InputError:
    """Return the error that `file` could not be read: the file's own fault, unless the machine ran short of something.

    A build may be told to leave damaged files out; it must not do so because too many files were open.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SHORTAGES):
        return InputError(f"{file.name}: could not be read now, though it may be intact: {error}")
    return DamagedInputError(file.name, f"{problem}: {error}{remedy}", part)


def find_inputs(patterns: Sequence[str], base: Path) -> tuple[InputFile, ...]:
    """Return the files that `patterns` name: in the patterns' order, sorted by path within one, each once.

    Parameters
    ----------
    patterns
        File names, directories or glob patterns (``**`` descends), relative to `base` or absolute. A directory stands
        for the leaves of the HATS catalog that it is, or else for all Parquet files below it.

    Raises
    ------
    InputError
        If a pattern matches no file; see also `directories.parquet_files` and `hats.catalog_leaves`.
    """
    found: dict[Path, InputFile] = {}
    for pattern in patterns:
        matches = [Path(match) for match in sorted(glob(str(base / pattern), recursive=True))]  # noqa: PTH207
        files = [file for match in matches for file in _files(match, base)]
        if not files:
            what = "only directories without Parquet files" if matches else "no file"
            msg = f"input {pattern!r} matches {what} below {base}; check the name, or pass --input-dir"
            raise InputError(msg)
        for file in files:
            found.setdefault(file.path.resolve(), file)
    return tuple(found.values())


def _files(match: Path, base: Path) -> list[InputFile]:
    """Return the files that `match`, a file or a directory, stands for."""
    if match.is_file():
        return [InputFile(match, _display_name(match, base))]
    if is_catalog(match):
        return [InputFile(leaf, _display_name(leaf, base), "hats") for leaf in catalog_leaves(match)]
    return [InputFile(file, _display_name(file, base)) for file in parquet_files(match)]


def _display_name(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
