"""Published rows of a child table that a later release of the parent places elsewhere.

Their parent was missing when they were placed, or its position has changed since: an append that left them where they
are would publish children away from their parents.
"""

from pathlib import Path
from typing import Final

from ..exceptions import InputError
from ..layout.manifest import read_manifest
from ..layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN, leaf_path
from .parents import lookup_connection, quoted, told
from .places import Lookup
from .plan import TablePlan

__all__ = ["check_published_places"]

_MOST_NAMED: Final = 5

_MOVED_SQL: Final = """
SELECT child.{input} AS input, count(*)
FROM read_parquet($paths, hive_partitioning = false) AS child LEFT JOIN parent ON parent.key = child.{key}
WHERE child.{index} <> parent.index OR (parent.index IS NULL AND ({deserted}))
GROUP BY 1
ORDER BY 1
"""


def check_published_places(plan: TablePlan, lookup: Lookup) -> None:
    """Check that rows which an append keeps lie where the parent of now has them; `lookup` holds its positions.

    Nothing is read if the published rows were placed by the same release of the parent.

    Raises
    ------
    InputError
        If rows lie elsewhere; names the input files to replace.
    """
    assert plan.base is not None
    manifest = read_manifest(plan.base.catalog)
    if manifest.placement is None or manifest.placement.parent_release == plan.parent_release:
        return
    moved = {
        number: rows for number, rows in _moved(plan, plan.base.catalog, lookup) if number not in plan.base.removed
    }
    names = [record.name for record in manifest.inputs if record.number in moved]
    if names:
        parent = f"{lookup.wanted.parent!r} release {plan.parent_release}"
        remedy = " ".join(f"--replace '{name}'" for name in names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more files" if len(names) > _MOST_NAMED else ""
        msg = (
            f"table {plan.table.name!r}: {sum(moved.values())} published rows are not where their parents lie in "
            f"{parent}: parents came, moved or went since; say {remedy}{more} (and any --replace of this run "
            f"again) to place their rows again, or build the table anew"
        )
        raise InputError(msg)


def _moved(plan: TablePlan, catalog: Path, lookup: Lookup) -> list[tuple[int, int]]:
    """Return input numbers, and how many of their rows lie elsewhere than their parent."""
    tiles = plan.base_map
    paths = [str(catalog / leaf_path(tiles.pixel(tile))) for tile in range(len(tiles))]
    names = {"input": INPUT_COLUMN, "key": lookup.wanted.child_key, "index": HEALPIX_COLUMN}
    quotes = {name: quoted(column) for name, column in names.items()}
    sql = _MOVED_SQL.format(**quotes, deserted=_deserted(plan))
    with told(lookup.wanted.parent), lookup_connection(lookup, lookup.path, read_only=True) as connection:
        return connection.execute(sql, {"paths": paths}).fetchall()


def _deserted(plan: TablePlan) -> str:
    """Return the condition that a row without a parent was placed by one: not where it would be placed by itself."""
    if not plan.stores_parent:
        return "false"
    if plan.table.ra is None or plan.table.dec is None:
        return "true"
    pairs = ((PARENT_RA_COLUMN, plan.table.ra), (PARENT_DEC_COLUMN, plan.table.dec))
    return " OR ".join(
        f"child.{quoted(one)} IS DISTINCT FROM CAST(child.{quoted(own)} AS DOUBLE)" for one, own in pairs
    )
