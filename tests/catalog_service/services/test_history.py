"""The history keeps what it is told, for as long as it is told, and survives its disk."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalog_service.exceptions import ConfigurationError, UnavailableError
from catalog_service.models.record import QueryRecord
from catalog_service.models.user import Identity
from catalog_service.services.history import HistoryService
from catalog_service.storage.history import HistoryStore
from catalog_service.storage.sqlite import open_database

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
QUERY = QueryRecord(query_id="q1", owner="anna", text="SELECT 1", started=NOW, seconds=0.5, status="ok", rows=1)
ANNA = Identity("anna")


def store(directory: Path) -> HistoryStore:
    return HistoryStore(open_database(directory / "queries.db"))


def kept(service: HistoryService, *records: QueryRecord) -> tuple[QueryRecord, ...]:
    """Return what a service lists after it was told of `records`."""

    async def tell_and_list() -> tuple[QueryRecord, ...]:
        await service.start()
        await asyncio.sleep(0.05)
        for record in records:
            service.record(record)
        listed = await service.queries(ANNA, last=100)
        await service.close()
        return listed

    return asyncio.run(tell_and_list())


def test_old_queries_are_forgotten(tmp_path: Path) -> None:
    service = HistoryService(store(tmp_path), days=30, clock=lambda: NOW)
    old, older = (replace(QUERY, query_id=f"q{days}", started=NOW - timedelta(days=days)) for days in (29, 31))
    assert kept(service, older, old, QUERY) == (QUERY, old, older)
    assert kept(HistoryService(store(tmp_path), days=30, clock=lambda: NOW)) == (QUERY, old)


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    async def tell_and_end() -> None:
        service = HistoryService(store(tmp_path), days=30, clock=lambda: NOW)
        await service.start()
        service.record(QUERY)
        await service.close()

    asyncio.run(tell_and_end())
    assert store(tmp_path).queries("anna", since=None, last=10) == (QUERY,)


def test_what_is_collected_is_written_without_being_asked_for(tmp_path: Path) -> None:
    async def tell_and_wait() -> None:
        service = HistoryService(store(tmp_path), days=30, clock=lambda: NOW)
        await service.start()
        service.record(QUERY)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if store(tmp_path).queries("anna", since=None, last=10):
                break
        else:
            pytest.fail("nothing was written")
        await service.close()

    asyncio.run(tell_and_wait())


def test_long_texts_are_cut_and_halves_of_surrogate_pairs_replaced(tmp_path: Path) -> None:
    service = HistoryService(store(tmp_path), days=30, clock=lambda: NOW)
    (listed,) = kept(service, replace(QUERY, text="\ud800" + "x" * 20_000, message="\udfff"))
    assert listed.text == "?" + "x" * 9_999
    assert listed.message == "?"


class FullDisk(HistoryStore):
    def add(self, records: object) -> None:  # noqa: ARG002
        raise UnavailableError("no space")


def test_what_a_full_disk_refuses_is_counted(tmp_path: Path) -> None:
    service = HistoryService(FullDisk(open_database(tmp_path / "queries.db")), days=30, clock=lambda: NOW)
    assert kept(service, QUERY, replace(QUERY, query_id="q2")) == ()
    assert service.dropped == 2


def test_no_more_wait_than_there_is_room_for(tmp_path: Path) -> None:
    service = HistoryService(store(tmp_path), days=30, clock=lambda: NOW)
    for number in range(5_010):  # nobody writes: it was not started
        service.record(replace(QUERY, query_id=str(number)))
    assert service.dropped == 10


def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "queries.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigurationError, match="not a database"):
        store(tmp_path)
