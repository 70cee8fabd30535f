"""Pieces of DuckDB SQL: quoted names, texts and numbers, and templates that use an argument more than once."""

import math
from typing import Final

__all__ = ["bound", "double", "let", "quoted", "text"]

_LONG: Final = 300
"""Arguments longer than this are computed once."""


def quoted(name: str) -> str:
    """Return a name in double quotes.

    >>> print(quoted('odd"name'))
    "odd""name"
    """
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text in single quotes.

    >>> print(text("it's"))
    'it''s'
    """
    return "'" + value.replace("'", "''") + "'"


def double(value: float) -> str:
    """Return a number as a DOUBLE literal: without an exponent DuckDB would read a DECIMAL.

    >>> print(double(0.5), double(-2.0), double(1e300), double(float("inf")))
    0.5e0 (-2.0e0) 1e+300 CAST('inf' AS DOUBLE)
    """
    if not math.isfinite(value):
        return f"CAST('{value}' AS DOUBLE)"
    digits = repr(value)
    written = digits if "e" in digits else f"{digits}e0"
    return f"({written})" if value < 0 or digits.startswith("-") else written


def bound(template: str, *args: str) -> str:
    """Return `template` with its arguments, none of them computed or expanded more than once where that matters.

    A template that repeats an argument would double the text at each level of nesting; DuckDB's own NULLIF does so and
    needs 2.5 minutes to plan 18 nested divisions. A long argument, and one that gives another value each time, is
    therefore passed through a list of one element.

    >>> print(bound("CASE WHEN {0} > 0e0 THEN ln({0}) END", '"t0"."flux"'))
    CASE WHEN "t0"."flux" > 0e0 THEN ln("t0"."flux") END
    >>> print(bound("{0} * {0}", "random()"))
    list_transform([struct_pack(a0 := random())], lambda v: v['a0'] * v['a0'])[1]
    """
    repeated = [arg for i, arg in enumerate(args) if template.count(f"{{{i}}}") > 1]
    if all(len(arg) <= _LONG and "random()" not in arg for arg in repeated):
        return template.format(*args)
    packed = ", ".join(f"a{i} := {arg}" for i, arg in enumerate(args))
    body = template.format(*(f"v['a{i}']" for i in range(len(args))))  # DuckDB takes v.a0 for a column in HAVING
    return f"list_transform([struct_pack({packed})], lambda v: {body})[1]"


def let(body: str, name: str, **values: str) -> str:
    """Return `body`, in which ``name.key`` stands for a value: computed once, however often it is used.

    >>> print(let("p.x * p.x", "p", x="sin(1e0)"))
    list_transform([struct_pack(x := sin(1e0))], lambda p: p.x * p.x)[1]
    """
    packed = ", ".join(f"{key} := {value}" for key, value in values.items())
    return f"list_transform([struct_pack({packed})], lambda {name}: {body})[1]"
