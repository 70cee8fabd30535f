"""What handlers are given: the services, and who asks."""

from typing import Annotated

from fastapi import Depends, Request

from .factory import Services
from .models.user import ANONYMOUS, Identity

__all__ = ["Caller", "ServicesDep", "get_identity", "get_services"]


def get_services(request: Request) -> Services:
    """Return the services of this application."""
    services: Services = request.app.state.services
    return services


def get_identity() -> Identity:
    """Return who asks. The one place where a request becomes an identity; without credentials, anonymous."""
    return ANONYMOUS


ServicesDep = Annotated[Services, Depends(get_services)]
Caller = Annotated[Identity, Depends(get_identity)]
