"""The plan of one table's build: all that a unit of work needs to know, as one file that any process can read."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from ..config import CsvConfig, PositionFrom, TableConfig
from ..exceptions import LayoutError
from ..layout.files import replace_bytes
from ..layout.leaf import LeafFormat
from ..layout.manifest import Placement, read_partition_map
from ..layout.partition_map import PartitionMap
from ..layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from ..layout.schema import unserved_note
from ..readers.base import FileFormat, InputFile
from ..readers.columns import file_names
from ..readers.source import Source, source_from
from .spill import SpillForm
from .workspace import Workspace

__all__ = [
    "BaseRelease",
    "PlannedInput",
    "Segment",
    "TablePlan",
    "cut_units",
    "read_plan",
    "schema_text",
    "stored_columns",
    "unit_bytes",
    "write_plan",
]

_FEWEST_UNITS: Final = 64
"""Large inputs are cut into at least so many units: what a killed process loses is a small part of the work."""

_MOST_UNITS: Final = 4096
"""Bound of the number of spill files, one a unit."""

_SMALL_UNIT_BYTES: Final = 16 << 20
_LARGE_UNIT_BYTES: Final = 8 << 30


@dataclass(frozen=True, slots=True)
class PlannedInput:
    """One input file of the release being built."""

    number: int
    """Value of the stored column ``_input``."""
    path: Path
    name: str
    """How messages and provenance name it."""
    form: FileFormat
    bytes: int
    modified_ns: int
    """Time of the last change: a file that changed since it was planned is refused."""
    parts: tuple[int, ...] | None
    """Rows of each part that can be read by itself, of files that are cut into units; None: read as a whole."""
    damaged: str | None = None
    """Why the file cannot be opened, where damaged input is left out."""
    ends: str = ""
    """xxh3-128 of its first and last bytes (`readers.base.ends_checksum`)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of parts of one input file, part of a unit."""

    file: int
    """Position in `TablePlan.inputs`."""
    first: int = 0
    stop: int | None = None
    """Parts ``[first, stop)``; None: to the end of the file."""


@dataclass(frozen=True, slots=True)
class BaseRelease:
    """The release that an append starts from."""

    catalog: Path
    """Directory of its main catalog."""
    removed: tuple[int, ...] = ()
    """Numbers of input files whose rows are left out."""
    touched: tuple[int, ...] | None = None
    """Its tiles (position in its partition map) that are made anew; None: not decided yet."""

    @property
    def touched_tiles(self) -> tuple[int, ...]:
        """The tiles that are made anew, as far as they are known; their rows are read like an input."""
        return self.touched or ()


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """What is built, from what, in which units."""

    schema_name: str
    table: TableConfig
    release: int
    created: str
    fingerprint: str
    """Of everything that decides the result: a build of the same fingerprint goes on where it stopped."""
    inputs: tuple[PlannedInput, ...]
    input_schema: str
    """Columns in the order and types in which they are stored (`schema_text`)."""
    units: tuple[tuple[Segment, ...], ...]
    """Input units; those that read tiles of the base release follow (one a tile)."""
    parent_release: int | None
    """Release of the parent whose positions place the rows; None: rows are placed by their own position."""
    row_bytes: float
    """Mean bytes of a row in memory."""
    stored_bytes: float
    """Mean bytes of a row on disk."""
    target_rows: float
    """Rows at which a tile is split."""
    spilled_bytes: float = 0.0
    """Mean bytes of a row in spill files."""
    packed_columns: tuple[str, ...] = ()
    """Columns of the input that spill files compress."""
    row_seconds: float = 0.0
    """Time in which one process read and encoded a row of the sample."""
    skip_bad: bool = False
    """Whether damaged parts of the input are left out and reported, rather than ending the build."""
    base: BaseRelease | None = None

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the input as they are stored."""
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.input_schema)))

    def unserved_note(self) -> str | None:
        """Return one line that names the columns that will be stored but not served; None without any."""
        shown = [(one.name, str(one.type), None) for one in self.schema if one.name not in self.table.hidden]
        return unserved_note(shown, {*self.table.id, *self.table.index_columns}, are_read=False)

    @cached_property
    def source(self) -> Source:
        """Readers of the input files."""
        files = [InputFile(file.path, file.name, file.form.name) for file in self.inputs]
        return source_from(
            files, [file.form for file in self.inputs], self.schema, self.table.csv, file_names(self.table)
        )

    @cached_property
    def base_map(self) -> PartitionMap:
        """Tiles of the release that an append starts from."""
        assert self.base is not None
        return read_partition_map(self.base.catalog)

    @cached_property
    def form(self) -> LeafFormat:
        """How leaves are written."""
        return LeafFormat(
            schema=stored_columns(self.schema, stores_parent=self.stores_parent) if self.is_tiled else self.schema,
            id_columns=self.table.id,
            row_group_rows=self.table.row_group_rows,
            row_group_bytes=self.table.row_group_bytes,
            row_bytes=self.row_bytes,
        )

    @cached_property
    def spill_form(self) -> SpillForm:
        """How spill files are written."""
        return SpillForm.of(self.form.schema, self.form.sort_keys, {*self.packed_columns, INPUT_COLUMN})

    @property
    def is_tiled(self) -> bool:
        """Whether the table has positions."""
        return self.table.is_placed

    @property
    def stores_parent(self) -> bool:
        """Whether the parent's position is stored beside the row's own."""
        return self.table.position_from is not None and not self.table.position_from.same_position

    @property
    def placement(self) -> Placement:
        """Which stored columns place the rows, and which are their own position."""
        ra, dec = self.position_columns
        wanted = self.table.position_from
        return Placement(
            ra_column=ra,
            dec_column=dec,
            own_ra_column=self.table.ra,
            own_dec_column=self.table.dec,
            parent=None if wanted is None else wanted.parent,
            parent_key=None if wanted is None else (wanted.child_key, wanted.parent_key),
            parent_release=self.parent_release,
        )

    @property
    def unit_count(self) -> int:
        """Number of units of the place and bucket stages."""
        return len(self.units) + (0 if self.base is None else len(self.base.touched_tiles))

    @property
    def position_columns(self) -> tuple[str, str]:
        """Stored columns of the position that places the rows."""
        if self.stores_parent:
            return PARENT_RA_COLUMN, PARENT_DEC_COLUMN
        assert self.table.ra is not None
        assert self.table.dec is not None
        return self.table.ra, self.table.dec


