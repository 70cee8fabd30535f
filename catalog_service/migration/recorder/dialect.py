"""The two languages queries are written in: Qserv's SQL and ADQL."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .records import Table

__all__ = ["CONES", "Cone", "ConeStyle", "Dialect"]

ConeStyle = Literal["areaspec", "scisql", "plain", "contains"]
CONES: Final[tuple[ConeStyle, ...]] = ("areaspec", "scisql", "plain", "contains")
"""How a cone is written: as Qserv's restrictor, with scisql, with functions of angles alone, in ADQL."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Cone:
    """A circle on the sky, ICRS, degrees."""

    ra: float
    dec: float
    radius_deg: float


@dataclass(frozen=True)
class Dialect:
    """Writes the parts of queries.

    Parameters
    ----------
    lang
        ``QSERV`` or ``ADQL``.
    cones
        How cones are written.
    """

    lang: str
    cones: ConeStyle

    def name(self, name: str) -> str:
        """Return a column's name, quoted where that is needed."""
        if self.lang == "QSERV":
            return "`" + name.replace("`", "``") + "`"
        return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'

    def table(self, table: Table) -> str:
        """Return a table's name."""
        return f"{self.name(table.schema)}.{self.name(table.table)}"

    def columns(self, names: Sequence[str], alias: str = "") -> str:
        """Return a list of columns."""
        return ", ".join(self.column(name, alias) for name in names)

    def column(self, name: str, alias: str = "") -> str:
        """Return a column of a table that may have an alias."""
        return f"{alias}.{self.name(name)}" if alias else self.name(name)

    def first(self, count: int, columns: str, rest: str) -> str:
        """Return a query for a few rows."""
        if self.lang == "QSERV":
            return f"SELECT {columns} {rest} LIMIT {count}"
        return f"SELECT TOP {count} {columns} {rest}"

    def modulo(self, value: str, divisor: int) -> str:
        """Return the remainder of a division of integers."""
        return f"{value} % {divisor}" if self.lang == "QSERV" else f"MOD({value}, {divisor})"

    def cone(self, table: Table, cone: Cone, alias: str = "") -> str:
        """Return the condition that a row of a table with positions lies in a cone."""
        assert table.ra is not None
        assert table.dec is not None
        ra, dec = self.column(table.ra, alias), self.column(table.dec, alias)
        where = f"{cone.ra:.6f}, {cone.dec:.6f}"
        match self.cones:
            case "areaspec":
                return f"qserv_areaspec_circle({where}, {cone.radius_deg:g})"
            case "scisql":
                return f"scisql_s2PtInCircle({ra}, {dec}, {where}, {cone.radius_deg:g}) = 1"
            case "contains":
                return f"CONTAINS(POINT('ICRS', {ra}, {dec}), CIRCLE('ICRS', {where}, {cone.radius_deg:g})) = 1"
            case "plain":
                return _haversine(ra, dec, cone)


def _haversine(ra: str, dec: str, cone: Cone) -> str:
    low, high = cone.dec - cone.radius_deg, cone.dec + cone.radius_deg
    return (
        f"{dec} BETWEEN {low:.6f} AND {high:.6f} AND "
        f"POWER(SIN(RADIANS({dec} - {cone.dec:.6f}) / 2), 2) + COS(RADIANS({dec})) * COS(RADIANS({cone.dec:.6f})) * "
        f"POWER(SIN(RADIANS({ra} - {cone.ra:.6f}) / 2), 2) <= POWER(SIN(RADIANS({cone.radius_deg:g}) / 2), 2)"
    )
