"""Generate a synthetic survey: a small sky with the table names, column names and types of a Rubin data release.

::

    python -m sample_catalogs.generate --out DIR [--footprint dc2|dc2strip|dp1|allsky] [--n-object N] [--n-visit V]

The tables are Visit, Object, TruthSummary, MatchesTruth, Source, ForcedSource, DiaObject and DiaSource, as Parquet
files laid out the way a release hands them over, not the way a sharded store holds them. "Not measured" is NaN, as in
the files of real releases; only ``refBand`` holds NULLs. A model flux of exactly 0 has the magnitude +inf.

Every random number comes from a stream that belongs to the seed, a purpose and a place: equal arguments give identical
files, and a tract generated alone (``--tract``) is identical to the same tract in the whole survey.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from sample_catalogs.exceptions import SampleCatalogError
from sample_catalogs.survey.config import Footprint, RaConvention, SurveyConfig, SurveyReport
from sample_catalogs.survey.output import write_survey

__all__ = ["SurveyConfig", "SurveyReport", "generate_survey", "main"]


def generate_survey(out_dir: Path, config: SurveyConfig) -> SurveyReport:
    """Generate a survey and write it to a directory, which appears when it is complete.

    Parameters
    ----------
    out_dir
        Directory to make; it must not exist or be empty. It gets one sub-directory a table, and ``manifest.json``.
    config
        What to generate.

    Raises
    ------
    SurveyConfigError
        If the configuration asks for a tract that the footprint does not have.
    SurveyOutputError
        If the directory is not empty.
    """
    return write_survey(out_dir, config)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module docstring."""
    options = _parser().parse_args(arguments)
    try:
        report = generate_survey(options.out, _config(options))
    except SampleCatalogError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(report.describe() + "\n")
    return 0


def _config(options: argparse.Namespace) -> SurveyConfig:
    return SurveyConfig(
        footprint=options.footprint,
        n_object=options.n_object,
        n_visit=options.n_visit,
        objects_per_deg2=options.density,
        seed=options.seed,
        padding_columns=options.cols,
        with_sources=not options.no_sources,
        with_forced_positions=not options.no_forced_positions,
        with_edge_tract=options.edge_tract,
        ra_convention=options.ra_convention,
        tracts=tuple(options.tract) if options.tract else None,
        min_rows_per_file=options.min_rows_per_file,
    )


def _parser() -> argparse.ArgumentParser:
    defaults = SurveyConfig()
    parser = argparse.ArgumentParser(
        prog="python -m sample_catalogs.generate",
        description="Generate a synthetic survey with the tables of a Rubin data release, as Parquet files.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="directory to make; one sub-directory a table")
    add("--footprint", choices=get_args(Footprint), default=defaults.footprint, help="part of the sky")
    add("--n-object", type=int, default=defaults.n_object, metavar="N", help="number of objects")
    add("--n-visit", type=int, default=defaults.n_visit, metavar="V", help="number of visits")
    add(
        "--density",
        type=float,
        default=defaults.objects_per_deg2,
        metavar="D",
        help="objects per square degree of dc2strip",
    )
    add("--seed", type=int, default=defaults.seed, help="seed of every random number")
    add("--cols", type=int, default=0, metavar="PAD", help="padding columns of Object; 909 make 991 in all")
    add("--no-sources", action="store_true", help="leave out Source, ForcedSource, DiaObject and DiaSource")
    add("--no-forced-positions", action="store_true", help="leave coord_ra and coord_dec out of ForcedSource, as DP2")
    add("--edge-tract", action="store_true", help="add tract 9999, positions that break naive code (allsky has it)")
    add("--ra-convention", choices=get_args(RaConvention), default=defaults.ra_convention, help="range of RA")
    add("--tract", type=int, action="append", metavar="T", help="generate this tract only; may be repeated")
    add(
        "--min-rows-per-file",
        type=int,
        default=defaults.min_rows_per_file,
        metavar="R",
        help="visits of a tract share a file up to this many rows; 0: a file for each",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
