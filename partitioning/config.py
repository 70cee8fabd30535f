"""Configuration of a build: one TOML file, every key checked.

::

    [release]
    root = "catalogs"                    # where published catalogs live; relative to this file
    schema = "survey"                    # directory and schema name
    schema_file = "schema.yaml"          # Felis description, optional; published beside the tables

    [build]                              # optional
    memory = "2 GiB"                     # of all processes of the build together
    workers = 2                          # processes that work on parts of the build at the same time
    spill = "/fast/disk"                 # spill files; by default beside the tables
    max_spill = "200 GB"                 # a build that would spill more does not start

    [[table]]
    name = "Object"
    input = ["Object/*.parquet"]         # files or patterns, relative to this file
    format = "parquet"                   # or "csv", "fits", "votable", "hats"; by default told by the name
    types = { flux = "double" }          # stored types (Arrow names): files that have narrower ones are converted
    optional = ["flag"]                  # columns that some files lack: NULL there
    rename = { "LSST:g" = "mag_g" }      # names in the files = stored names; every other key uses the stored ones
    hdu = 1                              # FITS only: extension; by default the first binary table
    ra = "coord_ra"                      # position in degrees, ICRS; leave both out for a table without one
    dec = "coord_dec"
    id = ["objectId"]
    target_rows = 1_000_000              # a tile is split while it has more rows ...
    target_bytes = "256 MiB"             # ... or more compressed bytes than this
    row_group_rows = 32_768
    row_group_bytes = "32 MiB"           # uncompressed
    max_order = 18                       # no tile is finer than this
    margin_arcsec = 10                   # rows of neighbouring tiles kept beside each tile; 0: none
    index = ["objectId"]                 # columns with an id index; by default those of id
    hidden = ["internal"]                # stored columns that the service does not list
    delimiter = ","                      # CSV only
    null_values = ["", "NULL"]           # CSV only

    [[table]]
    name = "ForcedSource"
    input = ["ForcedSource/*.parquet"]
    ra = "coord_ra"
    dec = "coord_dec"
    position_from = { parent = "Object", key = ["objectId", "objectId"], same_position = true }

`position_from` places a table by its parent's position, looked up by ``key = [child column, parent column]``.
``same_position = true`` says that the table's own position columns hold the parent's position; the build checks it.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pyarrow as pa

from .exceptions import ConfigError, SchemaMismatchError
from .layout.leaf import MOST_GROUP_ROWS
from .layout.paths import OWN_COLUMNS
from .layout.schema import stored_type
from .readers.types import arrow_type, is_typed

__all__ = [
    "FORMATS",
    "BuildConfig",
    "CsvConfig",
    "FormatName",
    "PositionFrom",
    "TableConfig",
    "config_problems",
    "load_config",
    "parse_size",
]

FormatName = Literal["parquet", "csv", "fits", "votable", "hats"]

FORMATS: Final[tuple[FormatName, ...]] = get_args(FormatName)
"""Formats of input files; HATS is a catalog's tree of Parquet files."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SIZE: Final = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([kMGT]?)(i?)B?\s*")
_MIB: Final = 1 << 20
_MEMORY: Final = 2048 * _MIB
_MARGIN_ARCSEC: Final = 10.0
_LARGEST_MARGIN_ARCSEC: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFrom:
    """Where a child table's position comes from."""

    parent: str
    """Table of the same schema."""
    child_key: str
    parent_key: str
    same_position: bool = False
    """Whether the child's own position columns hold the parent's position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvConfig:
    """How CSV files are written."""

    delimiter: str | None = None
    """None: a tab for ``.tsv`` files, a comma for others."""
    null_values: tuple[str, ...] = ("", "NULL", "null", "NaN", "nan", "\\N")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConfig:
    """One table to build."""

    name: str
    input: tuple[str, ...]
    """File names or patterns, relative to `BuildConfig.input_dir`."""
    format: FormatName | None = None
    """None: told by each file's suffix, or by the directory's content."""
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    """Types to store, by stored name: values of narrower types are converted."""
    optional: tuple[str, ...] = ()
    """Columns that are NULL where a file lacks them."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Stored names by the names in the files."""
    hdu: int | None = None
    """FITS only: number of the extension; None: the first binary table."""
    ra: str | None = None
    dec: str | None = None
    id: tuple[str, ...] = ()
    target_rows: int = 1_000_000
    target_bytes: int = 256 * _MIB
    row_group_rows: int = 32_768
    row_group_bytes: int = 32 * _MIB
    max_order: int = 18
    position_from: PositionFrom | None = None
    margin_arcsec: float = _MARGIN_ARCSEC
    """Rows of other tiles this close to a tile's border are kept beside it; 0 for none."""
    index: tuple[str, ...] | None = None
    """Columns with an id index; None: those of `id`."""
    hidden: tuple[str, ...] = ()
    csv: CsvConfig = field(default_factory=CsvConfig)

    @property
    def index_columns(self) -> tuple[str, ...]:
        """Columns with an id index."""
        return tuple(dict.fromkeys(self.id if self.index is None else self.index)) if self.is_placed else ()

    @property
    def is_placed(self) -> bool:
        """Whether the table has a position, its own or its parent's."""
        return self.ra is not None or self.position_from is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """Everything one build needs to know."""

    root: Path
    schema: str
    tables: tuple[TableConfig, ...]
    input_dir: Path
    """Directory that relative inputs start from."""
    schema_file: Path | None = None
    memory: int = _MEMORY
    """Budget in bytes of all processes of the build together."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that work on parts of the build at the same time."""
    spill: Path | None = None
    """Directory for spill files; None: the staging directory beside the published tables."""
    max_spill: int | None = None
    """Most bytes of spill files; None: as many as the disk takes."""


