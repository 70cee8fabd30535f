"""The store of jobs against a model, and under threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from catalog_service.exceptions import ConfigurationError
from catalog_service.models.job import ACTIVE, Job, JobResult, Phase
from catalog_service.models.query import UploadSource
from catalog_service.models.user import Identity
from catalog_service.storage.holding import Holding
from catalog_service.storage.job_table import METADATA
from catalog_service.storage.jobs import JobStore
from catalog_service.storage.local_disk import network_file_system
from catalog_service.storage.migrations import upgrade
from catalog_service.storage.recent_jobs import RecentJobs
from catalog_service.storage.sqlite import open_database

START = datetime(2026, 11, 26, tzinfo=UTC)
OWNERS = [Identity("ann", frozenset({"lsst", "desc"})), Identity("bob", is_admin=True), Identity("anonymous")]
PHASES = st.sampled_from(list(Phase))


def job(number: int, owner: Identity, phase: Phase) -> Job:
    created = START + timedelta(seconds=number)
    return Job(
        job_id=f"{number:032x}",
        owner=owner,
        phase=phase,
        created=created,
        queued=created if phase is Phase.QUEUED else None,
        destruction=created + timedelta(days=number % 3),
        execution_s=1.5,
        parameters=(("QUERY", "SELECT 'ü'"), ("LANG", "ADQL")),
        uploads=(UploadSource("t", Path("/somewhere/t"), "text/csv"),),
        runid="run",
    )


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    engine = open_database(tmp_path / "jobs.db")
    upgrade(engine)
    return JobStore(engine)


class Model(RuleBasedStateMachine):
    """A dictionary does the same."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        upgrade(engine)
        self.store = JobStore(engine)
        self.model: dict[str, Job] = {}

    @rule(target=jobs, owner=st.sampled_from(OWNERS), phase=PHASES)
    def add(self, owner: Identity, phase: Phase) -> str:
        added = job(len(self.model) + 1000 * len(owner.name), owner, phase)
        while added.job_id in self.model:
            added = job(int(added.job_id, 16) + 1, owner, phase)
        self.store.add(added)
        self.model[added.job_id] = added
        return added.job_id

    @rule(job_id=jobs, expected=st.sets(PHASES), phase=PHASES, second=st.integers(0, 100))
    def change(self, job_id: str, expected: set[Phase], phase: Phase, second: int) -> None:
        old = self.model.get(job_id)
        queued = START + timedelta(seconds=second)
        changed = self.store.change(job_id, expected, phase=phase, queued=queued, overflow=True)
        assert changed == (old is not None and old.phase in expected)
        if changed and old is not None:
            self.model[job_id] = replace(old, phase=phase, queued=queued, overflow=True)

    @rule(job_id=jobs, size=st.integers(0, 2**62))
    def finish(self, job_id: str, size: int) -> None:
        results = (JobResult(name="result", file="a/b", content_type="x/y", size_bytes=size, sha256="ab", rows=3),)
        if self.store.change(job_id, ACTIVE, phase=Phase.COMPLETED, results=results, error={"code": "x"}):
            self.model[job_id] = replace(
                self.model[job_id], phase=Phase.COMPLETED, results=results, error={"code": "x"}
            )

    @rule(job_id=jobs)
    def remove(self, job_id: str) -> None:
        assert self.store.remove(job_id) == (self.model.pop(job_id, None) is not None)
        assert self.store.known(job_id) is None

    @rule(owner=st.sampled_from(OWNERS), phases=st.sets(PHASES), after=st.integers(0, 20), last=st.integers(0, 4))
    def list_jobs(self, owner: Identity, phases: set[Phase], after: int, last: int) -> None:
        since = START + timedelta(seconds=after)
        expected = sorted(
            (
                one
                for one in self.model.values()
                if one.owner == owner and (not phases or one.phase in phases) and one.created > since
            ),
            key=lambda one: (-one.created.timestamp(), one.job_id),
        )
        assert self.store.of_owner(owner.name, phases, after=since, last=last) == tuple(expected[:last])

    @invariant()
    def same(self) -> None:
        for job_id, expected in self.model.items():
            assert self.store.known(job_id) in (None, expected)
            assert self.store.get(job_id) == expected
            assert self.store.known(job_id) == expected
        assert self.store.ids() == self.model.keys()
        queued = [one for one in self.model.values() if one.phase is Phase.QUEUED]
        assert self.store.number(Phase.QUEUED) == len(queued)
        assert set(self.store.queued_owners()) == {one.owner.name for one in queued}
        now = START + timedelta(days=1)
        expired = {one.job_id for one in self.model.values() if one.destruction <= now}
        assert {one.job_id for one in self.store.expired(now)} == expired
        for owner in OWNERS:
            mine = [one for one in self.model.values() if one.owner == owner]
            ended = [one for one in mine if one.phase is not Phase.EXECUTING]
            assert self.store.stored_bytes(owner.name) == sum(one.result_bytes for one in ended)
            pending = [one for one in mine if one.phase is Phase.PENDING]
            assert self.store.number(Phase.PENDING, owner.name) == len(pending)
            assert self.store.ids(owner.name, Phase.PENDING) == {one.job_id for one in pending}
            waiting = [one for one in mine if one.phase in ACTIVE]
            assert len(self.store.uploads(owner.name, ACTIVE)) == sum(len(one.uploads) for one in waiting)
            oldest = self.store.oldest_pending(owner.name)
            assert (None if oldest is None else oldest.created) == min((one.created for one in pending), default=None)
        others = self.store.next_queued(excluded=[one.owner.name for one in queued])
        assert others is None
        following = self.store.next_queued()
        assert (following is None) == (not queued)
        if following is not None:
            running = {
                o.name: sum(j.phase is Phase.EXECUTING and j.owner == o for j in self.model.values()) for o in OWNERS
            }
            assert following == min(queued, key=lambda one: (running[one.owner.name], one.queued, one.job_id))


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    jobs, old = RecentJobs(), job(1, OWNERS[0], Phase.QUEUED)
    changes = jobs.changes
    jobs.forget(old.job_id)
    jobs.keep(old, changes)
    assert jobs.get(old.job_id) is None
    jobs.keep(old, jobs.changes)
    assert jobs.get(old.job_id) is old


