"""Limits of requests."""

import pytest

from catalog_service.exceptions import ParameterError, RequestTooLargeError
from catalog_service.services.cone import ConeSearch
from catalog_service.services.limits import Limits

LIMITS = Limits(sync_timeout_s=1, maxrec_default=10, maxrec_hard=20, max_query_bytes=1024, cone_max_radius_deg=10)


def test_query_texts_are_unicode_of_bounded_length() -> None:
    LIMITS.check_text("é" * 512)
    with pytest.raises(RequestTooLargeError, match="1026 bytes"):
        LIMITS.check_text("é" * 513)
    with pytest.raises(ParameterError, match="character 8 is half of a surrogate pair"):
        LIMITS.check_text("SELECT \ud800")


@pytest.mark.parametrize("ra", [float("nan"), float("inf"), float("-inf")])
def test_a_cone_has_a_finite_centre(ra: float) -> None:
    with pytest.raises(ParameterError, match="RA="):
        ConeSearch(table="a.b", ra_deg=ra, dec_deg=0, radius_deg=1)
