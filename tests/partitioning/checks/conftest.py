"""The release that the tests of verify and repair copy and break, built once."""

from pathlib import Path

import pytest

from tests.partitioning.checks.release import build_release, copied


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the schema's directory; not to be changed."""
    return build_release(tmp_path_factory.mktemp("store"))


@pytest.fixture
def schema_copy(store: Path, tmp_path: Path) -> Path:
    """Return a copy of the schema's directory."""
    return copied(store, tmp_path / "elsewhere")


@pytest.fixture
def release(schema_copy: Path) -> Path:
    """Return a copy of the main catalog of Object, its margin and id indexes beside it."""
    return schema_copy / "Object/Object_r1"


@pytest.fixture
def dia(schema_copy: Path) -> Path:
    """Return a copy of the main catalog of Dia, whose rows lie where their parents in Object lie."""
    return schema_copy / "Dia/Dia_r1"
