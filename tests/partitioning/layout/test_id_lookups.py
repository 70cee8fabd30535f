"""Look-ups in both kinds of id index find just the rows that a look at all entries finds."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioning.layout.flat_index import FlatIndex
from partitioning.layout.paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE, HEALPIX_COLUMN, index_part_path
from partitioning.layout.text_index import TextIndex
from partitioning.stages.assemble import write_index_metadata

PAGE = 512
"""Numbers that are read at a time."""


def write_flat(directory: Path, ids: np.ndarray) -> tuple[FlatIndex, np.ndarray]:
    """Write the arrays of sorted `ids`; return the index, and the places of the rows."""
    places = np.random.default_rng(len(ids)).integers(0, 1 << 60, len(ids))
    for name, values in ((FLAT_IDS_FILE, ids), (FLAT_HEALPIX_FILE, places)):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        values.astype("<i8").tofile(directory / name)
    return FlatIndex(directory, len(ids)), places


def write_texts(directory: Path, ids: list[str], parts: int) -> tuple[TextIndex, np.ndarray]:
    """Write the parts of sorted `ids`, in row groups of 40; return the index, and the places of the rows."""
    places = np.random.default_rng(len(ids)).integers(0, 1 << 60, len(ids))
    entries = pa.table({"name": pa.array(ids, pa.string()), HEALPIX_COLUMN: places})
    edges = np.linspace(0, len(ids), parts + 1).astype(int)
    for part in range(parts):
        path = directory / index_part_path(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(entries.slice(edges[part], edges[part + 1] - edges[part]), path, row_group_size=40)
    write_index_metadata(directory, parts)
    return TextIndex(directory), places


def as_pairs(places: np.ndarray) -> list[int]:
    return sorted(places.tolist())


STORED = {
    "each once": np.arange(3 * PAGE) * 7,
    "runs over pages": np.repeat(np.arange(5), [PAGE - 1, 2 * PAGE, 1, 1, 700]),
    "one id": np.full(1500, 3),
    "few": np.array([-(2**63), -1, 5, 2**63 - 1]),
    "none": np.empty(0, dtype=np.int64),
    "a page to the end": np.arange(PAGE) - PAGE // 2,
}


@pytest.mark.parametrize("name", STORED)
@settings(deadline=None)
@given(data=st.data())
def test_integers(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    stored = STORED[name].astype(np.int64)
    directory = tmp_path_factory.getbasetemp() / f"flat {name}"
    index, places = write_flat(directory, stored)
    known = st.sampled_from(stored.tolist()) if len(stored) else st.integers(-5, 5)
    ids = sorted(data.draw(st.sets(known | st.integers(-3, 30) | st.integers(-(2**63), 2**63 - 1), max_size=60)))
    found = index.find(np.array(ids, dtype=np.int64), 10_000)
    assert found is not None
    rows = np.isin(stored, np.array(ids, dtype=np.int64))
    assert as_pairs(found[0]) == as_pairs(places[rows])
    assert found[1].tolist() == [ident in set(stored.tolist()) for ident in ids]
    if rows.any():
        assert index.find(np.array(ids, dtype=np.int64), int(rows.sum()) - 1) is None


def test_fifty_thousand_ids_are_found_quickly(tmp_path: Path) -> None:
    stored = np.arange(2_000_000) * 3
    index, places = write_flat(tmp_path, stored)
    ids = np.sort(np.random.default_rng(2).choice(6_000_000, 50_000, replace=False))
    started = time.process_time()
    found = index.find(ids, 100_000)
    assert time.process_time() - started < 2
    assert found is not None
    assert np.array_equal(found[0], places[ids[ids % 3 == 0] // 3])
    assert np.array_equal(found[1], ids % 3 == 0)
    assert index.find(ids, 100_000, deadline=time.monotonic() - 1) is None


@settings(deadline=None)
@given(data=st.data())
def test_texts(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.getbasetemp() / "texts"
    stored = sorted([*(f"J{n:05d}" for n in range(0, 900, 3)), *["Ünter"] * 90, "", "zeta  ", "ζ", "\U0001d538"])
    index, places = write_texts(directory, stored, 3)
    ids = tuple(sorted(data.draw(st.sets(st.sampled_from(stored) | st.from_regex(r"J0\d{4}") | st.text(max_size=3)))))
    found = index.find(ids, 10_000)
    assert found is not None
    rows = np.isin(stored, ids) if ids else np.zeros(len(stored), dtype=np.bool_)
    assert as_pairs(found[0]) == as_pairs(places[rows])
    assert found[1].tolist() == [ident in set(stored) for ident in ids]
    if rows.any():
        assert index.find(ids, int(rows.sum()) - 1) is None


def test_texts_of_an_index_that_does_not_tell_its_bounds(tmp_path: Path) -> None:
    huge = ["x" * 10_000, "y" * 10_000]
    index, _ = write_texts(tmp_path, huge, 1)
    with pytest.raises(OSError, match="no bounds"):
        index.find(("x",), 10)
    with pytest.raises(OSError, match="nowhere"):
        TextIndex(tmp_path / "nowhere").find(("x",), 10)
