"""One set of versions: every direct dependency is pinned, within the range that pyproject.toml allows."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = sorted(
    {
        requirement
        for requirements in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for requirement in requirements
        if not requirement.startswith("catalog-service")
    }
)
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.+!-]*)")


def pins() -> dict[str, str]:
    found = [PIN.fullmatch(line.strip()) for line in LINES]
    return {canonicalize_name(pin["name"]): pin["version"] for pin in found if pin is not None}


def test_constraints_hold_pins_alone() -> None:
    assert [line for line in LINES if PIN.fullmatch(line.strip()) is None] == []


@pytest.mark.parametrize("text", DIRECT)
def test_a_direct_dependency_is_pinned_within_its_range(text: str) -> None:
    requirement = Requirement(text)
    pinned = pins().get(canonicalize_name(requirement.name))
    assert pinned is not None, f"{requirement.name} has no pin in constraints.txt"
    assert requirement.specifier.contains(pinned), f"{requirement} does not allow the pinned {pinned}"


def test_the_client_stays_light() -> None:
    names = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert names == {"pyarrow", "urllib3", "typer", "rich"}
    assert PROJECT["optional-dependencies"]["client"] == []
