"""Readers of a release are not disturbed by the next one, and see the one or the other; a copy is as good."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from catalog_service.storage.catalogs import Registry
from partitioning.layout.manifest import read_manifest
from partitioning.pipeline import append, build
from partitioning.stages.publish import current_release
from tests.partitioning.builders import CREATED, config, leaves, published, sky_rows, sky_table, stored, tree, visible

OLD, NEW = 900, 1300
TABLE = sky_table(target_rows=150, row_group_rows=64, margin_arcsec=30.0)

APPENDING = """
import sys
from pathlib import Path
from tests.faults.partitioning import test_readers
from tests.partitioning.builders import CREATED, config
from partitioning.pipeline import append
append(config(Path(sys.argv[1]), test_readers.TABLE), created=CREATED)
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return a directory with a release of `OLD` rows, and more input."""
    (tmp_path / "Object").mkdir()
    pq.write_table(sky_rows(OLD, first_id=0), tmp_path / "Object/a.parquet")
    build(config(tmp_path, TABLE), created=CREATED)
    pq.write_table(sky_rows(NEW - OLD, seed=2, first_id=OLD), tmp_path / "Object/b.parquet")
    return tmp_path


def home(base: Path) -> Path:
    return base / "catalogs/survey/Object"


def test_open_readers_finish_on_the_release_they_began(base: Path) -> None:
    import lsdb

    catalog = lsdb.open_catalog(home(base))
    raw = ds.dataset([str(path) for path in leaves(published(home(base)))])
    batches = raw.to_batches(columns=["id"], batch_size=16, fragment_readahead=1)
    begun = [next(batches) for _ in range(3)]
    before = tree(published(home(base)))
    append(config(base, TABLE), created=CREATED)
    assert sorted(pa.Table.from_batches([*begun, *batches])["id"].to_pylist()) == list(range(OLD))
    assert len(catalog) == OLD
    assert sorted(catalog.compute()["id"].tolist()) == list(range(OLD))
    assert tree(home(base) / "Object_r1") == before
    assert len(lsdb.open_catalog(home(base)).compute()) == NEW


def test_who_opens_it_meanwhile_sees_the_old_or_the_new_rows(base: Path) -> None:
    """The service's registry, the partitioner, and HATS validation, again and again while an append runs."""
    import hats
    from hats.io.validation import is_valid_collection

    process = subprocess.Popen([sys.executable, "-c", APPENDING, str(base)])
    seen, checks = Counter[tuple[str, int]](), 0
    registry = Registry(base / "catalogs", {})
    try:
        while process.poll() is None or not checks:
            release = current_release(home(base))
            assert release is not None
            seen["manifest", read_manifest(release).rows] += 1
            seen["rows", len(stored(release))] += 1
            registry.refresh()
            seen["service", registry.snapshot.stored["survey.Object"].rows] += 1
            seen["hats", len(hats.read_hats(home(base)).main_catalog)] += 1
            if checks == 0:
                assert is_valid_collection(home(base), strict=True)
                checks += 1
    finally:
        process.wait()
    assert process.returncode == 0
    assert {rows for _, rows in seen} <= {OLD, NEW}
    assert is_valid_collection(home(base), strict=True)
    assert read_manifest(published(home(base))).rows == NEW


def test_a_copied_table_opens_and_grows(base: Path) -> None:
    """As by rsync to another place, with another root; hard links become files of their own."""
    append(config(base, TABLE), created=CREATED)
    elsewhere = base / "elsewhere"
    shutil.copytree(base / "catalogs/survey/Object", elsewhere / "survey/Object")
    assert visible(elsewhere / "survey/Object") == visible(home(base))
    shutil.move(base / "catalogs", base / "away")
    import lsdb

    assert len(lsdb.open_catalog(elsewhere / "survey/Object").compute()) == NEW
    pq.write_table(sky_rows(50, seed=3, first_id=NEW), base / "Object/c.parquet")
    (grown,) = append(config(base, TABLE, root=elsewhere), created=CREATED)
    assert sorted(stored(grown.directory)["id"].to_pylist()) == list(range(NEW + 50))
    assert grown.directory.is_relative_to(elsewhere)
    assert len(lsdb.open_catalog(elsewhere / "survey/Object").compute()) == NEW + 50