def load_config(path: Path, *, root: Path | None = None, input_dir: Path | None = None) -> BuildConfig:
    """Read the configuration file at `path`; `root` and `input_dir`, if given, replace what it says.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a key is unknown, missing, of the wrong type or out of range.
    """
    config = _build_config(_Section(_toml(path), path), path.parent)
    return replace(config, root=root or config.root, input_dir=input_dir or config.input_dir)


def config_problems(path: Path) -> tuple[str, ...]:
    """Return all that is wrong with the configuration file at `path`, key by key; nothing if `load_config` takes it."""
    try:
        body = _toml(path)
        tables = body.get("table", [])
        alone = {"release": {"root": "catalogs", "schema": "schema"}}
        simple = [{"name": "name", "input": "input"}]
        parts = [{**alone, "table": [table]} for table in tables] if isinstance(tables, list) else []
        problems = [problem for part in ({**body, "table": simple}, *parts) for problem in _key_problems(part, path)]
        if not problems:
            load_config(path)
    except ConfigError as error:
        return (str(error),)
    return tuple(dict.fromkeys(problems))


def _key_problems(body: dict[str, Any], path: Path) -> Iterator[str]:
    """Yield what is wrong with the keys of a configuration; each is then left out, until one is missing."""
    gone = list[tuple[int, str]]()
    while True:
        try:
            _build_config(_Section(body, path), path.parent)
        except _KeyError as error:
            if (id(error.body), error.key) in gone:
                return
            yield str(error)
            if error.key not in error.body:
                return
            gone.append((id(error.body), error.key))
            del error.body[error.key]
        else:
            return


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: not a readable TOML file: {error}"
        raise ConfigError(msg) from error


class _KeyError(ConfigError):
    """What is wrong with one key of a section whose content is `body`."""

    def __init__(self, message: str, body: dict[str, Any], key: str) -> None:
        super().__init__(message)
        self.body, self.key = body, key


