"""Which unit of work is done where in the code: units of the stages that make a release, and of its verification."""

from pickle import UnpicklingError
from zipfile import BadZipFile

import pyarrow as pa

from .checks.units import CHECKS, check_unit
from .exceptions import PartitioningError
from .stages import run as stages
from .stages.run import Share
from .stages.workspace import Workspace

__all__ = ["run_unit"]


def run_unit(workspace: Workspace, stage: str, unit: int, share: Share) -> int:
    """Do one unit of work, unless it is done already; return its rows.

    Raises
    ------
    PartitioningError
        If the unit cannot be done: unusable input, a full disk.
    """
    if not stage.startswith(CHECKS):
        return stages.run_unit(workspace, stage, unit, share)
    try:
        return check_unit(workspace, stage, unit)
    except (OSError, pa.ArrowException, MemoryError, ValueError, EOFError, BadZipFile, UnpicklingError) as error:
        msg = f"{workspace.name}: {stage} unit {unit} failed: {error}; mend the cause and run the same command again"
        raise PartitioningError(msg) from error
