"""Row groups that meet a part of the sky, by the manifest's list of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.exceptions import LayoutError
from partitioning.layout.row_groups import RowGroups, count_row_groups

LOW = [0, 100, 200, 300, 400]
"""Of five row groups, three of file 0 and two of file 1; each holds a hundred indices, both ends included."""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    groups = {"file": [0, 0, 0, 1, 1], "rows": [1, 2, 4, 8, 16], "healpix_min": LOW}
    (tmp_path / "manifest").mkdir()
    table = pa.table({**groups, "healpix_max": [low + 99 for low in LOW]})
    pq.write_table(table, tmp_path / "manifest/row_groups.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "ranges", "chosen", "rows"),
    [
        ([0, 1], (), 5, 31),
        ([1], (), 2, 24),
        ([], (), 0, 0),
        ([0, 1], ((199, 200),), 1, 2),
        ([0, 1], ((199, 201),), 2, 6),
        ([0], ((250, 350),), 1, 4),
        ([0, 1], ((0, 1), (499, 500)), 2, 17),
        ([0, 1], ((500, 600),), 0, 0),
    ],
)
def test_those_that_meet(
    catalog: Path, files: list[int], ranges: tuple[tuple[int, int], ...], chosen: int, rows: int
) -> None:
    assert count_row_groups(catalog, np.array(files, dtype=np.int64), ranges) == RowGroups(chosen, 5, rows)


def test_none_and_damaged(catalog: Path) -> None:
    path = catalog / "manifest/row_groups.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LayoutError, match="no readable list of row groups"):
        count_row_groups(catalog, np.arange(2))
    path.unlink()
    assert count_row_groups(catalog, np.arange(2)) is None
