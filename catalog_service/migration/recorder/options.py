"""What a run records, and how gently."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from .pace import Rate, Window

__all__ = ["AGAIN", "CELLS", "STEPS", "Options"]

STEPS: Final = ("tables", "queries", "fingerprints")
CELLS: Final = ("auto", "box", "remainder", "id", "chunk", "table")
AGAIN: Final = ("lost", "timeout", "refused", "too large")


@dataclass(frozen=True)
class Options:
    """Options of a run."""

    steps: tuple[str, ...] = STEPS
    """What to record."""
    table_patterns: tuple[str, ...] = ()
    """Tables, as ``SCHEMA.TABLE`` with ``*``; none: all."""
    query_files: tuple[Path, ...] = ()
    logs: tuple[Path, ...] = ()
    builtin: bool = True
    """Whether to ask the built-in queries."""
    samples: int = 3
    """Positions and ids of each table that built-in queries are centred on."""
    cones: str = "auto"
    """How built-in cones are written."""
    cells: str = "auto"
    """Cells of fingerprints."""
    box_deg: float = 1.0
    """Width of cells that are boxes, degrees."""
    columns: int = 24
    """Columns of fingerprints; 0: all."""
    query_per_cell: bool = False
    """Whether fingerprints are asked cell by cell."""
    timeout_s: float = 600.0
    """Of a query."""
    max_rows: int = 1_000_000
    max_bytes: int = 1_000_000_000
    """Of an answer, uncompressed."""
    retries: int = 5
    retry_wait_s: float = 2.0
    """Before the first retry; doubled each time, up to a minute."""
    again: tuple[str, ...] = ("lost",)
    """Errors of an earlier run that are asked again."""
    rate: Rate = field(default_factory=partial(Rate, duty=0.05))
    windows: tuple[Window, ...] = ()
