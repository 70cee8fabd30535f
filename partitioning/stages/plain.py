"""Tables without positions: all rows in input order in one Parquet file."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa

from ..layout.leaf import write_leaf
from ..layout.paths import PLAIN_FILE
from ..layout.schema import nan_to_null
from ..sky.healpix import SKY_STOP, Pixel
from .damage import read_damage
from .ledger import LeafFacts, UnitLedger
from .plan import TablePlan
from .sketch import Sketches
from .units import unit_batches
from .workspace import Workspace

__all__ = ["plain_unit"]


def plain_unit(workspace: Workspace, plan: TablePlan) -> int:
    """Write the one file of a table without positions, and the record of it; return its rows.

    The file counts as a leaf that stands for the whole sky.
    """
    rows: dict[int, int] = {file.number: 0 for file in plan.inputs}
    sketches = Sketches(plan.form.schema)
    damage = read_damage(workspace) if plan.skip_bad else ()

    def groups() -> Iterator[pa.Table]:
        waiting, filled, size = list[pa.RecordBatch](), 0, plan.form.most_group_rows
        for read in chain.from_iterable(unit_batches(plan, n, damage, None, size) for n in range(len(plan.units))):
            rows[plan.inputs[read.file].number] += read.batch.num_rows
            waiting.append(nan_to_null(read.batch))
            filled += read.batch.num_rows
            while filled >= size:
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, size)
                waiting, filled = table.slice(size).to_batches(), filled - size
        if filled:
            yield pa.Table.from_batches(waiting)

    def noted() -> Iterator[pa.Table]:
        for group in groups():
            sketches.add(group)
            yield group

    summary = write_leaf(workspace.catalog / PLAIN_FILE, noted(), plan.form)
    none = np.empty(0, dtype=np.int64)
    ledger = UnitLedger(plan.form.schema)
    ledger.add(LeafFacts(Pixel(0, 0), summary, 0, SKY_STOP - 1, 0.0, none, none, rows), margin=False)
    ledger.write(workspace.record("sort", 0), sketches)
    return ledger.rows
