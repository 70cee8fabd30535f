"""Texts of Qserv's MySQL dialect to trees of names.

The grammar is ADQL's with the rules of qserv.lark in place of those of the same name.
"""

import re
from functools import cache
from typing import Final

from ..models.query import Language, ParsedQuery
from ..models.tree import ShowColumns
from .adql import grammar, grammar_parser, parsed_tree, refuse_statements
from .build_mysql import MySqlBuilder
from .mysql_lexer import scan_mysql
from .mysql_statements import statement
from .parser import Parser

__all__ = ["parse_qserv"]

_RULE: Final = re.compile(r"^[?!]?(\w+)(?:\.\d+)?:.*\n(?:[ \t]+.*\n)*", re.MULTILINE)


def parse_qserv(text: str) -> ParsedQuery:
    """Return the tree of a query text of the MySQL dialect.

    Raises
    ------
    QueryError
        If the text is no query of the language; one of its subclasses tells why, with the position.
    LimitError
        If the text is too long, too deep or otherwise too large.
    """
    words = scan_mysql(text)
    other = statement(words)
    if isinstance(other, ShowColumns):
        return ParsedQuery(other, language=Language.QSERV)
    if other is not None:
        return parse_qserv(other)
    refuse_statements(words, text)
    return ParsedQuery(parsed_tree(words, text, _parser(), "`"), language=Language.QSERV)


@cache
def _parser() -> Parser:
    return grammar_parser(_replaced(grammar("adql.lark"), grammar("qserv.lark")), MySqlBuilder())


def _replaced(base: str, rules: str) -> str:
    r"""Return a grammar with rules in place of those of the same name; what else `rules` has comes after.

    >>> _replaced("a: b\n  | c\nb: B\n", "a: C\n")
    'b: B\na: C\n'
    """
    names = {found.group(1) for found in _RULE.finditer(rules)}
    return _RULE.sub(lambda found: "" if found.group(1) in names else found.group(), base) + rules
