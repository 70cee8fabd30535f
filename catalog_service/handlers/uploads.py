"""Tables that come with a request: ``UPLOAD`` and parts of a multipart body (TAP 1.1 section 2.7.7), or a body."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from ..dependencies import Caller, ServicesDep
from ..exceptions import NotFoundError, ParameterError
from ..factory import Services
from ..models.query import QueryText, UploadSource
from ..models.user import Identity
from ..services.jobs import ResultPath
from ..services.parameters import Parameters
from ..services.sessions import results_as_tables
from ..services.uploads import UploadRoom, UploadService
from .responses import http_error

__all__ = ["Reception", "Uploads"]

_PREFIX: Final = "param:"
_SHOWN: Final = 60
_COPY_BYTES: Final = 1 << 20


class Reception:
    """Takes in the tables of one request and keeps them until its answer is done."""

    def __init__(self, uploads: UploadService, room: UploadRoom, results: "ResultFinder") -> None:
        self._uploads = uploads
        self._room = room
        self._results = results

    async def tables(self, request: Request, parameters: Parameters) -> tuple[UploadSource, ...]:
        """Return the tables that ``UPLOAD=name,address;...`` names; the parameter may be repeated.

        An address is ``param:part``, or that of a result of a job of this service, which is taken from the disk:
        nothing is ever fetched.

        Raises
        ------
        ParameterError
            If it is malformed, a name is none, or a part is missing; also for any other address.
        NotFoundError
            If there is no such job or result for this caller.
        LimitError
            If there are too many tables.
        """
        pairs = [_pair(text) for value in parameters.all("UPLOAD") for text in value.split(";") if text.strip()]
        self._uploads.check([name for name, _ in pairs])
        return tuple([await self._table(request, name, address) for name, address in pairs])

    async def files(self, request: Request) -> tuple[UploadSource, ...]:
        """Return the files of a form as tables that are called as their fields are."""
        form = await _form(request)
        parts = [(name, part) for name, part in form.multi_items() if isinstance(part, UploadFile)]
        self._uploads.check([name for name, _ in parts])
        return tuple([await self._part(name, part) for name, part in parts])

    async def body(self, request: Request, name: str) -> UploadSource:
        """Return the body of a request as one table."""
        path = self._room.file(name)
        try:
            with path.open("wb") as target:
                async for piece in request.stream():
                    await asyncio.to_thread(target.write, piece)
        except HTTPException as error:
            raise http_error(error) from error
        return UploadSource(name, path, request.headers.get("content-type"))

    async def with_results(self, query: QueryText) -> QueryText:
        """Return a query whose FROM names results of jobs, ``qserv_result(id)``, with these as tables of its own.

        Raises
        ------
        NotFoundError
            If there is no such job for this caller, or it has no result.
        """
        named = results_as_tables(query)
        if named is None:
            return query
        tables = [await self._linked(name, await self._results.of_job(job_id)) for name, job_id in named.jobs.items()]
        return replace(query, text=named.text, uploads=(*query.uploads, *tables), told=query.text)

    async def _table(self, request: Request, name: str, address: str) -> UploadSource:
        if address.lower().startswith(_PREFIX):
            return await self._part(name, _found(await _form(request), address[len(_PREFIX) :]))
        return await self._linked(name, await self._results.find(address))

    async def _linked(self, name: str, found: ResultPath) -> UploadSource:
        """Return the result of a job as a table that comes with the request."""
        path = self._room.file(name)
        try:
            await asyncio.to_thread(path.hardlink_to, found.path)
        except FileNotFoundError as error:
            raise NotFoundError(f"the result {found.result.name!r} was removed.") from error
        return UploadSource(name, path, found.result.content_type)

    async def _part(self, name: str, part: UploadFile | str) -> UploadSource:
        path = self._room.file(name)
        if isinstance(part, str):
            path.write_text(part, encoding="utf-8")
            return UploadSource(name, path)
        await asyncio.to_thread(_copy, part, path)
        return UploadSource(name, path, part.content_type)


@dataclass(frozen=True, slots=True)
class ResultFinder:
    """Finds results of jobs by their public address."""

    services: Services
    caller: Identity

    async def find(self, address: str) -> ResultPath:
        """Return a result that the caller may read.

        Raises
        ------
        ParameterError
            If the address is none of a result.
        NotFoundError
            If there is no such job or result for this caller.
        """
        documents = self.services.job_documents
        places = [one for one in (documents.job_url(), documents.api_url) if address.startswith(f"{one}/")]
        job_id, slash, name = address[len(places[0]) + 1 :].partition("/results/") if places else ("", "", "")
        if not slash or "/" in job_id or "/" in name:
            raise ParameterError(
                f"UPLOAD names the address {address[:_SHOWN]!r}, and nothing is fetched from addresses.",
                remedy="Send the table in the same request, as name,param:part, or name the result of a job of yours.",
            )
        return await self.of_job(job_id, name)

    async def of_job(self, job_id: str, name: str = "result") -> ResultPath:
        """Return a result of a job of the caller's.

        Raises
        ------
        ParameterError
            If it is a list of files.
        NotFoundError
            If there is no such job or result for this caller.
        """
        found = await self.services.jobs.result(job_id, self.caller, name)
        if found.result.content_type == "text/uri-list":
            raise ParameterError("this result is a list of its parts; name a part, such as .../results/part-00000")
        return found


async def _reception(services: ServicesDep, caller: Caller) -> AsyncIterator[Reception]:
    """Give room for the tables of a request; it is cleared when the answer is sent, or the client has gone."""
    with services.uploads.room() as room:
        yield Reception(services.uploads, room, ResultFinder(services, caller))


Uploads = Annotated[Reception, Depends(_reception)]


async def _form(request: Request) -> FormData:
    try:
        return await request.form() if request.method == "POST" else FormData()
    except HTTPException as error:
        raise http_error(error) from error
    except (UnicodeError, LookupError) as error:
        raise ParameterError("the form cannot be read in the charset that it names; send UTF-8") from error


def _copy(part: UploadFile, path: Path) -> None:
    part.file.seek(0)
    with path.open("wb") as target:
        shutil.copyfileobj(part.file, target, _COPY_BYTES)


def _pair(text: str) -> tuple[str, str]:
    name, comma, address = (piece.strip() for piece in text.partition(","))
    if not comma or not address:
        raise ParameterError(f"UPLOAD={text[:_SHOWN]!r} is not of the form name,param:part")
    return name, address


def _found(form: FormData, name: str) -> UploadFile | str:
    """Return the one part of a form that is called so, ignoring case as for all parameters."""
    parts = [part for key, part in form.multi_items() if key.lower() == name.lower()]
    if len(parts) != 1:
        count = "no part" if not parts else f"{len(parts)} parts"
        raise ParameterError(f"the request has {count} called {name[:_SHOWN]!r}, to which UPLOAD refers")
    return parts[0]