def stored_columns(schema: pa.Schema, *, stores_parent: bool) -> pa.Schema:
    """Return the columns of leaves: the computed ones around the table's own."""
    computed = [pa.field(HEALPIX_COLUMN, pa.int64(), nullable=False)]
    if stores_parent:
        computed += [pa.field(name, pa.float64(), nullable=False) for name in (PARENT_RA_COLUMN, PARENT_DEC_COLUMN)]
    return pa.schema([*computed, *schema, pa.field(INPUT_COLUMN, pa.int32(), nullable=False)])


def schema_text(schema: pa.Schema) -> str:
    """Return a schema as text for `TablePlan.input_schema`."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def cut_units(inputs: Sequence[PlannedInput]) -> tuple[tuple[Segment, ...], ...]:
    """Cut the input into units of about equal size, in its order; small files share one, large files have several.

    >>> large = PlannedInput(0, Path("a"), "a", FileFormat("parquet"), 40 << 20, 0, (10, 10, 10, 10))
    >>> small = PlannedInput(1, Path("b"), "b", FileFormat("csv"), 1000, 0, None)
    >>> units = cut_units([large, small])
    >>> [[(segment.file, segment.first, segment.stop) for segment in unit] for unit in units]
    [[(0, 0, 1)], [(0, 1, 2)], [(0, 2, 3)], [(0, 3, 4), (1, 0, None)]]
    """
    most = unit_bytes(sum(file.bytes for file in inputs))
    units, unit, filled = list[tuple[Segment, ...]](), list[Segment](), 0.0
    for position, file in enumerate(inputs):
        for segment, size in _segments(position, file):
            if unit and filled + size > most:
                units.append(_joined(unit))
                unit, filled = [], 0.0
            unit.append(segment)
            filled += size
    return (*units, _joined(unit)) if unit else tuple(units)


def unit_bytes(total: int) -> float:
    """Return the bytes of input of one unit, for an input of so many bytes in all."""
    count = min(_MOST_UNITS, max(_FEWEST_UNITS, math.ceil(total / _LARGE_UNIT_BYTES)))
    return max(_SMALL_UNIT_BYTES, total / count)


def _segments(position: int, file: PlannedInput) -> list[tuple[Segment, float]]:
    """Return the smallest segments of one file, and their bytes by their share of the rows."""
    if not file.parts:
        return [(Segment(position), float(file.bytes))]
    rows = max(1, sum(file.parts))
    return [(Segment(position, n, n + 1), file.bytes * part / rows) for n, part in enumerate(file.parts)]


def _joined(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Join neighbouring segments of one file."""
    joined = list(segments[:1])
    for segment in segments[1:]:
        last = joined[-1]
        if segment.file == last.file and segment.first == last.stop:
            joined[-1] = Segment(last.file, last.first, segment.stop)
        else:
            joined.append(segment)
    return tuple(joined)


