"""Errors and warnings that arise on the client's side; the service's own come from `catalog_service.exceptions`.

::

    CatalogServiceError
    |- (the service's errors)
    |- ConnectionFailedError     no connection, or no answer in time
    |- TransferAbortedError      the result ended before it was complete
    |- UnexpectedAnswerError     something answers there, but not a catalog service
    UserWarning
    |- OverflowWarning           the result is complete up to MAXREC, but more rows match
"""

from ..exceptions import CatalogServiceError

__all__ = ["ConnectionFailedError", "OverflowWarning", "TransferAbortedError", "UnexpectedAnswerError"]


class ConnectionFailedError(CatalogServiceError):
    """The service could not be reached, or did not answer in time."""

    code = "connection_failed"


class TransferAbortedError(CatalogServiceError):
    """A result ended before it was complete; none of its rows should be used as if they were all."""

    code = "transfer_aborted"


class UnexpectedAnswerError(CatalogServiceError):
    """What answers at the address does not speak the interface of the catalog service."""

    code = "unexpected_answer"


class OverflowWarning(UserWarning):
    """A result was cut at MAXREC: more rows match than were sent."""
