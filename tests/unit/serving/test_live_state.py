"""What a running shop does with its whole state: it keeps it, proves it, and folds it again when somebody leaves."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from endcap import wiring
from endcap.backends.log.spool import Spool
from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import parse_change
from endcap.config import Config, Home
from endcap.errors import HomeError
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.pipelines import restart
from endcap.pipelines.person import Person
from endcap.serving import checkpoints as checkpoints_module
from endcap.serving.engine import Request
from endcap.serving.exposure import Exposure, served
from endcap.serving.live import Live
from endcap.state.snapshot import digest
from endcap.types import Record

ITEMS = [parse_change("put", {"item_id": name, "title": f"Tea {name}"}) for name in ("cup", "pot", "tray")]
CONFIG = Config()


def view(user: str, item: str = "cup") -> Event:
    return Event("view", wiring.clock(), None, user, item_id=item)


def run(home: Path, work: Callable[[Live], Awaitable[None]], config: Config = CONFIG) -> None:
    """Do ``work`` with the running shop of ``home``, within 30 s."""

    async def main() -> None:
        live = wiring.open_live(home, config)
        await live.start()
        try:
            async with asyncio.timeout(30):
                await work(live)
        finally:
            await live.stop()

    asyncio.run(main())


async def until(happened: Callable[[], bool]) -> None:
    while not happened():
        await asyncio.sleep(0.01)


def show(live: Live, user: str) -> str:
    answer = live.engine.recommend(Request("popular", user_id=user), wiring.clock())
    live.show(served(Request("popular", user_id=user), answer, wiring.clock(), live.engine.state.items, settled=True))
    return answer.request_id


def lists_in(home: Path) -> list[str]:
    with closing(wiring.open_log(home)) as log:
        return [entry.body.request_id for entry in entries(log) if isinstance(entry.body, Served)]


def replayed_digest(home: Path, offset: int) -> str:
    return wiring.replay(home, CONFIG, (offset, None), False, lambda *_: None)[0].digest


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that keeps its state after each entry."""
    monkeypatch.setattr(checkpoints_module, "EVERY_ENTRIES", 1)
    monkeypatch.setattr(checkpoints_module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints_module, "PAUSE_TIMES", 0.0)


@pytest.mark.usefixtures("eager")
def test_a_running_shop_keeps_its_state_and_the_digest_of_its_memory(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("ann"), view("bo", "pot")])
        await asyncio.sleep(0.3)
        await live.append([view("ann", "pot")])
        offset = live.engine.state.offset
        noted = Home(tmp_path).live_digest
        await until(lambda: noted.exists() and json.loads(noted.read_bytes())["offset"] == offset)
        said = json.loads(noted.read_bytes())
        assert (Home(tmp_path).state / f"{offset:020d}.npz").exists()
        assert said["digest"] == digest(live.engine.state) == replayed_digest(tmp_path, offset)

    run(tmp_path, work)
    assert not list(Home(tmp_path).state.glob("*.part"))


def test_a_stop_keeps_both_too(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("ann")])

    run(tmp_path, work)
    said = json.loads(Home(tmp_path).live_digest.read_bytes())
    assert (said["offset"], said["digest"]) == (4, replayed_digest(tmp_path, 4))


def erase(home: Path, user: str) -> int:
    receipt = wiring.erase(home, CONFIG, [Person(user_id=user)], wiring.clock(), lambda *_: None)
    assert receipt.entry is not None
    return receipt.entry


def test_a_running_shop_folds_again_when_somebody_is_erased(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, *(view("zoe", name) for name in ("cup", "pot", "tray")), view("bo")])
        others = show(live, "bo")
        show(live, "zoe")
        old, vectors = weakref.ref(live.engine.state), live.engine.contents
        live.engine.violations["hidden"] += 3
        waiting = asyncio.create_task(asyncio.to_thread(erase, tmp_path, "zoe"))
        done = 0
        while not waiting.done():  # the shop goes on meanwhile
            await live.append([view("bo", "pot")])
            show(live, "bo")
            done += 1
            await asyncio.sleep(0.01)
        await live.without_erased(await waiting)
        state = live.engine.state
        assert (state.user_row("zoe", None), state.events) == (-1, 1 + done)
        assert state.user_row("bo", None) == 0
        assert (live.engine.contents, live.engine.violations["hidden"]) == (vectors, 3)
        gc.collect()
        assert old() is None, "nothing holds on to what knew her"
        await live.append([view("cy", "tray")])
        assert live.engine.recommend(Request("for-you", user_id="bo"), wiring.clock()).items
        assert digest(live.engine.state) == replayed_digest(tmp_path, live.engine.state.offset)
        await live.settle()
        kept = lists_in(tmp_path)
        assert others in kept
        assert len(kept) == 1 + done

    run(tmp_path, work)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"zoe" in path.read_bytes()] == []
    run(tmp_path, _starts)


