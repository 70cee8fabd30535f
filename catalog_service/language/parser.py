"""The loop of an LALR(1) parser over the tables that lark makes of a grammar.

lark's own loop looks rules up by their hashes, which takes as long as all else of reading a short query; here what a
state does is prepared once.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lark import Lark
from lark.lexer import Token
from lark.parse_tree_builder import ExpandSingleChild
from lark.parsers.lalr_analysis import Shift

from .lexer import Word

__all__ = ["Parser"]


class _Step(NamedTuple):
    """What a state does with a terminal: go on to `target`, or else make one value of the last `size` ones."""

    target: Any
    size: int = 0
    make: Callable[[list[Any]], Any] | None = None
    symbol: str = ""
    """What the values become; the state below them knows where to go on with it."""
    passes: bool = False
    """Whether what is made of one value is that value, as of most rules of operators."""


class Parser:
    """Makes a tree of the words of a text.

    Parameters
    ----------
    lark
        Holds the grammar, and a transformer that makes the values of its rules.
    """

    def __init__(self, lark: Lark) -> None:
        self._lark = lark
        inner = lark.parser.parser.parser
        table, callbacks = inner.parse_table, inner.callbacks
        (self._start,), (self._end,) = table.start_states.values(), table.end_states.values()
        assert not any(isinstance(key, str) for key in callbacks)  # words stay as they are
        self._steps = {
            state: {_plain(name): _step(action, found, callbacks) for name, (action, found) in actions.items()}
            for state, actions in table.states.items()
        }

    def parse(self, words: Sequence[Word]) -> Any:
        """Return the value of the grammar's start.

        Raises
        ------
        lark.exceptions.UnexpectedToken
            For the first word that fits no rule, with the state that it does not fit in.
        """
        steps, states = self._steps, [self._start]
        values: list[Any] = []
        for word in (*words, Token("$END", "")):
            kind = word.type
            while (step := steps[states[-1]].get(kind)) is not None and step.make is not None:
                if step.passes:
                    states.pop()
                elif step.size:
                    value = step.make(values[-step.size :])
                    del states[-step.size :], values[-step.size :]
                    values.append(value)
                else:
                    values.append(step.make([]))
                states.append(steps[states[-1]][step.symbol].target)
                if states[-1] == self._end and kind == "$END":
                    return values[-1]
            if step is None:
                break
            states.append(step.target)
            values.append(word)
        return self._lark.parse(words)  # raises the error, with what its makers need


def _plain(name: str) -> str:
    """Return a name as a text: lark's are of a class that compares slowly."""
    return sys.intern(str(name))


def _step(action: object, found: Any, callbacks: Any) -> _Step:
    if action is Shift:
        return _Step(found)
    make, size = callbacks[found], len(found.expansion)
    return _Step(None, size, make, _plain(found.origin.name), size == 1 and isinstance(make, ExpandSingleChild))
