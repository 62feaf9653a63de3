"""What is stored and cannot be applied: it is acknowledged, and the state is folded again or said to be wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.serving.test_canary import Clock
from tests.unit.serving.test_live_state import CONFIG, ITEMS, erase, replayed_digest, run, show, until, view

from endcap import wiring
from endcap.config import Home, StateConfig
from endcap.errors import HomeError
from endcap.evaluation.attribution import Asked
from endcap.events.log import entries, to_record
from endcap.events.schema import Event
from endcap.serving import refolding as module
from endcap.serving.engine import Request
from endcap.serving.live import Live
from endcap.serving.refolding import MOST_SECONDS, PAUSE_TIMES, RETRY_SECONDS, Refolding
from endcap.state import fold
from endcap.state.fold import State
from endcap.state.snapshot import digest
from endcap.types import MS_PER_DAY, Entry

# When.


def test_after_each_fold_that_fails_the_next_waits_twice_as_long() -> None:
    clock = Clock()
    refolding, state = Refolding(clock), State(StateConfig())
    assert not refolding.due(state)
    state.outdated = True
    for failures in range(12):
        assert refolding.due(state)
        refolding.failed(ValueError("poison"), 0.0)
        pause = min(RETRY_SECONDS * 2**failures, MOST_SECONDS)
        clock.now += pause - 0.5
        assert not refolding.due(state)
        clock.now += 0.5
    assert (refolding.failures, refolding.problem) == (
        12,
        "the state is not what the log adds up to, and it cannot be folded again: poison",
    )
    refolding.done(0.0)
    assert (refolding.failures, refolding.problem) == (0, None)
    assert refolding.folds == {"ok": 1, "failed": 12}


def test_folds_of_a_large_log_leave_time_between_them_whether_they_fail_or_not() -> None:
    clock = Clock()
    refolding, state = Refolding(clock), State(StateConfig())
    state.outdated = True
    for fails in (True, False):
        if fails:
            refolding.failed(ValueError("poison"), 3.0)
        else:
            refolding.done(3.0)
        clock.now += PAUSE_TIMES * 3.0 - 1
        assert not refolding.due(state)
        clock.now += 1
        assert refolding.due(state)


def test_a_log_that_has_changed_is_folded_at_once() -> None:
    clock = Clock()
    refolding, state = Refolding(clock), State(StateConfig())
    state.outdated = True
    refolding.failed(ValueError("poison"), 3.0)
    refolding.at_once()
    assert refolding.due(state)
    assert refolding.failures == 0


def test_faults_are_said_with_their_offset_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    refolding, state = Refolding(clock), State(StateConfig())
    for offset in range(5):
        refolding.fault(state, offset, ValueError("poison"))
        clock.now += RETRY_SECONDS / 2
    assert state.outdated
    assert [record.__dict__["offset"] for record in caplog.records] == [0, 2, 4]
    assert caplog.records[0].exc_info is not None


# In a shop that runs.


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the fold fail, so many times, in the middle of an event that is about the item ``poison``."""
    left = 0
    whole = fold._apply_event

    def faulty(state: State, event: Event) -> None:
        nonlocal left
        whole(state, event)
        if event.item_id == "poison" and left:
            left -= 1
            raise RuntimeError("poison")

    def times(count: int) -> None:
        nonlocal left
        left = count

    monkeypatch.setattr(fold, "_apply_event", faulty)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(module, "PAUSE_TIMES", 1.0)
    return times


def events_in(home: Path) -> int:
    log = wiring.open_log(home)
    try:
        return sum(isinstance(entry.body, Event) for entry in entries(log))
    finally:
        log.close()


@pytest.mark.parametrize("between", [False, True])
def test_what_is_stored_and_cannot_be_applied_is_acknowledged_and_the_state_is_folded_again(
    tmp_path: Path, poison: Callable[[int], None], caplog: pytest.LogCaptureFixture, between: bool
) -> None:
    """``between``: another process has written, so that the entries are read from the log."""

    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("ann")])
        poison(1)
        if between:
            other = wiring.open_log(tmp_path)
            other.append([to_record(view("cy"))])
            other.close()
        bad = live.engine.state.offset + 2 + between
        receipt = await live.append([view("bo"), view("bo", "poison"), view("bo", "pot")])
        assert (receipt.accepted, receipt.duplicates, receipt.offset) == (3, 0, bad + 1)
        assert live.engine.state.outdated
        assert live.engine.state.offset == bad + 1, "what comes after it is applied"
        await until(lambda: not live.engine.state.outdated)
        assert digest(live.engine.state) == replayed_digest(tmp_path, bad + 1)
        assert live.engine.state.events == 4 + between
        assert live.refolding.problem is None
        said = [one for one in caplog.records if one.message == "entry not applied"]
        assert [(one.levelname, one.__dict__["offset"]) for one in said] == [("ERROR", bad)]

    run(tmp_path, work)


