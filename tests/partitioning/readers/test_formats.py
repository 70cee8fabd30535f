"""The same rows in every format are the same rows: oracle is the table that was written."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table

from partitioning.config import TableConfig
from partitioning.layout.paths import leaf_path
from partitioning.readers.base import find_inputs
from partitioning.readers.source import Source, open_source
from partitioning.sky.healpix import Pixel
from tests.partitioning.builders import build_all, published, stored

COUNT = 40
KINDS = {"id": pa.int64(), "ra": pa.float64(), "dec": pa.float64(), "mag": pa.float32(), "band": pa.string(),
         "flag": pa.bool_(), "count": pa.int16()}  # fmt: skip


def sky() -> pa.Table:
    """Return rows with NULL where every format has a way to write it; ids beyond float64; poles and both ends of RA."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, COUNT), np.degrees(np.arcsin(rng.uniform(-1, 1, COUNT)))
    ra[:4], dec[:4] = (0.0, 360.0, 12.5, 77.0), (0.0, 10.0, 90.0, -90.0)
    mag = pa.array(rng.normal(22, 2, COUNT).astype("f4"), mask=rng.random(COUNT) < 0.3)
    values = [2**53 + 1 + rng.permutation(COUNT), ra, dec, mag, rng.choice(["u", "g", "é"], COUNT)]
    counts = pa.array(rng.integers(-(2**15), 2**15, COUNT), mask=rng.random(COUNT) < 0.3)
    columns = [
        pa.array(v).cast(k) for v, k in zip([*values, rng.random(COUNT) < 0.5, counts], KINDS.values(), strict=True)
    ]
    return pa.table(columns, names=list(KINDS))


def as_astropy(table: pa.Table) -> Table:
    made = Table()
    for name in table.column_names:
        mask = np.array(table[name].is_null())
        fill = np.nan if pa.types.is_floating(KINDS[name]) else 0
        values = table[name].fill_null(fill).to_numpy() if mask.any() else table[name].to_numpy()
        values = values.astype(str) if KINDS[name] == pa.string() else values
        masked = mask.any() and pa.types.is_integer(KINDS[name])
        made[name] = MaskedColumn(values, mask=mask, fill_value=-32768) if masked else values
    return made


def as_text(path: Path, table: pa.Table, delimiter: str) -> None:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([table.column_names, *zip(*table.to_pydict().values(), strict=True)])


def as_fits(path: Path, table: pa.Table) -> None:
    made = as_astropy(table)
    made["band"] = np.char.encode(np.asarray(made["band"]), "utf-8")
    fits.table_to_hdu(made).writeto(path)


def as_hats(path: Path, table: pa.Table) -> None:
    """A catalog of two tiles; readers do not ask whether the rows lie in them."""
    lines = ["Norder,Npix"]
    for number, part in enumerate((table.slice(0, 15), table.slice(15))):
        leaf = path / leaf_path(Pixel(0, number))
        leaf.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(part.add_column(0, "_healpix_29", pa.array([0] * len(part))), leaf)
        lines.append(f"0,{number}")
    (path / "partition_info.csv").write_text("\n".join(lines))
    (path / "hats.properties").write_text("obs_collection=c\ndataproduct_type=object\n")


def as_votable(form: str) -> Callable[[Path, pa.Table], None]:
    def write(path: Path, table: pa.Table) -> None:
        document = from_table(as_astropy(table))
        if form == "binary":  # the only way to write a NULL integer
            next(field for field in document.get_first_table().fields if field.name == "count").values.null = -9999
        writeto(document, str(path), tabledata_format=form)

    return write


WRITERS: dict[str, Callable[[Path, pa.Table], None]] = {
    "1.parquet": lambda path, table: pq.write_table(table, path, row_group_size=16),
    "1.csv": lambda path, table: as_text(path, table, ","),
    "1.csv.gz": lambda path, table: as_text(path, table, ","),
    "1.tsv": lambda path, table: as_text(path, table, "\t"),
    "1.tsv.gz": lambda path, table: as_text(path, table, "\t"),
    "1.fits": as_fits,
    "1.fits.gz": as_fits,
    "1.vot": as_votable("tabledata"),
    "2.vot": as_votable("binary"),
    "3.vot": as_votable("binary2"),
    "catalog": as_hats,
}


def source(base: Path, name: str, **keys: Any) -> Source:
    table = TableConfig(name="T", input=(name,), types=KINDS, **keys)
    return open_source(table, find_inputs([name], base), None)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    expected = sky()
    WRITERS[name](tmp_path / name, expected)
    opened = source(tmp_path, name)
    assert opened.schema == expected.schema
    for names in (None, ["flag", "id"], ["mag"]):
        found = pa.Table.from_batches([batch for _, batch in opened.batches(names, batch_rows=7)])
        assert found.combine_chunks().equals(expected.select(names or expected.column_names).combine_chunks())
    assert all(batch.num_rows <= 7 for _, batch in opened.batches(batch_rows=7))


def test_every_format_gives_the_same_catalog(tmp_path: Path) -> None:
    expected = sky()
    tables = []
    for number, (name, write) in enumerate(WRITERS.items()):
        write(tmp_path / name, expected)
        keys = {"input": (name,), "types": KINDS, "ra": "ra", "dec": "dec", "id": ("id",), "target_rows": 15}
        tables.append(TableConfig(name=f"T{number}", **keys))  # type: ignore[arg-type]
    build_all(tmp_path, *tables)
    releases = [stored(published(tmp_path / "catalogs" / "survey" / table.name)) for table in tables]
    columns = list(KINDS)
    assert sorted(releases[0]["id"].to_pylist()) == sorted(expected["id"].to_pylist())
    assert all(release.select(columns).equals(releases[0].select(columns)) for release in releases)
