"""What only operators see; it does not exist for others."""

from ..exceptions import NotFoundError
from ..models.user import Identity

__all__ = ["check_operator"]


def check_operator(identity: Identity) -> None:
    """Refuse callers who are no operators, in the words that answer unknown addresses.

    Raises
    ------
    NotFoundError
        If the caller is none.
    """
    if not identity.is_admin:
        raise NotFoundError("Not Found")
