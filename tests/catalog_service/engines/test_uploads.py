"""Readers of uploaded tables, against files that other programs wrote, and against files that want to do harm."""

import contextlib
import gzip
import io
import json
import math
import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.engines.uploads.read import read_upload
from catalog_service.exceptions import LimitError, UploadError
from catalog_service.models.schema import DataType
from catalog_service.models.upload import UploadCaps, UploadedTable, UploadQuery

Read = Callable[..., tuple[UploadedTable, dict[str, list[Any]]]]


# astropy's warnings about what it writes cannot be sent between the processes of a test run
pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")


@pytest.fixture(name="read")
def reader(tmp_path: Path) -> Read:
    """Return a function that reads bytes as an upload: the table, and its values by the columns' own names."""

    def read(
        content: bytes | str, content_type: str | None = None, **caps: int
    ) -> tuple[UploadedTable, dict[str, list[Any]]]:
        source = tmp_path / "source"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        query = UploadQuery(
            query_id="q",
            name="t",
            source=str(source),
            target=str(tmp_path / "target"),
            content_type=content_type,
            caps=UploadCaps(**caps),
            timeout_s=60,
        )
        try:
            table = read_upload(query)
        except Exception:
            assert [path.name for path in tmp_path.iterdir()] == ["source"], "a refused table leaves nothing"
            raise
        assert UploadedTable.from_json(table.to_json()) == table
        stored = pq.read_table(table.path)
        assert stored.column("_row").to_pylist() == list(range(table.rows))
        return table, {column.name: stored.column(str(column.stored_name)).to_pylist() for column in table.columns}

    return read


def votable(fields: str, data: str, version: str = "1.4") -> str:
    """Return a VOTable of one table."""
    return (
        f'<?xml version="1.0"?><VOTABLE version="{version}" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f"<RESOURCE><TABLE>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"
    )


ID = '<FIELD name="id" datatype="int"/>'
ONE = "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>"

# --- VOTables of astropy ---------------------------------------------------------------------------


def everything(*, with_nulls: bool = True) -> Table:
    """Return a table with a column of each kind."""
    nothing = [False, with_nulls, False]
    return Table(
        {
            "truth": MaskedColumn([True, False, False], mask=nothing),
            "byte": np.array([0, 255, 7], dtype=np.uint8),
            "short": MaskedColumn(np.array([-32768, 1, 32767], dtype=np.int16), mask=nothing),
            "int": MaskedColumn(np.array([-(2**31), 1, 2**31 - 1], dtype=np.int32), mask=nothing),
            "long": MaskedColumn(np.array([-(2**63) + 1, 1, 2**63 - 1]), mask=nothing),
            "float": np.array([1.5, np.nan, -np.inf], dtype=np.float32),
            "double": MaskedColumn([math.pi, 1.0, 1e-300], mask=nothing),
            "text": ["plain", "a b  c", "x<&>\"'"],
            "höhe [m]": ["ü", "日本", "😀"],
            "pair": np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, -6.5]]),
            "ints": np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=np.int32),
        }
    )


EXPECTED: dict[str, list[Any]] = {
    "truth": [True, None, False],
    "byte": [0, 255, 7],
    "short": [-32768, None, 32767],
    "int": [-(2**31), None, 2**31 - 1],
    "long": [-(2**63) + 1, None, 2**63 - 1],
    "float": [1.5, None, -math.inf],
    "double": [math.pi, None, 1e-300],
    "text": ["plain", "a b  c", "x<&>\"'"],
    "höhe [m]": ["ü", "日本", "😀"],
    "pair": [[1.0, 2.0], [None, 4.0], [5.0, -6.5]],
    "ints": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
}


