"""The language layer's three steps: parse, resolve, emit."""

from collections.abc import Callable, Mapping, Sequence

from ..exceptions import LimitError
from ..models.excerpt import Excerpt
from ..models.query import Language, ParsedQuery, QueryText, ResolvedQuery, SplitQuery, TableScan
from ..models.spines import Cut
from ..models.tree import ColumnRef, Query, Select, SetOperation
from ..models.walk import base_tables
from .adql import parse_adql
from .emit import emit_query
from .excerpt import excerpt_of
from .limits import MAX_DEPTH
from .qserv import parse_qserv
from .resolve import SchemaView, resolve_query
from .split import split_query

__all__ = ["SchemaView", "emit", "emit_split", "excerpt", "parse", "resolve", "result_position", "split"]

_TOO_DEEP = f"the query is nested too deeply; the limit is {MAX_DEPTH} levels."


def parse(query: QueryText) -> ParsedQuery:
    """Return the tree of names of a query text.

    Raises
    ------
    QueryError
        If the text is no query of its language: `QuerySyntaxError`, `QueryRefusedError`, `QueryNameError` (of a
        function) or `QueryTypeError` (of a number), with line and column.
    LimitError
        If the text is too long, too deep or otherwise too large.
    """
    match query.language:
        case Language.ADQL:
            parser: Callable[[str], ParsedQuery] = parse_adql
        case Language.QSERV:
            parser = parse_qserv
    try:
        return parser(query.text)
    except RecursionError:
        raise LimitError(_TOO_DEEP) from None


def resolve(parsed: ParsedQuery, view: SchemaView) -> ResolvedQuery:
    """Return the tree of references to what the caller may read, with types, result columns, units and UCDs.

    Raises
    ------
    QueryError
        If a name means nothing or too much, types do not fit, or something is not supported.
    """
    try:
        return resolve_query(parsed, view)
    except RecursionError:
        raise LimitError(_TOO_DEEP) from None


def emit(resolved: ResolvedQuery, scans: Mapping[int, TableScan], *, max_rows: int | None) -> str:
    """Return one SELECT for DuckDB that reads exactly the files of `scans`.

    Parameters
    ----------
    resolved
        The query.
    scans
        What to read, by the source number of each base table.
    max_rows
        MAXREC: at most one row more is asked for, so that a cut can be told from a full result; the query's own TOP
        counts first. None: no limit.

    Returns
    -------
    str
        SQL whose columns have the order and names of ``resolved.columns``.
    """
    try:
        return emit_query(resolved.tree, scans, limit=None if max_rows is None else max_rows + 1)
    except RecursionError:
        raise LimitError(_TOO_DEEP) from None


def excerpt(resolved: ResolvedQuery, scans: Mapping[int, TableScan], *, max_rows: int) -> Excerpt | None:
    """Return the rows that `emit` has a SELECT for without SQL, if they are plain rows of one table.

    Parameters
    ----------
    resolved, scans, max_rows
        As for `emit`; the files must be those of releases.
    """
    return excerpt_of(resolved.tree, scans, limit=max_rows + 1)


def split(resolved: ResolvedQuery, cut: Cut) -> SplitQuery | str:
    """Return the parts of a query whose rows are dealt out to batches, or why it is run as a whole."""
    try:
        return split_query(resolved.tree, cut)
    except RecursionError:
        return "it is nested too deeply"


def emit_split(
    parts: SplitQuery, batches: Sequence[Mapping[int, TableScan]], *, max_rows: int
) -> tuple[tuple[str, ...], str]:
    """Return the SELECT of each batch, and the one that merges their rows; it is empty if they are the result.

    Parameters
    ----------
    parts
        The query.
    batches
        What each batch reads.
    max_rows
        MAXREC, as for `emit`.
    """
    merge = parts.merge
    skipped = merge.offset or 0 if isinstance(merge, Select) else 0
    limit = max_rows + 1 + skipped if parts.is_cut else None
    texts = tuple(emit_query(parts.partial, scans, limit=limit) for scans in batches)
    return texts, "" if merge is None else emit_query(merge, {}, limit=max_rows + 1)


def result_position(resolved: ResolvedQuery) -> tuple[str, str] | None:
    """Return the names of the result columns that are a table's own position, None if no table's both are there."""
    select = _leftmost(resolved.tree)
    tables = {} if select.source is None else {ref.source: ref.table for ref in base_tables(select.source)}
    found: dict[int, dict[str, str]] = {}
    for item, column in zip(select.items, resolved.columns, strict=True):
        if isinstance(item.expr, ColumnRef):
            found.setdefault(item.expr.source, {}).setdefault(item.expr.column.name, column.name)
    for source, names in found.items():
        position = tables[source].position if source in tables else None
        if position is not None and position.ra in names and position.dec in names:
            return names[position.ra], names[position.dec]
    return None


def _leftmost(tree: Query) -> Select:
    while not isinstance(tree, Select):
        tree = tree.left if isinstance(tree, SetOperation) else tree.body
    return tree
