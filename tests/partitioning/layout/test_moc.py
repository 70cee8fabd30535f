"""Coverage files against mocpy."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from mocpy import MOC

from partitioning.layout.moc import moc_cells, write_moc


@given(st.integers(0, 4), st.data())
def test_cells_cover_the_pixels_and_are_the_fewest(order: int, data: st.DataObject) -> None:
    stop = 12 << (2 * order)
    chosen = data.draw(st.sets(st.integers(0, stop - 1), max_size=40))
    block = data.draw(st.integers(0, 11)) << (2 * order)
    pixels = np.array(sorted(chosen | set(range(block, block + data.draw(st.sampled_from([0, 1 << (2 * order)]))))))
    orders, numbers = moc_cells(pixels.astype(np.int64), order)
    inside = [np.arange(n << 2 * (order - k), (n + 1) << 2 * (order - k)) for k, n in zip(orders, numbers, strict=True)]
    assert np.array_equal(np.sort(np.concatenate([np.empty(0), *inside])), pixels)
    cells = set(zip(orders.tolist(), numbers.tolist(), strict=True))
    assert not any({(k, (n & ~3) + child) for child in range(4)} <= cells for k, n in cells if k > 0)


@pytest.mark.parametrize("order", [0, 5, 10])
def test_mocpy_reads_the_file(tmp_path: Path, order: int) -> None:
    rng = np.random.default_rng(order)
    stop = 12 << (2 * order)
    pixels = np.unique(np.append(rng.integers(0, stop, 500), np.arange(stop // 3, stop // 3 + min(stop // 2, 70_000))))
    write_moc(tmp_path / "moc.fits", pixels, order)
    moc = MOC.from_fits(str(tmp_path / "moc.fits"))
    assert moc.max_order == order
    assert np.array_equal(moc.flatten(), pixels)
    assert fits.getval(tmp_path / "moc.fits", "ORDERING", 1) == "NUNIQ"
    (tmp_path / "again").mkdir()
    write_moc(tmp_path / "again/moc.fits", pixels, order)
    assert (tmp_path / "again/moc.fits").read_bytes() == (tmp_path / "moc.fits").read_bytes()


def test_the_whole_sky_is_twelve_cells() -> None:
    orders, numbers = moc_cells(np.arange(12 << 12), 6)
    assert not orders.any()
    assert numbers.tolist() == list(range(12))
