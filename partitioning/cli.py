"""Command line of the partitioner: ``catalog-partition``."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .exceptions import PartitioningError
from .without_pandas import hide_pandas

if TYPE_CHECKING:  # pyarrow and duckdb load only when something is built
    from .config import BuildConfig
    from .executors import Executor
    from .progress import Teller

__all__ = ["ALLOCATOR", "app", "main"]

ALLOCATOR: Final = ("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
"""Environment variable that pyarrow reads when it loads. Its default allocator returns memory to the system and takes
it back all the time: the bucket pass spent 3.0 s of system time on 4 million rows, with jemalloc 0.9 s."""

_LEAST_MEMORY: Final = 64 << 20

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


class ExecutorName(StrEnum):
    """Where units of work run."""

    local = "local"
    array = "array"
    dask = "dask"


def _size(text: str) -> int:
    from .config import parse_size  # noqa: PLC0415

    size = parse_size(text)
    if size is None:
        msg = f"{text!r} is not a size such as 268435456, '2GB' or '256 MiB'"
        raise typer.BadParameter(msg)
    return size


def _memory(text: str) -> int:
    size = _size(text)
    if size < _LEAST_MEMORY:
        msg = f"{text!r} is too little; give at least '64 MiB'"
        raise typer.BadParameter(msg)
    return size


def _home(text: str) -> Path:
    """Return a table's directory under its own name, which is part of the names of releases: not ``.`` or a link's."""
    absolute = Path(os.path.abspath(text))  # noqa: PTH100  a link of the table's name keeps its place in the schema
    resolved = absolute.resolve()
    return absolute if absolute.name == resolved.name else resolved


_Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to build; see the documentation.")]
_Table = Annotated[
    Path, typer.Argument(parser=_home, metavar="ROOT/SCHEMA/TABLE", help="Directory of a published table.")
]
_Tables = Annotated[
    list[Path],
    typer.Argument(
        parser=_home, metavar="ROOT/SCHEMA/TABLE...", help="Directories of published tables, or of a schema: all of it."
    ),
]
_Root = Annotated[Path | None, typer.Option(metavar="DIR", help="Publish under this directory, not release.root.")]
_InputDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Start relative inputs here, not at the file.")]
_Memory = Annotated[
    int | None, typer.Option(parser=_memory, metavar="SIZE", help="Memory of all processes together, e.g. 2GB.")
]
_OwnMemory = Annotated[
    int | None,
    typer.Option(
        parser=_memory, metavar="SIZE", help="Memory of this process, e.g. 2GB: in array mode each has its own."
    ),
]
_Workers = Annotated[int | None, typer.Option(min=1, max=256, help="Processes that work at the same time.")]
_Readers = Annotated[
    int | None, typer.Option(help="Tiles read at the same time; by default as many as there are processors.")
]
_Spill = Annotated[Path | None, typer.Option(metavar="DIR", help="Directory for spill files.")]
_MaxSpill = Annotated[int | None, typer.Option(parser=_size, metavar="SIZE", help="Most bytes of spill files.")]
_SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave damaged parts of the input out, and report them.")]
_Where = Annotated[ExecutorName, typer.Option("--executor", help="Where units of work run.")]
_Address = Annotated[str | None, typer.Option(metavar="tcp://...", help="Scheduler of the Dask cluster.")]
_Stale = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="Array: a helper not heard of for so long counts as dead.")
]
_Only = Annotated[list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; may be repeated.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell tiles, sizes, time and all problems; write nothing under the root.")
]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Where `build` and `append` run."""

    config: "BuildConfig"
    executor: ExecutorName
    address: str | None
    stale_s: float

    @contextmanager
    def open_executor(self) -> "Iterator[Executor | None]":
        """Offer where units run; None: the build chooses."""
        from .executors import ArrayExecutor, DaskExecutor  # noqa: PLC0415
        from .stages.run import Share  # noqa: PLC0415

        config = self.config
        executor: Executor | None = None
        if self.executor is ExecutorName.array:
            executor = ArrayExecutor(Share.of(config.memory, 1), self.stale_s)
        elif self.executor is ExecutorName.dask:
            if self.address is None:
                raise typer.BadParameter("give the scheduler's address", param_hint="--dask-address")
            executor = DaskExecutor(Share.of(config.memory, config.workers), self.address)
        try:
            yield executor
        finally:
            if executor is not None:
                executor.close()


@app.callback()
def _root() -> None:
    """Partition sky catalogs into HATS Parquet."""


