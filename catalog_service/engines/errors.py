"""DuckDB's complaints as errors of the service: the user learns the cause and the remedy, never a path or SQL.

Before a result streams, DuckDB raises classes of its own; once it streams, Arrow raises `OSError` with the same text.
So the text decides: it begins with the kind of error.
"""

from typing import Final

from catalog_service.exceptions import (
    CatalogServiceError,
    LimitError,
    QueryTimeoutError,
    ServerError,
    StorageError,
)
from catalog_service.models.frames import Task
from catalog_service.models.query import EngineQuery

from .base import WorkerConfig
from .value_errors import value_error

__all__ = ["is_fatal", "is_timeout", "memory_error", "spill_error", "storage_error", "timeout_error", "translate_error"]

_LONGEST_MESSAGE: Final = 300
_MEMORY_REMEDY: Final = (
    "Ask for fewer rows or columns, a smaller region, or an aggregate instead of rows; avoid ORDER BY over many rows."
)
_DAMAGE: Final = ("arquet", "TProtocol", "TType", "what type", "Out of buffer", "corrupt", "stats size")
"""Words of complaints about the content of a Parquet file that do not name it; found by flipping bits."""
_SQL_EXCERPT: Final = "\n\nLINE "
"""What follows shows our SQL, paths and all."""
_ALLOCATION_FAILED: Final = ("bad_alloc", "malloc of size", "realloc of size", "mmap")


def timeout_error(query: Task) -> QueryTimeoutError:
    """Return the error for a query that hit its time limit."""
    remedy = "Ask for a smaller region, fewer columns, or fewer tables; `TOP n` without ORDER BY stops early."
    if isinstance(query, EngineQuery) and query.target is None:
        remedy = f"Run it as an asynchronous job, which may take longer. {remedy}"
    return QueryTimeoutError(f"The query hit its time limit of {query.timeout_s:g} s.", remedy=remedy)


def memory_error(config: WorkerConfig) -> LimitError:
    """Return the error for a query that hit a worker's memory limit."""
    return LimitError(
        f"The query needs more than the memory limit of {_megabytes(config.memory_limit_bytes)}.",
        remedy=_MEMORY_REMEDY,
    )


def is_fatal(error: Exception) -> bool:
    """Whether DuckDB will refuse every query from now on."""
    return str(error).startswith(("FATAL Error:", "INTERNAL Error:"))


def is_timeout(error: Exception) -> bool:
    """Whether this is DuckDB's own time limit; `interrupt` raises the same class."""
    return "maximum execution time" in str(error)


def translate_error(error: Exception, query: EngineQuery, config: WorkerConfig) -> CatalogServiceError:
    """Return the error of the service that describes an exception of DuckDB or Arrow.

    Parameters
    ----------
    error
        What was raised while `query` ran; neither a cancellation nor of this service already.
    query
        The query that ran.
    config
        Limits and directories in force.
    """
    text = str(error).partition(_SQL_EXCERPT)[0]
    translated = _translate(error, text, text.partition(" Error:")[0], query, config)
    translated.query_id = query.query_id
    return translated


def _translate(error: Exception, text: str, kind: str, query: EngineQuery, config: WorkerConfig) -> CatalogServiceError:
    if isinstance(error, MemoryError) or any(sign in text for sign in _ALLOCATION_FAILED):
        return memory_error(config)
    if config.temp_directory in text:
        return spill_error(config)
    match kind:
        case "INTERRUPT" if is_timeout(error):
            return timeout_error(query)
        case "Out of Memory":
            return spill_error(config) if "max_temp_directory_size" in text else memory_error(config)
        case _ if kind == "IO" or any(directory in text for directory in config.allowed_directories):
            return storage_error(query)
        case "Conversion" | "Out of Range":
            return value_error(_first_line(text))
        case _ if any(sign in text for sign in _DAMAGE):
            return storage_error(query)
        case "Invalid Input":
            return value_error(_first_line(text))
        case _:
            return ServerError(f"The query failed for a reason that is our fault (query {query.query_id}).")


def spill_error(config: WorkerConfig) -> LimitError:
    """Return the error for a query that filled its temporary disk space."""
    return LimitError(
        f"The query needs more than the temporary disk space of {_megabytes(config.max_temp_bytes)}.",
        remedy=_MEMORY_REMEDY,
    )


def storage_error(query: EngineQuery) -> StorageError:
    """Return the error for a query that met a file that is not as it was published."""
    return StorageError(f"A published file could not be read or is damaged (query {query.query_id}).")


def _first_line(text: str) -> str:
    line = text.partition("Error:")[2].strip().partition("\n")[0].rstrip()
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "..."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
