"""Who asks: every request carries an identity, anonymous is one."""

from dataclasses import dataclass, field
from typing import Final

__all__ = ["ANONYMOUS", "Identity"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller: a name for logs, quotas and ownership of jobs, and the groups that open schemas."""

    name: str
    groups: frozenset[str] = frozenset()
    is_admin: bool = False
    address: str = field(default="", compare=False)
    """Where the request comes from: anonymous callers are told apart by it. Empty if it is not known."""

    def may_read(self, access: str | None) -> bool:
        """Return whether a schema with access rule `access` is open to this caller.

        A rule is ``public`` or ``group:<name>``; a schema without a rule (None) is closed to all.
        """
        if access is None:
            return False
        return access == "public" or (access.startswith("group:") and access.removeprefix("group:") in self.groups)


ANONYMOUS: Final = Identity("anonymous")