def write_plan(workspace: Workspace, plan: TablePlan) -> None:
    """Write the plan of a build; declared types of columns are left out: the schema has them."""
    body = asdict(replace(plan, table=replace(plan.table, types={})))
    replace_bytes(workspace.plan, json.dumps(body, indent=1, default=str).encode())


def read_plan(workspace: Workspace) -> TablePlan:
    """Return the plan of a build.

    Raises
    ------
    OSError
        If there is none.
    LayoutError
        If it is damaged, or of a version of this program whose plans tell other things.
    """
    status = workspace.plan.stat()
    try:
        return _read(workspace.plan, status.st_ino, status.st_mtime_ns)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{workspace.plan}: not a plan of this version ({error!r}); build again without it"
        raise LayoutError(msg) from error


@lru_cache(maxsize=8)
def _read(path: Path, _inode: int, _modified_ns: int) -> TablePlan:
    body: dict[str, Any] = json.loads(path.read_bytes())
    base = body.pop("base")
    return TablePlan(
        **{key: value for key, value in body.items() if key not in {"table", "inputs", "units", "packed_columns"}},
        table=_table(body["table"]),
        packed_columns=tuple(body["packed_columns"]),
        inputs=tuple(_input(one) for one in body["inputs"]),
        units=tuple(tuple(Segment(**segment) for segment in unit) for unit in body["units"]),
        base=None if base is None else _base(base),
    )


def _base(body: dict[str, Any]) -> BaseRelease:
    touched = body["touched"]
    return BaseRelease(Path(body["catalog"]), tuple(body["removed"]), None if touched is None else tuple(touched))


def _table(body: dict[str, Any]) -> TableConfig:
    position, csv = body.pop("position_from"), body.pop("csv")
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    return TableConfig(
        **plain,
        position_from=None if position is None else PositionFrom(**position),
        csv=CsvConfig(**{**csv, "null_values": tuple(csv["null_values"])}),
    )


def _input(body: dict[str, Any]) -> PlannedInput:
    form, parts = body["form"], body["parts"]
    changed = {
        "path": Path(body["path"]),
        "form": FileFormat(**{**form, "absent": tuple(form["absent"])}),
        "parts": None if parts is None else tuple(parts),
    }
    return PlannedInput(**{**body, **changed})
