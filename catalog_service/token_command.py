"""Command ``token``: access tokens of the service, made and revoked by its operator."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .cli_parts import AsJson, extra, print_records
from .client import NotFoundError, ParameterError

if TYPE_CHECKING:
    from .storage.tokens import TokenStore

__all__ = ["token_app"]

token_app = typer.Typer(help="Access tokens of a service of yours (needs the extra 'server').", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option(help="Configuration (TOML) of the service.", dir_okay=False)]

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.@+-]{0,63}")
_GROUP: Final = re.compile(r"[\w.-]{1,64}")
_MOST_DAYS: Final = 36_500
_NOBODY: Final = frozenset({"anonymous"})
_LISTED: Final = ("token_id", "name", "groups", "admin", "created", "expires", "state")


@token_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whom its bearer is taken for; jobs belong to this name.")],
    *,
    group: Annotated[list[str] | None, typer.Option(help="Group of the bearer; may be given several times.")] = None,
    admin: Annotated[bool, typer.Option(help="Whether the bearer may see and stop the queries of all.")] = False,
    days: Annotated[float | None, typer.Option(help="Days until it expires; default: never.", min=0)] = None,
    config: Config = None,
) -> None:
    """Make a token and print it: it is shown this once, and cannot be read again."""
    if not _NAME.fullmatch(name) or name.lower() in _NOBODY:
        raise ParameterError(f"{name!r} cannot be a name.", remedy="Use letters, digits and any of . @ + - _")
    wrong = [one for one in group or () if not _GROUP.fullmatch(one)]
    if wrong:
        raise ParameterError(f"{wrong[0]!r} cannot be a group.", remedy="Use letters, digits and any of . - _")
    if days is not None and not days <= _MOST_DAYS:
        raise ParameterError(f"--days {days:g} is too many.", remedy=f"At most {_MOST_DAYS}, or leave it out.")
    store = _store(config)
    from .models.user import Identity  # noqa: PLC0415 - as in `_store`

    identity = Identity(name, frozenset(group or ()), is_admin=admin)
    token, secret = store.create(identity, datetime.now(UTC), valid=None if days is None else timedelta(days=days))
    store.close()
    sys.stderr.write(f"token {token.token_id} for {name}; keep it secret, it cannot be shown again:\n")
    sys.stdout.write(f"{secret}\n")


@token_app.command(name="list")
def list_tokens(*, as_json: AsJson = False, config: Config = None) -> None:
    """List all tokens, without what makes them work."""
    store, now = _store(config), datetime.now(UTC)
    records = [
        {
            "token_id": one.token_id,
            "name": one.identity.name,
            "groups": " ".join(sorted(one.identity.groups)),
            "admin": one.identity.is_admin,
            "created": one.created.isoformat(timespec="seconds"),
            "expires": None if one.expires is None else one.expires.isoformat(timespec="seconds"),
            "state": "valid" if one.is_valid(now) else "revoked" if one.revoked else "expired",
        }
        for one in store.all()
    ]
    store.close()
    print_records(records, _LISTED, as_json=as_json)


@token_app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", help="As `list` shows it.")], *, config: Config = None
) -> None:
    """Make a token worthless; a running service knows within two seconds."""
    store = _store(config)
    revoked = store.revoke(token_id, datetime.now(UTC))
    store.close()
    if not revoked:
        raise NotFoundError(f"there is no valid token {token_id!r}.", remedy="`catalog-service token list` shows all.")


def _store(config: Path | None) -> "TokenStore":
    with extra("server"):
        from .config import load_config  # noqa: PLC0415 - the client works without the server's libraries
        from .storage.tokens import TokenStore  # noqa: PLC0415
    return TokenStore(load_config(config).tokens_dir)
