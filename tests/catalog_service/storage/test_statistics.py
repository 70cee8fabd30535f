"""Statistics of a published release are those of its files."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from catalog_service.models.statistics import ColumnKey
from catalog_service.storage.statistics import StatisticsCache
from partitioning.layout.manifest import read_partition_map
from partitioning.layout.paths import leaf_path
from tests.harness import SampleStore


@pytest.fixture(scope="module")
def release(sample_store: SampleStore) -> Path:
    manifest = next((sample_store.root / "survey" / "Object").glob("*/manifest/manifest.json"))
    return manifest.parent.parent


@pytest.mark.parametrize("column", ["objectId", "g_cModelFlux", "refBand", "detect_isPrimary", "deblend_nChild"])
def test_bounds_of_each_file(release: Path, column: str) -> None:
    key = ColumnKey(release, column)
    found = StatisticsCache().find([key])[key]
    partitions = read_partition_map(release)
    assert found.known.all()
    for number in range(len(partitions)):
        path = release / leaf_path(partitions.pixel(number))
        values = [v for v in pq.read_table(path, columns=[column]).column(0).to_pylist() if v is not None]
        assert found.empty[number] == (not values)
        if values:
            assert (found.low[number], found.high[number]) == (min(values), max(values))


def test_columns_without_statistics_and_damage(release: Path, tmp_path: Path) -> None:
    cache = StatisticsCache()
    assert cache.find([ColumnKey(release, "nosuch")]) == {}
    assert cache.find([ColumnKey(tmp_path, "objectId")]) == {}
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "row_groups.parquet").write_bytes(b"PAR1 nothing")
    assert cache.find([ColumnKey(tmp_path, "objectId")]) == {}


def test_what_is_kept_is_bounded(release: Path) -> None:
    names = ["objectId", "tract", "patch", "u_psfFlux", "g_psfFlux", "r_psfFlux"]
    keys = [ColumnKey(release, name) for name in names]
    size = StatisticsCache().find(keys[:1])[keys[0]].size_bytes
    cache = StatisticsCache(most_bytes=3 * size)
    assert len(cache.find(keys)) == len(keys)
    kept = cache._kept
    assert sum(one.size_bytes for one in kept.values()) <= 3 * size
    assert list(kept)[-1] == keys[-1]
    assert np.array_equal(cache.find(keys[-1:])[keys[-1]].low, StatisticsCache().find(keys[-1:])[keys[-1]].low)
