"""What users of Qserv are told is so: every function, and three cells of a notebook."""

import json
import re
from dataclasses import dataclass

import pytest

from catalog_service.client import CatalogClient, RequestError
from catalog_service.language.build_mysql import _BIT_AGGREGATES, _BUILDERS, _INTERNAL, _SYNONYMS, AREAS
from catalog_service.language.build_mysql_forms import _SHIFTS
from catalog_service.language.functions import AGGREGATES, FUNCTIONS
from catalog_service.language.ivo import IVO_CALLS
from tests.harness import SampleStore
from tests.house.blocks import Place, section
from tests.house.repository import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")

PAGE = "docs/how-to/qserv-users.md"
OPERATORS = "docs/how-to/leave-qserv.md"
TEXT = (ROOT / PAGE).read_text()

NODES = {
    "case",
    "cast",
    "distinct",
    "scisql_angsep",
    "scisql_s2ptincircle",
    "scisql_s2ptincpoly",
    "scisql_s2cpolytobin",
}
"""What the language has no function for, but a node of its tree."""


@dataclass(frozen=True)
class Line:
    names: tuple[str, ...]
    here: str
    examples: tuple[str, ...]

    @property
    def runs(self) -> bool:
        return not self.here.startswith("no")


LINES = [
    Line(tuple(re.findall(r"`(\w+)`", names)), here, tuple(re.findall(r"`([^`]+)`", examples)))
    for names, here, examples in re.findall(
        r"^\| ([^|]+) \| (?:yes|no) \| ([^|]+) \| (`.*`) \|$",
        TEXT.partition("## Function by function")[2],
        re.MULTILINE,
    )
]


def test_every_function_of_the_language_is_told() -> None:
    known = {
        function.name.removeprefix("mysql_")
        for function in FUNCTIONS.values()
        if function.hidden == function.name.startswith("mysql_")  # as the language itself tells what may be called
    }
    known |= {one.name for one in AGGREGATES.values() if not one.hidden} | {*_BUILDERS, *_SYNONYMS, *AREAS, *IVO_CALLS}
    known |= {name.lower() for name in _SHIFTS} | {*_BIT_AGGREGATES, "group_concat"}
    known -= _INTERNAL
    told = {name.lower() for line in LINES if line.runs for name in line.names}
    told |= {name.lower() for name in re.findall(r"`(qserv_areaspec_\w+)`", TEXT)}
    assert known - told == set()
    assert told - known - NODES == set()


@pytest.mark.parametrize("line", LINES, ids=[line.names[0] for line in LINES])
def test_an_example_runs_or_is_refused_as_told(line: Line, server_url: str) -> None:
    written = " ".join(line.examples).lower()
    assert [name for name in line.names if f"{name.lower()}(" not in written and name != "CASE"] == []
    client = CatalogClient(server_url)
    for example in line.examples:
        query = f"SELECT {example} FROM tycho2.stars LIMIT 1"
        if line.runs:
            assert len(client.query(query, lang="QSERV")) == 1
        else:
            with pytest.raises(RequestError):
                client.query(query, lang="QSERV")


def test_the_three_cells_run(server_url: str, sample_store: SampleStore) -> None:
    place = Place(server_url, sample_store)
    cells = section(PAGE, "Three cells of a notebook")
    found = place.python("".join(cell.code for cell in cells))
    assert len(cells) == 3
    assert len(found["objects"]) > 10
    assert max(found["pairs"]["d"]) < 0.002
    assert {int(one) for one in found["pairs"]["id1"]} != set()
    assert len(set(found["curves"]["objectId"])) == 5
    assert len(found["curves"]) > 5


def test_the_line_of_a_shadow_has_the_fields_that_are_documented() -> None:
    line = json.loads(section(OPERATORS, "Shadow")[1].code)
    assert list(line) == ["time", "event", "kind", "query", "text", "lang", "old", "new", "verdict", "rows", "rules",
                          "differences"]  # fmt: skip
    assert line["old"].keys() == {"status", "seconds", "first_byte_s", "bytes"}
