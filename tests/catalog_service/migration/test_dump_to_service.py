"""From a Qserv to a service of ours: dumped, built, served, and the answers are the same."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pymysql
import pytest

from catalog_service.cli import main
from catalog_service.client import CatalogClient
from catalog_service.migration.compare import Rules, compare_results
from catalog_service.migration.compare.shape import shape_of
from partitioning.config import load_config
from partitioning.pipeline import build
from tests.catalog_service.migration.qserv_like import QservLike
from tests.harness import SampleStore, start_server, stop_server

PLACED = ("--ra", "coord_ra", "--dec", "coord_dec")
TABLES = {
    "Object": PLACED,
    "TruthSummary": ("--ra", "ra", "--dec", "dec", "--id", "id_truth_type"),
    "MatchesTruth": ("--id", "id_truth_type", "--parent", "TruthSummary:id_truth_type"),
}
QUERIES = (
    "SELECT COUNT(*) AS n, MIN(objectId) AS a, MAX(objectId) AS b, SUM(objectId % 1000003) AS s FROM Object",
    (
        "SELECT objectId, coord_ra, coord_dec, g_psfFlux, detect_isPrimary, refBand FROM Object "
        "WHERE scisql_s2PtInCircle(coord_ra, coord_dec, 62.0, -37.0, 0.2) = 1 ORDER BY objectId"
    ),
    "SELECT refBand, COUNT(*) AS n, AVG(g_psfFlux) AS f FROM Object GROUP BY refBand",
    (
        "SELECT o.objectId, t.flux_r, m.match_chisq FROM Object o JOIN MatchesTruth m ON m.match_objectId = o.objectId "
        "JOIN TruthSummary t ON t.id_truth_type = m.id_truth_type WHERE o.r_psfFlux > 20000"
    ),
    "SELECT COUNT(*) AS n FROM Object WHERE g_psfFlux IS NULL OR u_psfFlux_flag = 1",
)


@pytest.fixture(scope="module")
def dumped(qserv_like: QservLike, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dump tables of the Qserv."""
    out = tmp_path_factory.mktemp("dumped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATALOG_SOURCE_PASSWORD", qserv_like.password)
        for name, options in TABLES.items():
            command = ["catalog-service", "migrate", "dump", qserv_like.url, f"survey.{name}", "--out", str(out)]
            patch.setattr(sys, "argv", [*command, "--rate", "100%", "--verify", *options])
            with contextlib.suppress(SystemExit):
                main()
            assert (out / "survey" / name / "_manifest.json").exists()
    return out


def as_mysql_holds(table: pa.Table) -> pa.Table:
    """Return a table with what is not finite as NULL."""
    columns = [
        pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
        if pa.types.is_floating(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


@pytest.mark.parametrize(("table", "key"), [("Object", "objectId"), ("TruthSummary", "id_truth_type")])
def test_what_was_dumped_is_what_was_loaded(dumped: Path, sample_store: SampleStore, table: str, key: str) -> None:
    found = pq.read_table(dumped / "survey" / table).sort_by(key)
    given = pq.read_table(sample_store.survey / table).sort_by(key)
    placed = [name for name in given.column_names if name in {"coord_ra", "coord_dec", "ra", "dec"}]
    given = as_mysql_holds(given)
    for name in placed:  # a Qserv holds no rows without a position
        given = given.filter(pc.is_valid(given[name]))
    assert found.num_rows == given.num_rows > 10_000
    for name in given.column_names:
        assert found[name].equals(given[name].cast(found[name].type)), name


def test_the_service_gives_the_answers_of_the_qserv(
    dumped: Path, qserv_like: QservLike, tmp_path_factory: pytest.TempPathFactory
) -> None:
    build(replace(load_config(dumped / "survey" / "release.toml"), workers=1))
    server = start_server(dumped / "catalogs", tmp_path_factory.mktemp("new"))
    try:
        client = CatalogClient(server.url)
        for query, old in answers(qserv_like):
            new = client.query(query, lang="QSERV").to_arrow()
            found = compare_results(old, new, Rules().of(shape_of(query)))
            assert found.is_equal, f"{query}\n{found}"
            assert old.num_rows > 0
    finally:
        stop_server(server)


def answers(server: QservLike) -> Iterator[tuple[str, pa.Table]]:
    connection = pymysql.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=server.password, database="survey"
    )
    with connection, connection.cursor() as cursor:
        for query in QUERIES:
            cursor.execute(query)
            names = [one[0] for one in cursor.description]
            columns = list(zip(*cursor.fetchall(), strict=True))
            yield query, pa.table({name: list(map(plain, values)) for name, values in zip(names, columns, strict=True)})


def plain(value: object) -> object:
    return value[0] if isinstance(value, bytes) and len(value) == 1 else value
