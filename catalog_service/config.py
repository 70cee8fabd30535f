"""Configuration of the service: one TOML file, overridden by environment variables ``CATALOG_SERVICE_*``.

Built once, in `catalog_service.main`; values are handed on by the factory, nothing else reads it.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from .exceptions import ConfigurationError

__all__ = ["Config", "RegistryConfig", "SchemaConfig", "load_config"]


class SchemaConfig(BaseModel):
    """Access and names of one schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access: str | None = Field(None, pattern=r"^(public|group:[\w.-]+)$")
    """``public`` or ``group:<name>``; without a rule the schema is closed."""
    aliases: tuple[str, ...] = ()
    """Other names under which users know the schema."""
    direct_access: bool = False
    """Whether callers may learn the paths of its files, to read them with a program of their own."""


class RegistryConfig(BaseModel):
    """What a registry of the Virtual Observatory is told of the service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ivoid: str = Field(pattern=r"^ivo://[A-Za-z0-9][\w.!~*'()-]{2,}(/[\w.!~*'()+=-]+)+$")
    """Identifier: an authority that the registry has granted, and a name below it, such as `ivo://example.org/tap`."""
    publisher: str = Field(min_length=1)
    """Who publishes the catalogs."""
    contact: str = Field(min_length=1)
    """Whom users ask."""
    contact_email: str | None = None
    """The address of these."""
    creators: tuple[str, ...] = ()
    """Who made the catalogs."""
    description: str = Field(min_length=1)
    """What the service offers, in some sentences."""
    subjects: tuple[str, ...] = Field(min_length=1)
    """Topics, as the Unified Astronomy Thesaurus names them, such as `sky-surveys`."""
    created: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    """Day on which the record was made first, as `2026-11-30`."""
    short_name: str | None = Field(None, min_length=1, max_length=16)
    """Name for narrow lists."""
    reference_url: str | None = Field(None, pattern=r"^https?://\S+$")
    """A page about the service; default: its home page."""


class Config(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="CATALOG_SERVICE_", env_nested_delimiter="__", case_sensitive=False
    )

    catalog_root: Path
    """Directory of published catalogs: ``<root>/<schema>/<Table>/``."""
    access: Literal["public"] | None = None
    """Access rule of every schema that has none of its own under ``schemas``."""
    schemas: dict[str, SchemaConfig] = Field(default_factory=dict)
    """Rules by schema name."""
    state_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()) / f"catalog-service-{os.getuid()}")
    """Directory on a local disk for TAP_SCHEMA files, uploaded tables, spools and spills; created if missing."""
    public_url: str | None = Field(None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """Address under which clients reach the service, without a trailing slash; default: the one it listens on."""
    title: str = "Catalog service"
    """Name shown on pages and in VO metadata."""
    registry: RegistryConfig | None = None
    """What a registry of the Virtual Observatory is told; without it, there is no registry record."""

    workers: int = Field(default_factory=lambda: max(1, os.cpu_count() or 1), ge=1, le=256)
    """Worker processes for short synchronous queries: so many run at the same time."""
    worker_threads: int = Field(2, ge=1, le=256)
    """DuckDB threads per worker."""
    worker_memory_mb: int = Field(1500, ge=128, le=10_000_000)
    """Memory limit of a worker's queries in MB."""
    worker_cache_mb: int = Field(256, ge=0, le=1_000_000)
    """Columns in MB that a worker for short queries keeps, decoded, for the next query of the same field; beyond its
    memory limit."""
    worker_spill_mb: int = Field(10_000, ge=0, le=1_000_000_000)
    """Disk that one worker's sorts and spools may take in MB."""
    scan_workers: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 1) // 2), ge=1, le=256)
    """Worker processes for large synchronous queries, of lower priority."""
    batch_workers: int = Field(1, ge=1, le=256)
    """Worker processes for asynchronous jobs."""
    batch_files: int = Field(1000, ge=1)
    """Files that one step of a large query reads; what can be done in steps is, with bounded memory and progress."""
    batch_mb: int = Field(8000, ge=1)
    """Size of these files in MB."""
    scan_mb: int = Field(1000, ge=1)
    """Size of the files in MB beyond which a synchronous query is large, and runs in the `scan_workers`."""
    scan_files: int = Field(1000, ge=1)
    """Number of files beyond which a synchronous query is large."""
    queue_length: int = Field(1000, ge=0)
    """Queries that may wait for a worker; more are refused with 503."""
    queries_per_user: int = Field(12, ge=1)
    """Synchronous queries of one user that run at the same time; more wait."""
    queries_per_address: int = Field(8, ge=1)
    """Synchronous queries that run at the same time, of all anonymous callers at one address; more wait."""
    queued_per_user: int = Field(50, ge=0)
    """Queries of one user, or anonymous address, that may wait; more are refused with 503."""
    scan_budget_mb: int = Field(0, ge=0, le=1_000_000_000_000)
    """Size in MB of the data files that the queries of one user, or anonymous address, may choose within
    `scan_budget_s`; 0: no limit. Beyond it, queries are refused with 503, and jobs wait."""
    scan_budget_s: float = Field(3600.0, ge=1, le=8_640_000)
    """Length of this sliding window in seconds."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies whose `X-Forwarded-For` tells the caller's address."""
    spool_mb: int = Field(10_000, ge=0, le=1_000_000_000)
    """Disk in MB for results that are made faster than they are read; one user or address takes a quarter at most."""
    delivery_s: float = Field(3600.0, gt=0, le=86_400)
    """The longest that a client may take to read the result of a synchronous query in seconds."""
    connection_stall_s: float = Field(300.0, gt=0, le=86_400)
    """Seconds after which a connection is cut whose client takes nothing of what is sent."""
    request_stall_s: float = Field(30.0, gt=0, le=86_400)
    """Seconds within which the head of a request, and each next piece of its body, must come; else it is cut."""
    short_s: float = Field(5.0, gt=0, le=86_400)
    """Seconds after which a query without a first row makes room for others that wait, and becomes a large one."""
    reader_stall_s: float = Field(10.0, gt=0, le=86_400)
    """Seconds after which a client that takes nothing of its result is cut off, if others wait for its worker."""
    quarantine_s: float = Field(600.0, gt=0, le=8_640_000)
    """Seconds for which a query that ended its worker twice is refused."""

    async_timeout_s: float = Field(14_400.0, gt=0, le=8_640_000)
    """Time limit of an asynchronous job's execution in seconds."""
    retention_days: float = Field(7.0, gt=0, le=3650)
    """Days after which a job and its results are removed, unless its owner chose otherwise."""
    retention_days_hard: float = Field(30.0, gt=0, le=3650)
    """The most days that an owner can choose."""
    result_mb: int = Field(50_000, ge=1, le=100_000_000)
    """Largest result of a job in MB; rows beyond it are cut and marked as OVERFLOW."""
    part_mb: int = Field(200, ge=1, le=1_000_000)
    """Size of a part of a job's result in MB, if the job asks for parts."""
    owner_result_mb: int = Field(200_000, ge=1, le=1_000_000_000)
    """Size of all results of one user in MB; beyond it, no more jobs are taken, and those that run end in an error."""
    free_space_mb: int = Field(1_000, ge=0, le=1_000_000_000)
    """Space on the disk of `state_dir` in MB that is left free; the same."""
    jobs_queued: int = Field(1_000, ge=1)
    """Jobs that may wait, of all users."""
    jobs_queued_per_user: int = Field(100, ge=1)
    """Jobs that may wait, of one user."""
    jobs_pending: int = Field(1_000, ge=1)
    """Jobs of all anonymous callers that were created and not started; beyond, the oldest give way after an hour."""
    jobs_pending_per_user: int = Field(100, ge=1)
    """Jobs of one user that were created and not started."""
    jobs_upload_mb: int = Field(10_000, ge=1, le=1_000_000_000)
    """Size in MB of the uploaded tables of the jobs of one user that have not ended; of all anonymous callers."""
    job_wait_s: float = Field(50.0, ge=0, le=3600)
    """The longest that a request waits for a change of a job in seconds; proxies cut longer ones off."""
    sync_timeout_s: float = Field(60.0, gt=0, le=86_400)
    """Time limit of a synchronous query in seconds, waiting and parsing included."""
    maxrec_default: int = Field(100_000, ge=0)
    """Rows of a result when the request names no MAXREC."""
    maxrec_hard: int = Field(10_000_000, ge=0, le=1_000_000_000_000)
    """Largest MAXREC; higher requests are clamped."""
    cone_max_radius_deg: float = Field(180.0, gt=0, le=180)
    """Largest radius of a Simple Cone Search in degrees."""
    cone_ucd1: bool = False
    """Whether Simple Cone Searches label columns as version 1.03 wants literally, for callers that do not choose."""
    max_query_bytes: int = Field(262_144, ge=1024)
    """Longest query text in bytes."""
    upload_mb: int = Field(100, ge=1, le=100_000)
    """Largest body in MB of a request that brings tables along."""
    upload_inflated_mb: int = Field(500, ge=1, le=1_000_000)
    """Largest content of one uploaded table in MB, unpacked."""
    upload_rows: int = Field(1_000_000, ge=1, le=1_000_000_000)
    """Most rows of one uploaded table."""
    upload_columns: int = Field(1000, ge=1, le=100_000)
    """Most columns of one uploaded table."""
    log_format: Literal["json", "plain"] = "json"
    """Form of the log: one JSON object a line, or text."""
    access_log: bool = False
    """Whether each request leaves a line in the log; each query leaves one in any case."""
    metrics: Literal["public", "admin"] = "public"
    """Who may read `/metrics`: everybody, or operators alone."""
    history_days: float = Field(30.0, ge=0, le=36_500)
    """Days for which users can list their queries; 0: no history is kept."""
    poll_s: float = Field(2.0, gt=0, le=86_400)
    """Seconds between looks for newly published releases."""

    @property
    def tokens_dir(self) -> Path:
        """Directory of access tokens."""
        return self.state_dir / "tokens"

    _file: ClassVar[Path | None] = None

    @field_validator("schemas")
    @classmethod
    def _names_are_unique(cls, schemas: dict[str, SchemaConfig]) -> dict[str, SchemaConfig]:
        taken = {"tap_schema", *(name.lower() for name in schemas)}
        for name, schema in schemas.items():
            for alias in schema.aliases:
                if alias.lower() in taken:
                    raise ValueError(f"the alias {alias!r} of {name!r} is the name of another schema, too")
                taken.add(alias.lower())
        return schemas

    @classmethod
    def settings_customise_sources(  # noqa: D102
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, env_settings, file_secret_settings)
        return sources if cls._file is None else (*sources, TomlConfigSettingsSource(settings_cls, cls._file))