@pytest.mark.parametrize("kind", ["tabledata", "binary", "binary2"])
@pytest.mark.parametrize("packed", [False, True])
def test_astropy_votable(read: Read, kind: str, packed: bool) -> None:
    """Every value of astropy's VOTables arrives, in all serializations, packed or not."""
    table, expected = everything(with_nulls=kind != "binary"), dict(EXPECTED)
    if kind != "tabledata":  # astropy writes no character beyond the basic plane there
        table["höhe [m]"][2] = "z"
        expected["höhe [m]"] = ["ü", "日本", "z"]
    if kind == "binary":  # astropy marks no undefined value there
        expected |= {"truth": [True, False, False], "short": [-32768, 1, 32767], "double": [math.pi, 1.0, 1e-300]}
        expected |= {name: [values[0], 1, values[2]] for name, values in EXPECTED.items() if name in {"int", "long"}}
    stream = io.BytesIO()
    table.write(stream, format="votable", tabledata_format=kind)
    found, values = read(gzip.compress(stream.getvalue()) if packed else stream.getvalue())
    assert values == expected
    assert [column.datatype.value for column in found.columns][:5] == [
        "boolean",
        "unsignedByte",
        "short",
        "int",
        "long",
    ]
    assert {column.name for column in found.columns if column.is_array} == {"pair", "ints"}


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63) + 1, 2**63 - 1),
            st.floats(allow_nan=False),
            st.text(st.characters(min_codepoint=33, max_codepoint=0xD7FF), min_size=1, max_size=8),
            st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
        ),
        min_size=1,
        max_size=30,
    ),
    kind=st.sampled_from(["tabledata", "binary2"]),
)
def test_any_values(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], kind: str) -> None:
    """Numbers keep every bit, texts every character, lists every element."""
    from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile

    document = VOTableFile(version="1.4")
    resource = Resource()
    document.resources.append(resource)
    element = TableElement(document)
    resource.tables.append(element)
    kinds = [("l", "long", None), ("d", "double", None), ("s", "unicodeChar", "*"), ("a", "int", "*")]
    element.fields.extend(
        Field(document, name=name, datatype=datatype, **({"arraysize": size} if size else {}))
        for name, datatype, size in kinds
    )
    element.create_arrays(len(rows))
    for number, (integer, real, text, array) in enumerate(rows):
        element.array[number] = (integer, real, text, np.ma.array(array, dtype=np.int32, mask=[False] * len(array)))
    element.format = kind
    directory = tmp_path_factory.mktemp("votable")
    document.to_xml(str(directory / "source"))
    query = UploadQuery(
        query_id="q", name="t", source=str(directory / "source"), target=str(directory / "target"),
        content_type=None, caps=UploadCaps(), timeout_s=60,
    )  # fmt: skip
    read_upload(query)
    stored = pq.read_table(query.target)
    assert stored.column("c0").to_pylist() == [row[0] for row in rows]
    assert stored.column("c1").to_pylist() == [row[1] for row in rows]
    assert stored.column("c2").to_pylist() == [row[2] for row in rows]
    assert [values or [] for values in stored.column("c3").to_pylist()] == [row[3] for row in rows]


def test_descriptions_and_types(read: Read) -> None:
    """Units, UCDs, xtypes, descriptions and undefined values of FIELDs are kept."""
    fields = (
        '<FIELD name="ra" datatype="double" unit="deg" ucd="pos.eq.ra;meta.main"><DESCRIPTION>Right\n  '
        "ascension &amp; more</DESCRIPTION></FIELD>"
        '<FIELD name="n" datatype="int"><VALUES null="-999"/></FIELD>'
        '<FIELD name="t" datatype="char" arraysize="*" xtype="timestamp"/>'
        '<FIELD name="p" datatype="double" arraysize="2" xtype="point"/>'
        '<FIELD name="h" datatype="unsignedByte"/><FIELD name="one" datatype="short" arraysize="1"/>'
    )
    rows = (
        "<TR><TD> 1.5 </TD><TD>-999</TD><TD>2026-01-31T12:00:00.25Z</TD><TD>1 2</TD><TD>0xff</TD><TD>+7</TD></TR>"
        "<TR><TD>+Inf</TD><TD/><TD/><TD></TD><TD></TD><TD></TD></TR>"
    )
    found, values = read(votable(fields, f"<TABLEDATA>{rows}</TABLEDATA>"))
    ra = found.columns[0]
    assert (ra.unit, ra.ucd, ra.description) == ("deg", "pos.eq.ra;meta.main", "Right ascension & more")
    assert values == {
        "ra": [1.5, math.inf],
        "n": [None, None],
        "t": [datetime(2026, 1, 31, 12, 0, 0, 250_000), None],  # noqa: DTZ001 - VOTable's times have no zone
        "p": [[1.0, 2.0], None],
        "h": [255, None],
        "one": [7, None],
    }
    assert [column.datatype for column in found.columns][2:4] == [DataType.TIMESTAMP, DataType.POINT]
    assert ra.most == math.inf


def test_namespaces_cdata_and_other_tables(read: Read) -> None:
    """Prefixes, CDATA and comments are XML like any other; the first table with columns counts."""
    document = (
        '<v:VOTABLE xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3"><v:RESOURCE><v:TABLE/><v:TABLE>'
        '<v:FIELD name="s" datatype="char" arraysize="*"/><v:DATA><v:TABLEDATA><v:TR><v:TD><![CDATA[a<b]]>'
        "<!-- x --></v:TD></v:TR></v:TABLEDATA></v:DATA></v:TABLE><v:TABLE>"
        '<v:FIELD name="x" datatype="int"/><v:DATA><v:TABLEDATA>'
        "<v:TR><v:TD>1</v:TD></v:TR></v:TABLEDATA></v:DATA></v:TABLE></v:RESOURCE></v:VOTABLE>"
    )
    assert read(document)[1] == {"s": ["a<b"]}


