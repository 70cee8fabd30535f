"""Functions of stored positions through the real server, against healpy over the input files."""

import healpy
import numpy as np
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from tests.conformance.oracle import Sky
from tests.harness import SampleStore


@pytest.mark.parametrize(
    ("table", "ident", "ra", "dec"),
    [
        ("Object", "objectId", "coord_ra", "coord_dec"),
        ("DiaSource", "diaSourceId", "ra", "dec"),  # placed by its DiaObject's position, not by its own
    ],
)
def test_healpix_index_of_the_own_position(
    server_url: str, sample_store: SampleStore, table: str, ident: str, ra: str, dec: str
) -> None:
    stored = pq.read_table(sample_store.survey / table, columns=[ident, ra, dec])
    ids, lon, lat = (stored[name].to_numpy() for name in (ident, ra, dec))
    placed = np.isfinite(lon) & (np.abs(lat) <= 90)  # the others were rejected
    ids, lon, lat = ids[placed], lon[placed], lat[placed]
    cells = healpy.ang2pix(1 << 20, lon, lat, nest=True, lonlat=True)
    query = f"SELECT {ident}, ivo_healpix_index(20, {ra}, {dec}) AS cell FROM survey.{table}"
    result = CatalogClient(server_url).query(query, maxrec=1_000_000).to_arrow()
    found = dict(zip(result[ident].to_pylist(), result["cell"].to_pylist(), strict=True))
    assert found == dict(zip(ids.tolist(), cells.tolist(), strict=True))


def test_a_region_outside_of_a_window_does_not_shrink_it(server_url: str, sample_store: SampleStore) -> None:
    """The rows that a window counts are those of the derived table, whatever the outer WHERE asks for."""
    sky = Sky(sorted((sample_store.survey / "Object").glob("*.parquet")), "objectId", "coord_ra", "coord_dec")
    ids = np.sort(sky.ids)
    inside = np.sort(sky.ids[sky.separation_deg(62.0, -37.0) <= 0.01])
    query = """
        SELECT objectId, place, total FROM (
            SELECT objectId, coord_ra, coord_dec,
                ROW_NUMBER() OVER (ORDER BY objectId) AS place, COUNT(*) OVER () AS total
            FROM survey.Object
        ) AS t WHERE 1 = CONTAINS(POINT(coord_ra, coord_dec), CIRCLE(62.0, -37.0, 0.01)) ORDER BY objectId
        """
    result = CatalogClient(server_url).query(query).to_arrow()
    assert result["objectId"].to_pylist() == inside.tolist()
    assert result["place"].to_pylist() == (np.searchsorted(ids, inside) + 1).tolist()
    assert set(result["total"].to_pylist()) == {len(ids)}
    assert 0 < len(inside) < len(ids)
