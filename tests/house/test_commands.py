"""The commands of the README: what the Makefile offers, and what a busy port tells."""

import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.house.repository import ROOT


def demo_on(port: int, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sample_catalogs.demo", "--directory", str(directory), "--port", str(port)]
    return subprocess.run([*command, "--oneshot"], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


def test_a_busy_port_is_told_with_a_remedy_before_anything_is_built(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = demo_on(port, tmp_path / "demo")
    assert run.returncode != 0
    assert f"Port {port} is in use" in run.stderr
    assert f"make demo PORT={port + 10}" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "demo").exists()


def test_the_words_of_readme_and_ci_are_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = (ROOT / "README.md").read_text() + (ROOT / ".ci" / "run").read_text()
    said = set(re.findall(r"(?:^|`|=1 )make ([a-z]+)\b", texts, re.MULTILINE))
    assert {"demo", "test", "lint", "bench", "docs", "clean"} <= said
    assert said <= targets


def test_ci_runs_lint_and_the_test_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make lint" in lines
    assert any(line.startswith("REQUIRE_ALL=1 make test") for line in lines)
