"""A complete result, held as an Arrow table and handed out in the form that the user works with."""

from typing import TYPE_CHECKING

import pyarrow as pa

from .conversion import field_text, to_astropy, to_pandas, to_polars
from .notebook import result_html, result_text

if TYPE_CHECKING:
    import astropy.table
    import pandas as pd
    import polars as pl

__all__ = ["Result"]

_VOTABLE_KEYS = b"IVOA.VOTable-Parquet."
"""Prefix of the keys under which the columns are described once more, as a VOTable without rows."""


class Result:
    """The rows of a query or cone search.

    Parameters
    ----------
    table
        All rows, with ``unit``, ``ucd`` and ``description`` in the metadata of the fields.
    overflow
        Whether the service cut the result at MAXREC.
    query_id
        Names the query in the service's log.
    """

    def __init__(self, table: pa.Table, *, overflow: bool = False, query_id: str | None = None) -> None:
        self._table = table
        self.overflow = overflow
        self.query_id = query_id

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._table.column_names)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column that has one."""
        return {field.name: unit for field in self._table.schema if (unit := field_text(field, "unit"))}

    @property
    def provenance(self) -> dict[str, str]:
        """What the service tells about how the result came about, such as its version and the query."""
        metadata = self._table.schema.metadata or {}
        return {key.decode(): text.decode() for key, text in metadata.items() if not key.startswith(_VOTABLE_KEYS)}

    def to_arrow(self) -> pa.Table:
        """Return the Arrow table."""
        return self._table

    def to_table(self) -> "astropy.table.Table":
        """Return an astropy ``Table`` with units and descriptions; NULL is masked, integers are exact.

        ``table.meta`` holds the provenance, and under ``OVERFLOW`` whether the result was cut.

        Raises
        ------
        ImportError
            If astropy is not installed.
        """
        table = to_astropy(self._table)
        table.meta.update(self.provenance, OVERFLOW=self.overflow)
        return table

    def to_pandas(self) -> "pd.DataFrame":
        """Return a pandas ``DataFrame`` with Arrow-backed columns, so that integers with NULL stay exact.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return to_pandas(self._table)

    def to_polars(self) -> "pl.DataFrame":
        """Return a polars ``DataFrame``.

        Raises
        ------
        ImportError
            If polars is not installed.
        """
        return to_polars(self._table)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        return result_text(self._table, overflow=self.overflow, query_id=self.query_id)

    def _repr_html_(self) -> str:
        return result_html(self._table, overflow=self.overflow, query_id=self.query_id)
