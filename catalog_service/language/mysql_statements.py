"""Statements beside SELECT that clients of MySQL send: answered from TAP_SCHEMA, or accepted and without effect.

>>> from .mysql_lexer import scan_mysql
>>> statement(scan_mysql("SHOW DATABASES"))
'SELECT schema_name AS `Database` FROM TAP_SCHEMA.schemas ORDER BY 1'
>>> statement(scan_mysql("DESCRIBE dp02.Object")).table.parts
(Identifier(text='dp02', delimited=False), Identifier(text='Object', delimited=False))
"""

from collections.abc import Sequence
from typing import Final

from ..exceptions import QueryRefusedError, QuerySyntaxError
from ..models.schema import Table
from ..models.tree import Identifier, ShowColumns, TableName
from .errors import error_at
from .lexer import Word
from .mysql_lexer import name_of

__all__ = ["columns_text", "statement"]

_DESCRIBE: Final = frozenset({"DESCRIBE", "DESC", "EXPLAIN"})
_IGNORED: Final = frozenset({"SET", "COMMIT", "ROLLBACK", "BEGIN"})
_NO_STATE: Final = frozenset({"CALL", "CANCEL", "KILL", "SUBMIT", "USE"})


def statement(words: Sequence[Word]) -> str | ShowColumns | None:
    """Return the query that answers a statement, as text or as the node of SHOW COLUMNS; None for a query itself.

    Raises
    ------
    QuerySyntaxError
        If the statement is not written as this service knows it.
    QueryRefusedError
        If it needs a session, which there is none of.
    """
    first = words[0].value.upper() if words else ""
    if first in _IGNORED:
        return "SELECT 1 AS `ok` LIMIT 0"
    if first in _NO_STATE:
        message = f"{first} needs a session, and each request here stands for itself."
        remedy = "Write schema.table." if first == "USE" else "Send it as a synchronous request."
        raise error_at(QueryRefusedError, message, words[0].span, remedy=remedy)
    if first in _DESCRIBE and not (len(words) > 1 and words[1].type in {"SELECT", "WITH"}):
        return ShowColumns(_table(words[1:], words), span=words[0].span)
    if [word.value.upper() for word in words] == ["SELECT", "DATABASE", "(", ")"]:
        return "SELECT CAST(NULL AS CHAR) AS `DATABASE()`"  # there is no default one
    return _show(words) if first == "SHOW" else None


def columns_text(table: Table, *, full: bool) -> str:
    """Return the query for the columns of a table, as MySQL describes them."""
    comment = ", description AS `Comment`" if full else ""
    return (
        "SELECT column_name AS `Field`, datatype AS `Type`, 'YES' AS `Null`, IF(indexed = 1, 'MUL', '') AS `Key`, "  # noqa: S608
        f"NULL AS `Default`, IFNULL(unit, '') AS `Extra`{comment} FROM TAP_SCHEMA.columns "
        f"WHERE table_name = {_text(table.full_name)} ORDER BY column_index"
    )


def _show(words: Sequence[Word]) -> str | ShowColumns:
    rest = list(words[1:])
    full = bool(rest) and rest[0].value.upper() == "FULL"
    rest = rest[1:] if full else rest
    what = rest[0].value.upper() if rest else ""
    if what in {"COLUMNS", "FIELDS"} and len(rest) > 1 and rest[1].type in {"FROM", "IN"}:
        return ShowColumns(_table(rest[2:], words), full=full, span=words[0].span)
    if what == "TABLES":
        return _tables(rest[1:], words)
    if what in {"DATABASES", "SCHEMAS"} and len(rest) == 1:
        return "SELECT schema_name AS `Database` FROM TAP_SCHEMA.schemas ORDER BY 1"
    raise _unknown(words)


def _tables(rest: Sequence[Word], words: Sequence[Word]) -> str:
    condition, name = "1", "table_name AS `Tables`"
    if len(rest) >= 2 and rest[0].type in {"FROM", "IN"}:
        schema = name_of(rest[1])
        condition = f"schema_name = {_text(schema)}"
        name = f"SUBSTRING(table_name, {len(schema) + 2}) AS `Tables_in_{schema.replace('`', '``')}`"
        rest = rest[2:]
    if len(rest) == 2 and rest[0].type == "LIKE" and rest[1].type == "STRING":
        condition += f" AND SUBSTRING(table_name, INSTR(table_name, '.') + 1) LIKE {rest[1].value}"
        rest = rest[2:]
    if rest:
        raise _unknown(words)
    return f"SELECT {name} FROM TAP_SCHEMA.tables WHERE {condition} ORDER BY 1"  # noqa: S608


def _table(rest: Sequence[Word], words: Sequence[Word]) -> TableName:
    """Return the name in ``t``, ``s.t`` and ``t FROM s``."""
    kinds = [word.type for word in rest]
    names = [Identifier(name_of(word), span=word.span) for word in rest if word.type in {"NAME", "DELIMITED"}]
    if len(names) == 1 == len(kinds):
        return TableName(tuple(names), span=words[0].span)
    if len(names) == 2 and len(kinds) == 3 and kinds[1] == "_DOT":
        return TableName(tuple(names), span=words[0].span)
    if len(names) == 2 and len(kinds) == 3 and kinds[1] in {"FROM", "IN"}:
        return TableName((names[1], names[0]), span=words[0].span)
    raise _unknown(words)


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _unknown(words: Sequence[Word]) -> QuerySyntaxError:
    message = f"{words[0].value.upper()} is not understood like this."
    remedy = "Write SHOW DATABASES, SHOW TABLES FROM schema, SHOW COLUMNS FROM table or DESCRIBE table."
    return error_at(QuerySyntaxError, message, words[0].span, remedy=remedy)
