"""Errors of moving off another service, beside those of the recorder, which runs without the service."""

from ..exceptions import CatalogServiceError

__all__ = ["ComparisonError", "UnreadableAnswerError"]


class ComparisonError(CatalogServiceError):
    """Nothing could be compared."""

    code = "comparison_failed"


class UnreadableAnswerError(ComparisonError):
    """The rows of a recorded answer cannot be read."""

    code = "unreadable_answer"