def test_an_entry_that_always_fails_is_not_folded_all_the_time_and_the_shop_goes_on(
    tmp_path: Path, poison: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("ann")])
        poison(1_000_000)
        receipt = await live.append([view("bo", "poison")])
        assert (receipt.accepted, receipt.offset) == (1, 5), "a list with offset 4 does not reflect it"
        await until(lambda: live.refolding.failures == 3)
        assert live.refolding.problem is not None
        assert live.refolding.problem.startswith(
            "the state is not what the log adds up to, and it cannot be folded again: the log cannot be folded beyond "
            "entry 4 (RuntimeError('poison')): start the version of Endcap that wrote what follows, or stop the server"
        )
        for _ in range(3):
            assert (await live.append([view("bo", "pot")])).accepted == 1
            listed = live.engine.recommend(Request("trending"), wiring.clock())
            assert listed.items[0].item_id in ("cup", "pot")
        assert listed.items[0].item_id == "pot", "lists follow"
        with pytest.raises(HomeError, match="who left the log may still be in this server's memory: the state is not"):
            await live.without_erased(live.engine.state.offset)
        poison(0)
        await until(lambda: not live.engine.state.outdated)
        assert live.refolding.problem is None
        assert digest(live.engine.state) == replayed_digest(tmp_path, live.engine.state.offset)

    with caplog.at_level(logging.WARNING):
        run(tmp_path, work)
    failed = [one for one in caplog.records if one.message == "state not folded again"]
    assert failed[0].__dict__["next_seconds"] < failed[2].__dict__["next_seconds"]
    assert events_in(tmp_path) == 5


def test_who_is_erased_does_not_wait_for_the_next_attempt(
    tmp_path: Path, poison: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(live: Live) -> None:
        monkeypatch.setattr(module, "RETRY_SECONDS", 1_000.0)
        await live.append([*ITEMS, view("ann")])
        poison(2)  # once as it comes in, once as the log is folded
        await live.append([view("zoe", "poison")])
        await until(lambda: live.refolding.failures == 1)
        await live.without_erased(await asyncio.to_thread(erase, tmp_path, "zoe"))
        assert live.engine.state.user_row("zoe", None) == -1
        assert live.refolding.problem is None

    run(tmp_path, work)


def test_a_state_that_is_not_to_be_trusted_is_never_kept(tmp_path: Path, poison: Callable[[int], None]) -> None:
    async def work(live: Live) -> None:
        await live.append([*ITEMS, view("ann")])
        poison(1_000_000)
        await live.append([view("bo", "poison")])

    run(tmp_path, work)
    assert not Home(tmp_path).live_digest.exists()
    assert not list(Home(tmp_path).state.glob("*"))
    with pytest.raises(HomeError, match=r"beyond entry 4 \(RuntimeError\('poison'\)\): start the version of Endcap"):
        wiring.open_live(tmp_path, CONFIG)


def test_a_tally_that_could_not_be_applied_counts_its_lists_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(live: Live) -> None:
        await live.append(ITEMS)
        show(live, "ann")
        await live.settle()
        monkeypatch.setattr(fold, "_apply_rare", failing_once)
        await live.tally()
        assert failures == []
        assert live.untallied() == []
        await until(lambda: not live.engine.state.outdated)
        await live.tally()
        assert live.untallied() == []

    failures, whole = [RuntimeError("poison")], fold._apply_rare

    def failing_once(state: State, entry: Entry) -> None:
        if failures:
            raise failures.pop()
        whole(state, entry)

    run(tmp_path, work)
    today = wiring.clock() // MS_PER_DAY
    assert wiring.attribution(tmp_path, CONFIG, Asked(today - 1, today)).total.lists == 1
