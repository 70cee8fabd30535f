"""Code blocks of Markdown pages, ready to run against a test server."""

import csv
import io
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import SampleStore
from tests.house.repository import ROOT

__all__ = ["Block", "Place", "ascii_column", "csv_column", "opening", "section"]

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    code: str


@dataclass(frozen=True)
class Place:
    """Where the addresses and paths of a page really are in a test."""

    url: str
    store: SampleStore

    def adapted(self, code: str) -> str:
        """Return `code` with the demo's address, catalogs and commands replaced."""
        return (
            code.replace("http://127.0.0.1:8000", self.url)
            .replace(".demo/catalogs", str(self.store.root))
            .replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        )

    def shell(self, code: str, cwd: Path) -> str:
        """Run a block in a shell and return what it prints."""
        script = f"set -e\nPATH={Path(sys.executable).parent}:$PATH\nexport CATALOG_SERVICE_URL={self.url}\n"
        command = ["bash", "-c", script + self.adapted(code)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def python(self, code: str) -> dict[str, Any]:
        """Run a block of Python and return its names."""
        names: dict[str, Any] = {}
        exec(compile(self.adapted(code), "block", "exec"), names)
        return names


def section(page: str, heading: str) -> list[Block]:
    """Return the blocks between a heading of a page and the next heading, code comments not counted."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^(#{2,4} .*)$", BLOCK.sub(_without_hashes, text), flags=re.MULTILINE)
    found = [parts[at + 1] for at, part in enumerate(parts) if part.lstrip("#").strip() == heading]
    assert len(found) == 1, f"{page} has {len(found)} headings {heading!r}"
    return [Block(match["language"], match["code"].replace("\0", "#")) for match in BLOCK.finditer(found[0])]


def opening(page: str) -> list[Block]:
    """Return the blocks between the title of a page and its first heading."""
    text = (ROOT / page).read_text(encoding="utf-8").partition("\n## ")[0]
    return [Block(match["language"], match["code"]) for match in BLOCK.finditer(text)]


def csv_column(text: str, name: str) -> list[str]:
    """Return a column of a CSV text."""
    return [row[name] for row in csv.DictReader(io.StringIO(text))]


def ascii_column(text: str, name: str) -> list[str]:
    """Return a column of a table as STILTS prints it with ``ofmt=ascii``."""
    head, *rows = [line.split() for line in text.splitlines()]
    return [row[head.index(name) - 1] for row in rows]


def _without_hashes(block: re.Match[str]) -> str:
    return block.group().replace("#", "\0")
