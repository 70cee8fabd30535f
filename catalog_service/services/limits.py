"""The published limits, each applied in one place and named in its error."""

from dataclasses import dataclass

from ..exceptions import ParameterError, RequestTooLargeError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of synchronous queries."""

    sync_timeout_s: float
    maxrec_default: int
    maxrec_hard: int
    max_query_bytes: int
    cone_max_radius_deg: float

    def rows(self, maxrec: int | None) -> int:
        """Return how many rows a result may have for a request's MAXREC (None: not given).

        Raises
        ------
        ParameterError
            If it is negative.
        """
        if maxrec is not None and maxrec < 0:
            raise ParameterError(f"maxrec={maxrec} is negative; give a number of rows, or leave it out")
        return min(self.maxrec_default if maxrec is None else maxrec, self.maxrec_hard)

    def check_text(self, text: str) -> None:
        """Refuse a query text that is no Unicode text, or is longer than `max_query_bytes`.

        Raises
        ------
        ParameterError
            If it holds half of a surrogate pair, as a JSON escape can.
        RequestTooLargeError
            If it is too long.
        """
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            msg = f"the query is no Unicode text: character {error.start + 1} is half of a surrogate pair"
            raise ParameterError(msg) from error
        if size > self.max_query_bytes:
            msg = f"the query is {size} bytes long; the limit is {self.max_query_bytes} bytes."
            raise RequestTooLargeError(msg, remedy="Split it, or select by region instead of by long lists.")

    def check_radius(self, radius_deg: float) -> None:
        """Refuse a Simple Cone Search wider than `cone_max_radius_deg`."""
        if radius_deg > self.cone_max_radius_deg:
            msg = f"SR={radius_deg} exceeds the limit of {self.cone_max_radius_deg} degrees."
            raise ParameterError(msg, remedy="Use an ADQL query for larger regions.")
