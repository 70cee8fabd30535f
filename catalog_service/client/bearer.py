"""A session of requests that sends an access token to one service, whatever ~/.netrc says."""

from urllib.parse import urlsplit

import requests

__all__ = ["BearerSession"]


class BearerSession(requests.Session):
    """Sends a token to the service, and to no other.

    A header of a session does not do: where ``~/.netrc`` has an entry for the host, requests puts that in its place,
    at the first request unless the session has an auth object, and after each redirection in any case.

    Parameters
    ----------
    url
        Address of the service; the token goes to its scheme, host and port alone.
    token
        The access token.
    """

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self._origin = urlsplit(url)[:2]
        self._token = token
        self.auth = self._sign

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Sign what a redirection leads to."""
        super().rebuild_auth(prepared_request, response)
        self._sign(prepared_request)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if urlsplit(str(request.url))[:2] == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request
