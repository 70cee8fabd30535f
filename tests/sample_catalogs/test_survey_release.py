import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from sample_catalogs.exceptions import SurveyConfigError, SurveyOutputError
from sample_catalogs.generate import SurveyConfig, SurveyReport, generate_survey, main
from sample_catalogs.survey.release import survey_parts

SMALL = SurveyConfig(n_object=500, n_visit=4, seed=11)


def digests(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(directory: Path, table: str) -> pa.Table:
    return ds.dataset(directory / table, format="parquet").to_table()


def parts(config: SurveyConfig) -> dict[tuple[str, str], pa.Table]:
    return {(part.table, part.name): part.rows for part in survey_parts(config)}


def test_equal_arguments_give_identical_files(survey_config: SurveyConfig, survey_dir: Path, tmp_path: Path) -> None:
    generate_survey(tmp_path / "again", survey_config)
    assert digests(tmp_path / "again") == digests(survey_dir)


def test_another_seed_gives_other_objects(tmp_path: Path) -> None:
    generate_survey(tmp_path / "a", SMALL)
    generate_survey(tmp_path / "b", replace(SMALL, seed=12))
    assert not np.isin(read(tmp_path / "a", "Object")["coord_ra"], read(tmp_path / "b", "Object")["coord_ra"]).any()


@pytest.mark.parametrize("footprint", ["dc2", "dp1", "allsky"])
def test_tract_generated_alone_is_the_same(footprint: str) -> None:
    config = SurveyConfig(footprint=footprint, n_object=1_500, n_visit=3, seed=3)  # type: ignore[arg-type]
    whole = parts(config)
    number = {"dc2": 2760, "dp1": 5003, "allsky": 9999}[footprint]
    alone = parts(replace(config, tracts=(number,)))
    expected = {key: rows for key, rows in whole.items() if key[1] == "visit" or str(number) in key[1].split("_")}
    assert list(alone) == list(expected)
    assert len(alone) >= 4
    for key, rows in alone.items():
        assert rows.to_pandas().equals(expected[key].to_pandas()), key


def test_options_leave_the_rest_of_the_survey_alone() -> None:
    base = parts(SMALL)
    changed = parts(replace(SMALL, with_edge_tract=True, padding_columns=6, with_forced_positions=False))
    for key, rows in base.items():
        if key[0] != "Visit":
            common = [name for name in rows.column_names if name in changed[key].column_names]
            assert changed[key].select(common).to_pandas().equals(rows.select(common).to_pandas()), key
    n_visit = base["Visit", "visit"].num_rows
    assert changed["Visit", "visit"].slice(0, n_visit).equals(base["Visit", "visit"])


def test_positions_can_be_left_out_of_forced_source() -> None:
    config = replace(SMALL, with_forced_positions=False)
    forced = next(part.rows for part in survey_parts(config) if part.table == "ForcedSource")
    assert forced.num_columns == 13
    assert not {"coord_ra", "coord_dec"} & set(forced.column_names)


def test_padding_makes_object_wide_and_holds_nan(tmp_path: Path) -> None:
    config = replace(SMALL, padding_columns=909, with_sources=False)
    report = generate_survey(tmp_path / "wide", config)
    assert set(report.rows) == {"Visit", "Object", "TruthSummary", "MatchesTruth"}
    objects = read(tmp_path / "wide", "Object")
    assert objects.num_columns == 991
    assert len(set(objects.column_names)) == 991
    missing = np.isnan(objects["u_psfFlux"])
    assert missing.any()
    assert np.array_equal(np.isnan(objects["u_pad0000"]), missing)
    assert objects.schema.field("u_pad0002").type == pa.bool_()


def test_visits_share_files_up_to_the_wanted_size() -> None:
    pooled, single = parts(replace(SMALL, min_rows_per_file=1_000)), parts(replace(SMALL, min_rows_per_file=0))
    sizes = [rows.num_rows for key, rows in pooled.items() if key[0] == "ForcedSource"]
    assert len(sizes) == 2
    assert sizes[0] >= 1_000
    visits = [rows["visit"].unique() for key, rows in single.items() if key[0] == "ForcedSource"]
    assert [len(values) for values in visits] == [1] * 4
    assert sum(sizes) == sum(rows.num_rows for key, rows in single.items() if key[0] == "ForcedSource")


def test_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    report = generate_survey(tmp_path / "tiny", SurveyConfig(n_object=2, n_visit=1, seed=1))
    assert report.rows["DiaSource"] == 0
    assert read(tmp_path / "tiny", "DiaSource").num_columns == 17


def test_signed_right_ascension(survey_config: SurveyConfig, survey_dir: Path, tmp_path: Path) -> None:
    generate_survey(tmp_path / "signed", replace(survey_config, ra_convention="signed"))
    for table, name in (("Object", "coord_ra"), ("Visit", "ra"), ("TruthSummary", "ra"), ("Source", "coord_ra")):
        signed, plain = np.asarray(read(tmp_path / "signed", table)[name]), np.asarray(read(survey_dir, table)[name])
        assert np.nanmin(signed) >= -180
        assert np.nanmax(signed) < 180
        assert np.array_equal(np.isnan(signed), np.isnan(plain))
        assert np.nanmax(np.abs((signed - plain + 180) % 360 - 180)) < 1e-13
    edge = np.asarray(read(tmp_path / "signed", "Object")["coord_ra"])
    assert -1e-9 < edge[edge < 0].max() < 0


def test_manifest_and_report_agree_with_the_files(survey_report: SurveyReport, survey_config: SurveyConfig) -> None:
    manifest = json.loads((survey_report.directory / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["config"]["n_object"] == survey_config.n_object
    for table, counts in manifest["tables"].items():
        files = list((survey_report.directory / table).iterdir())
        rows = sum(pq.read_metadata(path).num_rows for path in files)
        assert counts == {"rows": rows, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}
        assert (survey_report.rows[table], survey_report.files[table]) == (rows, len(files))
    assert str(sum(survey_report.rows.values())) in survey_report.describe()


def test_directory_in_use_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SurveyOutputError, match="not an empty directory"):
        generate_survey(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_leftover_of_an_interrupted_run_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".out.partial" / "Object").mkdir(parents=True)
    (tmp_path / ".out.partial" / "Object" / "object_1.parquet").write_bytes(b"half")
    generate_survey(tmp_path / "out", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out" / "Object").iterdir()] == ["object_2700.parquet"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_object": 0}, "n_object is 0"),
        ({"n_visit": -1}, "n_visit is -1"),
        ({"objects_per_deg2": 0.0}, "objects_per_deg2 is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"padding_columns": -1}, "padding_columns is -1"),
        ({"footprint": "moon"}, "choose one of dc2, dc2strip"),
        ({"ra_convention": "hours"}, "choose one of 0to360, signed"),
        ({"n_object": 10**6, "objects_per_deg2": 1.0}, "raise objects_per_deg2"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SurveyConfigError, match=message):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_unknown_tract_is_named(tmp_path: Path) -> None:
    with pytest.raises(SurveyConfigError, match="has no tract 1; it has 2700 to 2700"):
        generate_survey(tmp_path / "out", replace(SMALL, tracts=(1,)))
    assert not (tmp_path / "out").exists()


def test_command_line_passes_every_option_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--n-object 300 --n-visit 2 --seed 5 --density 5e5 --edge-tract --no-forced-positions --cols 3"
    arguments += " --ra-convention signed --tract 9999 --tract 2700 --min-rows-per-file 7 --footprint dc2strip"
    assert main(["--out", str(tmp_path / "cli"), *arguments.split()]) == 0
    assert "ForcedSource" in capsys.readouterr().out
    config = SurveyConfig(
        n_object=300,
        n_visit=2,
        seed=5,
        objects_per_deg2=5e5,
        with_edge_tract=True,
        with_forced_positions=False,
        padding_columns=3,
        ra_convention="signed",
        tracts=(9999, 2700),
        min_rows_per_file=7,
    )
    generate_survey(tmp_path / "library", config)
    assert digests(tmp_path / "cli") == digests(tmp_path / "library")


def test_command_line_explains_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "x"), "--n-object", "0"]) == 1
    assert capsys.readouterr().err == "error: n_object is 0; it must be greater than 0.\n"