@app.command()
def build(  # noqa: PLR0913, PLR0917  options of a command line
    config: _Config,
    root: _Root = None,
    input_dir: _InputDir = None,
    memory: _Memory = None,
    workers: _Workers = None,
    spill: _Spill = None,
    max_spill: _MaxSpill = None,
    skip_bad: _SkipBad = False,  # noqa: FBT002
    executor: _Where = ExecutorName.local,
    dask_address: _Address = None,
    helper_timeout: _Stale = 60.0,
    table: _Only = None,
    dry_run: _DryRun = False,  # noqa: FBT002
) -> None:
    """Build all tables of a configuration and publish them as new releases; an interrupted build goes on."""
    _prepare_arrow()
    options = {"memory": memory, "workers": workers, "spill": spill, "max_spill": max_spill}
    if dry_run:
        _tell_config_problems(config)
    wanted = _configured(config, table, root=root, input_dir=input_dir, **options)
    if dry_run:
        _dry_run(wanted, skip_bad=skip_bad)
        return
    run = _Run(config=wanted, executor=executor, address=dask_address, stale_s=helper_timeout)
    from . import pipeline  # noqa: PLC0415

    with run.open_executor() as where:
        pipeline.build(wanted, teller=_teller(), skip_bad=skip_bad, executor=where)


@app.command()
def append(  # noqa: PLR0913, PLR0917  options of a command line
    config: _Config,
    replaced: Annotated[
        list[str] | None,
        typer.Option("--replace", metavar="NAME", help="Input file to take out and read again; may be repeated."),
    ] = None,
    root: _Root = None,
    input_dir: _InputDir = None,
    memory: _Memory = None,
    workers: _Workers = None,
    spill: _Spill = None,
    max_spill: _MaxSpill = None,
    skip_bad: _SkipBad = False,  # noqa: FBT002
    executor: _Where = ExecutorName.local,
    dask_address: _Address = None,
    helper_timeout: _Stale = 60.0,
    table: _Only = None,
    dry_run: _DryRun = False,  # noqa: FBT002
) -> None:
    """Add new input files to the published tables of a configuration, as their next releases."""
    _prepare_arrow()
    options = {"memory": memory, "workers": workers, "spill": spill, "max_spill": max_spill}
    if dry_run:
        _tell_config_problems(config)
    wanted = _configured(config, table, root=root, input_dir=input_dir, **options)
    if dry_run:
        _dry_run(wanted, skip_bad=skip_bad, replaced=replaced or ())
        return
    run = _Run(config=wanted, executor=executor, address=dask_address, stale_s=helper_timeout)
    from . import pipeline  # noqa: PLC0415

    with run.open_executor() as where:
        pipeline.append(wanted, replaced=replaced or (), teller=_teller(), skip_bad=skip_bad, executor=where)


@app.command()
def work(
    config: _Config,
    root: _Root = None,
    memory: _OwnMemory = None,
    table: _Only = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="End after so long without a build.")] = 600.0,
) -> None:
    """Help builds that run with --executor array, on any machine that shares their directories."""
    _prepare_arrow()
    wanted = _configured(config, table, root=root, input_dir=None, memory=memory)
    from .helper import help_builds  # noqa: PLC0415
    from .stages.run import Share  # noqa: PLC0415

    homes = [wanted.root / wanted.schema / one.name for one in wanted.tables]
    help_builds(homes, Share.of(wanted.memory, 1), wait_s=wait, report=typer.echo)


@app.command()
def status(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml|ROOT[/SCHEMA[/TABLE]]", help="Configuration, or directory of a table, a schema or all."
        ),
    ],
    root: _Root = None,
    spill: _Spill = None,
    table: _Only = None,
) -> None:
    """Tell where builds stand: published, running, interrupted, idle; works while they run, from any machine."""
    from .status import config_status, directory_status, status_lines  # noqa: PLC0415

    if place.is_dir():
        found = directory_status(_home(str(place)), spill)
    else:
        found = config_status(_configured(place, table, root=root, input_dir=None, spill=spill))
    for one in found:
        for line in status_lines(one):
            typer.echo(line)


@app.command()
def describe(
    table: _Table,
    release: Annotated[int | None, typer.Option(help="Number of a release; by default the current one.")] = None,
    inputs: Annotated[bool, typer.Option("--inputs", help="Name all input files, not only the first 20.")] = False,  # noqa: FBT002
) -> None:
    """Tell what a published table holds: rows, tiles, coverage, columns, inputs, releases."""
    from .describe import describe_table  # noqa: PLC0415

    for line in describe_table(table, release=release, all_inputs=inputs):
        typer.echo(line)


