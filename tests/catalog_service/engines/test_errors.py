from pathlib import Path

import pytest

from catalog_service.engines.base import WorkerConfig
from catalog_service.engines.errors import is_fatal, translate_error
from catalog_service.exceptions import (
    CatalogServiceError,
    LimitError,
    QueryTimeoutError,
    QueryValueError,
    ServerError,
    StorageError,
)
from tests.catalog_service.engines.queries import make_config, query


@pytest.fixture
def config(tmp_path: Path) -> WorkerConfig:
    return make_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INTERRUPT Error: Query exceeded maximum execution time", QueryTimeoutError),
        ("Out of Memory Error: could not allocate block of size 256.0 KiB", LimitError),
        ("Out of Memory Error: ... set by the 'max_temp_directory_size' setting", LimitError),
        ('IO Error: Could not write file "{temp}/duckdb_temp_1.tmp": No space left on device', LimitError),
        ("std::bad_alloc", LimitError),
        ("malloc of size 1048576 failed", LimitError),
        ('IO Error: Could not open file "{shards}a.parquet"', StorageError),
        ("Invalid Input Error: Footer length error in file '{shards}a.parquet'", StorageError),
        ("TProtocolException: Invalid data", StorageError),
        ("don't know what type: \x0e", StorageError),
        ("Invalid Error: Parquet file is likely corrupted, dictionary offset out of range", StorageError),
        ("Conversion Error: Could not convert string 'a Parquet floor' to INT32", QueryValueError),
        ("Out of Range Error: Overflow in multiplication of INT64 (2 * 3)!", QueryValueError),
        ('Binder Error: Referenced column "x" not found', ServerError),
        ('Permission Error: Cannot access file "/etc/passwd"', ServerError),
        ("INTERNAL Error: Attempted to access index 3 within vector of size 2", ServerError),
        ("something new", ServerError),
    ],
)
def test_every_kind_has_its_class(config: WorkerConfig, text: str, expected: type[CatalogServiceError]) -> None:
    spelled = text.format(shards=config.allowed_directories[0], temp=config.temp_directory)
    translated = translate_error(OSError(spelled), query("SELECT 1"), config)
    assert type(translated) is expected
    assert translated.query_id == "q-1"
    for secret in (config.temp_directory, config.allowed_directories[0], "/etc/passwd"):
        assert secret not in str(translated)


def test_memory_errors_of_python_count(config: WorkerConfig) -> None:
    assert isinstance(translate_error(MemoryError(), query("SELECT 1"), config), LimitError)


def test_our_sql_stays_out(config: WorkerConfig) -> None:
    path = f"{config.allowed_directories[0]}a.parquet"
    text = f"Conversion Error: Could not convert string 'x' to INT32\n\nLINE 1: SELECT s::INT FROM '{path}'\n      ^^"
    message = str(translate_error(ValueError(text), query("SELECT 1"), config))
    assert message.startswith("The text 'x' is not a 32-bit integer.")
    assert "SELECT" not in message
    assert path not in message


def test_long_values_are_cut(config: WorkerConfig) -> None:
    text = f"Conversion Error: Could not convert string '{'x' * 10_000}' to INT32"
    assert len(str(translate_error(ValueError(text), query("SELECT 1"), config))) < 400


def test_limits_name_value_and_remedy(config: WorkerConfig) -> None:
    timeout = translate_error(
        ValueError("INTERRUPT Error: Query exceeded maximum execution time"), query("SELECT 1", timeout_s=60), config
    )
    assert "60 s" in str(timeout)
    assert timeout.remedy
    memory = translate_error(MemoryError(), query("SELECT 1"), config)
    assert "400 MB" in str(memory)
    assert memory.remedy


def test_fatal_errors() -> None:
    assert is_fatal(ValueError("FATAL Error: Failed: database has been invalidated"))
    assert is_fatal(ValueError("INTERNAL Error: assertion"))
    assert not is_fatal(ValueError("Binder Error: FATAL Error: no"))
