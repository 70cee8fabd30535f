"""Answers that must agree with each other, whatever they are (Rigger & Su 2020, SQLancer's ways of finding logic bugs).

Each condition splits the rows into those for which it is true, false and unknown; a count does not depend on whether
the condition prunes or is computed for every row; and a row is found by any condition made to hold for it.
"""

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from tests.harness import SampleStore

COLUMNS = ["objectId", "coord_ra", "coord_dec", "g_cModelFlux", "i_psfMag", "detect_isPrimary", "tract"]


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


@pytest.fixture(scope="module")
def objects(sample_store: SampleStore) -> pd.DataFrame:
    frame = pq.read_table(sample_store.survey / "Object", columns=COLUMNS).to_pandas()
    return frame[np.isfinite(frame.coord_ra) & np.isfinite(frame.coord_dec)].reset_index(drop=True)


class Conditions:
    """Makes random conditions on Object; with a pivot, such that hold for that row."""

    def __init__(self, seed: int, objects: pd.DataFrame, language: str) -> None:
        self._random = random.Random(seed)
        self._objects = objects
        self._language = language

    def row(self) -> Any:
        return self._objects.iloc[self._random.randrange(len(self._objects))]

    def any(self, depth: int) -> str:
        """Return a condition about rows near which it may well change."""
        if depth:
            left, right = self.any(depth - 1), self.any(depth - 1)
            return self._random.choice((f"({left} AND {right})", f"({left} OR {right})", f"NOT ({left})", left))
        row, near = self.row(), self._random.choice((self._cone, self._box, self._id, self._number, self._null))
        return near(row, self._random.choice((True, True, False)))

    def true_for(self, row: Any, depth: int) -> str:
        """Return a condition that holds for `row`."""
        if depth:
            held, other = self.true_for(row, depth - 1), self.any(depth - 1)
            another = self.true_for(row, depth - 1)
            return self._random.choice((f"({held} AND {another})", f"({other} OR {held})", f"NOT (NOT ({held}))"))
        return self._random.choice((self._cone, self._box, self._id, self._number))(row, True)

    def _cone(self, row: Any, holds: bool) -> str:
        radius = self._random.choice((1e-6, 0.003, 0.05, 0.4))
        ra, dec = float(row.coord_ra), float(row.coord_dec)
        inside = self._random.choice(
            (
                f"scisql_s2PtInCircle(coord_ra, coord_dec, {ra!r}, {dec!r}, {radius}) = 1",
                f"scisql_angSep(coord_ra, coord_dec, {ra!r}, {dec!r}) <= {radius}",
                f"qserv_areaspec_circle({ra!r}, {dec!r}, {radius})"
                if self._language == "QSERV"
                else f"CONTAINS(POINT(coord_ra, coord_dec), CIRCLE({ra!r}, {dec!r}, {radius})) = 1",
            )
        )
        return inside if holds else f"NOT ({inside})"

    def _box(self, row: Any, holds: bool) -> str:
        size = self._random.choice((1e-7, 0.01, 0.2))
        low, high = float(row.coord_dec) - size, float(row.coord_dec) + size
        between = f"coord_dec BETWEEN {low!r} AND {high!r}"
        if self._random.random() < 0.5:
            between += f" AND coord_ra >= {float(row.coord_ra) - size!r} AND {float(row.coord_ra) + size!r} >= coord_ra"
        return f"({between})" if holds else f"NOT ({between})"

    def _id(self, row: Any, holds: bool) -> str:
        ident, other = int(row.objectId), int(self.row().objectId)
        text = self._random.choice(
            (
                f"objectId = {ident}",
                f"objectId IN ({other}, {ident}, -1)",
                f"objectId BETWEEN {min(ident, other)} AND {max(ident, other)}",
                f"{ident} <= objectId",
            )
        )
        return text if holds else f"NOT ({text})"

    def _number(self, row: Any, holds: bool) -> str:
        name = self._random.choice(("g_cModelFlux", "i_psfMag", "tract"))
        value = float(row[name])
        if not math.isfinite(value):
            return f"{name} IS {'' if holds else 'NOT '}NULL"
        text = self._random.choice(
            (f"{name} >= {value!r}", f"{name} <= {value!r}", f"{name} BETWEEN {value - 1!r} AND {value + 1!r}")
        )
        return text if holds else f"NOT ({text})"

    def _null(self, _row: Any, holds: bool) -> str:
        name = self._random.choice(("g_cModelFlux", "i_psfMag", "detect_isPrimary"))
        return self._random.choice((f"{name} IS {'' if holds else 'NOT '}NULL", "detect_isPrimary = 1"))


@pytest.mark.parametrize("language", ["ADQL", "QSERV"])
@pytest.mark.parametrize("seed", range(8))
def test_every_row_is_true_false_or_unknown(
    client: CatalogClient, objects: pd.DataFrame, language: str, seed: int
) -> None:
    conditions = Conditions(seed, objects, language)
    for _ in range(5):
        condition = conditions.any(2)
        found: list[int] = []
        for part in (condition, f"NOT ({condition})", f"({condition}) IS NULL"):
            query = f"SELECT objectId FROM survey.Object WHERE {part}"
            found += client.query(query, lang=language, maxrec=1_000_000).to_arrow().column(0).to_pylist()
        assert sorted(found) == sorted(objects.objectId), condition


@pytest.mark.parametrize("language", ["ADQL", "QSERV"])
@pytest.mark.parametrize("seed", range(8))
def test_a_count_is_that_of_the_rows_for_which_it_holds(
    client: CatalogClient, objects: pd.DataFrame, language: str, seed: int
) -> None:
    conditions = Conditions(100 + seed, objects, language)
    for _ in range(6):
        condition = conditions.any(2).replace("qserv_areaspec_circle(", "scisql_s2PtInCircle(coord_ra, coord_dec, ")
        counted = client.query(f"SELECT COUNT(*) AS n FROM survey.Object WHERE {condition}", lang=language)
        everywhere = f"SELECT SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) AS n FROM survey.Object"
        summed = client.query(everywhere, lang=language)
        assert counted.to_arrow().to_pylist() == summed.to_arrow().to_pylist(), condition


@pytest.mark.parametrize("language", ["ADQL", "QSERV"])
@pytest.mark.parametrize("seed", range(8))
def test_a_row_is_found_by_what_holds_for_it(
    client: CatalogClient, objects: pd.DataFrame, language: str, seed: int
) -> None:
    conditions = Conditions(200 + seed, objects, language)
    for _ in range(10):
        row = conditions.row()
        condition = conditions.true_for(row, 2)
        query = f"SELECT objectId FROM survey.Object WHERE {condition}"
        found = client.query(query, lang=language, maxrec=1_000_000).to_arrow().column(0).to_pylist()
        assert int(row.objectId) in found, condition
