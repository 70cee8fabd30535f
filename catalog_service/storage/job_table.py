"""The table of jobs, and its rows as `Job` values.

Times are milliseconds since 1970 in UTC, so that every database compares them alike.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from ..models.job import Job, JobResult, Phase
from ..models.query import UploadSource
from ..models.user import Identity

__all__ = ["JOBS", "METADATA", "NO_UPLOADS", "job_of", "milliseconds", "values_of"]

METADATA: Final = sa.MetaData()

JOBS: Final = sa.Table(
    "jobs",
    METADATA,
    sa.Column("job_id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("owner_groups", sa.Text, nullable=False),
    sa.Column("owner_is_admin", sa.Boolean, nullable=False),
    sa.Column("phase", sa.String(10), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("queued", sa.BigInteger),
    sa.Column("started", sa.BigInteger),
    sa.Column("ended", sa.BigInteger),
    sa.Column("destruction", sa.BigInteger, nullable=False),
    sa.Column("execution_s", sa.Float, nullable=False),
    sa.Column("runid", sa.String(64)),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("uploads", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("results", sa.Text, nullable=False),
    sa.Column("result_bytes", sa.BigInteger, nullable=False),
    sa.Column("overflow", sa.Boolean, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("error_status", sa.Integer, nullable=False),
    sa.Index("jobs_by_owner", "owner", "created"),
    sa.Index("jobs_by_phase", "phase", "queued"),
    sa.Index("jobs_by_destruction", "destruction"),
)

NO_UPLOADS: Final = "[]"
"""Of the column of uploads."""

_TIMES: Final = frozenset({"created", "queued", "started", "ended", "destruction"})


def milliseconds(time: datetime) -> int:
    """Return a time as the table keeps it."""
    return round(time.timestamp() * 1000)


def values_of(**changes: Any) -> dict[str, Any]:
    """Return columns of the table for attributes of `Job`."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        values |= _columns(name, value)
    return values


def job_of(row: sa.Row[Any]) -> Job:
    """Return the job that a row of the table holds."""
    kept = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    groups, is_admin = json.loads(kept.pop("owner_groups")), kept.pop("owner_is_admin")
    kept.pop("result_bytes")
    kept |= {name: _time(kept[name]) for name in _TIMES}
    return Job(
        **{
            **kept,
            "owner": Identity(kept["owner"], frozenset(groups), is_admin),
            "phase": Phase(kept["phase"]),
            "parameters": tuple((name, value) for name, value in json.loads(kept["parameters"])),
            "uploads": tuple(_upload(one) for one in json.loads(kept["uploads"])),
            "results": tuple(JobResult(**one) for one in json.loads(kept["results"])),
            "error": None if kept["error"] is None else json.loads(kept["error"]),
        }
    )


def _columns(name: str, value: Any) -> dict[str, Any]:
    match name:
        case "owner":
            groups = json.dumps(sorted(value.groups))
            return {"owner": value.name, "owner_groups": groups, "owner_is_admin": value.is_admin}
        case "phase":
            return {"phase": value.value}
        case "results":
            size = sum(one.size_bytes for one in value)
            return {"results": json.dumps([asdict(one) for one in value]), "result_bytes": size}
        case "uploads":
            return {"uploads": json.dumps([(one.name, str(one.path), one.content_type) for one in value])}
        case "parameters" | "error":
            return {name: None if value is None else json.dumps(value)}
        case _:
            return {name: milliseconds(value) if name in _TIMES and value is not None else value}


def _upload(kept: list[Any]) -> UploadSource:
    name, path, content_type = kept
    return UploadSource(name, Path(path), content_type)


def _time(kept: int | None) -> datetime | None:
    return None if kept is None else datetime.fromtimestamp(kept / 1000, UTC)