def parse_size(text: str) -> int | None:
    """Return the bytes that a text such as ``"256 MiB"`` or ``"2 GB"`` means; None if it is not a size.

    >>> parse_size("1.5 GiB"), parse_size("2 MB"), parse_size("4096"), parse_size("big")
    (1610612736, 2000000, 4096, None)
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    number, prefix, binary = match.groups()
    power = " kMGT".index(prefix or " ")
    return int(float(number.replace("_", "")) * (1024 if binary else 1000) ** power)


def _build_config(top: "_Section", base: Path) -> BuildConfig:
    release = top.section("release", required=True)
    build = top.section("build")
    tables = tuple(_table_config(section) for section in top.sections("table"))
    schema_file = release.text("schema_file")
    spill = build.text("spill")
    config = BuildConfig(
        root=base / release.required_text("root"),
        schema=release.name("schema"),
        tables=tables,
        input_dir=base,
        schema_file=None if schema_file is None else base / schema_file,
        memory=build.size("memory", default=_MEMORY, minimum=64 * _MIB),
        workers=build.integer("workers", default=os.cpu_count() or 1, minimum=1, maximum=256),
        spill=None if spill is None else base / spill,
        max_spill=build.size("max_spill", default=0, minimum=0) or None,
    )
    for section in (top, release, build):
        section.finish()
    _check_tables(tables, top)
    return config


def _table_config(section: "_Section") -> TableConfig:
    defaults = _DEFAULTS
    table = TableConfig(
        name=section.name("name"),
        input=section.texts("input", required=True),
        format=section.format("format"),
        types=section.arrow_types("types"),
        optional=section.texts("optional"),
        rename=section.renames("rename"),
        hdu=section.integer("hdu", default=0, minimum=1) if section.has("hdu") else None,
        ra=section.text("ra"),
        dec=section.text("dec"),
        id=section.texts("id"),
        target_rows=section.integer("target_rows", default=defaults.target_rows, minimum=1),
        target_bytes=section.size("target_bytes", default=defaults.target_bytes, minimum=1),
        row_group_rows=section.integer(
            "row_group_rows", default=defaults.row_group_rows, minimum=1, maximum=MOST_GROUP_ROWS
        ),
        row_group_bytes=section.size("row_group_bytes", default=defaults.row_group_bytes, minimum=1),
        max_order=section.integer("max_order", default=defaults.max_order, minimum=0, maximum=29),
        margin_arcsec=section.number(
            "margin_arcsec", default=defaults.margin_arcsec, minimum=0.0, maximum=_LARGEST_MARGIN_ARCSEC
        ),
        index=section.optional_texts("index"),
        position_from=_position_from(section.optional_section("position_from")),
        hidden=section.texts("hidden"),
        csv=CsvConfig(
            delimiter=section.character("delimiter"),
            null_values=section.texts("null_values", default=CsvConfig().null_values),
        ),
    )
    section.finish()
    _check_positions(table, section)
    return table


_DEFAULTS: Final = TableConfig(name="", input=())


def _position_from(section: "_Section | None") -> PositionFrom | None:
    if section is None:
        return None
    key = section.texts("key", required=True)
    if len(key) != 2:
        raise section.error("key", "is a pair [column here, column of the parent]")
    found = PositionFrom(
        parent=section.name("parent"),
        child_key=key[0],
        parent_key=key[1],
        same_position=section.flag("same_position"),
    )
    section.finish()
    return found


def _check_positions(table: TableConfig, section: "_Section") -> None:
    if (table.ra is None) != (table.dec is None):
        raise section.error("dec" if table.dec is None else "ra", "is missing: give both ra and dec, or neither")
    if table.ra is not None and table.ra == table.dec:
        raise section.error("dec", f"names the same column as ra ({table.ra!r})")
    if table.position_from is not None and table.position_from.same_position and table.ra is None:
        raise section.error("ra", "is missing: position_from.same_position speaks of the table's own ra and dec")


def _check_tables(tables: tuple[TableConfig, ...], top: "_Section") -> None:
    if not tables:
        raise top.error("table", "is missing: add at least one [[table]]")
    names = [table.name.lower() for table in tables]
    for table in tables:
        if names.count(table.name.lower()) > 1:
            raise top.error("table", f"{table.name!r} is there twice (names that differ by case only count as one)")
        if table.position_from is not None and table.position_from.parent == table.name:
            raise top.error("table", f"{table.name!r} names itself as the parent of its positions")


class _Section:
    """One TOML table being read: hands out typed values, and refuses keys that nobody asked for."""

    def __init__(self, body: dict[str, Any], path: Path, place: str = "") -> None:
        self._body, self._path, self._place = body, path, place
        self._asked: list[str] = []

    def error(self, key: str, problem: str) -> ConfigError:
        """Return the error that `key` of this section has `problem`."""
        place = f"{self._place} " if self._place else ""
        return _KeyError(f"{self._path}: {place}key {key!r} {problem}", self._body, key)

    def finish(self) -> None:
        """Raise `ConfigError` if a key is left that nobody asked for."""
        for key in self._body:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(self._asked))}"
                raise self.error(key, f"is unknown; {hint}")

    def section(self, key: str, *, required: bool = False) -> "_Section":
        """Return the sub-table `key`, empty if absent."""
        found = self.optional_section(key)
        if found is None and required:
            raise self.error(key, f"is missing: add a [{key}] table")
        return found or _Section({}, self._path, f"[{key}]")

    def optional_section(self, key: str) -> "_Section | None":
        """Return the sub-table `key`, None if absent."""
        value = self._get(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, "must be a table of keys")
        place = f"{self._place} [{key}]".strip()
        return None if value is None else _Section(value, self._path, place)

    def sections(self, key: str) -> Iterable["_Section"]:
        """Return the tables of the array `key`, each named by its ``name`` in messages."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"must be an array of tables: write [[{key}]]")
        for number, item in enumerate(value, start=1):
            yield _Section(item, self._path, f"[[{key}]] {item.get('name', f'number {number}')!r}")

    def text(self, key: str) -> str | None:
        """Return a text, None if absent."""
        value = self._get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(key, f"must be a text, not {value!r}")
        return value

    def required_text(self, key: str) -> str:
        """Return a text that must be there."""
        value = self.text(key)
        if value is None:
            raise self.error(key, "is missing")
        return value

    def name(self, key: str) -> str:
        """Return a text fit for a directory and an SQL identifier."""
        value = self.required_text(key)
        if _NAME.fullmatch(value) is None:
            raise self.error(key, f"is {value!r}; use letters, digits and _ and begin with a letter")
        return value

    def has(self, key: str) -> bool:
        """Return whether `key` is there."""
        return self._get(key) is not None

    def format(self, key: str) -> FormatName | None:
        """Return an input format, None if absent."""
        value = self.text(key)
        for name in FORMATS:
            if value == name:
                return name
        if value is None:
            return None
        raise self.error(key, f"is {value!r}; formats are {', '.join(map(repr, FORMATS))}")

    def pairs(self, key: str) -> dict[str, str]:
        """Return a table of texts by text, empty if absent."""
        value = self._get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) and item for item in value.values()):
            raise self.error(key, f"must be a table of texts such as {{ name = 'text' }}, not {value!r}")
        return value

    def arrow_types(self, key: str) -> dict[str, pa.DataType]:
        """Return the types in which columns are stored, by name."""
        types = {}
        for column, text in self.pairs(key).items():
            kind = arrow_type(text)
            if kind is None or not is_typed(kind):
                known = "int64, uint32, float, double, string, bool, date32, timestamp[us], list<double>"
                raise self.error(key, f"gives {column!r} the type {text!r}; types are Arrow's, such as {known}")
            try:
                types[column] = stored_type(kind)
            except SchemaMismatchError as error:
                raise self.error(key, f"gives {column!r} the type {text!r}: {error}") from None
        return types

    def renames(self, key: str) -> dict[str, str]:
        """Return new names by old name, no two alike and none that the store uses itself."""
        pairs = self.pairs(key)
        new = [name.lower() for name in pairs.values()]
        for name in pairs.values():
            if name.lower() in OWN_COLUMNS:
                raise self.error(key, f"makes a column {name!r}; the store keeps that name for a column of its own")
            if new.count(name.lower()) > 1:
                raise self.error(key, f"makes two columns {name!r} (names that differ by case only count as one)")
        return pairs

    def character(self, key: str) -> str | None:
        """Return one character, None if absent."""
        value = self.text(key)
        if value is not None and len(value) != 1:
            raise self.error(key, f"must be one character, not {value!r}")
        return value

    def texts(self, key: str, *, required: bool = False, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return one text or a list of texts."""
        value = self._get(key)
        if value is None and not required:
            return default
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items) or (required and not items):
            problem = "is missing" if value is None else f"must be a text or a list of texts, not {value!r}"
            raise self.error(key, problem)
        return tuple(items)

    def optional_texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of texts, which may be empty; None if absent."""
        return self.texts(key) if key in self._body else self._get(key)

    def flag(self, key: str) -> bool:
        """Return a truth value, False if absent."""
        value = self._get(key, default=False)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {value!r}")
        return value

    def integer(self, key: str, *, default: int, minimum: int, maximum: float = math.inf) -> int:
        """Return an integer within bounds."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, f"must be an integer, not {value!r}")
        return self._bounded(key, value, minimum, maximum)

    def number(self, key: str, *, default: float, minimum: float, maximum: float) -> float:
        """Return a number within bounds."""
        value = self._get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise self.error(key, f"must be a number from {minimum:g} to {maximum:g}, not {value!r}")
        return float(value)

    def size(self, key: str, *, default: int, minimum: int) -> int:
        """Return a number of bytes, given as an integer or as a text with a unit."""
        value = self._get(key, default)
        number = parse_size(value) if isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool):
            raise self.error(key, f"must be a size such as 268435456 or '256 MiB', not {value!r}")
        return self._bounded(key, number, minimum, math.inf)

    def _bounded(self, key: str, value: int, minimum: int, maximum: float) -> int:
        if not minimum <= value <= maximum:
            limits = f"at least {minimum}" if maximum == math.inf else f"from {minimum} to {maximum}"
            raise self.error(key, f"is {value}; it must be {limits}")
        return value

    def _get(self, key: str, default: Any = None) -> Any:
        self._asked.append(key)
        return self._body.get(key, default)
