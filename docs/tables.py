"""Fill the tables of the reference pages from the code that they describe.

``python docs/tables.py`` rewrites what stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in every page;
``--check`` only tells which pages are out of date, and then fails.
"""

import argparse
import ast
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, get_args, get_origin

from catalog_service import exceptions
from catalog_service.config import Config, RegistryConfig, SchemaConfig
from catalog_service.exceptions import CatalogServiceError
from catalog_service.language import limits
from catalog_service.language.functions import AGGREGATES, FUNCTIONS
from catalog_service.language.windows import ROW_FUNCTIONS
from catalog_service.writers.negotiate import OUTPUT_FORMATS

HERE: Final = Path(__file__).parent
_PLACE: Final = re.compile(r"(<!-- table: (?P<name>[a-z-]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)

_COMPUTED_DEFAULTS: Final = {
    "schemas": "none",
    "state_dir": "`catalog-service-UID` in the directory for temporary files",
    "workers": "the number of processors",
    "scan_workers": "half the number of processors",
}
_BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most"}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def documented_names(source: object) -> dict[str, str]:
    """Return the text below each assignment of a class or module, on one line, by the name assigned to."""
    assert isinstance(source, type | ModuleType)
    tree: Any = ast.parse(textwrap.dedent(inspect.getsource(source)))
    body = tree.body[0].body if isinstance(source, type) else tree.body
    found = {}
    for statement, below in itertools.pairwise(body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split()).replace("``", "`")
            case _:
                continue
    return found


def settings() -> str:
    """Return the settings of the service."""
    return _fields(Config)


def schema_settings() -> str:
    """Return the settings of one schema."""
    return _fields(SchemaConfig)


def registry_settings() -> str:
    """Return the settings of the registry record."""
    return _fields(RegistryConfig)


def _fields(model: Any) -> str:
    texts = documented_names(model)
    rows = [
        [f"`{name}`", _type(field), _default(name, field), texts[name]] for name, field in model.model_fields.items()
    ]
    return markdown(["setting", "type", "default", "meaning"], rows)


def _type(field: Any) -> str:
    bounds = [
        f"{words} {getattr(rule, key):g}"
        for rule in field.metadata
        for key, words in _BOUNDS.items()
        if hasattr(rule, key)
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    names = {Path: "path", int: "integer", float: "number", str: "text", bool: "true or false"}
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if annotation in names:
        return names[annotation]
    if get_origin(annotation) is Literal:
        return " or ".join(f'`"{value}"`' for value in kinds)
    if get_origin(annotation) is tuple:
        return "list of texts"
    return "table" if get_origin(annotation) is dict or RegistryConfig in get_args(annotation) else _type_name(kinds[0])


def _default(name: str, field: Any) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return _COMPUTED_DEFAULTS[name]
    if field.default is None or field.default == ():
        return "none"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f'`"{field.default}"`' if isinstance(field.default, str) else f"`{field.default}`"


def functions() -> str:
    """Return the scalar functions that queries may call."""
    callable_ones = [function for function in FUNCTIONS.values() if not function.hidden]
    rows = ([f"`{f.name.upper()}`", f.arities.partition(" argument")[0], f.doc] for f in callable_ones)
    return markdown(["function", "arguments", "value"], rows)


def aggregates() -> str:
    """Return the set functions that queries may call."""
    rows = ([f"`{a.name.upper()}`", a.doc] for a in AGGREGATES.values() if not a.hidden)
    return markdown(["set function", "value"], rows)


def row_functions() -> str:
    """Return the functions of windows that are no set functions."""
    rows = ([f"`{f.name.upper()}`", _counts(f.required, len(f.params)), f.doc] for f in ROW_FUNCTIONS.values())
    return markdown(["function", "arguments", "value"], rows)


def _counts(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} or {most}"


def language_limits() -> str:
    """Return the limits on query texts."""
    texts = documented_names(limits)
    rows = [[f"`{name}`", f"{getattr(limits, name):,}", text] for name, text in texts.items()]
    return markdown(["limit", "value", "of what"], rows)


def formats() -> str:
    """Return the formats of results."""
    rows = [[", ".join(f"`{n}`" for n in f.names), f"`{f.media_type}`", f"`{f.suffix}`"] for f in OUTPUT_FORMATS]
    return markdown(["`RESPONSEFORMAT`", "media type", "file name ends in"], rows)


def errors() -> str:
    """Return the errors that the service sends, as their tree."""
    rows = [
        ["&emsp;" * depth + f"`{kind.__name__}`", str(kind.status), f"`{kind.code}`", _summary(kind)]
        for depth, kind in _tree(CatalogServiceError)
        if kind is not exceptions.ConfigurationError
    ]
    return markdown(["class in Python", "HTTP status", "`code`", "meaning"], rows)


def _tree(kind: type[CatalogServiceError], depth: int = 0) -> Iterator[tuple[int, type[CatalogServiceError]]]:
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == exceptions.__name__:
            yield from _tree(child, depth + 1)


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "aggregates": aggregates,
    "errors": errors,
    "formats": formats,
    "functions": functions,
    "limits": language_limits,
    "row-functions": row_functions,
    "registry-settings": registry_settings,
    "schema-settings": schema_settings,
    "settings": settings,
}
"""What each name between markers stands for."""


def filled(page: str) -> str:
    """Return the text of a page with its tables made anew."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place['name']]()}\n{place[3]}", page)


def main() -> None:
    """Rewrite or check all pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page is out of date")
    check = parser.parse_args().check
    stale = [page for page in sorted(HERE.rglob("*.md")) if page.read_text("utf-8") != filled(page.read_text("utf-8"))]
    for page in stale:
        if not check:
            page.write_text(filled(page.read_text("utf-8")), encoding="utf-8")
        print(f"{page.relative_to(HERE)}: {'out of date; run python docs/tables.py' if check else 'tables made anew'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