def test_jobs_in_memory_are_few_and_short() -> None:
    jobs = RecentJobs()
    for number in range(1_100):
        jobs.keep(job(number, OWNERS[0], Phase.QUEUED), jobs.changes)
    known = [number for number in range(1_100) if jobs.get(f"{number:032x}")]
    assert known == list(range(100, 1_100))
    long = replace(job(2000, OWNERS[0], Phase.QUEUED), parameters=(("QUERY", "x" * 20_001),))
    jobs.keep(long, jobs.changes)
    assert jobs.get(long.job_id) is None


def test_of_many_who_claim_a_job_one_gets_it(store: JobStore) -> None:
    waiting = [job(number, OWNERS[0], Phase.QUEUED) for number in range(20)]
    for one in waiting:
        store.add(one)
    with ThreadPoolExecutor(8) as threads:
        claims = [
            threads.submit(store.change, one.job_id, [Phase.QUEUED], phase=Phase.EXECUTING)
            for one in waiting
            for _ in range(5)
        ]
    assert sum(claim.result() for claim in claims) == len(waiting)


def test_migrations_make_the_table_that_the_code_uses(store: JobStore) -> None:
    made = sa.inspect(store._engine)
    for table in METADATA.tables.values():
        columns = {column["name"]: column for column in made.get_columns(table.name)}
        assert columns.keys() == set(table.columns.keys())
        assert all(columns[column.name]["nullable"] == column.nullable for column in table.columns)
        assert {index["name"] for index in made.get_indexes(table.name)} == {index.name for index in table.indexes}


def test_every_commit_is_on_the_disk(store: JobStore) -> None:
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /local nfs4 rw 0 0
tmpfs /local/fast tmpfs rw 0 0
cephfs /sps/with\\040blank ceph rw 0 0
/dev/sdb /data xfs rw 0 0
other:/x /data lustre rw 0 0
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/var/lib", None),
        ("/local/x", "nfs4"),
        ("/localities", None),
        ("/local/fast/state", None),
        ("/sps/with blank/state", "ceph"),
        ("/data/state", "lustre"),
    ],
)
def test_network_file_systems_are_known(tmp_path: Path, directory: str, kind: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert network_file_system(Path(directory), mounts=mounts) == kind


def test_a_database_is_not_put_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog_service.storage.sqlite.network_file_system", lambda _directory: "nfs4")
    with pytest.raises(ConfigurationError, match=r"network file system \(nfs4\).*Set state_dir"):
        open_database(tmp_path / "jobs.db")


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    first = Holding(tmp_path / "jobs")
    with pytest.raises(ConfigurationError, match=r"in use by another service \(process [0-9]+\)"):
        Holding(tmp_path / "jobs")
    first.close()
    Holding(tmp_path / "jobs").close()