def load_config(path: Path | None, **overrides: Any) -> Config:
    """Read the configuration file at `path` (None: environment only) and validate it.

    Relative paths in it are relative to the file.

    Raises
    ------
    ConfigurationError
        If the file is missing or a setting is unknown or invalid; the message names each. Also if `state_dir` lies
        in `catalog_root`, beside which nothing is ever written.
    """
    if path is not None and not path.is_file():
        msg = f"configuration file {path} does not exist"
        raise ConfigurationError(msg)
    reader = type("_FileConfig", (Config,), {"_file": path})
    try:
        config: Config = reader(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        source = "environment" if path is None else f"{path} or environment"
        msg = f"{source}: {problems}"
        raise ConfigurationError(msg) from error
    except SettingsError as error:
        raise ConfigurationError(f"environment: {error}") from error
    except ValueError as error:
        msg = f"{path}: not a TOML file: {error}"
        raise ConfigurationError(msg) from error
    base = path.parent if path is not None else Path.cwd()
    root, state = ((base / directory).resolve() for directory in (config.catalog_root, config.state_dir))
    if state.is_relative_to(root):
        raise ConfigurationError(f"{path or 'environment'}: state_dir {state} must not lie in catalog_root {root}")
    return config.model_copy(update={"catalog_root": root, "state_dir": state})
