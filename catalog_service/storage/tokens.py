"""Access tokens: kept as digests, so that nobody can read them off the disk."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from ..models.user import Identity
from .sqlite import open_database

__all__ = ["TOKEN_PREFIX", "Token", "TokenStore", "digest_of"]

TOKEN_PREFIX: Final = "cst_"  # noqa: S105 - no secret
"""By which tokens are recognised where they should not be, such as in a repository."""
_RANDOM_BYTES: Final = 32

_TOKENS: Final = sa.Table(
    "tokens",
    sa.MetaData(),
    sa.Column("token_id", sa.String(8), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("groups", sa.Text, nullable=False),
    sa.Column("is_admin", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("revoked", sa.Float),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of a token."""

    token_id: str
    """By which it is listed and revoked; no secret."""
    identity: Identity
    """Whom its bearer is taken for."""
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Return whether it opens anything."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def digest_of(secret: str) -> str:
    """Return what is kept of a token's text; one with 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenStore:
    """The file of tokens; its methods block. Service and commands may have it open at the same time.

    Parameters
    ----------
    directory
        Created if missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = open_database(directory / "tokens.db")
        _TOKENS.metadata.create_all(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def create(self, identity: Identity, now: datetime, *, valid: timedelta | None = None) -> tuple[Token, str]:
        """Make a token; return it and its text, which is nowhere else."""
        secret = TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        expires = None if valid is None else now + valid
        token = Token(token_id=secrets.token_hex(4), identity=identity, created=now, expires=expires)
        values = {
            "token_id": token.token_id,
            "digest": digest_of(secret),
            "name": identity.name,
            "groups": json.dumps(sorted(identity.groups)),
            "is_admin": identity.is_admin,
            "created": now.timestamp(),
            "expires": None if expires is None else expires.timestamp(),
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(_TOKENS).values(**values))
        return token, secret

    def find(self, digest: str) -> Token | None:
        """Return the token of a digest, valid or not."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_TOKENS).where(_TOKENS.c.digest == digest)).first()
        return None if row is None else _token(row)

    def all(self) -> tuple[Token, ...]:
        """Return all tokens, the oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_TOKENS).order_by(_TOKENS.c.created, _TOKENS.c.token_id))
            return tuple(map(_token, rows))

    def revoke(self, token_id: str, now: datetime) -> bool:
        """Make a token worthless; return whether there was a valid one of this id."""
        chosen = (_TOKENS.c.token_id == token_id) & _TOKENS.c.revoked.is_(None)
        with self._engine.begin() as connection:
            return connection.execute(sa.update(_TOKENS).where(chosen).values(revoked=now.timestamp())).rowcount == 1


def _token(row: sa.Row[Any]) -> Token:
    return Token(
        token_id=row.token_id,
        identity=Identity(row.name, frozenset(json.loads(row.groups)), is_admin=row.is_admin),
        created=datetime.fromtimestamp(row.created, UTC),
        expires=_time(row.expires),
        revoked=_time(row.revoked),
    )


def _time(kept: float | None) -> datetime | None:
    return None if kept is None else datetime.fromtimestamp(kept, UTC)
