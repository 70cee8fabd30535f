"""How much one caller may have of the service at a time."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from ..engines.turns import Claim
from ..models.user import ANONYMOUS, Identity

__all__ = ["Admission", "payer_of"]

_SITE_BITS: Final = 64
"""Of an IPv6 address: whoever has one has all of its network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Limits of the synchronous queries of one caller; beyond `per_user` or `per_address` they wait."""

    per_user: int
    """Queries that run at the same time, of one user."""
    per_address: int
    """Of all anonymous callers at one address."""
    queued: int
    """Queries that wait; more are refused."""

    def claim(self, identity: Identity) -> Claim:
        """Return what the queue before the workers needs to know of a query."""
        is_anonymous = identity.name == ANONYMOUS.name
        return Claim(
            owner=f"address {_network(identity.address)}" if is_anonymous else f"user {identity.name}",
            most_running=self.per_address if is_anonymous else self.per_user,
            most_waiting=self.queued,
        )


def payer_of(identity: Identity) -> str:
    """Return whose budget a query takes: a user's, or that of an address; a job's address is not kept."""
    is_user = identity.name != ANONYMOUS.name
    return identity.name if is_user or not identity.address else f"address {_network(identity.address)}"


def _network(address: str) -> str:
    """Return what stands for one caller: an IPv4 address, or the network of an IPv6 address."""
    try:
        known = ip_address(address)
    except ValueError:  # no address, such as a test client or a local socket has
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ip_network((known, _SITE_BITS), strict=False))