def test_no_rows(read: Read) -> None:
    """A table without rows is a table."""
    for data in ("<TABLEDATA/>", '<BINARY2><STREAM encoding="base64"></STREAM></BINARY2>'):
        assert read(votable(ID, data))[1] == {"id": []}
    assert read(votable(ID, "").replace("<DATA></DATA>", ""))[1] == {"id": []}
    assert read("id,ra\n")[1] == {"id": [], "ra": []}


# --- other formats ---------------------------------------------------------------------------------


def test_csv_changes_no_value(read: Read) -> None:
    """Types are told from all values, and what a number would change stays a text."""
    text = (
        '\ufeffid,zeros,huge,mixed,flag,when,name,none\r\n1,007,18446744073709551615,1,true,2026-01-31 00:00:00,"",\r\n'
        '+2,010,1,2.5e3,FALSE,,"a, ""b""\nc",\r\n,,,NaN,,,,\r\n'
    )
    found, values = read(text)
    assert values == {
        "id": [1, 2, None],
        "zeros": ["007", "010", None],
        "huge": ["18446744073709551615", "1", None],
        "mixed": [1.0, 2500.0, None],
        "flag": [True, False, None],
        "when": [datetime(2026, 1, 31), None, None],  # noqa: DTZ001
        "name": ["", 'a, "b"\nc', None],
        "none": [None, None, None],
    }
    assert found.columns[0].datatype is DataType.LONG
    assert read("a\tb\n1\t2,5\n")[1] == {"a": [1], "b": ["2,5"]}
    assert read("a\n" * 3, "text/tab-separated-values")[1] == {"a": ["a", "a"]}


def test_late_types_of_csv(read: Read) -> None:
    """A column is a text for its last value's sake, however many numbers precede it."""
    rows = 300_000
    found, _ = read("x,y\n" + "1,2\n" * rows + "a,2\n", rows=rows + 1)
    assert [column.datatype for column in found.columns] == [DataType.TEXT, DataType.LONG]


def test_arrow_and_parquet(read: Read) -> None:
    """Types of Arrow arrive as those that queries know, with the metadata of their fields."""
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "wide": pa.array([2**32 - 1, None], pa.uint32()),
            "huge": pa.array([2**63 - 1, None], pa.uint64()),
            "word": pa.array(["a", None]).dictionary_encode(),
            "large": pa.array(["b", None], pa.large_string()),
            "day": pa.array([date(2026, 1, 31), None]),
            "zoned": pa.array([datetime(2026, 1, 31, tzinfo=UTC), None], pa.timestamp("us", "Europe/Berlin")),
            "bytes": pa.array([b"\x00\xff", None]),
            "list": pa.array([[1.5, math.nan, None], None]),
            "fixed": pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
            "nothing": pa.nulls(2),
        }
    )
    field = table.schema.field("small").with_metadata({"unit": "mag", "ucd": "phot.mag"})
    table = table.set_column(0, field, table.column(0))
    midnight = datetime(2026, 1, 31)  # noqa: DTZ001
    expected = {
        "small": [1, None],
        "wide": [2**32 - 1, None],
        "huge": [2**63 - 1, None],
        "word": ["a", None],
        "large": ["b", None],
        "day": [midnight, None],
        "zoned": [midnight, None],
        "bytes": [b"\x00\xff", None],
        "list": [[1.5, None, None], None],
        "fixed": [[1, 2], None],
        "nothing": [None, None],
    }
    for content in (parquet(table), ipc(table, pa.ipc.new_stream), ipc(table, pa.ipc.new_file)):
        found, values = read(content)
        assert values == expected
        assert (found.columns[0].unit, found.columns[0].ucd) == ("mag", "phot.mag")


def test_rows_of_arrow_in_pieces(read: Read) -> None:
    """Batches are cut and counted; lists in slices keep their NaN apart."""
    values = [[float(n), math.nan] if n % 3 else None for n in range(100_000)]
    _, found = read(ipc(pa.table({"x": pa.array(values)}), pa.ipc.new_stream))
    assert found["x"] == [None if value is None else [value[0], None] for value in values]


