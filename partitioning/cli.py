"""Command line of the partitioner: ``catalog-partition``."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from .exceptions import PartitioningError

__all__ = ["ALLOCATOR", "app", "main"]

ALLOCATOR: Final = ("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
"""Environment variable that pyarrow reads when it loads. Its default allocator returns memory to the system and takes
it back all the time: the bucket pass spent 3.0 s of system time on 4 million rows, with jemalloc 0.9 s."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Partition sky catalogs into HATS Parquet."""


@app.command()
def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to build; see the documentation.")],
    root: Annotated[Path | None, typer.Option(help="Publish under this directory instead of release.root.")] = None,
    input_dir: Annotated[
        Path | None, typer.Option(help="Start relative inputs here instead of at the configuration file.")
    ] = None,
) -> None:
    """Build all tables of a configuration and publish them as new releases."""
    if sys.platform == "linux":
        os.environ.setdefault(*ALLOCATOR)
    from . import pipeline  # noqa: PLC0415  pyarrow and duckdb load only when something is built
    from .config import load_config  # noqa: PLC0415

    pipeline.build(load_config(config, root=root, input_dir=input_dir), report=typer.echo)


@app.command()
def describe(table: Annotated[Path, typer.Argument(metavar="ROOT/SCHEMA/TABLE")]) -> None:
    """Tell what a published table holds: rows, files, placement, columns."""
    from .describe import describe_table  # noqa: PLC0415

    for line in describe_table(table):
        typer.echo(line)


@app.command()
def adopt(  # noqa: PLR0913, PLR0917 - options of a command line
    root: Annotated[Path, typer.Option(help="Directory of published catalogs.")],
    schema: Annotated[str, typer.Option(help="Schema to publish in.")],
    table: Annotated[str, typer.Option(help="Name of the table.")],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="A HATS catalog, or Parquet files and directories.")
    ] = None,
    ra: Annotated[str | None, typer.Option(help="Column of the right ascension, degrees.")] = None,
    dec: Annotated[str | None, typer.Option(help="Column of the declination, degrees.")] = None,
    ident: Annotated[list[str] | None, typer.Option("--id", help="Identifier column; may be repeated.")] = None,
    trust_tiles: Annotated[bool, typer.Option("--trust-tiles", help="Read no rows: believe HATS tiles.")] = False,  # noqa: FBT002
    scan: Annotated[bool, typer.Option("--scan", help="Read every value to learn which columns hold NaN.")] = False,  # noqa: FBT002
    check: Annotated[bool, typer.Option("--check", help="Only tell which adopted files have changed since.")] = False,  # noqa: FBT002
) -> None:
    """Publish other people's Parquet files where they lie: only a sidecar is written, outside their tree."""
    from . import adopt as adopting  # noqa: PLC0415

    if check:
        changed = list(adopting.changed_files(root / schema / table))
        typer.echo("\n".join([*changed, f"{len(changed)} files have changed"]))
        raise typer.Exit(1 if changed else 0)
    if not paths:
        raise typer.BadParameter("name what to adopt", param_hint="PATH...")
    wanted = adopting.Adoption(
        paths=tuple(paths),
        root=root,
        schema=schema,
        table=table,
        ra=ra,
        dec=dec,
        id=tuple(ident or ()),
        trust_tiles=trust_tiles,
        scan=scan,
    )
    adopting.adopt(wanted, report=typer.echo)


@app.command()
def verify(  # noqa: PLR0913  options of a command
    table: Annotated[Path, typer.Argument(metavar="ROOT/SCHEMA/TABLE")],
    *,
    release: Annotated[int | None, typer.Option(help="Number of the release; by default the published one.")] = None,
    sample: Annotated[str | None, typer.Option(metavar="1%", help="Read this share of the tiles.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every tile, as without --sample.")] = False,
    seed: Annotated[int, typer.Option(help="Chooses the tiles of a sample.")] = 0,
    workers: Annotated[int, typer.Option(help="Tiles read at the same time.")] = 1,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there, too.")] = None,
) -> None:
    """Check a release against itself. Exit code: 0 clean, 1 with findings, 2 if it cannot be checked."""
    from .checks.command import VerifyOptions, run_verify  # noqa: PLC0415

    options = VerifyOptions(table, release, sample, seed, workers, json, is_full=full)
    raise typer.Exit(run_verify(options, typer.echo))


@app.command()
def repair(
    table: Annotated[Path, typer.Argument(metavar="ROOT/SCHEMA/TABLE")],
    *,
    release: Annotated[int | None, typer.Option(help="Number of the release; by default the published one.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="statistics, margin, index, maps or properties; by default all.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Tiles read at the same time.")] = 1,
) -> None:
    """Make what follows from the leaves of a release again: statistics, margin, index, maps, properties."""
    from .checks.command import run_repair  # noqa: PLC0415

    raise typer.Exit(run_repair(table, release, part or [], workers, typer.echo))


def main() -> None:
    """Run the command line; an error of ours, or of the file system, ends it with one line and exit code 1."""
    try:
        app()
    except (PartitioningError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
