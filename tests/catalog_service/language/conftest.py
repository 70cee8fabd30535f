from collections.abc import Iterator

import pytest

from tests.catalog_service.language.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("language"))
    yield store
    store.connection.close()
