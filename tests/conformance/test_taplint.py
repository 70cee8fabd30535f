"""taplint, the VO's checker of TAP services, finds nothing that is not listed here with its reason."""

import subprocess

import pytest

STAGES = {
    "TMV": "tables document against its schema",
    "TME": "content of the tables document",
    "TMS": "content of TAP_SCHEMA",
    "TMC": "both agree",
    "CPV": "capabilities document against its schema",
    "CAP": "content of the capabilities document",
    "AVV": "availability document against its schema",
    "QGE": "queries by GET",
    "QPO": "queries by POST",
    "QAS": "queries as jobs",
    "UWS": "behaviour of jobs",
    "MDQ": "columns of results against the metadata",
    "LOC": "ObsLocTAP",
    "OBS": "ObsCore",
    "UPL": "uploads",
    "EXA": "examples",
}
"""Stages of taplint that are run: all there are."""

EXPECTED = {
    "F-LOC-NOTP": "there is no table ivoa.obsplan: this is a service of catalogs, not of an observatory's plans",
}
"""What taplint may report, by the beginning of its code, and why that is no fault."""


@pytest.mark.slow
def test_taplint_reports_nothing_unexpected(stilts: str, server_url: str) -> None:
    command = [stilts, "taplint", f"tapurl={server_url}/tap", f"stages={' '.join(STAGES)}", "report=EWFS"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    report = done.stdout + done.stderr
    found = [line for line in report.splitlines() if line[:2] in {"E-", "W-", "F-"}]
    assert [line for line in found if not line.startswith(tuple(EXPECTED))] == []
    assert {code for code in EXPECTED if any(line.startswith(code) for line in found)} == set(EXPECTED)
    assert [stage for stage in STAGES if f"Section {stage}:" not in report] == []
