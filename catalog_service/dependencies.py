"""What handlers are given: the services, and who asks.

Coroutines, though nothing is awaited: the web framework would run plain functions in threads, which takes longer.
"""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Request

from .factory import Services
from .models.user import Identity

__all__ = ["Caller", "ServicesDep", "get_identity", "get_services"]


async def get_services(request: Request) -> Services:
    """Return the services of this application."""
    services: Services = request.app.state.services
    return services


async def get_identity(request: Request, services: Annotated[Services, Depends(get_services)]) -> Identity:
    """Return who asks. The one place where a request becomes an identity; without credentials, anonymous.

    Raises
    ------
    AuthenticationError
        If the credentials open nothing.
    """
    identity = await services.identities.identify(request.headers.get("authorization"))
    request.state.identity = identity
    return identity if request.client is None else replace(identity, address=request.client.host)


ServicesDep = Annotated[Services, Depends(get_services)]
Caller = Annotated[Identity, Depends(get_identity)]
