"""The pages of the documentation say what the code does."""

import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from catalog_service.client import CatalogClient
from catalog_service.config import Config, load_config
from partitioning.config import load_config as load_build_config
from partitioning.exceptions import ConfigError
from tests.harness import RunningServer, SampleStore
from tests.house.blocks import Place, ascii_column, csv_column, opening, section
from tests.house.repository import ROOT

DOCS = ROOT / "docs"
PARTITION = "docs/how-to/partition.md"
BUILD = '[release]\nroot = "x"\nschema = "s"\n{release}[build]\n{build}[[table]]\nname = "t"\ninput = "y"\n{table}'


def known_keys(**extra: str) -> set[str]:
    """Return the keys that the error for an unknown one lists."""
    return set(re.findall(r"\w+", str(build_error(**extra)).partition("known keys: ")[2]))


def build_error(**extra: str) -> ConfigError:
    path = Path(extra.pop("path"))
    path.write_text(BUILD.format(**{"release": "", "build": "", "table": "", **extra}))
    with pytest.raises(ConfigError) as caught:
        load_build_config(path)
    return caught.value


def documented_keys(heading: str) -> set[str]:
    """Return the keys that the table below a heading begins its rows with."""
    text = (ROOT / PARTITION).read_text().partition(f"### `{heading}`\n")[2].partition("\n#")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def sql_blocks() -> list[tuple[str, str]]:
    """Return (language, text) of the examples on the pages of the query languages."""
    return [
        (language, block)
        for language in ("ADQL", "QSERV")
        for block in re.findall(
            r"^```sql\n(.*?)^```$",
            (DOCS / "reference" / f"{language.lower()}.md").read_text(),
            re.MULTILINE | re.DOTALL,
        )
    ]


def test_tables_are_those_of_the_code() -> None:
    run = subprocess.run(
        [sys.executable, str(DOCS / "tables.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_setting_has_its_row() -> None:
    text = (DOCS / "reference" / "settings.md").read_text()
    assert [name for name in Config.model_fields if f"\n| `{name}` |" not in text] == []


@pytest.mark.parametrize("section_name", ["release", "build", "table"])
def test_every_key_of_a_build_is_documented(section_name: str, tmp_path: Path) -> None:
    known = known_keys(path=str(tmp_path / "b.toml"), **{section_name: "qqqqqq = 1\n"})
    heading = {"table": "[[table]]"}.get(section_name, f"[{section_name}]")
    assert len(known) >= 3
    assert documented_keys(heading) == known


def test_every_key_of_position_from_is_documented(tmp_path: Path) -> None:
    table = 'position_from = { parent = "p", key = ["a", "b"], qqqqqq = 1 }\n'
    known = known_keys(path=str(tmp_path / "b.toml"), table=table)
    text = (ROOT / PARTITION).read_text()
    assert known == {"parent", "key", "same_position"}
    assert [key for key in known if not re.search(rf"\b{key} = ", text)] == []


def test_the_example_of_a_build_is_valid(tmp_path: Path) -> None:
    example = opening(PARTITION)[0]
    (tmp_path / "survey.toml").write_text(example.code)
    config = load_build_config(tmp_path / "survey.toml")
    assert [table.name for table in config.tables] == ["Object", "ForcedSource", "Filters"]
    assert not config.tables[2].is_placed


@pytest.mark.parametrize("page", ["docs/how-to/serve.md", "docs/reference/settings.md"])
def test_the_example_of_a_service_is_valid(page: str, tmp_path: Path) -> None:
    example = opening(page)[0]
    (tmp_path / "service.toml").write_text(example.code)
    config = load_config(tmp_path / "service.toml")
    assert config.schemas["tycho2"].access == "public"
    assert config.access is None


def test_the_same_question_in_five_ways(
    server_url: str, sample_store: SampleStore, tmp_path: Path, stilts: str
) -> None:
    place = Place(server_url, sample_store)
    curl, pyvo, client, tapquery, terminal = section("docs/how-to/ask.md", "The same question, asked in five ways")
    table = CatalogClient(server_url).query(str(place.python(client.code)["QUERY"])).to_table()
    expected = [float(value) for value in table["stars"]]
    assert sum(expected) == 65
    by_pyvo = place.python(pyvo.code)
    assert by_pyvo["QUERY"].strip() == place.python(client.code)["QUERY"].strip()
    for printed in (place.shell(curl.code, tmp_path), place.shell(terminal.code, tmp_path)):
        assert [float(value) for value in csv_column(printed, "stars")] == expected
    assert [float(v) for v in ascii_column(place.shell(tapquery.code, tmp_path), "stars")] == expected


@pytest.mark.parametrize("number", range(len(sql_blocks())))
def test_an_example_of_the_language_page_runs(number: int, server_url: str) -> None:
    language, text = sql_blocks()[number]
    found = CatalogClient(server_url).query(text, lang=language)
    assert len(found) > 0


def test_every_field_of_an_audit_line_is_documented(server: RunningServer) -> None:
    query_id = CatalogClient(server.url).query("SELECT TOP 3 ra FROM tycho2.stars").query_id
    fields = set(audit_line(server.log, str(query_id)))
    text = (DOCS / "how-to" / "serve.md").read_text()
    table = text.partition("| field | meaning |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"`(\w+)`", re.sub(r"\| [^|]*\|$", "", table, flags=re.MULTILINE)))
    example = json.loads(section("docs/how-to/serve.md", "Log and audit lines")[0].code)
    assert fields == set(example)
    assert fields - {"event", "level", "timestamp"} == documented - {"message"}


def audit_line(log: Path, query_id: str) -> dict[str, Any]:
    for _ in range(50):
        lines = [line for line in log.read_text().splitlines() if query_id in line]
        if lines:
            found: dict[str, Any] = json.loads(lines[-1])
            return found
        time.sleep(0.05)
    pytest.fail(f"no audit line for {query_id}")


def test_every_page_is_in_the_contents() -> None:
    for directory in ("tutorials", "how-to", "reference", "explanation"):
        pages = {path.stem for path in (DOCS / directory).iterdir() if path.suffix in {".md", ".ipynb"}} - {"index"}
        assert pages
        contents = (DOCS / directory / "index.md").read_text().splitlines()
        assert [page for page in pages if page not in contents] == []
        assert f"{directory}/index" in (DOCS / "index.md").read_text().splitlines()


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("myst_nb") is None:
        pytest.skip("Sphinx is not installed (extra 'docs'); make docs installs and runs it")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "html")]
    run = subprocess.run([*command, "-d", str(tmp_path / "trees")], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "CatalogClient.cone" in (tmp_path / "html" / "reference" / "client.html").read_text()
