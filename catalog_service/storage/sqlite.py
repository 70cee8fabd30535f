"""SQLite databases of the service: on a local disk, in WAL mode, with every commit on the disk before it is told."""

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from ..exceptions import ConfigurationError
from .local_disk import network_file_system

__all__ = ["open_database"]

_PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")


def open_database(path: Path, *, patience_s: float = 10.0) -> sa.Engine:
    """Open a database file; it is created if missing.

    Parameters
    ----------
    path
        Its file.
    patience_s
        How long a statement waits while another process holds the database, seconds.

    Raises
    ------
    ConfigurationError
        If it would lie on a network file system, where SQLite's locks do not hold, or cannot be created.
    """
    kind = network_file_system(path.parent)
    if kind is not None:
        msg = f"the directory {path.parent} is on a network file system ({kind}), where SQLite loses data."
        raise ConfigurationError(msg, remedy="Set state_dir to a directory on a local disk.")
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": patience_s})
    sa.event.listen(engine, "connect", _prepare)
    try:
        with engine.connect():
            pass
    except sa.exc.DatabaseError as error:
        msg = f"the database {path} cannot be opened: {error.orig}."
        raise ConfigurationError(msg, remedy="Check the directory's rights and space.") from error
    return engine


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
