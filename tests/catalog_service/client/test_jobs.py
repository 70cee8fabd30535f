"""Jobs of the client against a real server, also over connections that break."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest

from catalog_service.client import (
    CatalogClient,
    NotFoundError,
    OverflowWarning,
    QueryNameError,
    QueryRefusedError,
    TransferAbortedError,
    UnexpectedAnswerError,
)
from tests.harness import SampleStore

SLOW = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag * b.vt_mag < a.ra - b.dec"
"""Takes minutes."""


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[CatalogClient]:
    with CatalogClient(server_url) as opened:
        yield opened


def test_submit_wait_result(client: CatalogClient, sample_store: SampleStore) -> None:
    job = client.submit("SELECT tyc_row, vt_mag FROM tycho2.stars", maxrec=1_000_000, runid="mine")
    seen: list[str] = []
    table = job.wait(60, progress=lambda info: seen.append(info.phase)).result().to_arrow()
    stars = pq.read_table(sample_store.tycho2, columns=["tyc_row", "vt_mag"])
    assert sorted(table["tyc_row"].to_pylist()) == sorted(stars["tyc_row"].to_pylist())
    assert seen[-1] == "COMPLETED"
    again = client.job(job.job_id)
    assert (again.info.runid, again.phase, again.info.results[0].rows) == ("mine", "COMPLETED", len(stars))
    with job.stream() as batches:
        assert sum(batch.num_rows for batch in batches) == len(stars)
    job.delete()
    with pytest.raises(NotFoundError, match="there is no job"):
        client.job(job.job_id)
    assert client.jobs() == []


def test_a_cut_result_warns(client: CatalogClient) -> None:
    job = client.submit("SELECT ra FROM tycho2.stars", maxrec=3).wait(60)
    assert job.info.overflow
    with pytest.warns(OverflowWarning, match="cut at MAXREC = 3"):
        assert len(job.result().to_arrow()) == 3


def test_the_error_of_a_job_is_raised_in_its_own_class(client: CatalogClient) -> None:
    job = client.submit("SELECT vt_mga FROM tycho2.stars")
    with pytest.raises(QueryNameError, match="no column 'vt_mga'") as caught:
        job.wait(60)
    assert (caught.value.line, caught.value.column) == (1, 8)
    with pytest.raises(QueryNameError):
        job.result()


def test_time_out_abort(client: CatalogClient) -> None:
    job = client.submit(SLOW)
    with pytest.raises(TimeoutError, match=r"after 0\.3 s"):
        job.wait(0.3)
    job.abort()
    assert job.phase == "ABORTED"
    with pytest.raises(QueryRefusedError, match="is ABORTED"):
        job.wait()
    assert "ABORTED" in repr(job)


def test_a_result_in_another_format_is_downloaded(client: CatalogClient, tmp_path: Path) -> None:
    job = client.submit("SELECT TOP 5 ra FROM tycho2.stars", format="csv").wait(60)
    with pytest.raises(UnexpectedAnswerError, match="text/csv"):
        job.result()
    path = job.download(tmp_path / "stars.csv")
    assert len(path.read_text().split()) == 6
    assert [one.name for one in tmp_path.iterdir()] == ["stars.csv"]
    with pytest.raises(NotFoundError, match="no result 'other'"):
        job.download(tmp_path / "other", name="other")


class CuttingProxy:
    """Passes connections on; cuts each of the first `cuts` that have delivered more than `after_bytes`."""

    def __init__(self, url: str, after_bytes: int, cuts: int) -> None:
        self.target = urlsplit(url)
        self.after_bytes = after_bytes
        self.cuts_left = cuts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> str:
        threading.Thread(target=self.accept, daemon=True).start()
        return self.url

    def __exit__(self, *details: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection((str(self.target.hostname), int(self.target.port or 80)))
                threading.Thread(target=self.pump, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self.pump, args=(server, client, self.after_bytes), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)
                passed += len(data)
                if limit is not None and passed > limit and self.cuts_left > 0:
                    self.cuts_left -= 1
                    break
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_a_download_that_breaks_off_goes_on(client: CatalogClient, server_url: str, tmp_path: Path) -> None:
    job = client.submit("SELECT * FROM tycho2.stars", format="parquet", maxrec=1_000_000).wait(60)
    size = job.info.results[0].size_bytes
    assert size > 2_000_000
    with CuttingProxy(server_url, 500_000, cuts=3) as proxy, CatalogClient(proxy) as unlucky:
        path = unlucky.job(job.job_id).download(tmp_path / "stars.parquet")
    assert path.stat().st_size == size
    assert pq.read_table(path).num_rows == job.info.results[0].rows
    with CuttingProxy(server_url, 10_000, cuts=100) as proxy, CatalogClient(proxy) as hopeless:
        with pytest.raises(TransferAbortedError):
            hopeless.job(job.job_id).download(tmp_path / "again.parquet")
        assert len(list(tmp_path.glob("again.parquet.*.part"))) == 1
    job.download(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_a_partial_file_with_other_content_is_not_taken(client: CatalogClient, tmp_path: Path) -> None:
    job = client.submit("SELECT TOP 100 * FROM tycho2.stars", format="csv").wait(60)
    sha256 = job.info.results[0].sha256
    (tmp_path / f"x.csv.{sha256[:16]}.part").write_bytes(b"something else")
    with pytest.raises(TransferAbortedError, match="not what the service has noted"):
        job.download(tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []
    assert job.download(tmp_path / "x.csv").stat().st_size == job.info.results[0].size_bytes
