"""Content codings that a client takes (RFC 9110 section 12.5.3)."""

from dataclasses import replace
from typing import Final

from fastapi import Request

from ..services.deliveries import ResultOptions

__all__ = ["coded"]

_NAMES: Final = ("gzip", "x-gzip", "*")


def coded(request: Request, options: ResultOptions) -> ResultOptions:
    """Return `options` with gzip if the client says that it takes it; who says nothing gets results as they are."""
    return replace(options, gzip=_accepts_gzip(request))


def _accepts_gzip(request: Request) -> bool:
    weights: dict[str, float] = {}
    for item in ",".join(request.headers.getlist("accept-encoding")).lower().split(","):
        name, _, weight = item.partition(";")
        weights[name.strip()] = _weight(weight)
    return next((weights[name] > 0 for name in _NAMES if name in weights), False)


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
