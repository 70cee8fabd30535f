"""One MariaDB with the survey for all tests of migration that only read it."""

from collections.abc import Iterator

import pytest

from tests.catalog_service.migration.qserv_like import QservLike, running_qserv_like
from tests.harness import SampleStore


@pytest.fixture(scope="session")
def qserv_like(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QservLike]:
    """Return a server that looks like a Qserv; tests do not change it."""
    with running_qserv_like(tmp_path_factory.mktemp("qserv"), sample_store.survey) as server:
        yield server
