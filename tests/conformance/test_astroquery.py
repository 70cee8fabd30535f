"""astroquery's TapPlus, as it is, runs queries and jobs and shows what the service says of errors.

Its `remove_jobs` and `load_tables` know ESA archives alone: the latter
only documents whose columns have an attribute that no standard knows.
"""

import pytest
import requests
from astropy.table import Table
from astroquery.utils.tap.core import TapPlus

QUERY = "SELECT TOP 5 tyc_row, ra FROM tycho2.stars ORDER BY tyc_row"


@pytest.fixture(scope="module")
def tap(server_url: str) -> TapPlus:
    return TapPlus(url=f"{server_url}/tap", verbose=False)


def test_a_query_and_a_job(tap: TapPlus) -> None:
    sync = tap.launch_job(QUERY).get_results()
    job = tap.launch_job_async(QUERY)
    assert len(sync) == 5
    assert str(sync["ra"].unit) == "deg"
    assert (job.get_results() == sync).all()
    assert (tap.load_async_job(jobid=job.jobid).get_results() == sync).all()


@pytest.mark.parametrize("launch", ["launch_job", "launch_job_async"])
def test_errors_are_shown(tap: TapPlus, launch: str) -> None:
    with pytest.raises(requests.exceptions.HTTPError, match="there is no column 'foo'"):
        getattr(tap, launch)("SELECT foo FROM tycho2.stars")


def test_an_upload(tap: TapPlus) -> None:
    query = "SELECT m.a, s.ra FROM tap_upload.mine AS m JOIN tycho2.stars AS s ON s.tyc_row = m.a ORDER BY m.a"
    job = tap.launch_job(query, upload_resource=Table({"a": [5, 14, 18]}), upload_table_name="mine")
    assert list(job.get_results()["a"]) == [5, 14, 18]
