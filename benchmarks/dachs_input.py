"""The table of the comparison with DaCHS, once as Parquet for us, once as CSV and resource descriptor for DaCHS.

``python -m benchmarks.dachs_input DIRECTORY`` writes ``data/obj.csv`` and ``q.rd``; DIRECTORY is ``bench`` below what
``dachs config inputsDir`` prints. How to go on: see `benchmarks.bench_dachs`.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

__all__ = ["FIELD", "ROWS", "objects", "write_dachs"]

ROWS = 1_000_000
FIELD = {"ra": (55.0, 65.0), "dec": (-40.0, -30.0)}
"""Bounds of the field in degrees."""

_HEAD = """<resource schema="bench" resdir=".">
  <meta name="title">Objects of a benchmark</meta>
  <meta name="description">Random positions and fluxes to measure services with.</meta>
  <meta name="creationDate">2026-01-01T00:00:00</meta>
  <meta name="subject">surveys</meta>
  <meta name="creator.name">Benchmark</meta>
  <meta name="instrument">none</meta>
  <meta name="facility">none</meta>
  <table id="object" onDisk="True" adql="True" mixin="//scs#q3cindex" primary="objectId">
    <stc>Position ICRS Epoch J2000.0 "coord_ra" "coord_dec"</stc>
"""
_TAIL = """  </table>
  <data id="import">
    <sources pattern="data/*.csv"/>
    <csvGrammar/>
    <make table="object"><rowmaker idmaps="*"/></make>
  </data>
  <service id="cone" allowed="scs.xml,form,static">
    <meta name="shortName">bench cone</meta>
    <meta name="title">Benchmark cone search</meta>
    <meta name="testQuery.ra">60</meta>
    <meta name="testQuery.dec">-35</meta>
    <meta name="testQuery.sr">0.1</meta>
    <publish render="scs.xml" sets="ivo_managed"/>
    <scsCore queriedTable="object"><FEED source="//scs#coreDescs"/></scsCore>
  </service>
</resource>
"""
_TYPES = {pa.int64(): "bigint", pa.int32(): "integer", pa.int16(): "smallint", pa.float32(): "real"}
_UCDS = {"objectId": "meta.id;meta.main", "coord_ra": "pos.eq.ra;meta.main", "coord_dec": "pos.eq.dec;meta.main"}


def objects(rows: int = ROWS) -> pa.Table:
    """Return `rows` objects of 31 columns, the same for every call: 12,200 a square degree with the default."""
    rng = np.random.default_rng(42)
    ra = rng.uniform(*FIELD["ra"], rows)
    south, north = np.sin(np.radians(FIELD["dec"]))
    dec = np.degrees(np.arcsin(rng.uniform(south, north, rows)))
    columns = {
        "objectId": np.arange(rows, dtype=np.int64) + 10**12,
        "coord_ra": ra,
        "coord_dec": dec,
        "tract": rng.integers(2000, 5000, rows).astype(np.int32),
        "patch": rng.integers(0, 49, rows).astype(np.int32),
        "detect_isPrimary": rng.integers(0, 2, rows).astype(np.int16),
        "refExtendedness": rng.integers(0, 2, rows).astype(np.float32),
    }
    for band in "ugrizy":
        flux = rng.lognormal(5, 2, rows)
        factors = {"psfFlux": 1.0, "psfFluxErr": 0.05, "cModelFlux": 1.1, "cModelFluxErr": 0.06}
        columns |= {f"{band}_{name}": flux * factor for name, factor in factors.items()}
    return pa.table(columns)


def write_dachs(directory: Path, table: pa.Table) -> None:
    """Write the table and its resource descriptor below `directory`."""
    (directory / "data").mkdir(parents=True, exist_ok=True)
    pacsv.write_csv(table, directory / "data" / "obj.csv")
    columns = "".join(_column(field) for field in table.schema)
    (directory / "q.rd").write_text(_HEAD + columns + _TAIL, encoding="utf-8")


def _column(field: pa.Field) -> str:
    kind = _TYPES.get(field.type, "double precision")
    unit = "deg" if field.name.startswith("coord_") else "nJy" if "Flux" in field.name else ""
    required = ' required="True"' if pa.types.is_integer(field.type) else ""
    return (
        f'    <column name="{field.name}" type="{kind}" unit="{unit}" ucd="{_UCDS.get(field.name, "")}"'
        f' description="{field.name} of the object" verbLevel="1"{required}/>\n'
    )


def main() -> None:
    """Write what DaCHS imports."""
    parser = argparse.ArgumentParser(description="Write the table of the benchmark for DaCHS.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    arguments = parser.parse_args()
    write_dachs(arguments.directory, objects(arguments.rows))


if __name__ == "__main__":
    main()
