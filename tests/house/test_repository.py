"""What a public repository must not hold, and what committed data must."""

import re
from pathlib import Path

import pytest

from tests.house.repository import ROOT, repository_files

DATA = {".csv", ".fits", ".gz", ".npy", ".parquet", ".png", ".vot"}
BINARY = DATA - {".csv", ".vot"}

FORBIDDEN = {
    "a package registry": r"py" r"pi\.org|python" r"hosted\.org|npm" r"js\.(?:org|com)|index-" r"url",
    "a resolved download address": r'"re' r'solved"\s*:',
    "a file address": r"file:" r"///",
    "a path of one machine": r"(?<![\w.])/(?:wo" r"rk|op" r"t|ro" r"ot|ho" r"me/[a-z]+|Us" r"ers)/",
    "a private key": r"BEGIN [A-Z ]*PRIVATE " r"KEY",
}
"""Written in pieces, so that this file does not hold what it forbids."""


def texts() -> list[Path]:
    return [path for path in repository_files() if path.suffix not in BINARY]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in texts()
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    lines = {
        "a package registry": "https://py" + "pi.org/simple",
        "a resolved download address": '"re' + 'solved": "https://example.org"',
        "a file address": "file:" + "///tmp/x",
        "a path of one machine": "cd /ho" + "me/someone/x",
        "a private key": "-----BEGIN RSA PRIVATE " + "KEY-----",
    }
    assert {what for what, line in lines.items() if re.search(FORBIDDEN[what], line)} == set(FORBIDDEN)


def test_committed_data_are_small() -> None:
    sizes = {path: path.stat().st_size for path in repository_files()}
    assert sum(sizes.values()) < 10_000_000
    assert max(size for path, size in sizes.items() if path.suffix not in DATA) < 500_000


def test_observed_data_lie_beside_their_licence() -> None:
    tables = [path for path in repository_files() if path.suffix in {".parquet", ".fits"}]
    assert tables
    for path in tables:
        licences = list(path.parent.glob("LICENSE*"))
        assert licences, f"{path.relative_to(ROOT)} has no licence beside it"
        assert any(path.name in licence.read_text() for licence in licences)


def test_the_licence_is_bsd_3_clause() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Redistribution and use in source and binary forms" in licence
    assert "Neither the name" in licence
