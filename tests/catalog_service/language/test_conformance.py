"""The IVOA's set of ADQL texts, where it is at hand: each accepted or refused as it must be, by the strict reading."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog_service.exceptions import CatalogServiceError
from catalog_service.language.adql import parse_adql


def find_set() -> Path | None:
    beside = Path(__file__).parents[4] / "shared" / "conformance" / "lyonetia"
    named = os.environ.get("CATALOG_SERVICE_LYONETIA")
    candidates = [Path(named)] if named else [beside]
    return next((path / "ivoa" for path in candidates if (path / "ivoa").is_dir()), None)


def texts(directory: Path) -> Iterator[tuple[str, bool, str, set[str]]]:
    """Yield (file, whether valid, text, names of declared functions)."""
    for path in sorted(directory.glob("*.xml")):
        root = ET.parse(path).getroot()
        functions = {(form.text or "").split("(")[0].strip().lower() for form in root.iter("form")}
        for element in root.iter("adql"):
            yield path.name, element.get("valid", "false") == "true", element.text or "", functions


def is_strict(text: str, functions: set[str]) -> bool:
    try:
        return not parse_adql(text, functions).relaxations
    except CatalogServiceError:
        return False


def test_every_text_is_accepted_or_refused_as_it_must_be() -> None:
    directory = find_set()
    if directory is None:
        reason = "the lyonetia set is neither at $CATALOG_SERVICE_LYONETIA nor in ../shared/conformance/lyonetia"
        pytest.skip(reason)
    cases = list(texts(directory))
    wrong = [(name, valid, text) for name, valid, text, functions in cases if is_strict(text, functions) != valid]
    assert wrong == []
    assert len(cases) == 196
    assert sum(valid for _, valid, _, _ in cases) == 172
