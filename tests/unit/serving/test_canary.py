"""The canary: it measures the way of an event, and is nobody to anyone else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.checks import CANARY
from endcap.config import Config
from endcap.errors import HomeError, OverloadedError
from endcap.events.canary import CanaryView
from endcap.events.log import CANARY_KIND, Body, entries
from endcap.events.schema import Event
from endcap.serving import canary as canary_module
from endcap.serving.canary import IDLE_SECONDS, KEPT_MS, Canary
from endcap.serving.engine import Request
from endcap.serving.live import Live
from endcap.serving.writer import Receipt
from endcap.state.snapshot import digest

ITEMS = [parse_change("put", {"item_id": name, "title": f"Tea {name}"}) for name in ("cup", "pot", "tray")]


class Clock:
    """A monotonic clock that only ``pass_on`` moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(home: Path, work: Callable[[Live], Awaitable[None]]) -> None:
    """Do ``work`` with the running shop of ``home``, within 30 s."""

    async def main() -> None:
        live = wiring.open_live(home, Config())
        await live.start()
        try:
            async with asyncio.timeout(30):
                await work(live)
        finally:
            await live.stop()

    asyncio.run(main())


def views(home: Path) -> list[CanaryView]:
    log = wiring.open_log(home)
    try:
        return [entry.body for entry in entries(log) if isinstance(entry.body, CanaryView)]
    finally:
        log.close()


def ticking() -> Callable[[], float]:
    """A clock that is a second later each time it is asked."""
    ticks: Iterator[float] = iter(range(1_000))
    return lambda: float(next(ticks))


def test_a_reading_is_from_the_event_to_the_list_that_differs(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS)
        request = Request("for-you", visitor_id=CANARY)
        before = [item.item_id for item in live.engine.recommend(request, live.clock()).items]
        seconds = await Canary(live, 1.0, ticking(), lambda _: None).measure()
        after = [item.item_id for item in live.engine.recommend(request, live.clock()).items]
        assert seconds == 1.0  # the first list after the receipt differs: the clock was asked twice
        assert sorted(after) == sorted(before[1:])

    run(tmp_path, work)
    assert [view.item_id for view in views(tmp_path)] == ["cup"]


def test_every_reading_finds_a_list_that_can_change(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS[:2])
        canary = Canary(live, 1.0, ticking(), lambda _: None)
        assert [await canary.measure() for _ in range(4)] == [1.0] * 4

    run(tmp_path, work)


def test_a_shop_without_items_has_nothing_to_measure(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        assert await Canary(live, 1.0, ticking(), lambda _: None).measure() is None

    run(tmp_path, work)
    assert views(tmp_path) == []


def test_nobody_else_is_touched(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, Event("view", live.clock(), "e1", "ann", item_id="pot")])
        while live._encoding:
            await asyncio.sleep(0.01)
        state, before = live.engine.state, digest(live.engine.state)
        ann = Request("for-you", user_id="ann")
        shown = live.engine.recommend(ann, 0).items
        offset, anchor = state.offset, state.anchor
        await Canary(live, 1.0, ticking(), lambda _: None).measure()
        assert (state.events, len(state.users), state.anchor, state.offset) == (1, 1, anchor, offset + 1)
        assert live.engine.recommend(ann, 0).items == shown
        state.offset = offset  # the only thing in a digest that an entry of the canary moves
        assert digest(state) == before
        state.offset += 1

    run(tmp_path, work)


def test_readers_of_a_stream_are_not_woken(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS)
        while live._encoding:  # its end tells everyone
            await asyncio.sleep(0.01)
        with live.signals.subscribed("ann", None) as changed:
            await Canary(live, 1.0, ticking(), lambda _: None).measure()
            assert not changed.is_set()

    run(tmp_path, work)


def test_only_the_newest_views_stay_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(live: Live) -> None:
        now = live.clock()
        monkeypatch.setattr(live, "clock", lambda: now)
        await live.append([*ITEMS, *(CanaryView("cup", now - KEPT_MS - 1) for _ in range(5)), CanaryView("pot", now)])
        await Canary(live, 1.0, ticking(), lambda _: None).compact()

    run(tmp_path, work)
    assert [view.item_id for view in views(tmp_path)] == ["pot"]


async def kept(canary: Canary, seconds: float) -> None:
    """Let the canary go on for so long."""
    work = asyncio.create_task(canary.keep())
    await asyncio.sleep(seconds)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def test_an_idle_shop_is_measured_at_once_and_then_rarely(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS)
        clock = Clock()
        found: list[float] = []
        canary = Canary(live, 0.01, clock, found.append)
        going = asyncio.create_task(canary.keep())
        await asyncio.sleep(0.3)
        assert len(found) == 1  # nothing happened since
        await live.append([Event("view", live.clock(), None, "ann", item_id="pot")])
        await asyncio.sleep(0.3)
        assert len(found) == 2
        clock.now += IDLE_SECONDS
        await asyncio.sleep(0.3)
        assert (len(found), canary.readings, canary.failures) == (3, 3, 0)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)

    run(tmp_path, work)


def test_views_are_compacted_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary_module, "COMPACT_EVERY", 2)
    gone: list[tuple[str, int]] = []

    async def work(live: Live) -> None:
        await live.append(ITEMS)
        clock = Clock()

        async def expire(kind: str, before: int) -> int:
            gone.append((kind, live.clock() - before))
            return 0

        monkeypatch.setattr(live, "expire", expire)
        canary = Canary(live, 0.01, clock, lambda _: None)
        for _ in range(4):
            clock.now += IDLE_SECONDS
            await kept(canary, 0.1)

    run(tmp_path, work)
    assert [kind for kind, _ in gone] == [CANARY_KIND] * 2
    assert all(abs(age - KEPT_MS) < 1_000 for _, age in gone)


@pytest.mark.parametrize("error", [HomeError("the disk is full"), OverloadedError("too much is waiting")])
def test_a_log_that_refuses_is_a_failure_and_the_canary_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS)

        async def refuse(_: list[Body]) -> Receipt:
            raise error

        found: list[float] = []
        canary = Canary(live, 0.01, ticking(), found.append)
        with monkeypatch.context() as patch:
            patch.setattr(live, "append", refuse)
            await kept(canary, 0.05)
        assert canary.failures >= 1
        assert found == []
        await kept(canary, 0.2)
        assert len(found) >= 1

    with caplog.at_level(logging.WARNING):
        run(tmp_path, work)
    assert str(error) in {record.__dict__.get("reason") for record in caplog.records}


def test_a_list_that_does_not_follow_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS)
        canary = Canary(live, 1.0, ticking(), lambda _: None)
        monkeypatch.setattr(type(live.engine.state), "_canary_query", lambda self, now: self.query(-1, now))
        with pytest.raises(TimeoutError, match="did not change within 10 s of its event"):
            await canary.measure()

    run(tmp_path, work)
