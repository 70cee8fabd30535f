"""A release: the parts of a survey, one a file, in the layout that a data release hands over.

There is one file per tract (Object, TruthSummary, MatchesTruth, DiaObject), one per tract and visit (ForcedSource,
Source, DiaSource; visits with few rows share one), and one for Visit. Objects are in the order of their patches,
nothing is in HEALPix order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from sample_catalogs.survey.arrays import Stream, random_stream
from sample_catalogs.survey.camera import Camera
from sample_catalogs.survey.config import SurveyConfig
from sample_catalogs.survey.footprint import Tract, make_tracts, select_tracts, survey_camera
from sample_catalogs.survey.objects import object_rows
from sample_catalogs.survey.observation import observe
from sample_catalogs.survey.population import Population, draw_population
from sample_catalogs.survey.sources import SourceTables
from sample_catalogs.survey.tables import table_schemas
from sample_catalogs.survey.truth import draw_truth, match_rows, truth_rows
from sample_catalogs.survey.variability import draw_variability
from sample_catalogs.survey.visits import Exposure, draw_visits, visit_rows

__all__ = ["Part", "survey_parts", "tract_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The content of one file."""

    table: str
    """Name of the table."""

    name: str
    """Name of the file, without its suffix."""

    rows: pa.Table
    """The rows."""


def survey_parts(config: SurveyConfig) -> Iterator[Part]:
    """Generate a survey, file by file.

    Parameters
    ----------
    config
        What to generate.

    Raises
    ------
    SurveyConfigError
        If the configuration asks for a tract that the footprint does not have.
    """
    tracts = make_tracts(config)
    wanted = select_tracts(config, tracts)
    exposures = draw_visits(config, tracts)
    yield Part("Visit", "visit", visit_rows(exposures, table_schemas(config)["Visit"]))
    for tract in wanted:
        yield from tract_parts(tract, exposures, config)


def tract_parts(tract: Tract, exposures: list[Exposure], config: SurveyConfig) -> Iterator[Part]:
    """Generate the files of one tract.

    Parameters
    ----------
    tract
        The tract.
    exposures
        Every visit of the survey.
    config
        What to generate.
    """
    population = draw_population(tract, config.seed)
    yield from _coadd_parts(population, config)
    if config.with_sources:
        yield from _visit_parts(population, exposures, survey_camera(config), config)


def _coadd_parts(population: Population, config: SurveyConfig) -> Iterator[Part]:
    """Generate Object and the truth tables."""
    schemas, number, seed = table_schemas(config), population.tract, config.seed
    objects = object_rows(population, schemas["Object"], padding_columns=config.padding_columns, seed=seed)
    yield Part("Object", f"object_{number}", objects)
    truth = draw_truth(population, random_stream(seed, Stream.TRUTH, number))
    yield Part("TruthSummary", f"truth_{number}", truth_rows(truth, schemas["TruthSummary"]))
    matches = match_rows(truth, population, schemas["MatchesTruth"], random_stream(seed, Stream.MATCHES, number))
    yield Part("MatchesTruth", f"match_{number}", matches)


def _visit_parts(
    population: Population, exposures: list[Exposure], camera: Camera, config: SurveyConfig
) -> Iterator[Part]:
    """Generate Source, ForcedSource, DiaSource and DiaObject."""
    schemas, number = table_schemas(config), population.tract
    variability = draw_variability(population, config.seed)
    tables = SourceTables(population, variability, schemas, config.seed)
    pools = {
        "ForcedSource": _Pool("ForcedSource", config.min_rows_per_file),
        "Source": _Pool("Source", config.min_rows_per_file),
        "DiaSource": _Pool("DiaSource", config.min_rows_per_file),
    }
    for exposure in exposures:
        observation = observe(population, variability, exposure, camera, config.seed)
        if observation is None:
            continue
        names = {
            "ForcedSource": f"forced_{number}_{exposure.index:04d}",
            "Source": f"source_{exposure.visit}_{number}",
            "DiaSource": f"dia_{number}_{exposure.index:04d}",
        }
        for table, rows in tables.measure(observation).items():
            yield from pools[table].add(names[table], rows)
    for pool in pools.values():
        yield from pool.flush()
    yield Part("DiaObject", f"diaobject_{number}", tables.dia_objects())


class _Pool:
    """Collects the rows of consecutive visits until they fill a file, which takes the name of the first of them.

    Parameters
    ----------
    table
        Name of the table.
    min_rows
        Smallest number of rows of a file, its last one excepted.
    """

    def __init__(self, table: str, min_rows: int) -> None:
        self._table = table
        self._min_rows = min_rows
        self._name = ""
        self._rows: list[pa.Table] = []

    def add(self, name: str, rows: pa.Table) -> Iterator[Part]:
        """Add the rows of one visit and generate the file that they fill, if they do."""
        if not rows.num_rows:
            return
        self._name = self._name or name
        self._rows.append(rows)
        if sum(chunk.num_rows for chunk in self._rows) >= self._min_rows:
            yield from self.flush()

    def flush(self) -> Iterator[Part]:
        """Generate the file of what is left, if anything is."""
        if self._rows:
            yield Part(self._table, self._name, pa.concat_tables(self._rows).combine_chunks())
        self._name, self._rows = "", []