@app.command()
def prune(
    tables: _Tables,
    keep: Annotated[int, typer.Option(min=1, help="Complete releases that stay, the current one included.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,  # noqa: FBT002
) -> None:
    """Remove old releases of tables, and what crashes left; never the current one."""
    from .releases import prune_releases, tables_of  # noqa: PLC0415

    prune_releases(tables_of(tables), keep=keep, dry_run=dry_run, report=typer.echo)


@app.command()
def switch(
    tables: _Tables, release: Annotated[int, typer.Option(help="Number of a release that is there (see describe).")]
) -> None:
    """Make another release of tables the current one; of none if one of them has no such release."""
    from .releases import switch_releases, tables_of  # noqa: PLC0415

    switch_releases(tables_of(tables), release, report=typer.echo)


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
    tables: _Tables,
    *,
    release: Annotated[int | None, typer.Option(help="Number of the release; by default the published one.")] = None,
    sample: Annotated[str | None, typer.Option(metavar="1%", help="Read this share of the tiles.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every tile, as without --sample.")] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Chooses the tiles of a sample; by default others each time.")
    ] = None,
    workers: _Readers = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there, too.")] = None,
) -> None:
    """Check releases against themselves. Exit code: 0 clean, 1 with findings, 2 if one cannot be checked."""
    from .checks.command import VerifyOptions, run_verify  # noqa: PLC0415
    from .releases import tables_of  # noqa: PLC0415

    options = VerifyOptions(tables_of(tables), release, sample, seed, _readers(workers), json, is_full=full)
    raise typer.Exit(run_verify(options, typer.echo))


@app.command()
def repair(
    table: _Table,
    *,
    release: Annotated[int | None, typer.Option(help="Number of the release; by default the published one.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="statistics, margin, index, maps or properties; by default all.")
    ] = None,
    workers: _Readers = None,
) -> None:
    """Make what follows from the leaves of a release again: statistics, margin, index, maps, properties."""
    from .checks.command import run_repair  # noqa: PLC0415

    raise typer.Exit(run_repair(table, release, part or [], _readers(workers), typer.echo))


def _readers(workers: int | None) -> int:
    """Return how many tiles are read at the same time."""
    return (os.cpu_count() or 1) if workers is None else workers


def _dry_run(config: "BuildConfig", *, skip_bad: bool, replaced: Sequence[str] | None = None) -> None:
    from .dryrun import dry_run  # noqa: PLC0415

    if not dry_run(config, _teller(), skip_bad=skip_bad, replaced=replaced):
        raise typer.Exit(1)


def _tell_config_problems(path: Path) -> None:
    """End the command if the configuration cannot be used, naming all that is wrong with it."""
    from .config import config_problems  # noqa: PLC0415

    problems = config_problems(path)
    for problem in problems:
        typer.echo(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)


def _configured(
    path: Path, tables: list[str] | None, *, root: Path | None, input_dir: Path | None, **options: Any
) -> "BuildConfig":
    """Return the configuration at `path` with what options of the command line say instead."""
    from .config import load_config  # noqa: PLC0415

    config = load_config(path, root=root, input_dir=input_dir)
    config = replace(config, **{key: value for key, value in options.items() if value is not None})
    names = [table.name for table in config.tables]
    for name in tables or ():
        if name not in names:
            msg = f"the configuration has no table {name!r}; it has {', '.join(names)}"
            raise typer.BadParameter(msg, param_hint="--table")
    return replace(config, tables=tuple(one for one in config.tables if not tables or one.name in tables))


def _teller() -> "Teller":
    """Return where progress goes: bars on a terminal, else lines."""
    from rich.console import Console  # noqa: PLC0415

    from .progress import Bars, Lines  # noqa: PLC0415

    return Bars(Console()) if sys.stdout.isatty() else Lines(typer.echo)


def _prepare_arrow() -> None:
    """Choose Arrow's allocator and what it does without, before pyarrow is loaded."""
    hide_pandas()
    if sys.platform == "linux":
        os.environ.setdefault(*ALLOCATOR)


def main() -> None:
    """Run the command line; an error of ours, or of the file system, ends it with one line and exit code 1."""
    try:
        app()
    except (PartitioningError, OSError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
