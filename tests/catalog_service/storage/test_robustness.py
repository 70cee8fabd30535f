"""Damaged pointers and manifests: the old snapshot stays, and the trouble is logged once."""

import logging
from pathlib import Path

import pyarrow as pa
import pytest

from catalog_service.storage.catalogs import Registry, SchemaRule
from tests.harness import build_table

POSITIONS = pa.table({"id": [1, 2, 3], "ra": [10.0, 20.0, 30.0], "dec": [-5.0, 0.0, 5.0]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build_table(tmp_path / "catalogs", "stars", [POSITIONS], options='ra = "ra"\ndec = "dec"\nid = ["id"]')
    return tmp_path / "catalogs"


@pytest.mark.parametrize("damage", ["pointer", "manifest", "gone"])
def test_a_damaged_release_leaves_the_old_snapshot(root: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    registry = Registry(root, {}, SchemaRule("public"))
    before = registry.snapshot
    pointer = root / "test" / "stars" / "collection.properties"
    if damage == "pointer":
        pointer.write_text("obs_collection=stars\n")
    elif damage == "manifest":
        (root / "test" / "stars" / "stars_r1" / "manifest" / "manifest.json").write_text("[]")
        pointer.write_text(pointer.read_text() + "\n")
    else:
        pointer.write_text(pointer.read_text().replace("stars_r1", "stars_r7"))
    with caplog.at_level(logging.ERROR):
        assert [registry.refresh() for _ in range(3)] == [False, False, False]
    assert registry.snapshot is before
    assert len(caplog.records) == 1


def test_a_hidden_position_is_none(tmp_path: Path) -> None:
    options = 'ra = "ra"\ndec = "dec"\nhidden = ["ra"]'
    build_table(tmp_path / "catalogs", "stars", [POSITIONS], options=options)
    registry = Registry(tmp_path / "catalogs", {}, SchemaRule("public"))
    assert registry.snapshot.stored["test.stars"].table.position is None