def test_json(read: Read) -> None:
    """A list of objects, or an object of lists."""
    assert read('[{"ra": 1, "s": "x"}, {"ra": 2.5}]')[1] == {"ra": [1.0, 2.5], "s": ["x", None]}
    assert read('{"ra": [1, 2], "dec": [null, 0.5]}')[1] == {"ra": [1, 2], "dec": [None, 0.5]}


def parquet(table: pa.Table) -> bytes:
    """Return a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def ipc(table: pa.Table, kind: Any) -> bytes:
    """Return a table in one of Arrow's own formats."""
    sink = io.BytesIO()
    with kind(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


# --- what is refused -------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol" * 10}">' for n in range(12))
DOCTYPE = f'<!DOCTYPE VOTABLE [{LAUGHS}<!ENTITY x SYSTEM "file:\x2f//etc/passwd">]>'


def with_doctype(encoding: str) -> bytes:
    """Return a VOTable that uses entities of its own."""
    body = votable('<FIELD name="s" datatype="char" arraysize="*"/>', ONE.replace("1", "&l11;&x;"))
    text = body.replace('<?xml version="1.0"?>', f'<?xml version="1.0" encoding="{encoding}"?>{DOCTYPE}')
    return text.encode(encoding)


STREAM = '<BINARY2><STREAM encoding="base64">{}</STREAM></BINARY2>'
REFUSED: dict[str, tuple[bytes | str, str]] = {
    "laughs": (with_doctype("utf-8"), "DOCTYPE"),
    "laughs in UTF-16": (with_doctype("utf-16"), "DOCTYPE"),
    "laughs in Latin-1": (with_doctype("iso-8859-1"), "DOCTYPE"),
    "laughs in an odd code": (with_doctype("utf-8").replace(b'"utf-8"', b'"cp037"'), "XML"),
    "another file": (votable(ID, '<BINARY2><STREAM href="file:\x2f//etc/passwd"/></BINARY2>'), "href"),
    "another host": (votable(ID, '<BINARY><STREAM href="http://127.0.0.1/x" encoding="gzip"/></BINARY>'), "href"),
    "another host later": (
        votable(ID, ONE + '</DATA></TABLE><TABLE><FIELD name="x" datatype="int"/><DATA><BINARY><STREAM href="ftp://x/"/></BINARY>'),
        "href",
    ),
    "FITS": (votable(ID, '<FITS><STREAM encoding="base64">AAAA</STREAM></FITS>'), "FITS"),
    "cut XML": (votable(ID, ONE)[:-40], "well-formed"),
    "cut base64": (votable(ID, STREAM.format("AAA")), "cut short"),
    "cut row": (votable(ID, STREAM.format("AAAA")), "cut short"),
    "no base64": (votable(ID, STREAM.format("!!!!")), "base64"),
    "endless text": (
        votable('<FIELD name="s" datatype="char" arraysize="*"/>', STREAM.format("AP////8AAAA=")), "cut short"
    ),
    "rows of no bytes": (
        votable('<FIELD name="s" datatype="char" arraysize="0"/>', "<BINARY><STREAM encoding='base64'/></BINARY>"),
        "no bytes",
    ),
    "no table": ("<VOTABLE><RESOURCE><INFO name='QUERY_STATUS' value='ERROR'/></RESOURCE></VOTABLE>", "no table"),
    "HTML": ("<!-- hi --><html><body>404</body></html>", "no VOTable"),
    "HTML with a type": ("<!DOCTYPE html><html></html>", "DOCTYPE"),
    "too few cells": (votable(ID + ID.replace("id", "b"), ONE), "1 cells"),
    "no number": (votable(ID, ONE.replace("1", "1e")), "'id'"),
    "number too large": (votable(ID, ONE.replace("1", "2147483648")), "'id'"),
    "fraction": (votable(ID, ONE.replace("1", "1.5")), "'id'"),
    "no time": (
        votable('<FIELD name="t" datatype="char" arraysize="*" xtype="timestamp"/>', ONE.replace(">1<", ">soon<")),
        "'t'",
    ),
    "matrix": (votable('<FIELD name="m" datatype="int" arraysize="2x3"/>', ONE), "'m'"),
    "complex": (votable('<FIELD name="c" datatype="doubleComplex"/>', ONE), "'c'"),
    "no type": (votable('<FIELD name="c"/>', ONE), "'c'"),
    "two of one name": (votable(ID + ID.replace("id", "ID"), ONE.replace("</TR>", "<TD>2</TD></TR>")), "both called"),
    "no name": (votable('<FIELD datatype="int"/>', ONE), "no usable name"),
    "no UTF-8": (b"a,b\n1,\xff\xfe\xfd\n", "UTF-8"),
    "uneven CSV": ("a,b\n1,2\n1,2,3\n", "number of values"),
    "CSV of one name": ("a,a\n1,2\n", "both called"),
    "nothing": ("", "empty"),
    "blanks": (" \n ", "empty"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "no known format"),
    "cut Parquet": (parquet(pa.table({"x": [1, 2]}))[:-20], "damaged"),
    "only the mark of Parquet": (b"PAR1" + b"\xff" * 40 + b"PAR1", "damaged"),
    "cut Arrow": (ipc(pa.table({"x": list(range(1000))}), pa.ipc.new_stream)[:-3000], "damaged"),
    "Arrow of nothing": (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(100), "damaged"),
    "an Arrow file of nothing": (b"ARROW1\0\0" + bytes(100), "damaged"),
    "structs": (parquet(pa.table({"s": [{"a": 1}]})), "'s'"),
    "decimals": (parquet(pa.table({"d": [Decimal("1.5")]})), "'d'"),
    "large numbers": (parquet(pa.table({"u": pa.array([2**63], pa.uint64())})), "'u'"),
    "JSON of nothing": ("{}", "no table"),
    "cut JSON": ('[{"ra": 1', "not JSON"),
    "deep JSON": ("[" * 100_000, "JSON"),
    "mixed JSON": ('[{"ra": 1}, {"ra": "x"}]', "different types"),
    "cut gzip": (gzip.compress(b"a\n1\n")[:-9], "gzip"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"a\n1\n")), "no known format"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(read: Read, name: str, tmp_path: Path) -> None:
    """What is no table is refused with its reason, and without any path."""
    content, reason = REFUSED[name]
    with pytest.raises(UploadError) as caught:
        read(content)
    assert reason in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "'t'" in str(caught.value), "the table is named"


def test_caps(read: Read) -> None:
    """Rows, columns and unpacked bytes are counted while they are read."""
    ten = "".join(f"<TR><TD>{n}</TD></TR>" for n in range(10))
    read(votable(ID, f"<TABLEDATA>{ten}</TABLEDATA>"), rows=10)
    table = pa.table({"x": list(range(10))})
    contents = [
        votable(ID, f"<TABLEDATA>{ten}</TABLEDATA>"),
        votable(ID, STREAM.format("A" * 4 * 20)),
        "x\n" + "1\n" * 10,
        json.dumps([{"x": 1}] * 10),
        parquet(table),
        ipc(table, pa.ipc.new_stream),
        ipc(table, pa.ipc.new_file),
    ]
    for content in contents:
        with pytest.raises(LimitError, match="limit of 9"):
            read(content, rows=9)
    wide = {f"c{n}": [1] for n in range(20)}
    for content in (parquet(pa.table(wide)), ",".join(wide) + "\n", json.dumps([dict.fromkeys(wide, 1)])):
        with pytest.raises(LimitError, match="20 columns"):
            read(content, columns=19)
    with pytest.raises(LimitError, match=r"0\.1 MB"):
        read(gzip.compress(b"x\n" + b"1\n" * 100_000), inflated_bytes=100_000)
    bomb = pa.table({"s": pa.array(["x" * 1_000_000] * 300)})
    assert len(parquet(bomb)) < 200_000
    with pytest.raises(LimitError, match="unpacked larger"):
        read(parquet(bomb), inflated_bytes=50_000_000)


@pytest.mark.parametrize("kind", ["tabledata", "binary", "binary2"])
def test_damaged_votables(read: Read, kind: str) -> None:
    """A VOTable with any byte changed is read, or refused; nothing else happens."""
    stream = io.BytesIO()
    everything(with_nulls=kind != "binary").write(stream, format="votable", tabledata_format=kind)
    good, rng = stream.getvalue(), random.Random(5)
    for _ in range(150):
        damaged = bytearray(good)
        for _ in range(rng.choice([1, 1, 5])):
            damaged[rng.randrange(len(good))] = rng.choice([0, 60, 62, 34, 65, 255, rng.randrange(256)])
        with contextlib.suppress(UploadError, LimitError):
            read(bytes(damaged))


def test_values_that_are_listed_once(read: Read) -> None:
    """Values of a dictionary count as often as they occur."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000, np.int32)), pa.array(["x" * 100_000]))
    content = ipc(pa.table({"s": texts}), pa.ipc.new_stream)
    assert len(content) < 200_000
    with pytest.raises(LimitError, match="unpacked larger"):
        read(content, inflated_bytes=50_000_000)
