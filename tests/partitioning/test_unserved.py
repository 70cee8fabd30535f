"""Columns of types that the service does not show: they are stored, and whoever stores them is told."""

from datetime import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog_service.storage.catalogs import column_type
from partitioning.adopt import Adoption, adopt
from partitioning.describe import describe_table
from partitioning.dryrun import dry_run
from partitioning.exceptions import ConfigError
from partitioning.layout.schema import SERVED_TYPES, served_type, unserved_note
from partitioning.pipeline import append, build
from partitioning.progress import Lines
from tests.partitioning.builders import config, sky_rows, sky_table, write_files

COLUMNS = {
    "huge": pa.array(np.arange(300, dtype=np.uint64) + (1 << 63)),
    "clock": pa.array([time(1, 2, 3)] * 300, pa.time64("us")),
    "price": pa.array([Decimal("1.25")] * 300, pa.decimal128(9, 2)),
    "pair": pa.array([{"a": 1}] * 300),
    "matrix": pa.array([[[1.0, 2.0]] * 2] * 300, pa.list_(pa.list_(pa.float64(), 2), 2)),
}
TABLE = sky_table(id=("huge",), hidden=("clock",))
UNREAD = (
    "huge (uint64, if any value is 2^63 or more, an id column), price (decimal128(9, 2)), pair (struct<a: int64>), "
)
NOTE = "huge (uint64, an id column), price (decimal128(9, 2)), pair (struct<a: int64>), matrix ("
END = ": the service does not show these columns, it has no type for them; LSDB and other readers do"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_files(tmp_path / "Object", odd_rows())
    return tmp_path


def odd_rows(seed: int = 1) -> pa.Table:
    rows = sky_rows(300, seed)
    for name, values in COLUMNS.items():
        rows = rows.append_column(name, values)
    return rows


def the_line(lines: list[str], beginning: str) -> str:
    (line,) = [line for line in lines if line.startswith(beginning)]
    return line


def test_build_append_dry_run_and_describe_name_them(base: Path) -> None:
    lines: list[str] = []
    assert dry_run(config(base, TABLE), Lines(lines.append))
    assert the_line(lines, "  not served ").startswith(f"  not served {UNREAD}")
    lines.clear()
    build(config(base, TABLE), report=lines.append)
    line = the_line(lines, "survey.Object: not served: ")
    assert line.startswith(f"survey.Object: not served: {UNREAD}")
    assert line.endswith(END)
    described = list(describe_table(base / "catalogs/survey/Object"))
    assert the_line(described, "not served: ").startswith(f"not served: {NOTE}")
    assert the_line(described, "  price ").endswith(", not served")
    assert the_line(described, "  clock ").endswith(", hidden")
    lines.clear()
    write_files(base / "Object/later", odd_rows(seed=2), files=1)
    wanted = config(base, sky_table(id=("huge",), hidden=("clock",), input=("Object/**/*.parquet",)))
    assert dry_run(wanted, Lines(lines.append), replaced=())
    append(wanted, report=lines.append)
    assert the_line(lines, "  not served ")
    assert the_line(lines, "survey.Object: not served: ") == line


def test_nothing_is_told_where_all_are_served(tmp_path: Path) -> None:
    write_files(tmp_path / "Object", sky_rows(30))
    lines: list[str] = []
    build(config(tmp_path, sky_table()), report=lines.append)
    assert "not served" not in "\n".join([*lines, *describe_table(tmp_path / "catalogs/survey/Object")])


def test_adopt_names_them_and_refuses_them_as_ids(base: Path) -> None:
    paths, root = (str(base / "Object"),), base / "catalogs"
    lines: list[str] = []
    adopt(Adoption(paths=paths, root=root, schema="other", table="T", ra="ra", dec="dec"), report=lines.append)
    line = the_line(lines, "not served: ")
    assert line.startswith("not served: huge (uint64), clock (time64[us]), price (decimal128(9, 2)), pair (")
    assert line.endswith(END)
    assert the_line(list(describe_table(root / "other/T")), "not served: ") == line
    wanted = Adoption(paths=paths, root=root, schema="other", table="T", ra="ra", dec="dec", id=("price",))
    with pytest.raises(ConfigError, match=r"id column 'price' is decimal128\(9, 2\), which is not served"):
        adopt(wanted)


@pytest.mark.parametrize("kind", [*sorted(SERVED_TYPES), "date32[day]", "timestamp[us]", "timestamp[ns, tz=UTC]"])
def test_the_service_has_a_type_for_each_that_is_served(kind: str) -> None:
    assert served_type(kind) is not None
    assert column_type(kind) is not None


@pytest.mark.parametrize("kind", ["list<element: date32[day]>", "list<element: timestamp[us]>", "date64[ms]", "null"])
def test_types_that_are_not_served(kind: str) -> None:
    assert served_type(kind) is None
    assert column_type(kind) is None


def test_one_column_alone() -> None:
    note = unserved_note([("ok", "int64", 3), ("t", "time64[us]", None), ("u", "uint64", 2**63 - 1)])
    beginning = "t (time64[us]): the service does not show this column, it has no type for it"
    assert note == f"{beginning}; LSDB and other readers do"
    assert unserved_note([("ok", "int64", None), ("list", "list<element: float>", None)]) is None
    assert unserved_note([("u", "uint64", 1)], are_read=False) is None
    assert unserved_note([("u", "uint64", 1 << 63)]) is not None
