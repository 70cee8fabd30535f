"""Command ``check-config``: finds what would stop the service, or bite later, before it is started."""

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from partitioning.exceptions import PartitioningError

from .config import Config, load_config
from .exceptions import ConfigurationError
from .storage.catalogs import Registry, SchemaRule
from .storage.local_disk import network_file_system

__all__ = ["Finding", "check"]


_MADE: Final = ("tokens", "jobs", "jobs/jobs.db", "jobs/files", "history", "uploads", "workers", "tap_schema")
"""What the service, or a command, makes below its directory of state."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    is_fatal: bool
    """Whether the service would not start, or not keep its promises."""
    text: str


def check(path: Path | None) -> tuple[Finding, ...]:
    """Return what is to be said about a configuration file, or the environment if it is None."""
    try:
        config = load_config(path)
    except ConfigurationError as error:
        return (Finding(is_fatal=True, text=str(error)),)
    return (*_catalogs(config), *_state(config), *_owners(config))


def _catalogs(config: Config) -> Iterator[Finding]:
    rules = {name: SchemaRule(rule.access or config.access) for name, rule in config.schemas.items()}
    try:
        schemas = Registry(config.catalog_root, rules, default=SchemaRule(config.access)).snapshot.schemas
    except (PartitioningError, ConfigurationError, OSError) as error:
        yield Finding(is_fatal=True, text=str(error))
        return
    if not schemas:
        yield Finding(is_fatal=False, text=f"nothing is published below {config.catalog_root}")
    for schema in schemas:
        rows = sum(table.rows for table in schema.tables)
        access = schema.access or "closed: no rule opens it"
        yield Finding(is_fatal=False, text=f"{schema.name}: {len(schema.tables)} tables, {rows:,} rows, {access}")
    for name in sorted(config.schemas.keys() - {schema.name for schema in schemas}):
        yield Finding(is_fatal=False, text=f"there is a rule for schema {name!r}, which is not published")


def _state(config: Config) -> Iterator[Finding]:
    state = config.state_dir
    kind = network_file_system(state)
    if kind is not None:
        yield Finding(
            is_fatal=True,
            text=f"state_dir {state} is on a network file system ({kind}), where the database of jobs loses data. "
            "Set it to a directory on a local disk.",
        )
    existing = next(one for one in (state, *state.parents) if one.exists())
    if not os.access(existing, os.W_OK):
        yield Finding(is_fatal=True, text=f"state_dir {state} cannot be written")
        return
    free_mb = shutil.disk_usage(existing).free // 1_000_000
    workers = config.workers + config.scan_workers + config.batch_workers
    wanted_mb = config.result_mb + workers * config.worker_spill_mb + config.spool_mb
    low = f"; the limits allow a result, spools and spills to take {wanted_mb:,} MB" if free_mb < wanted_mb else ""
    yield Finding(is_fatal=free_mb < config.free_space_mb, text=f"state_dir {state}: {free_mb:,} MB are free{low}")


def _owners(config: Config) -> Iterator[Finding]:
    """Tell of directories that somebody else made, such as root by ``sudo catalog-service token create``."""
    ours = os.geteuid()
    for path in (config.state_dir, *(config.state_dir / name for name in _MADE)):
        try:
            owner = path.stat().st_uid
        except OSError:  # it is made when it is needed, by whoever needs it
            continue
        if owner != ours:
            yield Finding(
                is_fatal=False,
                text=f"{path} belongs to {_user(owner)}, and this command runs as {_user(ours)}: the service must run "
                "as the owner. If it does, run this command as that user, too; else change the owner (chown -R).",
            )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
