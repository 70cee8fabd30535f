"""Export of a large result by a job, and its download with the connection cut in the middle.

``python -m benchmarks.bench_export --json -``: `--rows` rows of 20 columns (the synthetic sky's 11 and expressions of
them) as VOTable, CSV and Parquet, whole and in parts: seconds and rows/s until the job has ended, peak resident memory
of the service's own process and of the largest worker, seconds of the download through a proxy that cuts it once.
Page cache warm; the disk takes the results.
"""

import argparse
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.process_meter import ProcessMeter
from benchmarks.serving import build_catalog, emit, running_server, synthetic_sky
from catalog_service.client import CatalogClient

QUERY = (
    "SELECT id, ra, dec, u_mag, g_mag, r_mag, i_mag, z_mag, y_mag, pm_ra, pm_dec, u_mag - g_mag AS ug, "
    "g_mag - r_mag AS gr, r_mag - i_mag AS ri, i_mag - z_mag AS iz, z_mag - y_mag AS zy, pm_ra * pm_ra AS pm2, "
    "ra / 15 AS ra_h, id + 1 AS next_id, ABS(dec) AS abs_dec FROM bench.sky"
)


class CutOnce:
    """Passes connections on, and cuts the first that has delivered `after_bytes`."""

    def __init__(self, url: str, after_bytes: int) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._target = host, int(port)
        self._after_bytes = after_bytes
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
                passed += len(data)
                if passed > self._after_bytes and not self._is_cut:
                    self._is_cut = True
                    break
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def export(url: str, pid: int, result_format: str, rows: int, directory: Path) -> dict[str, object]:
    """Run one export; return its figures."""
    server_peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            server_peak[0] = max(server_peak[0], psutil.Process(pid).memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with CatalogClient(url) as client, ProcessMeter(pid) as meter:
        started = time.perf_counter()
        job = client.submit(QUERY, format=result_format, maxrec=rows).wait()
        seconds = time.perf_counter() - started
        assert sum(one.rows for one in job.info.results if one.name == "result") == rows
        fetched_s = download(url, job.job_id, directory)
        job.delete()
    stop.set()
    watcher.join()
    return {
        "format": result_format,
        "rows": rows,
        "size_mb": round(sum(one.size_bytes for one in job.info.results) / 1e6),
        "files": len(job.info.results),
        "job_s": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
        "download_with_a_cut_s": round(fetched_s, 2),
        "service_peak_rss_mb": round(server_peak[0] / 1e6),
        "largest_process_mb": round(meter.largest_bytes / 1e6),
    }


def download(url: str, job_id: str, directory: Path) -> float:
    """Fetch all files of a job through a proxy that cuts the connection in the middle; return the seconds."""
    with CatalogClient(url) as client:
        files = client.job(job_id).info.results
    proxy = CutOnce(url, max(one.size_bytes for one in files) // 2)
    with CatalogClient(proxy.url) as client:
        job = client.job(job_id)
        started = time.perf_counter()
        for one in files:
            path = job.download(directory / one.name, name=one.name)
            assert path.stat().st_size == one.size_bytes
            path.unlink()
        seconds = time.perf_counter() - started
    proxy.close()
    return seconds


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--directory", type=Path, help="where data are kept between runs")
    parser.add_argument("--formats", default="votable,csv,parquet,parquet/parts")
    parser.add_argument("--json", default="-", help="file for the figures, - for standard output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.directory or Path(temporary)
        if not (directory / "inputs" / "sky").is_dir():
            synthetic_sky(directory / "inputs" / "sky", arguments.rows)
        build_catalog(directory, "sky", directory / "inputs" / "sky", ident="id")
        extra = "maxrec_hard = 100000000\nasync_timeout_s = 3600\n"
        with running_server(directory, extra=extra) as (url, pid):
            figures = [export(url, pid, one, arguments.rows, directory) for one in arguments.formats.split(",")]
    emit({"benchmark": "export", "exports": figures}, arguments.json)


if __name__ == "__main__":
    main()
