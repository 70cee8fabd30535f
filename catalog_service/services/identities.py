"""Who asks: credentials of a request become an identity here, and nowhere else."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from ..exceptions import AuthenticationError
from ..models.user import ANONYMOUS, Identity
from ..storage.tokens import Token, TokenStore, digest_of
from .beside import Beside

__all__ = ["IdentityService"]

_REMEMBERED: Final = timedelta(seconds=2)
"""So long a revoked token may still be taken, and a new one is not looked up again."""
_MOST_REMEMBERED: Final = 10_000
_LONGEST: Final = 1000
"""Characters of a credential that are looked at."""


class IdentityService:
    """Takes a bearer token, or Basic credentials whose password is one, for the identity that it was made for.

    Parameters
    ----------
    tokens
        The tokens.
    clock
        Tells the time, aware.
    """

    def __init__(self, tokens: TokenStore, clock: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._beside = Beside("tokens")
        self._remembered: dict[str, tuple[datetime, Token | None]] = {}

    def close(self) -> None:
        """Let go of the tokens."""
        self._beside.close()
        self._tokens.close()

    async def identify(self, authorization: str | None) -> Identity:
        """Return who sends the header ``Authorization``; without one, anonymous.

        Raises
        ------
        AuthenticationError
            If there are credentials that open nothing: nobody is taken for anonymous who meant to be somebody.
        """
        if authorization is None:
            return ANONYMOUS
        token = await self._find(digest_of(_secret(authorization)))
        if token is None:
            raise AuthenticationError("The access token is not known here.", remedy="Ask the operator for one.")
        if not token.is_valid(self._clock()):
            raise AuthenticationError("The access token has expired or was revoked.", remedy="Ask for a new one.")
        return token.identity

    async def _find(self, digest: str) -> Token | None:
        now = self._clock()
        seen, token = self._remembered.get(digest, (None, None))
        if seen is None or now - seen > _REMEMBERED:
            token = await self._beside(self._tokens.find, digest)
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = (now, token)
        return token


def _secret(authorization: str) -> str:
    """Return the token of a header; RFC 6750 section 2.1, RFC 7617."""
    scheme, _, credentials = authorization[:_LONGEST].strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            return _password(credentials.strip())
        case _:
            raise AuthenticationError(
                "The header Authorization is of an unknown kind.",
                remedy="Send `Bearer TOKEN`, or Basic credentials with the token as password.",
            )


def _password(credentials: str) -> str:
    try:
        _user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        raise AuthenticationError("The Basic credentials are not Base64 of USER:TOKEN.") from None
    return password
