"""Python client of the catalog service: cone searches and ADQL from a script or a notebook.

>>> from catalog_service.client import CatalogClient
>>> client = CatalogClient("http://127.0.0.1:8000")
>>> stars = client.cone(56.75, 24.12, "1deg", table="tycho2.stars")  # doctest: +SKIP
>>> stars.to_table()  # doctest: +SKIP

Importing this package loads pyarrow and an HTTP library only; astropy, pandas, polars and pyvo are loaded
by the methods that return their types.
"""

from ..exceptions import (
    AccessError,
    AuthenticationError,
    CatalogServiceError,
    LimitError,
    NotFoundError,
    ParameterError,
    QueryError,
    QueryNameError,
    QueryRefusedError,
    QueryStoppedError,
    QuerySyntaxError,
    QueryTimeoutError,
    QueryTypeError,
    QueryValueError,
    RequestError,
    RequestTooLargeError,
    ServerError,
    StorageError,
    UnavailableError,
    UploadError,
    WorkerCrashedError,
)
from .client import CatalogClient
from .errors import ConnectionFailedError, OverflowWarning, TransferAbortedError, UnexpectedAnswerError
from .jobs import Job
from .results import Result
from .stream import ResultStream

__all__ = [
    "AccessError",
    "AuthenticationError",
    "CatalogClient",
    "CatalogServiceError",
    "ConnectionFailedError",
    "Job",
    "LimitError",
    "NotFoundError",
    "OverflowWarning",
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
    "Result",
    "ResultStream",
    "ServerError",
    "StorageError",
    "TransferAbortedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UploadError",
    "WorkerCrashedError",
]
