"""STILTS, TOPCAT's command line, works with the service and finds no fault in its documents."""

import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest


def run(stilts: str, *arguments: str) -> str:
    done = subprocess.run([stilts, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def document(url: str, path: Path, **parameters: str) -> Path:
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=20) as response:
            path.write_bytes(response.read())
    except HTTPError as error:
        path.write_bytes(error.read())
    return path


QUERIES = {
    "binary2": {"QUERY": "SELECT TOP 20 * FROM survey.Object", "RESPONSEFORMAT": "votable"},
    "tabledata": {"QUERY": "SELECT TOP 20 * FROM survey.Visit", "RESPONSEFORMAT": "votable/td"},
    "overflow as text": {"QUERY": "SELECT * FROM survey.Visit", "MAXREC": "5", "RESPONSEFORMAT": "votable/td"},
    "metadata as text": {"QUERY": "SELECT * FROM survey.Object", "MAXREC": "0", "RESPONSEFORMAT": "votable/td"},
    "empty as text": {"QUERY": "SELECT * FROM survey.Object WHERE objectId < 0", "RESPONSEFORMAT": "votable/td"},
    "relaxed": {"QUERY": "SELECT ra, dec FROM tycho2.stars LIMIT 3"},
    "overflow": {"QUERY": "SELECT ra FROM tycho2.stars", "MAXREC": "5"},
    "metadata": {"QUERY": "SELECT * FROM survey.Object", "MAXREC": "0"},
    "empty": {"QUERY": "SELECT ra FROM tycho2.stars WHERE ra < 0"},
    "error": {"QUERY": "SELECT nonsense & < > FROM tycho2.stars"},
    "expressions": {"QUERY": "SELECT TOP 5 ra + 1, COUNT(*), 'a<b&c' AS t FROM tycho2.stars GROUP BY ra"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUERIES)
def test_votlint_finds_nothing(stilts: str, server_url: str, tmp_path: Path, name: str) -> None:
    path = document(f"{server_url}/tap/sync", tmp_path / "result.xml", LANG="ADQL", **QUERIES[name])
    assert run(stilts, "votlint", str(path)).strip() == ""


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [{"RA": "56.75", "DEC": "24.12", "SR": "1"}, {"RA": "x", "DEC": "0", "SR": "1"}])
def test_votlint_finds_nothing_in_cones(
    stilts: str, server_url: str, tmp_path: Path, parameters: dict[str, str]
) -> None:
    path = document(f"{server_url}/cone/tycho2.stars", tmp_path / "cone.xml", **parameters)
    assert run(stilts, "votlint", str(path)).strip() == ""


@pytest.mark.slow
def test_tapquery_and_cone_agree(stilts: str, server_url: str) -> None:
    condition = "CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 1)) = 1"
    query = f"SELECT tyc_row FROM tycho2.stars WHERE {condition} ORDER BY tyc_row"
    by_tap = run(
        stilts,
        "tapquery",
        f"tapurl={server_url}/tap",
        f"adql={query}",
        "sync=true",
        "ocmd=keepcols tyc_row",
        "ofmt=csv",
    )
    by_cone = run(
        stilts, "cone", f"serviceurl={server_url}/cone/tycho2.stars?", "lon=56.75", "lat=24.12", "radius=1", "ofmt=csv",
        "ocmd=sort tyc_row", "ocmd=keepcols tyc_row",
    )  # fmt: skip
    assert by_tap.split() == by_cone.split()
    assert len(by_tap.split()) == 66


@pytest.mark.slow
def test_fits_and_csv(stilts: str, server_url: str, tmp_path: Path) -> None:
    """STILTS finds the same rows in FITS and in text as in a VOTable."""
    shown = {}
    for name, reader in (("votable", "votable"), ("fits", "fits"), ("csv", "csv")):
        query = {"QUERY": "SELECT TOP 50 * FROM survey.Visit ORDER BY visit", "RESPONSEFORMAT": name}
        path = document(f"{server_url}/tap/sync", tmp_path / f"result.{name}", LANG="ADQL", **query)
        shown[name] = run(stilts, "tpipe", f"in={path}", f"ifmt={reader}", "omode=out", "ofmt=csv", "out=-")
    assert shown["fits"] == shown["votable"]
    assert shown["csv"].count("\n") == shown["votable"].count("\n")
