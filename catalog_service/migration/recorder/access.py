"""Addresses of sources, and the secrets that open them: never in a command line, never in a recording."""

import configparser
import getpass
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from .errors import UsageError

__all__ = ["PASSWORD_VARIABLE", "TOKEN_VARIABLE", "Address", "find_secret", "parse_address"]

PASSWORD_VARIABLE: Final = "CATALOG_SOURCE_PASSWORD"  # noqa: S105 - the name of a variable
TOKEN_VARIABLE: Final = "CATALOG_SOURCE_TOKEN"  # noqa: S105 - as above
_MYSQL_PORT: Final = 3306
_OPTIONS: Final = Path("~/.my.cnf")


@dataclass(frozen=True)
class Address:
    """Where a source is."""

    kind: str
    """``mysql`` or ``tap``."""
    shown: str
    """The address without user or password."""
    host: str
    port: int
    user: str | None = None
    database: str | None = None
    unix_socket: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    """What ``~/.my.cnf`` says in ``[client]`` (``password`` alone is used)."""


def parse_address(text: str, options_file: Path = _OPTIONS) -> Address:
    """Return the parts of an address.

    Parameters
    ----------
    text
        ``mysql://user@host:port/database``, ``mysql:///database?unix_socket=PATH``, or the base address of a TAP
        service, ``https://host/tap``.
    options_file
        MySQL client's file of options: user, host, port and socket that the address leaves out.

    Raises
    ------
    UsageError
        If it is none of them, or holds a password.
    """
    parts = urlsplit(text)
    if parts.password is not None:
        raise UsageError(
            "The address holds a password, which others see in the list of processes. "
            f"Put it into a file (--password-file), into the variable {PASSWORD_VARIABLE}, or into ~/.my.cnf."
        )
    match parts.scheme:
        case "http" | "https":
            if parts.username is not None:
                raise UsageError(f"A TAP address has no user; a token is taken from {TOKEN_VARIABLE} or --token-file.")
            return Address("tap", urlunsplit(parts._replace(query="", fragment="")).rstrip("/"), parts.netloc, 0)
        case "mysql":
            return _mysql(text, options_file.expanduser())
        case _:
            raise UsageError(
                f"{text!r} is no address of a source: write mysql://user@host:port/database or https://host/tap."
            )


def _mysql(text: str, options_file: Path) -> Address:
    parts, options = urlsplit(text), _client_options(options_file)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if set(asked) - {"unix_socket"}:
        raise UsageError(f"{text!r} has options that are not known; unix_socket is the only one.")
    socket = asked.get("unix_socket") or (None if parts.hostname else options.get("socket"))
    host = parts.hostname or options.get("host", "localhost")
    port = parts.port or int(options.get("port", _MYSQL_PORT))
    database = unquote(parts.path.strip("/")) or options.get("database")
    where = f"{socket}" if socket else f"{host}:{port}"
    user = unquote(parts.username) if parts.username else options.get("user", getpass.getuser())
    return Address("mysql", f"mysql://{where}/{database or ''}", host, port, user, database, socket, options)


def _client_options(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    parser = configparser.RawConfigParser(allow_no_value=True, strict=False, comment_prefixes=("#", ";", "!"))
    try:
        parser.read(path, encoding="utf-8")
    except configparser.Error as error:
        raise UsageError(f"{path} cannot be read as a file of options: {error}") from error
    if not parser.has_section("client"):
        return {}
    return {name: (value or "").strip("'\"") for name, value in parser.items("client")}


def find_secret(address: Address, file: Path | None, *, ask: bool) -> str | None:
    """Return the password or token of a source: from a file, the environment, ``~/.my.cnf``, or typed in.

    Parameters
    ----------
    address
        The source.
    file
        File whose first line is the secret; its owner alone may read it.
    ask
        Whether to ask at the terminal if nothing else tells.

    Raises
    ------
    UsageError
        If the file is missing, or others may read it.
    """
    if file is not None:
        return _first_line(file)
    variable = TOKEN_VARIABLE if address.kind == "tap" else PASSWORD_VARIABLE
    found = os.environ.get(variable) or address.options.get("password")
    if found is None and ask:
        return getpass.getpass(f"{'Token' if address.kind == 'tap' else 'Password'} for {address.shown}: ")
    return found


def _first_line(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        raise UsageError(f"Others may read {file}, which holds a secret: chmod 600 {file}")
    if not lines or not lines[0]:
        raise UsageError(f"{file} is empty; its first line is to be the secret.")
    return lines[0]
