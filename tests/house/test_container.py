"""The Dockerfile, read: base image, user, secrets, and that what it names exists."""

import json
import re
import tomllib

from catalog_service.config import Config
from tests.house.repository import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LINES = TEXT.replace("\\\n", " ").splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line and not line.startswith("#")]


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def test_the_base_is_slim_glibc_python() -> None:
    (base,) = arguments("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim(-\w+)?", base)


def test_it_runs_as_an_unprivileged_user() -> None:
    order = [instruction for instruction, _ in INSTRUCTIONS]
    (user,) = arguments("USER")
    assert user not in {"root", "0"}
    assert order.index("USER") < order.index("CMD")
    assert "RUN" not in order[order.index("USER") :]
    assert any(re.search(rf"useradd .*--uid 1\d{{4}} {user}\b", run) for run in arguments("RUN"))


def test_it_holds_no_secret_and_opens_no_catalog() -> None:
    named = " ".join(arguments("ENV") + arguments("ARG"))
    assert re.search(r"TOKEN|PASSWORD|SECRET|KEY|CREDENTIAL", named, re.IGNORECASE) is None
    assert "CATALOG_SERVICE_ACCESS" not in named


def test_its_settings_are_settings_of_the_service() -> None:
    names = re.findall(r"CATALOG_SERVICE_(\w+)=", TEXT)
    assert names
    assert {name.lower() for name in names} <= set(Config.model_fields)


def test_what_it_copies_exists_and_reaches_the_builder() -> None:
    sources = [source for copy in arguments("COPY") for source in copy.split()[:-1]]
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert set(sources) == kept


def test_its_command_is_installed_by_the_distribution() -> None:
    (command,) = arguments("CMD")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(command)[0] in scripts
    assert any("pip install --constraint constraints.txt" in run for run in arguments("RUN"))
