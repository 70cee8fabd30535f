"""What a release loses when the rows of input files are taken out: the distinct values that only they had."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..layout.paths import INPUT_COLUMN
from .order import one_chunk
from .sketch import Hashes, knows_all, occurring, without
from .units import BASE_READERS, base_leaf

__all__ = ["kept_sketches"]


def kept_sketches(sketches: Mapping[str, Hashes], made: Mapping[str, Hashes], removed: "Removed") -> dict[str, Hashes]:
    """Return the sketches of a release without the values that are gone with some rows.

    A value of such a row is taken for gone if no row that is made anew has it: one that rows far away have, too, goes
    on to be there, and counts no more. In columns of so few values that a sketch knows all of them, none is gone.

    Parameters
    ----------
    sketches
        Of the columns of the release.
    made
        Sketches of the rows that are made anew: those that share a tile with rows that are removed, and new ones.
    """
    gone = removed.hashes({name: sketch for name, sketch in sketches.items() if not knows_all(sketch)})
    none = np.empty(0, dtype=np.uint64)
    return {
        name: without(sketch, np.setdiff1d(gone.get(name, none), made.get(name, none)))
        for name, sketch in sketches.items()
    }


class Removed:
    """Rows of some input files in some leaves.

    Parameters
    ----------
    leaves
        Files that may hold such rows.
    numbers
        Of the input files.
    """

    def __init__(self, leaves: Iterable[Path], numbers: Sequence[int]) -> None:
        self._leaves, self._numbers = list(leaves), pa.array(numbers, pa.int32())

    def hashes(self, sketches: Mapping[str, Hashes]) -> dict[str, Hashes]:
        """Return which hashes of sketches of columns the rows have; one row group a thread is in memory."""
        if not sketches:
            return {}
        with ThreadPoolExecutor(BASE_READERS) as pool:
            found = list(pool.map(partial(self._in_leaf, sketches), self._leaves))
        return {name: np.unique(np.concatenate([part[name] for part in found])) for name in sketches if found}

    def _in_leaf(self, sketches: Mapping[str, Hashes], path: Path) -> dict[str, Hashes]:
        parts: dict[str, list[Hashes]] = {name: [np.empty(0, dtype=np.uint64)] for name in sketches}
        with base_leaf(path) as leaf:
            for number in range(leaf.metadata.num_row_groups):
                inputs = leaf.read_row_group(number, [INPUT_COLUMN], use_threads=False).column(0)
                chosen = pc.is_in(inputs, self._numbers)
                if pc.any(chosen).as_py():
                    rows = leaf.read_row_group(number, list(sketches), use_threads=False).filter(chosen)
                    for name, sketch in sketches.items():
                        parts[name].append(occurring(sketch, one_chunk(rows.column(name))))
        return {name: np.unique(np.concatenate(hashes)) for name, hashes in parts.items()}
