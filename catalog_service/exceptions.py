"""Errors of the service. Only these are ever serialised to a client.

::

    CatalogServiceError
    |- RequestError (400)              the request is at fault
    |  |- ParameterError               a parameter is missing, repeated or malformed
    |  |- QueryError                   the query text is at fault; carries the position
    |  |  |- QuerySyntaxError          not a query of the language
    |  |  |- QueryNameError            unknown schema, table, column or function
    |  |  |- QueryTypeError            operand or argument types do not fit
    |  |  |- QueryRefusedError         a construct that is never run (COPY, ATTACH, two statements, ...)
    |  |- QueryValueError              a value of the data made the query fail (CAST, overflow)
    |  |- UploadError                  an uploaded table cannot be read
    |  |- LimitError                   a published limit was hit; names limit, value and remedy
    |     |- QueryTimeoutError (408)
    |     |- RequestTooLargeError (413)
    |- AccessError (403)
    |  |- AuthenticationError (401)
    |  |- QueryStoppedError            an operator cancelled the query
    |- NotFoundError (404)
    |- UnavailableError (503)          try again later
    |- ServerError (500)               our fault; the message holds the query id, nothing else
       |- WorkerCrashedError
       |- StorageError
       |- ConfigurationError           at start only, never sent

Each class carries the HTTP status and a stable code that travels in JSON bodies, so that the client
raises the same class again.
"""

from typing import Any, ClassVar

__all__ = [
    "ERRORS_BY_CODE",
    "AccessError",
    "AuthenticationError",
    "CatalogServiceError",
    "ConfigurationError",
    "LimitError",
    "NotFoundError",
    "ParameterError",
    "QueryError",
    "QueryNameError",
    "QueryRefusedError",
    "QueryStoppedError",
    "QuerySyntaxError",
    "QueryTimeoutError",
    "QueryTypeError",
    "QueryValueError",
    "RequestError",
    "RequestTooLargeError",
    "ServerError",
    "StorageError",
    "UnavailableError",
    "UploadError",
    "WorkerCrashedError",
]


class CatalogServiceError(Exception):
    """Base of all errors of the service.

    Parameters
    ----------
    message
        What went wrong, where, and what to do; shown to the user as it is.
    line, column
        1-based position in the query text, if the error has one.
    remedy
        What to try instead; appended to the message in texts.
    """

    status: ClassVar[int] = 500
    """HTTP status."""
    code: ClassVar[str] = "error"
    """Stable identifier in JSON bodies."""

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.remedy = remedy
        self.query_id: str | None = None

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message} {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """Return the body that travels to clients: code, message, position, remedy, query id."""
        return {
            "code": self.code,
            "message": self.message,
            "line": self.line,
            "column": self.column,
            "remedy": self.remedy,
            "query_id": self.query_id,
        }

    @staticmethod
    def from_json(body: dict[str, Any], *, status: int = 500) -> "CatalogServiceError":
        """Return the error that `to_json` described; an unknown code gives a class by `status`."""
        fallback = RequestError if 400 <= status < 500 else ServerError
        error = ERRORS_BY_CODE.get(str(body.get("code")), fallback)(
            str(body.get("message", "unknown error")),
            line=body.get("line"),
            column=body.get("column"),
            remedy=body.get("remedy"),
        )
        error.query_id = body.get("query_id")
        return error


class RequestError(CatalogServiceError):
    """The request is at fault."""

    status, code = 400, "bad_request"


class ParameterError(RequestError):
    """A request parameter is missing, repeated or malformed."""

    code = "bad_parameter"


class QueryError(RequestError):
    """The query text is at fault; `line` and `column` tell where."""

    code = "bad_query"


class QuerySyntaxError(QueryError):
    """The text is not a query of its language."""

    code = "syntax_error"


class QueryNameError(QueryError):
    """A schema, table, column or function is unknown or ambiguous."""

    code = "unknown_name"


class QueryTypeError(QueryError):
    """Types or numbers of operands or arguments do not fit."""

    code = "type_error"


class QueryRefusedError(QueryError):
    """The text asks for something that this service never runs."""

    code = "refused"


class QueryValueError(RequestError):
    """A value in the data made the query fail, such as text that is no number in a CAST."""

    code = "bad_value"


class UploadError(RequestError):
    """An uploaded table cannot be read; the message names it and tells why."""

    code = "bad_upload"


class LimitError(RequestError):
    """A published limit was hit; the message names it, its value and the remedy."""

    code = "limit"


class QueryTimeoutError(LimitError):
    """The time limit was hit."""

    status, code = 408, "timeout"


class RequestTooLargeError(LimitError):
    """The request body or query text is too large."""

    status, code = 413, "too_large"


class AccessError(CatalogServiceError):
    """The caller may not do this."""

    status, code = 403, "forbidden"


class AuthenticationError(AccessError):
    """The caller's credentials are missing or wrong."""

    status, code = 401, "unauthorized"


class QueryStoppedError(AccessError):
    """An operator cancelled the query."""

    code = "stopped"


class NotFoundError(CatalogServiceError):
    """No such resource, or none that the caller may see."""

    status, code = 404, "not_found"


class UnavailableError(CatalogServiceError):
    """The service cannot take the request now; trying again later may work."""

    status, code = 503, "unavailable"
    retry_after_s: int = 5
    """What to send as ``Retry-After``, in seconds."""


class ServerError(CatalogServiceError):
    """The service is at fault."""

    status, code = 500, "server_error"


class WorkerCrashedError(ServerError):
    """The worker process that ran the query ended."""

    code = "worker_crashed"


class StorageError(ServerError):
    """A published file could not be read."""

    code = "storage"


class ConfigurationError(ServerError):
    """The service's configuration is unusable."""

    code = "configuration"


def _subclasses(base: type[CatalogServiceError]) -> dict[str, type[CatalogServiceError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found |= _subclasses(child)
    return found


ERRORS_BY_CODE: dict[str, type[CatalogServiceError]] = _subclasses(CatalogServiceError)
"""Every class by its code."""
