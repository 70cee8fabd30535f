"""What a query says of the rows of its answer: ORDER BY, LIMIT, TOP and OFFSET at its top level.

Read from the words, for both languages: texts, quoted names, comments and what is in parentheses are stepped over.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from .rules import Shape

__all__ = ["shape_of", "words_of"]

_PATTERN: Final = r"""(?P<blank>\s+|{comments}|/\*.*?\*/)
      | (?P<text>{text})
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
      | (?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)
      | (?P<word>\w+)
      | (?P<other>.)"""
_FLAGS: Final = re.VERBOSE | re.DOTALL
_ADQL: Final = re.compile(_PATTERN.format(comments=r"--[^\n]*", text=r"'(?:[^']|'')*'"), _FLAGS)
# two minuses without a blank are two minuses
_MYSQL: Final = re.compile(_PATTERN.format(comments=r"--(?=\s|$)[^\n]*|\#[^\n]*", text=r"'(?:[^'\\]|\\.|'')*'"), _FLAGS)
_AGGREGATE: Final = re.compile(
    r"\b(?:count|sum|avg|min|max|std|stddev(?:_pop|_samp)?|var_pop|var_samp|variance|bit_and|bit_or|bit_xor)\("
)
_ENDS_ORDER: Final = frozenset({"limit", "offset", "for", ";", "into", "procedure"})
_ENDS_GROUPS: Final = _ENDS_ORDER | {"having", "order", "union"}
_DIRECTIONS: Final = frozenset({"asc", "desc", "nulls", "first", "last"})
_AFTER_ITEMS: Final = frozenset({"from", "where", "order", "limit", "group", "union"})


def words_of(query: str, lang: str) -> tuple[str, ...]:
    """Return the words of a query, without blanks and comments between them: texts keep theirs."""
    return tuple(found.group() for found in _tokens(query, lang))


def _tokens(query: str, lang: str) -> Iterator[re.Match[str]]:
    """Yield the words of a query as matches."""
    pattern = _MYSQL if lang == "QSERV" else _ADQL
    yield from (found for found in pattern.finditer(query) if found.lastgroup != "blank")


def _unwrapped(tokens: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the words of a query without parentheses around all of it."""
    while tokens and tokens[-1].group() == ";":
        tokens = tokens[:-1]
    while tokens and tokens[0].group() == "(" and _closes(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def _closes(tokens: Sequence[re.Match[str]]) -> int:
    """Return where the first parenthesis is closed; -1: nowhere."""
    depth = 0
    for at, one in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(one.group(), 0)
        if depth == 0:
            return at
    return -1


def shape_of(query: str, lang: str = "QSERV") -> Shape:
    """Return order and limit of a query.

    Parameters
    ----------
    query
        The query.
    lang
        ``QSERV`` (MySQL) or ``ADQL``: they differ in comments and in backslashes in texts.

    Examples
    --------
    >>> shape_of("SELECT TOP 5 o.ra, mag AS m FROM Object o ORDER BY mag DESC, 1")
    Shape(order=(('mag', 'm'), ('1',)), limit=5, offset=0, groups=(), is_one_row=False)
    >>> shape_of("SELECT a FROM (SELECT b FROM t ORDER BY b LIMIT 3) AS x LIMIT 10, 20").limit
    20
    """
    words = list(_top_level(query, lang))
    limit, offset = _limit(words)
    groups = tuple(_groups(words))
    return Shape(tuple(_order(words)), limit, offset, groups, not groups and _is_aggregate(words))


def _top_level(query: str, lang: str) -> Iterator[str]:
    """Yield the words of a query; what is in parentheses is one word with its function's or table's name."""
    depth, inside = 0, ""
    for found in _unwrapped(list(_tokens(query, lang))):
        word = found.group()
        if found.lastgroup == "word":
            word = word.lower()
        if word == "(":
            depth += 1
        if depth:
            inside += word
        else:
            yield word
        if word == ")" and depth:
            depth -= 1
            if not depth:
                yield inside
                inside = ""


def _limit(words: Sequence[str]) -> tuple[int | None, int]:
    limit, offset = None, 0
    for at, word in enumerate(words):
        value = words[at + 1] if at + 1 < len(words) else ""
        if not value.isdigit():
            continue
        if word == "top" and words[:at][-1:] in (["select"], ["distinct"], ["all"]):
            limit = int(value)
        elif word == "limit":
            limit = int(value)
            if words[at + 2 : at + 3] == [","] and words[at + 3].isdigit():
                offset, limit = limit, int(words[at + 3])
        elif word == "offset":
            offset = int(value)
    return limit, offset


def _order(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield what each part of ORDER BY may be called in the answer."""
    starts = [at for at in range(len(words) - 1) if words[at] == "order" and words[at + 1] == "by"]
    if not starts:
        return
    aliases = _aliases(words)
    for part in _split(words[starts[-1] + 2 :], _ENDS_ORDER):
        key = _joined([word for word in part if word not in _DIRECTIONS])
        yield tuple(dict.fromkeys((_last_name(key), *aliases.get(key, ()), *aliases.get(_last_name(key), ()))))


def _groups(words: Sequence[str]) -> Iterator[str]:
    for at in range(len(words) - 1):
        if words[at] == "group" and words[at + 1] == "by":
            for part in _split(words[at + 2 :], _ENDS_GROUPS):
                yield _last_name(_joined(part))


def _is_aggregate(words: Sequence[str]) -> bool:
    """Tell whether the select list aggregates; where it is not sure it does not."""
    if "select" not in words or not {"union", "except", "intersect"}.isdisjoint(words):
        return False
    listed = [_joined(item) for item in _split(words[words.index("select") + 1 :], _AFTER_ITEMS)]
    return any(_AGGREGATE.search(one) and "over(" not in one and "(select" not in one for one in listed)


def _aliases(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the names that the select list gives to expressions and to the last parts of qualified names."""
    if "select" not in words:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for item in _split(words[words.index("select") + 1 :], _AFTER_ITEMS):
        if "as" in item[:-1]:
            at = item.index("as")
            expression, alias = _joined(item[:at]), _unquoted(item[at + 1])
            for name in {expression, _last_name(expression)}:
                found[name] = (*found.get(name, ()), alias)
    return found


def _split(words: Sequence[str], ends: frozenset[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in ends:
            break
        if word == ",":
            yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


def _joined(words: Sequence[str]) -> str:
    return "".join(map(_unquoted, words))


def _last_name(name: str) -> str:
    return name.rpartition(".")[2] if re.fullmatch(r"[\w.]+", name) and not name[0].isdigit() else name


def _unquoted(word: str) -> str:
    return word[1:-1].lower() if word[:1] in {'"', "`"} else word
