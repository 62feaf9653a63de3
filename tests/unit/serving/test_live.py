"""The running shop: durable before acknowledged, applied before acknowledged, and nobody is left waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import parse_change
from endcap.config import Config, Home
from endcap.errors import HomeError, NotFoundError, OverloadedError
from endcap.events.log import Body, to_record
from endcap.events.schema import Event
from endcap.serving import live as live_module
from endcap.serving.engine import Request
from endcap.serving.live import Live
from endcap.types import Activation, Record

NOW = 1_764_000_000_000
CUP = parse_change("put", {"item_id": "cup", "title": "Tea cup"})
POT = parse_change("put", {"item_id": "pot", "title": "Tea pot"})


def view(item: str = "cup", event_id: str | None = None, user: str = "ann") -> Event:
    return Event("view", NOW, event_id, user, item_id=item)


class RefusingLog(SqliteLog):
    """A log on a disk that refuses when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.error: Exception | None = None
        self.unread: list[Exception] = []
        """What it raises when it is read next."""

    def append(self, records: Sequence[Record]) -> list[int | None]:
        if self.error is not None:
            raise self.error
        return super().append(records)

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        if self.unread:
            raise self.unread.pop()
        return super().read(after, limit)


def run(home: Path, work: Callable[[Live, RefusingLog], Awaitable[None]]) -> None:
    """Do ``work`` with a shop in ``home`` that runs, within 30 s."""

    async def main() -> None:
        log = RefusingLog(Home(home).log)
        engine, _ = wiring.open_engine(home, Config(), log)
        held = ExitStack()
        held.callback(log.close)
        live = Live(log, engine, wiring.shop_of(home, Config(), log, held), lambda: NOW)
        await live.start()
        try:
            async with asyncio.timeout(30):
                await work(live, log)
        finally:
            await live.stop()

    asyncio.run(main())


def stored(home: Path) -> list[Record]:
    log = SqliteLog(Home(home).log)
    try:
        return [record for _, record in log.read()]
    finally:
        log.close()


def test_what_was_answered_is_stored_and_in_the_next_list(tmp_path: Path) -> None:
    async def work(live: Live, log: RefusingLog) -> None:
        receipt = await live.append([CUP, POT, view("pot")])
        assert (receipt.accepted, receipt.duplicates, receipt.offset) == (3, 0, live.engine.state.offset)
        assert log.last_offset() == receipt.offset
        answer = live.engine.recommend(Request("trending"), NOW)
        assert [item.item_id for item in answer.items] == ["pot", "cup"]

    run(tmp_path, work)
    assert [record.kind for record in stored(tmp_path)] == ["item", "item", "event"]


def test_an_event_is_stored_once_also_when_it_comes_twice_at_a_time(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        first, second, third = await asyncio.gather(*(live.append([view(event_id="e1")]) for _ in range(3)))
        assert sorted(one.accepted for one in (first, second, third)) == [0, 0, 1]
        assert live.engine.state.events == 1

    run(tmp_path, work)
    assert len(stored(tmp_path)) == 1


def test_callers_at_one_time_share_a_commit_and_each_gets_its_own_count(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        receipts = await asyncio.gather(*(live.append([view(user=f"u{n}")] * (n % 3 + 1)) for n in range(200)))
        assert [one.accepted for one in receipts] == [n % 3 + 1 for n in range(200)]
        assert live.freshness.commits.count < 200

    run(tmp_path, work)


@pytest.mark.parametrize("error", [HomeError("the disk is full"), MemoryError("no memory")])
def test_what_the_disk_refuses_is_refused_and_the_next_one_is_served(tmp_path: Path, error: Exception) -> None:
    async def work(live: Live, log: RefusingLog) -> None:
        log.error = error
        with pytest.raises(type(error), match=str(error)):
            await live.append([view(event_id="lost")])
        log.error = None
        assert (await live.append([view(event_id="kept")])).accepted == 1

    run(tmp_path, work)
    assert [record.key for record in stored(tmp_path)] == ["kept"]


def test_what_cannot_be_written_as_an_entry_is_told_to_the_caller_and_not_stored(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        with pytest.raises(AttributeError):
            await live.append([Event("view", NOW, None, "ann", items=(None,))])  # type: ignore[arg-type]
        assert (await live.append([view()])).accepted == 1
        assert live.engine.state.events == 1

    run(tmp_path, work)
    assert len(stored(tmp_path)) == 1


def test_what_is_stored_is_never_called_refused(tmp_path: Path) -> None:
    async def work(live: Live, log: RefusingLog) -> None:
        other = SqliteLog(Home(tmp_path).log)
        other.append([to_record(view(event_id="theirs"))])
        other.close()
        log.unread = [HomeError("it cannot be read now"), OSError("nor now"), ValueError("nor now")]
        assert (await live.append([view(event_id="ours")])).accepted == 1
        assert live.engine.state.events == 2

    run(tmp_path, work)
    assert [record.key for record in stored(tmp_path)] == ["theirs", "ours"]


def test_more_than_can_wait_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MAX_WAITING", 10)

    async def work(live: Live, _log: RefusingLog) -> None:
        waiting = asyncio.ensure_future(live.append([view()] * 10))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="10 entries are waiting for the disk"):
            await live.append([view()])
        assert (await waiting).accepted == 10
        assert (await live.append([view()])).accepted == 1, "what was written no longer waits"

    run(tmp_path, work)


def test_entries_of_another_process_are_applied_in_their_place(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        other = SqliteLog(Home(tmp_path).log)
        try:
            bodies: list[Body] = [CUP, view("cup", user="bo")]
            other.append([to_record(body, NOW) for body in bodies])
            receipt = await live.append([view("cup")])
            assert receipt.accepted == 1
            assert (live.engine.state.offset, live.engine.state.events) == (3, 2)
            other.append([to_record(view("cup", user="cy"))])
            while live.engine.state.offset < 4:
                await asyncio.sleep(0.01)
        finally:
            other.close()

    run(tmp_path, work)


def test_a_version_that_is_not_there_is_not_activated(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        with pytest.raises(NotFoundError, match="no model version 'gone'"):
            await live.activate("gone")
        assert live.engine.model.version == wiring.UNTRAINED

    run(tmp_path, work)
    assert stored(tmp_path) == []


def test_a_version_that_another_process_activated_but_is_not_there_leaves_the_old_one(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        await live.append([Activation("gone")])
        while live.model_problem is None:
            await asyncio.sleep(0.01)
        assert "gone" in live.model_problem
        assert live.engine.model.version == wiring.UNTRAINED

    run(tmp_path, work)


def test_new_items_are_found_by_meaning_soon(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        await live.append([CUP, parse_change("put", {"item_id": "lamp", "title": "Desk lamp"})])
        while live.engine.contents.vectors.has.sum() < 2:
            await asyncio.sleep(0.01)
        found = live.engine.recommend(Request("search", query="a mug to drink from"), NOW)
        assert found.items[0].item_id == "cup"

    run(tmp_path, work)


def test_what_waits_is_written_before_it_stops(tmp_path: Path) -> None:
    async def work(live: Live, _log: RefusingLog) -> None:
        for number in range(50):
            asyncio.ensure_future(live.append([view(event_id=f"e{number}")]))  # noqa: RUF006  # nobody waits for them
        await asyncio.sleep(0)

    run(tmp_path, work)
    assert len(stored(tmp_path)) == 50
