"""Commands ``jobs`` and ``download``: queries that run while one is away, and their results."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from .cli_parts import DEFAULT_URL, AsJson, Maxrec, Url, open_client, print_json, print_records, query_text
from .client import Job, ParameterError
from .models.wire import JobFile, JobInfo

__all__ = ["download", "jobs_app"]

jobs_app = typer.Typer(help="Queries that run while you are away.", no_args_is_help=False, add_completion=False)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Identifier of the job.")]

_SUFFIXES: Final = {
    "application/x-votable+xml": ".vot",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/fits": ".fits",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.stream": ".arrows",
    "text/uri-list": ".uris",
}
_LISTED: Final = ("job_id", "phase", "created", "runid", "query")


@jobs_app.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    *,
    last: Annotated[int, typer.Option(help="Most jobs to list.", min=0)] = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List your jobs, the newest first; those of anonymous users are known to them alone."""
    if context.invoked_subcommand is None:
        with open_client(url) as client:
            print_records([asdict(job.info) for job in client.jobs(last=last)], _LISTED, as_json=as_json)


@jobs_app.command()
def submit(  # noqa: PLR0913 - one parameter for each argument and option
    adql: Annotated[str | None, typer.Argument(help="The query, or - to read it from standard input.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="Read the query from a file.", exists=True, dir_okay=False)] = None,
    lang: Annotated[str, typer.Option(help="Language of the query: ADQL, or QSERV for Qserv's SQL.")] = "ADQL",
    result_format: Annotated[str, typer.Option("--format", help="Of the result, as the service names it.")] = "parquet",
    maxrec: Maxrec = None,
    runid: Annotated[str | None, typer.Option(help="A word by which you recognise the job.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Queue a query and print the identifier of its job."""
    with open_client(url) as client:
        job = client.submit(query_text(adql, file), lang=lang, maxrec=maxrec, format=result_format, runid=runid)
    sys.stdout.write(f"{job.job_id}\n")


@jobs_app.command()
def show(job_id: JobId, *, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Tell how a job is getting on."""
    with open_client(url) as client:
        _print(client.job(job_id).info, as_json=as_json)


@jobs_app.command()
def wait(job_id: JobId, *, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Wait until a job has ended; fail if it has failed."""
    with open_client(url) as client:
        _print(_awaited(client.job(job_id)).info, as_json=as_json)


@jobs_app.command()
def abort(job_id: JobId, *, url: Url = DEFAULT_URL) -> None:
    """Stop a job; one that has ended stays as it is."""
    with open_client(url) as client:
        client.job(job_id).abort()


@jobs_app.command()
def delete(job_id: JobId, *, url: Url = DEFAULT_URL) -> None:
    """Stop a job and remove it with its results."""
    with open_client(url) as client:
        client.job(job_id).delete()


def download(
    job_id: JobId,
    *,
    out: Annotated[
        Path | None, typer.Option(help="File to be made, or directory for all parts; default: named after the job.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Fetch the result of a job when it has ended; one that broke off before goes on where it ended."""
    with open_client(url) as client:
        job = _awaited(client.job(job_id))
        parts = [file for file in job.info.results if file.name != "result"]
        for file in parts or job.info.results:
            target = _target(job, file, out, several=bool(parts))
            sys.stdout.write(f"{job.download(target, name=file.name)}\n")


def _target(job: Job, file: JobFile, out: Path | None, *, several: bool) -> Path:
    if Path(file.name).name != file.name:
        raise ParameterError(f"the service names a result {file.name!r}, which is no name of a file.")
    suffix = _SUFFIXES.get(file.content_type.partition(";")[0], "")
    if several:
        directory = out or Path(job.job_id)
        directory.mkdir(exist_ok=True)
        return directory / f"{file.name}{suffix}"
    if out is not None and out.is_dir():
        raise ParameterError(f"{out} is a directory; name a file.")
    return out or Path(f"{job.job_id}{suffix}")


def _awaited(job: Job) -> Job:
    return job.wait(progress=_show_progress if sys.stderr.isatty() else None)


def _show_progress(info: JobInfo) -> None:
    done = "" if info.progress is None else f", {info.progress[0]} of {info.progress[1]} batches"
    ending = "" if info.phase in {"QUEUED", "EXECUTING"} else "\n"
    sys.stderr.write(f"\r\x1b[K{info.phase}{done}{ending}")


def _print(info: JobInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(info))
        return
    lines = [
        f"{info.job_id}  {info.phase}" + ("" if info.progress is None else "  {} of {} batches".format(*info.progress)),
        f"created {info.created}, started {info.started or '-'}, ended {info.ended or '-'}",
        f"kept until {info.destruction}",
        *(f"{one.name}: {one.rows} rows, {one.size_bytes} bytes, {one.content_type}" for one in info.results),
        *(["cut at MAXREC or the limit of bytes: more rows match"] if info.overflow else []),
        *([f"error: {info.error['message']}"] if info.error else []),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
