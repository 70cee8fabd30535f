"""One small survey, generated once and read by most tests of the generator."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from sample_catalogs.generate import SurveyConfig, SurveyReport, generate_survey


@pytest.fixture(scope="session")
def survey_config() -> SurveyConfig:
    return SurveyConfig(n_object=4_000, n_visit=12, with_edge_tract=True, seed=7)


@pytest.fixture(scope="session")
def survey_report(survey_config: SurveyConfig, tmp_path_factory: pytest.TempPathFactory) -> SurveyReport:
    return generate_survey(tmp_path_factory.mktemp("survey") / "release", survey_config)


@pytest.fixture(scope="session")
def survey_dir(survey_report: SurveyReport) -> Path:
    return survey_report.directory


@pytest.fixture(scope="session")
def survey(survey_dir: Path) -> dict[str, pa.Table]:
    """Every table, read back from its files."""
    folders = sorted(path for path in survey_dir.iterdir() if path.is_dir())
    return {folder.name: ds.dataset(folder, format="parquet").to_table() for folder in folders}
