"""Builds every service from the configuration; process-wide objects stop here."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from partitioning.exceptions import PartitioningError

from .config import Config
from .engines.base import WorkerConfig
from .engines.pool import WorkerPool
from .engines.right_of_way import RightOfWay
from .engines.scratch import ScratchDirectory
from .exceptions import ConfigurationError
from .models.upload import UploadCaps
from .planner.batches import BatchLimits
from .services.admission import Admission
from .services.attention import Attention
from .services.beside import Beside
from .services.budgets import ScanBudget
from .services.catalogs import Catalogs
from .services.cone import ConeService
from .services.cone_columns import Labels
from .services.cones import ConesService
from .services.explain import ExplainService
from .services.history import HistoryService
from .services.identities import IdentityService
from .services.job_changes import JobChanges
from .services.job_documents import JobDocuments
from .services.job_keeping import JobKeeping
from .services.job_limits import JobLimits
from .services.job_making import JobMaker
from .services.job_room import JobRoom
from .services.job_runner import JobRunner
from .services.jobs import JobService
from .services.lanes import Lanes, ScanLimits
from .services.limits import Limits
from .services.metadata import MetadataService, SiteInfo
from .services.metrics import Metrics, MetricsPage
from .services.quarantine import Quarantine
from .services.query import Guards, QueryService
from .services.recording import Recorders
from .services.registry import RegistryEntry, RegistryService
from .services.running import OperatorService, RunningQueries
from .services.sessions import SessionService
from .services.spools import Spools
from .services.uploads import UploadLimits, UploadService
from .storage.catalogs import Registry, SchemaRule
from .storage.history import HistoryStore
from .storage.holding import Holding
from .storage.jobs import JobStore
from .storage.migrations import upgrade
from .storage.results import ResultStore
from .storage.sqlite import open_database
from .storage.tokens import TokenStore

__all__ = ["Services", "build_services"]

_LOG: Final = logging.getLogger(__name__)

_OVERSHOOT_BYTES: Final = 1 << 30
"""A result is cut after the batch of rows that passes its limit."""
_METADATA_BYTES: Final = 256_000_000
"""Memory of the worker that reads TAP_SCHEMA."""
_SHORT_NICE: Final = 5
"""Priority of workers for short queries: the service itself, which has something to do for all, comes first."""
_SCAN_NICE: Final = 12
_BATCH_NICE: Final = 17
"""Priority of workers that run jobs: the processor is theirs when nobody waits for it."""

_HISTORY_PATIENCE_S: Final = 2.0
"""A history that is held by another process soon drops what comes."""


@dataclass(frozen=True)
class Services:
    """Everything that handlers call, and what must be started and stopped."""

    catalogs: Catalogs
    lanes: Lanes
    limits: Limits
    queries: QueryService
    sessions: SessionService
    explain: ExplainService
    cones: ConeService
    many_cones: ConesService
    metadata: MetadataService
    registry: RegistryService
    jobs: JobService
    job_documents: JobDocuments
    metrics: MetricsPage
    operators: OperatorService
    history: HistoryService
    runner: JobRunner
    kept: JobKeeping
    identities: IdentityService
    uploads: UploadService
    upload_files: ScratchDirectory
    """Uploaded tables of synchronous requests."""
    scratch: ScratchDirectory
    """Files of this process; removed at the end, or by the next one if it is killed."""
    attention: Attention
    """Plans queries beside the event loop."""
    spools: Spools
    """Results that are read slowly."""
    poll_s: float

    async def close(self) -> None:
        """Stop jobs and workers and remove scratch files."""
        await self.runner.close()
        await self.lanes.close()
        await self.history.close()
        self.kept.close()
        self.identities.close()
        self.upload_files.close()
        self.spools.close()
        self.attention.close()
        self.scratch.close()


def build_services(config: Config, *, public_url: str) -> Services:
    """Load the catalogs and wire up the services; workers are not started yet.

    Raises
    ------
    ConfigurationError
        If `state_dir` cannot be written, the catalog root is missing or a catalog in it is damaged.
    """
    scratch, upload_files = _scratch(config, "tap_schema"), _scratch(config, "uploads")
    try:
        catalogs = Catalogs(_registry(config), scratch.path)
    except PartitioningError as error:
        raise ConfigurationError(str(error), remedy="Build the table anew, or take its directory away.") from error
    _warn_of_idle_rules(config, catalogs)
    kept = _job_keeping(config, f"{public_url.rstrip('/')}/tap/async")
    written = (upload_files.path, kept.results.root)
    lanes = _lanes(config, _worker_config(config, (scratch.path, *written), written, catalogs))
    uploads = UploadService(lanes, _upload_limits(config), upload_files.path)
    limits = Limits(
        sync_timeout_s=config.sync_timeout_s,
        maxrec_default=min(config.maxrec_default, config.maxrec_hard),
        maxrec_hard=config.maxrec_hard,
        max_query_bytes=config.max_query_bytes,
        cone_max_radius_deg=config.cone_max_radius_deg,
    )
    batch = BatchLimits(files=config.batch_files, size_bytes=config.batch_mb * 1_000_000)
    metrics, history, running = Metrics(), _history(config), RunningQueries()
    recorder = Recorders(metrics, history)
    spools = Spools(
        scratch.path,
        config.spool_mb * 1_000_000,
        config.delivery_s,
        free_bytes=config.free_space_mb * 1_000_000,
    )
    guards = _guards(config, spools)
    attention = Attention()
    queries = QueryService(
        catalogs,
        lanes,
        limits,
        batch,
        uploads,
        attention=attention,
        guards=guards,
        recorder=recorder,
        running=running,
    )
    runner = JobRunner(kept, JobMaker(kept, queries), budget=guards.budget, slots=config.batch_workers)
    jobs, jobs_url = JobService(kept, runner), f"{public_url.rstrip('/')}/tap/async"
    site = SiteInfo(config.title, public_url.rstrip("/"), _now(), kept.limits, guards.admission, guards.budget)
    explain = ExplainService(catalogs, limits, batch, config.worker_threads, attention)
    metadata = MetadataService(catalogs, lanes, limits, uploads.limits, site)
    return Services(
        catalogs=catalogs,
        lanes=lanes,
        limits=limits,
        queries=queries,
        sessions=SessionService(queries, jobs, running, history, explain=explain, jobs_url=jobs_url),
        explain=explain,
        cones=ConeService(queries, Labels.UCD1 if config.cone_ucd1 else Labels.UCD1PLUS),
        many_cones=ConesService(queries),
        metadata=metadata,
        registry=RegistryService(catalogs, metadata, site, _registry_entry(config)),
        uploads=uploads,
        upload_files=upload_files,
        jobs=jobs,
        job_documents=JobDocuments(site.public_url),
        operators=OperatorService(running),
        metrics=MetricsPage(
            metrics=metrics,
            lanes=lanes,
            jobs=kept.store,
            beside=kept.beside,
            history=history,
            spools=spools,
            budget=guards.budget,
            is_public=config.metrics == "public",
        ),
        history=history,
        runner=runner,
        kept=kept,
        identities=IdentityService(TokenStore(config.tokens_dir), _now),
        scratch=scratch,
        attention=attention,
        spools=spools,
        poll_s=config.poll_s,
    )


def _guards(config: Config, spools: Spools) -> Guards:
    return Guards(
        admission=Admission(
            per_user=config.queries_per_user,
            per_address=config.queries_per_address,
            queued=config.queued_per_user,
        ),
        quarantine=Quarantine(config.quarantine_s),
        budget=ScanBudget(config.scan_budget_mb * 1_000_000, config.scan_budget_s),
        spools=spools,
        short_s=config.short_s,
        reader_stall_s=config.reader_stall_s,
    )


def _upload_limits(config: Config) -> UploadLimits:
    return UploadLimits(
        size_bytes=config.upload_mb * 1_000_000,
        caps=UploadCaps(
            inflated_bytes=config.upload_inflated_mb * 1_000_000,
            rows=config.upload_rows,
            columns=config.upload_columns,
        ),
    )


def _scratch(config: Config, name: str) -> ScratchDirectory:
    try:
        return ScratchDirectory(config.state_dir / name)
    except OSError as error:
        raise ConfigurationError(f"state_dir {config.state_dir} cannot be used: {error.strerror}") from error


def _now() -> datetime:
    return datetime.now(UTC)


def _job_keeping(config: Config, jobs_url: str) -> JobKeeping:
    directory = config.state_dir / "jobs"
    holding = Holding(directory)
    engine = open_database(directory / "jobs.db")
    upgrade(engine)
    store, results, limits = JobStore(engine), ResultStore(directory / "files"), _job_limits(config)
    return JobKeeping(
        holding=holding,
        store=store,
        results=results,
        changes=JobChanges(),
        limits=limits,
        room=JobRoom(store, results, limits),
        beside=Beside("jobs"),
        jobs_url=jobs_url,
        clock=_now,
    )


def _history(config: Config) -> HistoryService:
    store = None
    if config.history_days:
        directory = config.state_dir / "history"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = HistoryStore(open_database(directory / "queries.db", patience_s=_HISTORY_PATIENCE_S))
    return HistoryService(store, days=config.history_days, clock=_now)


def _job_limits(config: Config) -> JobLimits:
    return JobLimits(
        execution_s=config.async_timeout_s,
        retention_days=min(config.retention_days, config.retention_days_hard),
        retention_days_hard=config.retention_days_hard,
        result_bytes=config.result_mb * 1_000_000,
        part_bytes=config.part_mb * 1_000_000,
        owner_bytes=config.owner_result_mb * 1_000_000,
        queued_per_owner=config.jobs_queued_per_user,
        queued=config.jobs_queued,
        pending_per_owner=config.jobs_pending_per_user,
        pending=config.jobs_pending,
        upload_bytes=config.jobs_upload_mb * 1_000_000,
        free_bytes=config.free_space_mb * 1_000_000,
        parameters_bytes=2 * config.max_query_bytes,
        uploads=UploadLimits().tables,
        wait_s=config.job_wait_s,
    )


def _registry_entry(config: Config) -> RegistryEntry | None:
    return None if config.registry is None else RegistryEntry(**config.registry.model_dump())


def _warn_of_idle_rules(config: Config, catalogs: Catalogs) -> None:
    """Tell of rules whose schema is not published: a misspelt rule protects nothing."""
    published = {schema.name for schema in catalogs.published.schemas}
    for name in sorted(config.schemas.keys() - published):
        _LOG.warning(
            "the configuration has a rule for schema %r, which is not published (names are case-sensitive)", name
        )


def _registry(config: Config) -> Registry:
    rules = {
        name: SchemaRule(rule.access or config.access, rule.aliases, rule.direct_access)
        for name, rule in config.schemas.items()
    }
    return Registry(config.catalog_root, rules, default=SchemaRule(config.access))


def _lanes(config: Config, worker: WorkerConfig) -> Lanes:
    job = replace(worker, nice=_BATCH_NICE, max_result_bytes=config.result_mb * 1_000_000 + _OVERSHOOT_BYTES)
    small = replace(worker, threads=1, memory_limit_bytes=min(worker.memory_limit_bytes, _METADATA_BYTES))
    scan = WorkerPool(replace(worker, nice=_SCAN_NICE), size=config.scan_workers, max_queued=config.queue_length)
    batch = WorkerPool(job, size=config.batch_workers, max_queued=config.queue_length)
    short = replace(worker, nice=_SHORT_NICE, cache_bytes=config.worker_cache_mb * 1_000_000)
    return Lanes(
        interactive=WorkerPool(short, size=config.workers, max_queued=config.queue_length),
        scan=scan,
        batch=batch,
        metadata=WorkerPool(small, size=1, max_queued=config.queue_length),
        right_of_way=RightOfWay((scan, batch)),
        limits=ScanLimits(files=config.scan_files, size_bytes=config.scan_mb * 1_000_000),
    )


def _worker_config(
    config: Config, ours: tuple[Path, ...], written: tuple[Path, ...], catalogs: Catalogs
) -> WorkerConfig:
    foreign = [f"{directory.rstrip('/')}/" for directory in catalogs.published.foreign_directories]
    return WorkerConfig(
        allowed_directories=(f"{config.catalog_root}/", *(f"{one}/" for one in ours), *foreign),
        temp_directory=str(config.state_dir / "workers"),
        writable_directories=tuple(map(str, written)),
        memory_limit_bytes=config.worker_memory_mb * 1_000_000,
        max_temp_bytes=config.worker_spill_mb * 1_000_000,
        threads=config.worker_threads,
    )
