"""Damaged parts of the input that are left out because the operator said so (``--skip-bad``).

Each is noted in a file of its own. A unit leaves out what was noted when its rows were placed, and nothing else: the
places are read in step with the rows. A part that turns out to be damaged later costs the unit a second placing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..exceptions import DamagedInputError
from ..layout.files import replace_bytes
from .plan import PlannedInput, Segment, TablePlan
from .workspace import Workspace

__all__ = ["Damage", "damage_array", "damage_from", "note_damage", "read_damage", "sound_runs"]

_DIRECTORY = "damage"


@dataclass(frozen=True, slots=True)
class Damage:
    """One part of an input file that cannot be read."""

    file: int
    """Position of the file in the plan."""
    part: int | None
    """None: all of the file."""
    problem: str


def note_damage(workspace: Workspace, plan: TablePlan, error: DamagedInputError) -> bool:
    """Note the damaged part that `error` names; return False if it is of no file of the plan."""
    position = next((n for n, file in enumerate(plan.inputs) if file.name == error.file), None)
    if position is None:
        return False
    parts = plan.source.part_rows(position) if error.part is not None else None
    rows = f" ({parts[error.part]} rows)" if parts is not None and error.part is not None else ""
    where = "all of the file" if error.part is None else f"part {error.part}{rows}"
    path = workspace.spill / _DIRECTORY / f"{position}-{'all' if error.part is None else error.part}.json"
    replace_bytes(path, json.dumps([position, error.part, f"{where}: {error.problem}"]).encode())
    return True


def read_damage(workspace: Workspace) -> tuple[Damage, ...]:
    """Return the damaged parts noted so far."""
    paths = sorted((workspace.spill / _DIRECTORY).glob("*.json"))
    return tuple(Damage(*json.loads(path.read_text(encoding="utf-8"))) for path in paths)


def damage_array(damage: tuple[Damage, ...]) -> NDArray[np.int64]:
    """Return (file, part) of damaged parts, shape ``(N, 2)``, part -1 for all of a file; see `damage_from`."""
    pairs = [(one.file, -1 if one.part is None else one.part) for one in damage]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def damage_from(pairs: NDArray[np.int64]) -> tuple[Damage, ...]:
    """Return the damaged parts that `damage_array` wrote."""
    return tuple(Damage(file, None if part < 0 else part, "") for file, part in pairs.tolist())


def sound_runs(
    file: PlannedInput, segment: Segment, damage: tuple[Damage, ...], part_rows: tuple[int, ...] | None
) -> Iterator[tuple[range | None, int]]:
    """Yield (parts to read, number of the first row) of the sound parts of a segment, whose damaged ones are known.

    Parameters
    ----------
    part_rows
        Rows of each part of the file; None if it is read as a whole.
    """
    bad = {one.part for one in damage if one.file == segment.file}
    if file.damaged is not None or None in bad:
        return
    if part_rows is None or (not bad and segment.stop is None):
        yield None, 0
        return
    stop = len(part_rows) if segment.stop is None else segment.stop
    first = segment.first
    for part in [*sorted(p for p in bad if p is not None and segment.first <= p < stop), stop]:
        if part > first:
            yield range(first, part), sum(part_rows[:first])
        first = part + 1
