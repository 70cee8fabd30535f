"""Figures for monitoring, in the text format of Prometheus. No query texts, names of schemas or users are in them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..engines.pool import PoolStats
from ..models.job import Phase
from ..models.record import QueryRecord
from ..models.user import Identity
from ..storage.jobs import JobStore
from ..version import VERSION
from .beside import Beside
from .budgets import ScanBudget
from .history import HistoryService
from .lanes import Lanes
from .operators import check_operator
from .spools import Spools

__all__ = ["CONTENT_TYPE", "Metrics", "MetricsPage"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_NAMESPACE: Final = "catalog_service"
_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 14_400)
"""Bounds of the histogram: from a small cone to the longest job."""
_WAITING_PHASES: Final = (Phase.QUEUED, Phase.EXECUTING)


class Metrics:
    """Counts queries and responses. Everything is counted on the event loop, in some 20 microseconds a query."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("build", "Version of the service.", namespace=_NAMESPACE, registry=self.registry).info(
            {"version": VERSION}
        )
        self._seconds = Histogram(
            "query_seconds",
            "Queries that have ended, by the seconds from the acceptance of the request to the last byte.",
            ("lane", "status"),
            namespace=_NAMESPACE,
            registry=self.registry,
            buckets=_SECONDS,
        )
        counters = (
            self._counter("planned_bytes", "Size of the data files that queries chose.", "lane"),
            self._counter("tiles_read", "Data files that queries chose.", "lane"),
            self._counter("tiles_considered", "Data files of the tables of queries.", "lane"),
            self._counter("rows", "Rows of results.", "lane"),
            self._counter("result_bytes", "Bytes of results.", "lane"),
        )
        self._amounts = {lane: tuple(counter.labels(lane) for counter in counters) for lane in ("interactive", "batch")}
        self._responses = self._counter("http_responses", "Responses.", "route", "status")

    def record(self, record: QueryRecord) -> None:
        """Count a query that has ended."""
        lane = lane_of(record.job_id)
        self._seconds.labels(lane, record.status).observe(record.seconds)
        amounts = (record.bytes_planned, record.files, record.files_total, record.rows, record.bytes_out)
        for counter, amount in zip(self._amounts[lane], amounts, strict=True):
            if amount:
                counter.inc(amount)

    def answered(self, route: str, status: int) -> None:
        """Count a response.

        Parameters
        ----------
        route
            Template of the address, such as ``/cone/{table}``; never what a caller wrote.
        status
            HTTP status, of which the class is counted.
        """
        self._responses.labels(route, f"{status // 100}xx").inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=_NAMESPACE, registry=self.registry)


def lane_of(job_id: str | None) -> str:
    """Return the name of the lane of a query."""
    return "interactive" if job_id is None else "batch"


@dataclass(slots=True, eq=False)
class MetricsPage(Collector):
    """What a scrape gets: the counts, and how the pools and jobs are now."""

    metrics: Metrics
    lanes: Lanes
    jobs: JobStore
    beside: Beside
    history: HistoryService
    spools: Spools
    budget: ScanBudget
    is_public: bool
    """Whether everybody may read it, or operators alone."""
    _phases: Mapping[Phase, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metrics.registry.register(self)

    async def text(self, identity: Identity) -> bytes:
        """Return all figures.

        Raises
        ------
        NotFoundError
            If they are not for this caller.
        """
        if not self.is_public:
            check_operator(identity)
        self._phases = await self.beside(self.jobs.numbers, _WAITING_PHASES)
        return generate_latest(self.metrics.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures that are looked up, not counted."""
        lanes = self.lanes
        pools = {
            "interactive": lanes.interactive.stats(),
            "scan": lanes.scan.stats(),
            "batch": lanes.batch.stats(),
            "metadata": lanes.metadata.stats(),
        }
        yield from _pool_figures(pools)
        jobs = GaugeMetricFamily(f"{_NAMESPACE}_jobs", "Jobs that wait or run.", labels=["phase"])
        for phase in _WAITING_PHASES:
            jobs.add_metric([phase.value.lower()], self._phases.get(phase, 0))
        yield jobs
        yield GaugeMetricFamily(
            f"{_NAMESPACE}_spooled_bytes", "Results on disk for slow readers.", value=self.spools.used_bytes
        )
        yield GaugeMetricFamily(
            f"{_NAMESPACE}_callers_over_budget",
            "Callers that have read too much lately.",
            value=self.budget.exhausted(),
        )
        yield CounterMetricFamily(
            f"{_NAMESPACE}_history_dropped", "Queries missing in the history.", value=self.history.dropped
        )


def _pool_figures(pools: Mapping[str, PoolStats]) -> Iterator[Metric]:
    workers = GaugeMetricFamily(f"{_NAMESPACE}_workers", "Worker processes.", labels=["lane", "state"])
    queued = GaugeMetricFamily(f"{_NAMESPACE}_queries_queued", "Queries that wait for a worker.", labels=["lane"])
    crashes = CounterMetricFamily(
        f"{_NAMESPACE}_worker_crashes", "Workers that ended or were killed during a query.", labels=["lane"]
    )
    restarts = CounterMetricFamily(
        f"{_NAMESPACE}_worker_restarts", "Workers started in place of others.", labels=["lane"]
    )
    for lane, stats in pools.items():
        workers.add_metric([lane, "busy"], stats.busy)
        workers.add_metric([lane, "idle"], stats.idle)
        queued.add_metric([lane], stats.queued)
        crashes.add_metric([lane], stats.crashes)
        restarts.add_metric([lane], stats.restarts)
    yield from (workers, queued, crashes, restarts)
