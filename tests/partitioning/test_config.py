"""Configuration files: every key typed, every mistake named."""

from pathlib import Path

import pyarrow as pa
import pytest

from partitioning.config import PositionFrom, TableConfig, load_config, parse_size
from partitioning.exceptions import ConfigError
from partitioning.pipeline import build_order

MINIMAL = """
[release]
root = "catalogs"
schema = "survey"
[[table]]
name = "Object"
input = "Object/*.parquet"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "build.toml"
    path.write_text(text)
    return path


def test_defaults_and_paths(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    assert config.root == tmp_path / "catalogs"
    assert config.input_dir == tmp_path
    assert config.tables == (TableConfig(name="Object", input=("Object/*.parquet",)),)
    assert not config.tables[0].is_placed
    moved = load_config(written(tmp_path, MINIMAL), root=Path("r"), input_dir=Path("i"))
    assert (moved.root, moved.input_dir) == (Path("r"), Path("i"))


def test_every_key(tmp_path: Path) -> None:
    text = """
    [release]
    root = "catalogs"
    schema = "survey"
    schema_file = "schema.yaml"
    [build]
    memory = "1.5 GiB"
    workers = 3
    spill = "spill"
    [[table]]
    name = "Object"
    input = ["a.csv", "b/*.csv"]
    format = "csv"
    types = { flux = "double", "a b" = "list<timestamp[us, tz=UTC]>", half = "halffloat" }
    optional = "note"
    rename = { "LSST:g" = "mag_g" }
    hdu = 2
    ra = "ra"
    dec = "dec"
    id = ["objectId"]
    target_rows = 1_000
    target_bytes = "2 MB"
    row_group_rows = 100
    row_group_bytes = 4096
    max_order = 12
    hidden = ["secret"]
    delimiter = ";"
    null_values = ["-"]
    [[table]]
    name = "ForcedSource"
    input = "f.parquet"
    ra = "ra"
    dec = "dec"
    position_from = { parent = "Object", key = ["objectId", "id"], same_position = true }
    """
    config = load_config(written(tmp_path, text))
    assert (config.memory, config.workers, config.spill) == (3 << 29, 3, tmp_path / "spill")
    assert config.schema_file == tmp_path / "schema.yaml"
    first, second = config.tables
    assert (first.target_rows, first.target_bytes, first.row_group_bytes) == (1000, 2_000_000, 4096)
    assert (first.csv.delimiter, first.csv.null_values, first.hidden) == (";", ("-",), ("secret",))
    moments = pa.list_(pa.field("element", pa.timestamp("us", "UTC")))
    assert first.types == {"flux": pa.float64(), "a b": moments, "half": pa.float32()}  # as stored
    assert (first.optional, first.rename, first.hdu) == (("note",), {"LSST:g": "mag_g"}, 2)
    expected = PositionFrom(parent="Object", child_key="objectId", parent_key="id", same_position=True)
    assert second.position_from == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("target_row = 5", r"\[\[table\]\] 'Object' key 'target_row' is unknown; did you mean 'target_rows'\?"),
        ("margin_arcmin = 10", r"key 'margin_arcmin' is unknown; did you mean 'margin_arcsec'"),
        ("target_rows = '5'", "key 'target_rows' must be an integer, not '5'"),
        ("target_rows = true", "key 'target_rows' must be an integer"),
        ("target_rows = 0", "key 'target_rows' is 0; it must be at least 1"),
        ("max_order = 30", "key 'max_order' is 30; it must be from 0 to 29"),
        ("target_bytes = 'big'", "key 'target_bytes' must be a size such as 268435456 or '256 MiB'"),
        ("format = 'hdf5'", "key 'format' is 'hdf5'; formats are 'parquet', 'csv', 'fits', 'votable', 'hats'"),
        ("types = { a = 'real' }", "key 'types' gives 'a' the type 'real'; types are Arrow's, such as int64"),
        ("types = { a = 'duration[s]' }", r"key 'types' gives 'a' .*: type duration\[s\] cannot be stored"),
        ("types = 'int64'", "key 'types' must be a table of texts"),
        ("rename = { a = '' }", "key 'rename' must be a table of texts"),
        ("rename = { a = '_Input' }", "key 'rename' makes a column '_Input'; the store keeps that name"),
        ("rename = { a = 'x', b = 'X' }", "key 'rename' makes two columns 'x'"),
        ("hdu = 0", "key 'hdu' is 0; it must be at least 1"),
        ("ra = 'ra'", "key 'dec' is missing: give both ra and dec"),
        ("ra = 'x'\ndec = 'x'", "key 'dec' names the same column as ra"),
        ("id = [1]", "key 'id' must be a text or a list of texts"),
        ("delimiter = ', '", "key 'delimiter' must be one character"),
        ("position_from = 3", "key 'position_from' must be a table"),
        ("position_from = {key = ['a', 'b']}", r"\[position_from\] key 'parent' is missing"),
        ("position_from = {parent = 'P', key = ['a']}", "key 'key' is a pair"),
        (
            "position_from = {parent = 'P', key = ['a', 'b'], same = true}",
            "key 'same' is unknown; known keys: key, parent",
        ),
        ("position_from = {parent = 'P', key = ['a', 'b'], same_position = true}", "key 'ra' is missing"),
        ("position_from = {parent = 'Object', key = ['a', 'b']}", "names itself as the parent"),
        ("[[table]]\nname = 'object'\ninput = 'x'", "is there twice"),
        ("[[table]]\ninput = 'x'", r"\[\[table\]\] 'number 2' key 'name' is missing"),
        ("[build]\nworkers = 0", r"\[build\] key 'workers' is 0"),
        ("[buidl]\nworkers = 1", "key 'buidl' is unknown; did you mean 'build'"),
        ("x = [", "not a readable TOML file"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, MINIMAL + line)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "1a", "a b", "a/b", "é", "a-b"])
def test_names_that_are_no_identifiers_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="use letters, digits and _"):
        load_config(written(tmp_path, MINIMAL.replace('Object"\ninput', f'{name}"\ninput')))


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key 'release' is missing"):
        load_config(written(tmp_path, "[[table]]\nname = 'x'\ninput = 'x'"))
    with pytest.raises(ConfigError, match="key 'table' is missing"):
        load_config(written(tmp_path, "[release]\nroot = 'r'\nschema = 's'"))
    with pytest.raises(ConfigError, match="not a readable TOML file"):
        load_config(tmp_path / "nowhere.toml")


def test_sizes() -> None:
    known = {"0": 0, "7": 7, "1 kB": 1000, "1KiB": None, "1 kiB": 1024, "2_000 MB": 2_000_000_000, "0.5 GiB": 1 << 29}
    assert {text: parse_size(text) for text in known} == known


def child(name: str, parent: str) -> TableConfig:
    origin = PositionFrom(parent=parent, child_key="k", parent_key="k")
    return TableConfig(name=name, input=("x",), position_from=origin)


def test_parents_are_built_first() -> None:
    tables = (child("C", "B"), child("B", "A"), TableConfig(name="A", input=("x",)), child("D", "published"))
    assert [table.name for table in build_order(tables)] == ["A", "D", "B", "C"]
    with pytest.raises(ConfigError, match="in a circle through A, B"):
        build_order((child("A", "B"), child("B", "A")))
