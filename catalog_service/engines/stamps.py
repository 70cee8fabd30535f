"""Adopted files may change behind our back: what was noted down about them must still hold when a query reads them."""

from pathlib import Path
from typing import Final

from catalog_service.exceptions import StorageError
from catalog_service.models.query import EngineQuery, FileStamp

__all__ = ["check_stamps"]

_REMEDY: Final = "Tell the operator: `catalog-partition adopt` takes the table's files up anew."


def check_stamps(query: EngineQuery) -> None:
    """Compare size and time of the adopted files that `query` reads with those at their adoption.

    Files that changed would be pruned by what they held before, and rows be lost silently. Looking costs little
    beside opening them.

    Raises
    ------
    StorageError
        If one has vanished or changed. The cause, for the log, names it; the message, for users, does not.
    """
    for stamp in query.stamps:
        problem = _problem(stamp)
        if problem is not None:
            what, cause = problem
            msg = f"A data file of an adopted table {what} (query {query.query_id})."
            raise StorageError(msg, remedy=_REMEDY) from cause


def _problem(stamp: FileStamp) -> tuple[str, OSError] | None:
    try:
        status = Path(stamp.path).stat()
    except OSError as error:
        return "has vanished or cannot be read", error
    if (status.st_size, status.st_mtime_ns) != (stamp.size_bytes, stamp.mtime_ns):
        return "has changed since it was adopted", OSError(f"{stamp.path} is not the file that was adopted")
    return None
