"""What a query says of the rows of its answer: ORDER BY, LIMIT, TOP and OFFSET at its top level.

Read from the `words`, for both languages: texts, quoted names, comments and what is in parentheses are stepped over.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .rules import Shape
from .words import top_level_words, words_of

__all__ = ["shape_of"]

_AGGREGATE: Final = re.compile(
    r"\b(?:count|sum|avg|min|max|std|stddev(?:_pop|_samp)?|var_pop|var_samp|variance|bit_and|bit_or|bit_xor)\("
)
_NAME: Final = re.compile(r"[^\W\d]\w*|[\"`].*[\"`]", re.DOTALL)
_COLUMN: Final = re.compile(r"(?:(?:[^\W\d]\w*+|\"[^\"]*\"|`[^`]*`)\.?)+", re.DOTALL)
_OPERATORS: Final = frozenset({"div", "mod", "and", "or", "not", "like", "in", "is", "between", "then", "else", "when"})
_CHOSEN: Final = re.compile(r"\b((?:sub)?chunkid)[`\"]? (?:not )?(?:[=<>! ]+|in \(|between) ?\d")
"""A number of a chunk, which says something to one service only."""
_RANDOM: Final = frozenset({"rand", "random", "uuid", "now", "sysdate", "connection_id"})
_ENDS_ORDER: Final = frozenset({"limit", "offset", "for", ";", "into", "procedure"})
_ENDS_GROUPS: Final = _ENDS_ORDER | {"having", "order", "union"}
_DIRECTIONS: Final = frozenset({"asc", "desc", "nulls", "first", "last"})
_AFTER_ITEMS: Final = frozenset({"from", "where", "order", "limit", "group", "union"})


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
    >>> found = shape_of("SELECT TOP 5 o.ra, mag AS m FROM Object o ORDER BY mag DESC, 1")
    >>> found.order, found.descending, found.limit
    ((('mag', 'm'), ('1',)), frozenset({0}), 5)
    >>> shape_of("SELECT a FROM (SELECT b FROM t ORDER BY b LIMIT 3) AS x LIMIT 10, 20").limit
    20
    """
    words = list(top_level_words(query, lang))
    limit, offset = _limit(words)
    groups = tuple(_groups(words))
    is_one_row = not groups and _is_aggregate(words)
    order = tuple(_order(words))
    groups += (*_distinct(words), *_CHOSEN.findall(" ".join(words_of(query, lang)).lower()))
    descending = frozenset(at for at, part in enumerate(_order_parts(words)) if "desc" in part)
    return Shape(
        order, limit, offset, groups, is_one_row, _unnamed(words), descending, _is_random(words_of(query, lang))
    )


def _is_random(words: Sequence[str]) -> bool:
    called = (before.lower() for before, after in pairwise(words) if after == "(")
    return not _RANDOM.isdisjoint(called)


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
    items = list(_select_list(words))
    for part in _order_parts(words):
        yield _names(_joined([word for word in part if word not in _DIRECTIONS]), items)


def _order_parts(words: Sequence[str]) -> Iterator[list[str]]:
    starts = [at for at in range(len(words) - 1) if words[at] == "order" and words[at + 1] == "by"]
    if starts:
        yield from _split(words[starts[-1] + 2 :], _ENDS_ORDER)


def _names(key: str, items: "Sequence[_Item]") -> tuple[str, ...]:
    """Return what a part of ORDER BY may be called in the answer; nothing if it may be several of its columns.

    A name of the select list comes before columns of tables; a qualified name or an expression is the item that is
    written so, told by its position where another item has the same name.
    """
    if key.isdigit():
        return (key,)
    last = _last_name(key)
    aliases = [one.alias for one in items if one.alias and last in {one.expression, _last_name(one.expression)}]
    aliases += [one.alias for one in items if one.alias and key == one.expression]
    names = tuple(dict.fromkeys((last, *aliases)))
    meant = [one for one in items if one.alias == key] or [one for one in items if one.expression == key]
    if sum(one.name in names for one in items) < 2:
        return names
    if not meant or any(one.expression != meant[0].expression for one in meant):
        return ()
    if sum(one.name == meant[0].name for one in items) == 1:
        return (meant[0].name,)
    before = items[: items.index(meant[0])]
    return () if any(one.expression.endswith("*") for one in before) else (str(len(before) + 1),)


def _groups(words: Sequence[str]) -> Iterator[str]:
    """Yield what is grouped by; of a place or an alias, the expression that it stands for."""
    items = list(_select_list(words))
    for at in range(len(words) - 1):
        if words[at] == "group" and words[at + 1] == "by":
            for part in _split(words[at + 2 :], _ENDS_GROUPS):
                key = _joined(part)
                if key.isdigit():
                    yield from (_last_name(one.expression) for one in items[int(key) - 1 : int(key)])
                    continue
                yield _last_name(key)
                yield from (_last_name(one.expression) for one in items if one.alias == key and one.expression != key)


def _distinct(words: Sequence[str]) -> Iterator[str]:
    """Yield the columns of a DISTINCT select list: equal rows are one, as of GROUP BY."""
    if "select" in words and words[words.index("select") + 1 :][:1] == ["distinct"]:
        yield from (_last_name(one.expression) for one in _select_list(words))


def _is_aggregate(words: Sequence[str]) -> bool:
    """Tell whether the select list aggregates; where it is not sure it does not."""
    if "select" not in words or not {"union", "except", "intersect"}.isdisjoint(words):
        return False
    listed = [one.expression for one in _select_list(words)]
    return any(_AGGREGATE.search(one) and "over(" not in one and "(select" not in one for one in listed)


@dataclass(frozen=True)
class _Item:
    """Of a select list."""

    expression: str
    alias: str | None

    @property
    def name(self) -> str:
        """Of the column in the answer."""
        return self.alias or _last_name(self.expression)


def _select_list(words: Sequence[str]) -> Iterator[_Item]:
    if "select" not in words:
        return
    start = words.index("select") + 1
    while words[start : start + 1] and words[start] in {"distinct", "all"}:
        start += 1
    if words[start : start + 1] == ["top"]:
        start += 2
    for item in _split(words[start:], _AFTER_ITEMS):
        if "as" in item[:-1]:
            at = item.index("as")
            yield _Item(_joined(item[:at]), _unquoted(item[at + 1]))
        elif _has_alias(item):
            yield _Item(_joined(item[:-1]), _unquoted(item[-1]))
        else:
            yield _Item(_joined(item), None)


def _unnamed(words: Sequence[str]) -> frozenset[int]:
    """Return the places of expressions without an alias; none where a star stands for any number of columns."""
    items = list(_select_list(words))
    if any(item.expression.endswith("*") for item in items):
        return frozenset()
    return frozenset(
        at for at, item in enumerate(items) if item.alias is None and not _COLUMN.fullmatch(item.expression)
    )


def _has_alias(item: Sequence[str]) -> bool:
    """Tell whether the last word is a name that follows a whole expression without AS."""
    if len(item) < 2:
        return False
    *_, before, last = item
    is_name = _NAME.fullmatch(last) is not None and last != "end"
    return is_name and before not in _OPERATORS and re.search(r"[\w)\"`']$", before) is not None


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
