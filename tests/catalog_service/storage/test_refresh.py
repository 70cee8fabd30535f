"""New releases that are broken in unusual ways, and schema files that change: the registry goes on."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog_service.exceptions import ConfigurationError
from catalog_service.storage.catalogs import Registry
from catalog_service.storage.felis import read_felis
from partitioning.exceptions import LayoutError
from partitioning.layout.paths import COLLECTION_PROPERTIES
from tests.catalog_service.storage.publishing import publish, stored

RA_DEC = (stored("ra"), stored("dec"))
FELIS = (
    "name: sky\ntables:\n- name: stars\n  columns:\n  - {{name: ra, ivoa:unit: {unit}, tap:column_index: {index}}}\n"
)


def bytes_in_pointer(catalog: Path) -> None:
    (catalog.parent / COLLECTION_PROPERTIES).write_bytes(b"\x00\xff\xfe")


def list_in_manifest(catalog: Path) -> None:
    (catalog / "manifest" / "manifest.json").write_text("[]")


def text_as_index(catalog: Path) -> None:
    (catalog.parent.parent / "schema.yaml").write_text(FELIS.format(unit="deg", index="second"))


@pytest.mark.parametrize("damage", [bytes_in_pointer, list_in_manifest, text_as_index])
def test_unusual_damage_is_logged_once_and_the_old_release_stays(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "stars", RA_DEC)
    registry = Registry(tmp_path, {})
    damage(publish(tmp_path, "stars", RA_DEC, release=2))
    with caplog.at_level(logging.ERROR):
        assert [registry.refresh() for _ in range(3)] == [False] * 3
    assert registry.snapshot.stored["sky.stars"].release == 1
    assert len(caplog.records) == 1


def test_storage_that_recovers_is_noticed(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    registry = Registry(tmp_path, {})
    manifest = publish(tmp_path, "stars", RA_DEC, release=2) / "manifest"
    manifest.rename(tmp_path / "away")
    assert registry.refresh() is False
    (tmp_path / "away").rename(manifest)
    assert registry.refresh() is True
    assert registry.snapshot.stored["sky.stars"].release == 2


def test_a_new_schema_file_is_noticed(tmp_path: Path) -> None:
    publish(tmp_path, "stars", RA_DEC)
    registry = Registry(tmp_path, {})
    (tmp_path / "sky" / "schema.yaml").write_text(FELIS.format(unit=5, index=7))
    assert registry.refresh() is True
    column = registry.snapshot.stored["sky.stars"].table.columns_by_folded_name["ra"]
    assert (column.unit, column.index) == ("5", 7)
    assert registry.refresh() is False


def test_an_index_must_be_a_number(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(FELIS.format(unit="deg", index="second"))
    with pytest.raises(ConfigurationError, match="tap:column_index of 'ra' is no whole number: 'second'"):
        read_felis(path)


def test_a_pointer_that_names_nothing_is_named(tmp_path: Path) -> None:
    bytes_in_pointer(publish(tmp_path, "stars", RA_DEC))
    with pytest.raises(LayoutError, match=r"stars.collection\.properties: names no release"):
        Registry(tmp_path, {})
