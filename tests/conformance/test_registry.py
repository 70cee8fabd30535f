"""Records for a registry are valid against the schemas that STILTS brings along, and say what the service is."""

import zipfile
from pathlib import Path
from typing import Any

import lxml.etree
import pytest
import requests

from catalog_service.config import RegistryConfig
from catalog_service.exceptions import NotFoundError
from catalog_service.services.registry import RegistryService
from tests.harness import require

JARS = Path("/usr/share/java")
NAMES = {
    "vr": ("http://www.ivoa.net/xml/VOResource/v1.0", "VOResource-v1.1.xsd"),
    "vs": ("http://www.ivoa.net/xml/VODataService/v1.1", "VODataService-v1.2.xsd"),
    "tr": ("http://www.ivoa.net/xml/TAPRegExt/v1.0", "TAPRegExt-v1.0-Erratum1.xsd"),
    "stc": ("http://www.ivoa.net/xml/STC/stc-v1.30.xsd", "stc-v1.30.xsd"),
    "xlink": ("http://www.w3.org/1999/xlink", "xlink.xsd"),
    "xml": ("http://www.w3.org/XML/1998/namespace", "xmlnamespace.xsd"),
}
WHOLE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:vr="http://www.ivoa.net/xml/VOResource/v1.0"
  targetNamespace="http://www.ivoa.net/xml/RegistryInterface/v1.0" elementFormDefault="qualified">{imports}
  <xs:element name="Resource" type="vr:Resource"/></xs:schema>"""
CONE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:vr="http://www.ivoa.net/xml/VOResource/v1.0"
  targetNamespace="http://www.ivoa.net/xml/ConeSearch/v1.0">
  <xs:import namespace="http://www.ivoa.net/xml/VOResource/v1.0"/>
  <xs:complexType name="ConeSearch"><xs:complexContent><xs:extension base="vr:Capability"><xs:sequence>
    <xs:element name="maxSR" type="xs:float" minOccurs="0"/>
    <xs:element name="maxRecords" type="xs:positiveInteger" minOccurs="0"/>
    <xs:element name="verbosity" type="xs:boolean"/>
    <xs:element name="testQuery" minOccurs="0"><xs:complexType><xs:sequence>
      <xs:element name="ra" type="xs:double"/><xs:element name="dec" type="xs:double"/>
      <xs:element name="sr" type="xs:double"/></xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:extension></xs:complexContent></xs:complexType></xs:schema>"""
"""SimpleDALRegExt 1.1 section 3.1, as far as we use it: STILTS has no schema of it."""


@pytest.fixture(scope="module")
def schema(stilts: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the schema of records; `stilts` is asked for since it brings most of it."""
    jars = sorted(JARS.glob("starlink-ttools-*.jar"))
    require(jars, f"the schemas that come with {stilts} are not where Debian puts them")
    directory = tmp_path_factory.mktemp("schemas")
    (directory / "cone.xsd").write_text(CONE)
    with zipfile.ZipFile(jars[0]) as jar:
        for _, name in NAMES.values():
            (directory / name).write_bytes(jar.read(f"uk/ac/starlink/ttools/taplint/{name}"))
    files = {**NAMES, "cs": ("http://www.ivoa.net/xml/ConeSearch/v1.0", "cone.xsd")}
    imports = "".join(
        f'<xs:import namespace="{space}" schemaLocation="{directory / name}"/>' for space, name in files.values()
    )

    class Local(lxml.etree.Resolver):  # type: ignore[misc]
        """Finds every schema here, wherever the others say that it is."""

        def resolve(self, url: str, _id: str, context: Any) -> Any:
            name = next((n for space, n in files.values() if url.startswith(space) or url.endswith(n)), None)
            return None if name is None else self.resolve_filename(str(directory / name), context)

    parser = lxml.etree.XMLParser(no_network=True)
    parser.resolvers.add(Local())
    return lxml.etree.XMLSchema(lxml.etree.fromstring(WHOLE.format(imports=imports), parser))


def record(url: str, table: str = "") -> Any:
    answer = requests.get(f"{url}/registry-record{table}", timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    return lxml.etree.fromstring(answer.content)


@pytest.mark.parametrize("table", ["", "/tycho2.stars", "/survey.Object"])
def test_records_are_valid(schema: Any, server_url: str, table: str) -> None:
    schema.assertValid(record(server_url, table))


def test_the_record_of_the_service_tells_what_it_is(schema: Any, server_url: str) -> None:
    found = record(server_url)
    assert found.findtext("identifier") == "ivo://example.org/tap"
    assert found.findtext("curation/publisher") == "The <observatory> & friends"
    assert found.findtext("capability/interface/accessURL") == f"{server_url}/tap"
    assert {name.text for name in found.findall("tableset/schema/name")} == {"TAP_SCHEMA", "survey", "tycho2"}
    found.find("curation").remove(found.find("curation/publisher"))
    assert not schema.validate(found)


def test_the_record_of_a_cone_points_to_the_service(server_url: str) -> None:
    found = record(server_url, "/tycho2.stars")
    assert found.findtext("identifier") == "ivo://example.org/tap/tycho2.stars"
    assert found.findtext("capability/interface/accessURL") == f"{server_url}/cone/tycho2.stars?"
    assert found.find("content/relationship/relatedResource").get("ivo-id") == "ivo://example.org/tap"
    assert [name.text for name in found.findall("tableset/schema/table/name")] == ["tycho2.stars"]


def test_what_has_no_record(server_url: str) -> None:
    assert requests.get(f"{server_url}/registry-record/tycho2.nothing", timeout=30).status_code == 404
    assert requests.get(f"{server_url}/registry-record/TAP_SCHEMA.tables", timeout=30).status_code == 400
    nothing: Any = None
    with pytest.raises(NotFoundError, match=r"under \[registry\]"):
        RegistryService(nothing, nothing, nothing, None).record()


@pytest.mark.parametrize(
    "ivoid", ["ivo://example.org", "http://example.org/tap", "ivo://x/tap", "ivo://example.org/a b"]
)
def test_identifiers_that_are_none(ivoid: str) -> None:
    asked: dict[str, Any] = {
        "publisher": "p",
        "contact": "c",
        "description": "d",
        "subjects": ("s",),
        "created": "2026-11-30",
    }
    assert RegistryConfig(ivoid="ivo://example.org/tap", **asked).ivoid
    with pytest.raises(ValueError, match="ivoid"):
        RegistryConfig(ivoid=ivoid, **asked)
