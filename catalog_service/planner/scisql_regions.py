"""Regions of scisql's boxes and ellipses: ``scisql_s2PtInBox(ra, dec, 10, -5, 20, 5) = 1``."""

import math
from collections.abc import Sequence

from partitioning.sky.regions import Box, Cone, Region

__all__ = ["scisql_region"]


def scisql_region(name: str, numbers: Sequence[float]) -> Region | None:
    """Return a region that holds all positions for which a function gives 1, None for other functions.

    Parameters
    ----------
    name
        Canonical name of the function.
    numbers
        Its arguments after the position: degrees, semi-axes in arcseconds.

    Raises
    ------
    RegionError
        If the arguments make no region.
    """
    match name:
        case "scisql_s2ptinbox":
            lon_min, lat_min, lon_max, lat_max = numbers
            return Box(lon_min, lon_max, lat_min, lat_max)
        case "scisql_s2ptinellipse":
            lon, lat, semi_major_arcsec, *_ = numbers
            # the function compares the sine of the angle from the centre with the semi-axis in radians
            return Cone(lon, lat, math.degrees(math.asin(min(1.0, math.radians(abs(semi_major_arcsec) / 3600)))))
        case _:
            return None
