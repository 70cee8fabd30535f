"""Checks of a verification as units of work, so that all processes of a build share them, on whatever machine.

A unit checks some files that follow each other. What to check lies in the workspace as one file, *task*, and so do the
results of each unit. Both are pickled: none but the processes of the build write there.
"""

import pickle
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..layout.files import replaced
from ..stages.plan import unit_bytes
from ..stages.workspace import Workspace
from .each import Checked
from .sound import Apart

__all__ = ["CHECKS", "Units", "begin_units", "check_stages", "check_unit"]

CHECKS: Final = "verify-"
"""What the names of the stages of a verification begin with."""

_File = TypeVar("_File", bound=Checked)
_T = TypeVar("_T")


@runtime_checkable
class Joining(Protocol):
    """A check whose results are smaller together."""

    def join(self, results: Sequence[Any]) -> None:
        """Let the first of some results hold what they add up to, where only that counts."""


class _LeftError(Exception):
    """A check is left to the director."""


class _Nowhere(Apart):
    """Starts no process: those of Dask may not, and damage is rare enough for the director to look at it alone."""

    def call(self, function: Callable[..., Any], *arguments: object) -> tuple[Any, str]:  # noqa: ARG002  as of `Apart`
        """Leave the check that needs it."""
        raise _LeftError


@dataclass(frozen=True)
class Units:
    """Calls checks in units of work of a build (`begin_units`)."""

    workspace: Workspace
    run: Callable[[str, int], None]
    """Runs so many units of a stage."""

    def __call__(
        self, what: str, check: Callable[[_File, Apart], _T], files: Sequence[_File], apart: Apart
    ) -> Iterator[tuple[_File, _T]]:
        """Yield each file with the result of its check, in order.

        What no unit could check is checked here: damaged files. So are files of units whose results are not of this
        very verification: a process that was thought dead may have written them for an earlier one.
        """
        if not files:
            return
        stage, token, cuts = f"{CHECKS}{what.replace(' ', '-')}", secrets.token_hex(16), _cuts(files)
        _save(_task(self.workspace, stage), token, (check, files), cuts=cuts)
        self.run(stage, len(cuts) - 1)
        for unit in range(len(cuts) - 1):
            some = _of_unit(files, cuts, unit)
            results = _results(self.workspace.record(stage, unit), token) or [None] * len(some)
            for file, result in zip(some, results, strict=True):
                yield file, check(file, apart) if result is None else result


def begin_units(workspace: Workspace, run: Callable[[str, int], None]) -> Units:
    """Return who does the checks of a verification that begins; results of an earlier one are removed.

    The files may have changed since: whatever makes a build begin again may have made it write them again.
    """
    for path in workspace.records.glob(f"{CHECKS}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return Units(workspace, run)


def check_unit(workspace: Workspace, stage: str, unit: int) -> int:
    """Do one unit of a verification, unless it is done already; return its rows."""
    record = workspace.record(stage, unit)
    if record.exists():
        return 0
    with np.load(_task(workspace, stage)) as task:
        token, cuts = str(task["token"]), task["cuts"]
        check, files = _unpickled(task)
    some = _of_unit(files, cuts, unit)
    results = [_checked(check, file) for file in some]
    if isinstance(check, Joining):
        check.join([result for result in results if result is not None])
    _save(record, token, results)
    return sum(file.rows for file in some)


def check_stages(workspace: Workspace) -> list[tuple[str, int]]:
    """Return the stages of the verification that was begun last, in order, and the number of their units."""
    found = []
    for path in workspace.records.glob(f"{CHECKS}*.npz"):
        with suppress(FileNotFoundError), np.load(path) as task:  # it may be removed meanwhile
            found.append((path.stat().st_mtime_ns, path.stem, len(task["cuts"]) - 1))
    return [(stage, units) for _, stage, units in sorted(found)]


def _task(workspace: Workspace, stage: str) -> Path:
    return workspace.records / f"{stage}.npz"


def _cuts(files: Sequence[Checked]) -> NDArray[np.int64]:
    """Return the number of the first file of each unit, and that of all files."""
    stops = np.cumsum([file.bytes for file in files])
    unit = (stops - 1) // unit_bytes(int(stops[-1]))
    starts = 1 + np.flatnonzero(unit[1:] != unit[:-1])
    return np.concatenate([[0], starts, [len(files)]]).astype(np.int64)


def _of_unit(files: Sequence[_File], cuts: NDArray[np.int64], unit: int) -> Sequence[_File]:
    return files[int(cuts[unit]) : int(cuts[unit + 1])]


def _checked(check: Callable[[_File, Apart], _T], file: _File) -> _T | None:
    """Return the result of a check; None if it is left to the director."""
    try:
        return check(file, _Nowhere())
    except _LeftError:
        return None


def _save(path: Path, token: str, content: object, **arrays: NDArray[Any]) -> None:
    """Write a task or results, with the token of their verification."""
    pickled = np.frombuffer(pickle.dumps(content), dtype=np.uint8)
    with replaced(path, flush=False) as hidden, hidden.open("wb") as file:
        np.savez(file, token=np.array(token), pickled=pickled, **arrays)  # type: ignore[arg-type]


def _results(record: Path, token: str) -> list[Any] | None:
    """Return the results of a unit; None if they are not of this verification."""
    with np.load(record) as told:
        return _unpickled(told) if str(told["token"]) == token else None


def _unpickled(arrays: Any) -> Any:
    return pickle.loads(arrays["pickled"].tobytes())  # noqa: S301  none but this build's processes write there
