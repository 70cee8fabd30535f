"""Uploaded tables: room for those that come with a request, and their reading by workers."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from partitioning.layout.paths import PLAIN_FILE

from ..engines.turns import Claim
from ..exceptions import LimitError, ParameterError, UploadError, WorkerCrashedError
from ..models.query import UploadSource
from ..models.schema import Table
from ..models.stored import StoredTable
from ..models.upload import UPLOAD_SCHEMA, UploadCaps, UploadedTable, UploadQuery
from ..models.words import delimited_if_needed
from .lanes import Lanes

__all__ = ["UploadLimits", "UploadRoom", "UploadService", "check_name"]

_DIRECTORY_SUFFIX: Final = ".table"
"""Of the directory, beside an upload's bytes, of its Parquet file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Limits of the tables of one request."""

    size_bytes: int = 100_000_000
    """Of all bytes of a request."""
    tables: int = 10
    caps: UploadCaps = field(default_factory=UploadCaps)


def check_name(name: str) -> None:
    """Refuse a name that a query could not write without quotes (TAP 1.1 section 2.7.7).

    Raises
    ------
    ParameterError
        If it is no regular identifier.
    """
    if not name or delimited_if_needed(name) != name:
        shown = name[:60]
        raise ParameterError(
            f"{shown!r} cannot be the name of an uploaded table; "
            "use a letter, then letters, digits and underscores, and no word of ADQL"
        )


class UploadRoom:
    """Room for the tables of one request: a directory below `base`, made when the first one comes."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._directory: Path | None = None

    def file(self, name: str) -> Path:
        """Return the path for a table called `name`."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(dir=self._base))
        return self._directory / name

    def close(self) -> None:
        """Remove all that is there."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


class UploadService:
    """Keeps and reads uploaded tables.

    Parameters
    ----------
    lanes
        Workers that read them.
    limits
        Published limits.
    directory
        Where tables of synchronous requests are kept while their query runs.
    """

    def __init__(self, lanes: Lanes, limits: UploadLimits, directory: Path) -> None:
        self._lanes = lanes
        self._directory = directory
        self.limits = limits

    @contextmanager
    def room(self) -> Iterator[UploadRoom]:
        """Give room for the tables of one request; it is cleared at the end, whatever happened."""
        room = UploadRoom(self._directory)
        try:
            yield room
        finally:
            room.close()

    def check(self, names: Sequence[str]) -> None:
        """Refuse names of tables that a query could not tell apart, or too many of them.

        Raises
        ------
        ParameterError
            If a name is no regular identifier, or is given twice.
        LimitError
            If there are too many.
        """
        seen: set[str] = set()
        for name in names:
            check_name(name)
            if name.lower() in seen:
                raise ParameterError(f"two uploaded tables are called {name!r}; case makes no difference")
            seen.add(name.lower())
        if len(names) > self.limits.tables:
            raise LimitError(
                f"{len(names)} tables are uploaded; the limit is {self.limits.tables}.",
                remedy="Put them together, or ask several queries.",
            )

    async def read(  # noqa: PLR0913 - what is read, for whom, and for how long
        self,
        sources: tuple[UploadSource, ...],
        query_id: str,
        *,
        timeout_s: float,
        started: float,
        is_job: bool,
        claim: Claim,
    ) -> tuple[StoredTable, ...]:
        """Have workers read uploaded tables; return these as queries find them.

        Parameters
        ----------
        sources
            The uploads. Each is written as Parquet beside its bytes, in a directory of its own.
        query_id
            Of the query that they belong to.
        timeout_s, started
            Its time limit in seconds, and when that began, by ``time.perf_counter``.
        is_job
            Which lane the query runs in.
        claim
            Decides when it is its turn.

        Raises
        ------
        UploadError
            If one cannot be read.
        LimitError
            If one is too large, or reading takes too long.
        """
        self.check([source.name for source in sources])
        tables = []
        for source in sources:
            query = UploadQuery(
                query_id=query_id,
                name=source.name,
                source=str(source.path),
                target=str(_target(source.path)),
                content_type=source.content_type,
                caps=self.limits.caps,
                timeout_s=timeout_s,
                spent_s=time.perf_counter() - started,
            )
            tables.append(_stored(await self._read(query, claim, is_job=is_job)))
        return tuple(tables)

    async def _read(self, query: UploadQuery, claim: Claim, *, is_job: bool) -> UploadedTable:
        try:
            async with await self._lanes.pool(is_job=is_job).run(query, claim) as result:
                return UploadedTable.from_json(b"".join([piece async for piece in result]))
        except WorkerCrashedError as error:
            raise UploadError(
                f"The uploaded table {query.name!r} cannot be read: the process that read it ended unexpectedly.",
                remedy="Is the file damaged? Write it anew, or in another format.",
            ) from error


def _target(source: Path) -> Path:
    """Return the path for the Parquet file of an upload; its directory is made."""
    directory = source.with_name(source.name + _DIRECTORY_SUFFIX)
    directory.mkdir(exist_ok=True)
    return directory / PLAIN_FILE


def _stored(uploaded: UploadedTable) -> StoredTable:
    table = Table(schema_name=UPLOAD_SCHEMA, name=uploaded.name, columns=uploaded.columns, rows=uploaded.rows)
    return StoredTable(
        table=table,
        directory=Path(uploaded.path).parent,
        release=0,
        rows=uploaded.rows,
        size_bytes=uploaded.size_bytes,
        partitions=None,
        placement=None,
    )
