"""What becomes of lists that were served: none are kept any more, or somebody is erased before the log has them."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.serving.test_live_state import (
    CONFIG,
    ITEMS,
    erase,
    lists_in,
    replayed_digest,
    run,
    show,
    until,
    view,
)

from endcap import wiring
from endcap.backends.log.spool import Spool
from endcap.config import Home
from endcap.errors import HomeError
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.events.served import Served, Tally
from endcap.protocols import Log
from endcap.serving import live as live_module
from endcap.serving.live import Live
from endcap.state.snapshot import digest
from endcap.types import Record
from endcap.wiring import home as homes

NONE_KEPT = replace(CONFIG, serve=replace(CONFIG.serve, keep_served_days=0.0))


def test_where_none_are_kept_any_more_those_of_before_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keeps(live: Live) -> None:
        await live.append(ITEMS)
        for _ in range(6):
            show(live, "ann")
        await live.settle()

    run(tmp_path, keeps)
    with closing(Spool(Home(tmp_path).spool)) as spool:  # of a server that died
        spool.append(to_record(Served("last", wiring.clock(), 3, "m", (0,), {"recipe": "popular"})))
    assert len(lists_in(tmp_path)) == 6
    taken: list[int] = []
    monkeypatch.setattr(live_module, "EXPIRE_RECORDS", 3)

    async def keeps_none(live: Live) -> None:
        expire = live.expire

        async def counted(kind: str, before: int) -> int:
            taken.append(await expire(kind, before))
            return taken[-1]

        monkeypatch.setattr(live, "expire", counted)
        await until(lambda: taken[-1:] == [1])
        show(live, "ann")
        await live.settle()

    run(tmp_path, keeps_none, NONE_KEPT)
    assert taken == [3, 3, 1], "piece by piece"
    assert lists_in(tmp_path) == []
    assert not Home(tmp_path).spool.exists(), "the next start need not look for any"
    with closing(wiring.open_log(tmp_path)) as log:
        tallies = [entry.body for entry in entries(log) if isinstance(entry.body, Tally)]
    assert sum(one.lists for tally in tallies for one in tally.shown) == 7, "that they were is still known"


def records(*events: Event) -> list[Record]:
    """Of a log with three items and these events."""
    return [*(to_record(one, 1) for one in ITEMS), *map(to_record, events)]


class Refusing:
    """Makes a log refuse served lists, as long as it is told so."""

    def __init__(self, log: Log) -> None:
        self.refuses = False
        self._append = log.append
        log.append = self.append  # type: ignore[method-assign]

    def append(self, records: Sequence[Record]) -> list[int | None]:
        if self.refuses and any(record.kind == "served" for record in records):
            raise HomeError("the disk is full")
        return self._append(records)


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[Refusing]:
    """Each log that wiring opens: the first is the server's."""
    opened, found = wiring.open_log, list[Refusing]()

    def opening(home: Path) -> Log:
        log = opened(home)
        found.append(Refusing(log))
        return log

    monkeypatch.setattr("endcap.wiring.shop.open_log", opening)
    return found


def test_an_erasure_waits_for_lists_that_come_in_late(tmp_path: Path, logs: list[Refusing]) -> None:
    others: list[str] = []

    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("zoe"), view("bo")])
        logs[0].refuses = True
        others.append(show(live, "bo"))
        show(live, "zoe")
        erasing = asyncio.create_task(asyncio.to_thread(erase, tmp_path, "zoe"))
        await until(lambda: live.engine.state.user_row("zoe", None) < 0)  # they left the log, and the state
        await asyncio.sleep(homes.SPOOL_SECONDS)
        assert not erasing.done()
        logs[0].refuses = False
        await erasing

    run(tmp_path, work)
    assert lists_in(tmp_path) == others
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"zoe" in path.read_bytes()] == []


def test_an_erasure_whose_lists_do_not_come_in_says_so_and_is_finished_by_the_next(
    tmp_path: Path, logs: list[Refusing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "SPOOL_LIMIT_SECONDS", -1.0)

    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("zoe"), view("bo")])
        logs[0].refuses = True
        show(live, "zoe")
        with pytest.raises(HomeError, match=r"the log does not take the lists .* then erase again"):
            await asyncio.to_thread(erase, tmp_path, "zoe")
        logs[0].refuses = False
        await live.settle()
        assert len(lists_in(tmp_path)) == 1
        await asyncio.to_thread(erase, tmp_path, "bo")
        assert lists_in(tmp_path) == []

    run(tmp_path, work)


def test_damaged_entries_go_with_an_erasure_and_the_server_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(wiring.open_log(tmp_path)) as log:
        log.append(records(view("bo"), view("bo")))
    with closing(sqlite3.connect(Home(tmp_path).log, isolation_level=None)) as plain:
        plain.execute("UPDATE entries SET time = time + 1 WHERE offset = 4")

    async def work(live: Live) -> None:
        assert live.engine.state.unreadable == 1
        await live.without_erased(await asyncio.to_thread(erase, tmp_path, "somebody unknown"))
        state = live.engine.state
        assert (state.unreadable, state.events) == (0, 1)
        assert digest(state) == replayed_digest(tmp_path, state.offset)

    with caplog.at_level(logging.WARNING):
        run(tmp_path, work)
    said = [one for one in caplog.records if one.message == "damaged entries went with an erasure"]
    assert [one.__dict__["offsets"] for one in said] == [(4,)]


def test_a_state_is_folded_again_through_a_log_of_its_own(tmp_path: Path) -> None:
    log = wiring.open_log(tmp_path)
    log.append(records(view("ann")))
    shop = wiring.shop_of(tmp_path, CONFIG, log, ExitStack())
    log.close()
    state = shop.fold(3)
    assert (state.offset, state.events) == (3, 0)
    shop.fold_on(state, 4)
    assert (state.offset, state.events) == (4, 1)
