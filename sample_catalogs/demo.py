"""The demonstration: build the sample catalogs, serve them, ask a first cone search and a first ADQL query.

``python -m sample_catalogs.demo --directory .demo --port 8000 [--oneshot]``. Everything goes through the real doors:
the partitioner's command line, a server process, and pyvo as a VO client.
"""

import argparse
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from partitioning.exceptions import LayoutError
from partitioning.layout.manifest import read_manifest
from partitioning.stages.publish import current_release

from .generate import SurveyConfig, generate_survey

__all__ = ["main"]

_HOST = "127.0.0.1"
_SAMPLES = Path(__file__).parent

_CONE = (56.75, 24.12, 1.0)
"""The Pleiades: RA, Dec and radius in degrees."""

_QUERY = """\
SELECT TOP 8 o.objectId, o.coord_ra, o.coord_dec, v.band, v.expMidptMJD, f.psfFlux, f.psfFluxErr
FROM survey.Object AS o
JOIN survey.ForcedSource AS f ON f.objectId = o.objectId
JOIN survey.Visit AS v ON v.visit = f.visit
WHERE CONTAINS(POINT(o.coord_ra, o.coord_dec), CIRCLE(62.0, -37.0, 0.01)) = 1 AND o.i_psfMag < 20
ORDER BY o.objectId, v.expMidptMJD"""


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description="Build and serve the sample catalogs, and ask them two questions.")
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where everything is kept")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--oneshot", action="store_true", help="stop after printing")
    arguments = parser.parse_args()
    _refuse_busy_port(arguments.port)
    config = prepare(arguments.directory.resolve())
    with _server(config, arguments.port) as server:
        _ask(f"http://{_HOST}:{arguments.port}")
        if not arguments.oneshot:
            _say("Serving. Press Ctrl-C to stop.")
            with _interrupt_is_fine():
                server.wait()


def prepare(directory: Path) -> Path:
    """Build what is not built yet below `directory`; return the path of the service's configuration."""
    catalogs = directory / "catalogs"
    survey = directory / "input" / "survey"
    if not (survey / "manifest.json").is_file():
        _say("Generating a small synthetic survey ...")
        generate_survey(survey, SurveyConfig(n_object=20_000, n_visit=40, with_edge_tract=True))
    _build("tycho2", "stars", _SAMPLES / "tycho2", catalogs)
    _build("survey", "MatchesTruth", survey, catalogs)
    config = directory / "service.toml"
    config.write_text(
        'catalog_root = "catalogs"\nstate_dir = "state"\naccess = "public"\ntitle = "Demo catalogs"\n', encoding="utf-8"
    )
    return config


def _build(schema: str, last_table: str, inputs: Path, catalogs: Path) -> None:
    """Partition a sample unless its last table is published already."""
    if _is_published(catalogs / schema / last_table):
        return
    _say(f"Partitioning {schema} ...")
    command = [sys.executable, "-m", "partitioning.cli", "build", str(_SAMPLES / schema / "build.toml")]
    subprocess.run([*command, "--root", str(catalogs), "--input-dir", str(inputs)], check=True)  # noqa: S603


def _is_published(table: Path) -> bool:
    """Return whether a release is published that this version reads."""
    try:
        release = current_release(table)
        return release is not None and read_manifest(release).rows > 0
    except LayoutError:
        return False


@contextmanager
def _server(config: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    log_path = config.parent / "service.log"
    command = [sys.executable, "-m", "catalog_service.cli", "serve", "--config", str(config), "--port", str(port)]
    with log_path.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
        try:
            _wait_until_ready(f"http://{_HOST}:{port}/readyz", server, log_path)
            yield server
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log_path: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            sys.exit(f"The server ended at once; its log says:\n{log_path.read_text(encoding='utf-8')}")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"The server did not become ready within 30 s; see {log_path}")


def _ask(url: str) -> None:
    """Run a cone search and an ADQL query with a JOIN through pyvo, and print both tables."""
    import pyvo  # noqa: PLC0415  (only the demonstration needs it)

    ra, dec, radius = _CONE
    stars = pyvo.conesearch(f"{url}/cone/tycho2.stars?", pos=(ra, dec), radius=radius).to_table()
    stars.sort("vt_mag")
    _say(f"\nCone search: {len(stars)} Tycho-2 stars within {radius} deg of the Pleiades, brightest first")
    print("\n".join(stars[:8].pformat(max_width=-1)))  # noqa: T201
    rows = pyvo.dal.TAPService(f"{url}/tap").search(_QUERY).to_table()
    _say(f"\nADQL: light curves of bright objects in the synthetic survey\n{_QUERY}\n")
    print("\n".join(rows.pformat(max_width=-1)))  # noqa: T201
    _say(f"\nWeb page {url}/    TAP {url}/tap    API {url}/docs")


def _refuse_busy_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            sys.exit(f"Port {port} is in use on {_HOST}. Choose another one: make demo PORT={port + 10}")


@contextmanager
def _interrupt_is_fine() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _say("\nStopped.")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
