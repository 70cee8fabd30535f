"""Parsers of grammars, kept beside Python's own compiled modules: making the tables of one takes 0.6 s, reading 0.07.

Who can write there can change the modules themselves, so that what is read is trusted as they are. Where nothing can be
written, or Python is told not to, tables are made each time.
"""

import hashlib
import logging
import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final

import lark
from lark import Lark

__all__ = ["lalr_parser"]

_LOG: Final = logging.getLogger(__name__)


def lalr_parser(rules: str, lexer: type[Any], transformer: object) -> Lark:
    """Return a parser of a grammar.

    Parameters
    ----------
    rules
        The grammar.
    lexer
        Makes the words that it gets.
    transformer
        Makes the values of rules.
    """
    path = _path(rules)
    if path.exists():
        try:
            with path.open("rb") as file:
                found: Lark = Lark.__new__(Lark)._load(file, transformer=transformer)  # noqa: SLF001  as lark's own cache
        except Exception:  # noqa: BLE001  whatever is wrong with the file, the grammar is here
            _LOG.warning("the tables in %s cannot be read; making them anew", path.name)
        else:
            return found
    made = Lark(rules, parser="lalr", lexer=lexer, transformer=transformer, maybe_placeholders=False)
    if not sys.dont_write_bytecode:
        with suppress(OSError):
            _keep(made, path)
    return made


def _path(rules: str) -> Path:
    """Return where the tables of a grammar are kept: in a file for each grammar, version of lark and of Python."""
    compiled = Path(cache_from_source(__file__))
    name = hashlib.sha256(f"{lark.__version__}\n{rules}".encode()).hexdigest()[:16]
    return compiled.with_name(f"{name}.{compiled.suffixes[0].lstrip('.')}.tables")


def _keep(made: Lark, path: Path) -> None:
    """Write the tables whole or not at all: processes that start together write the same."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    with hidden.open("wb") as file:
        made.save(file, ("transformer",))
    hidden.replace(path)
