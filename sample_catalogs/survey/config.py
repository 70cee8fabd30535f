"""What to generate, as one frozen value, and the report of what was generated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sample_catalogs.exceptions import SurveyConfigError

__all__ = ["DP02_OBJECTS_PER_DEG2", "Footprint", "RaConvention", "SurveyConfig", "SurveyReport"]

Footprint = Literal["dc2", "dc2strip", "dp1", "allsky"]
RaConvention = Literal["0to360", "signed"]

DP02_OBJECTS_PER_DEG2 = 930_000.0
"""Density of the Object table of DP0.2: 278 million rows over 300 square degrees."""

_MAX_STRIP_DEG2 = 1000.0  # Larger boxes reach declinations where a box is no longer one.


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyConfig:
    """Arguments of the survey generator; equal values give identical files.

    Raises
    ------
    SurveyConfigError
        If a value is out of range.
    """

    footprint: Footprint = "dc2strip"
    """Which part of the sky to fill; see `sample_catalogs.survey.footprint`."""

    n_object: int = 200_000
    """Number of objects, before those behind bright stars are taken out."""

    n_visit: int = 60
    """Number of visits, not counting those of the edge tract."""

    objects_per_deg2: float = DP02_OBJECTS_PER_DEG2
    """Sky density of the footprint ``dc2strip``; its area follows from it."""

    seed: int = 20260522
    """Seed of every random number."""

    padding_columns: int = 0
    """Columns to add to the 82 of Object; 909 make it as wide as in DP0.2."""

    with_sources: bool = True
    """Whether to make Source, ForcedSource, DiaObject and DiaSource."""

    with_forced_positions: bool = True
    """Whether ForcedSource has ``coord_ra`` and ``coord_dec``; DP2 dropped them."""

    with_edge_tract: bool = False
    """Whether to add the tract of awkward positions; the footprint ``allsky`` always has it."""

    ra_convention: RaConvention = "0to360"
    """Range of every stored right ascension: ``0to360`` or ``signed`` for [-180, 180)."""

    tracts: tuple[int, ...] | None = None
    """Generate the data of these tracts only; `None` for all. What they hold does not depend on this."""

    min_rows_per_file: int = 10_000
    """Visits of a tract share a file until it has this many rows; 0 gives each visit a file of its own."""

    def __post_init__(self) -> None:
        if self.footprint not in get_args(Footprint):
            raise SurveyConfigError(f"footprint is {self.footprint!r}; choose one of {', '.join(get_args(Footprint))}.")
        if self.ra_convention not in get_args(RaConvention):
            choices = ", ".join(get_args(RaConvention))
            raise SurveyConfigError(f"ra_convention is {self.ra_convention!r}; choose one of {choices}.")
        for name in ("n_object", "n_visit", "objects_per_deg2"):
            if getattr(self, name) <= 0:
                raise SurveyConfigError(f"{name} is {getattr(self, name)}; it must be greater than 0.")
        for name in ("seed", "padding_columns", "min_rows_per_file"):
            if getattr(self, name) < 0:
                raise SurveyConfigError(f"{name} is {getattr(self, name)}; it must not be negative.")
        if self.footprint == "dc2strip" and self.n_object / self.objects_per_deg2 > _MAX_STRIP_DEG2:
            raise SurveyConfigError(
                f"{self.n_object} objects at {self.objects_per_deg2:g} per square degree need more than the "
                f"{_MAX_STRIP_DEG2:g} square degrees that dc2strip may have; raise objects_per_deg2 or choose allsky."
            )

    @property
    def has_edge_tract(self) -> bool:
        """Whether the survey holds the tract of awkward positions."""
        return self.with_edge_tract or self.footprint == "allsky"


@dataclass(frozen=True, slots=True)
class SurveyReport:
    """What a run has written."""

    directory: Path
    """Directory with one sub-directory a table."""

    rows: Mapping[str, int]
    """Rows of each table."""

    files: Mapping[str, int]
    """Files of each table."""

    size_bytes: Mapping[str, int]
    """Bytes of each table on disk."""

    seconds: float
    """Time the run took."""

    def describe(self) -> str:
        """Return the report as a table of text."""
        lines = [f"{'table':<14}{'rows':>12}{'files':>8}{'MB':>10}"]
        lines += [
            f"{table:<14}{self.rows[table]:>12}{self.files[table]:>8}{self.size_bytes[table] / 1e6:>10.1f}"
            for table in self.rows
        ]
        return "\n".join([*lines, f"{sum(self.rows.values())} rows in {self.seconds:.1f} s: {self.directory}"])