async def _starts(live: Live) -> None:
    assert live.engine.state.user_row("zoe", None) == -1
    assert live.engine.state.user_row("bo", None) == 0


@pytest.mark.usefixtures("eager")
def test_no_snapshot_brings_somebody_back_while_the_shop_keeps_its_state_all_the_time(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("zoe"), view("bo")])
        erasing = asyncio.create_task(asyncio.to_thread(erase, tmp_path, "zoe"))
        while not erasing.done():
            await live.append([view("bo")])
            await asyncio.sleep(0.005)
        await live.without_erased(await erasing)
        left = {path.name: b"zoe" in path.read_bytes() for path in Home(tmp_path).state.glob("*.npz")}
        assert not any(left.values())
        assert left

    run(tmp_path, work)


def test_signals_follow_the_new_state(tmp_path: Path) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("zoe"), view("bo")])
        with live.signals.subscribed("bo", None) as bo:
            entry = await asyncio.to_thread(erase, tmp_path, "zoe")
            await live.without_erased(entry)
            assert bo.is_set(), "lists may be other ones now"
            bo.clear()
            await live.append([view("cy")])
            assert not bo.is_set()
            await live.append([view("bo", "pot")])
            assert bo.is_set()

    run(tmp_path, work)


def test_a_fold_that_fails_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [HomeError("the log cannot be read now")]
    monkeypatch.setattr("endcap.serving.refolding.RETRY_SECONDS", 0.05)
    fold = restart.replayed_at

    def failing(*given: object) -> object:
        if failures:
            raise failures.pop()
        return fold(*given)  # type: ignore[arg-type]  # as it was called

    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("zoe"), view("bo")])
        monkeypatch.setattr("endcap.wiring.shop.replayed_at", failing)
        await live.without_erased(await asyncio.to_thread(erase, tmp_path, "zoe"))
        assert live.engine.state.user_row("zoe", None) == -1

    with caplog.at_level(logging.WARNING):
        run(tmp_path, work)
    assert [one.__dict__["reason"] for one in caplog.records if one.message == "state not folded again"] == [
        "the log cannot be read now"
    ]


# Served lists that the log refuses.


class _Full:
    """A log whose disk is full while it is told so."""

    def __init__(self, log: SqliteLog) -> None:
        self.full = False
        self._append = log.append
        log.append = self.append  # type: ignore[method-assign]

    def append(self, records: Sequence[Record]) -> list[int | None]:
        if self.full:
            raise HomeError("the disk is full")
        return self._append(records)


def test_lists_that_the_log_refuses_wait_and_are_stored_with_the_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disks: list[_Full] = []
    opened = wiring.open_log

    def full(home: Path) -> SqliteLog:
        log = opened(home)
        assert isinstance(log, SqliteLog)
        disks.append(_Full(log))
        return log

    monkeypatch.setattr("endcap.wiring.shop.open_log", full)
    shown: list[str] = []

    async def work(live: Live) -> None:
        await live.append(ITEMS)
        disks[0].full = True
        for _ in range(3):
            shown.append(show(live, "ann"))
            with pytest.raises(HomeError, match="the disk is full"):
                await live.append([view("ann")])
            await asyncio.sleep(0.15)
        with closing(Spool(Home(tmp_path).spool)) as spool:
            assert len(spool.left()) == 3, "a process that dies now loses none of them"
        disks[0].full = False
        shown.append(show(live, "ann"))
        await live.append([view("ann")])
        await live.settle()
        with closing(Spool(Home(tmp_path).spool)) as spool:
            assert spool.left() == []

    with caplog.at_level(logging.WARNING):
        run(tmp_path, work)
    monkeypatch.undo()
    assert sorted(lists_in(tmp_path)) == sorted(shown)
    said = [one for one in caplog.records if one.message == "served lists wait in the spool"]
    assert len(said) == 1, "once a second, not with each try"


def test_lists_stored_out_of_turn_do_not_free_those_that_are_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    exposure = Exposure(spool, 1.0)
    lists = [Served(f"r{n}", 1, 1, "m", (n,), {"recipe": "popular"}, True) for n in range(3)]
    taken = []
    for one in lists:
        exposure.add(one)
        taken += exposure.take()
    exposure.give_back(taken[0])
    exposure.release(taken[1])
    assert [record.key for record in spool.left()] == [to_record(one).key for one in lists]
    assert exposure.take() == [taken[0]]
    exposure.release(taken[0])
    assert [record.key for record in spool.left()] == [to_record(lists[2]).key]
    exposure.release(taken[2])
    assert spool.left() == []
    spool.close()
