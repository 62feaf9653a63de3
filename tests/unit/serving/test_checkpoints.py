"""When a running shop keeps its state, and that what it keeps is what it holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from tests.unit.serving.test_canary import Clock

from endcap.config import StateConfig
from endcap.errors import HomeError
from endcap.serving import checkpoints as module
from endcap.serving.checkpoints import AT_LEAST_SECONDS, EVERY_ENTRIES, PAUSE_SECONDS, PAUSE_TIMES, Checkpoints
from endcap.state.fold import State


def at(offset: int, anchor: int | None = None) -> State:
    """A state of which only its place in the log matters."""
    state = State(StateConfig())
    state.offset, state.anchor = offset, offset if anchor is None else anchor
    return state


def made(clock: Clock, work: Callable[[], None] = lambda: None) -> tuple[Checkpoints, list[int]]:
    finished: list[int] = []
    checkpoints = Checkpoints(lambda _: work, finished.append, clock)
    assert not checkpoints.due(at(0))
    return checkpoints, finished


def test_after_so_many_entries_but_not_at_once() -> None:
    clock = Clock()
    checkpoints, _ = made(clock)
    assert not checkpoints.due(at(EVERY_ENTRIES)), "it has just started"
    clock.now += PAUSE_SECONDS
    assert not checkpoints.due(at(EVERY_ENTRIES - 1))
    assert checkpoints.due(at(EVERY_ENTRIES))
    asyncio.run(checkpoints.keep(at(EVERY_ENTRIES)))
    clock.now += PAUSE_SECONDS
    assert not checkpoints.due(at(EVERY_ENTRIES + 1))
    assert checkpoints.due(at(2 * EVERY_ENTRIES))


def test_a_quiet_shop_keeps_its_state_each_hour_if_something_stays() -> None:
    clock = Clock()
    checkpoints, _ = made(clock)
    clock.now += AT_LEAST_SECONDS
    assert not checkpoints.due(at(0))
    assert not checkpoints.due(at(EVERY_ENTRIES, 0)), "views of the canary and served lists expire"
    assert checkpoints.due(at(1))


def test_a_large_shop_waits_as_many_times_as_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    checkpoints, _ = made(clock)

    async def slowly(_work: Callable[[], None], _seconds: float) -> str | None:
        clock.now += 7.0
        return None

    monkeypatch.setattr(module, "in_a_copy", slowly)
    asyncio.run(checkpoints.keep(at(1)))
    clock.now += PAUSE_TIMES * 7.0 - 1
    assert not checkpoints.due(at(1 + EVERY_ENTRIES))
    clock.now += 1
    assert checkpoints.due(at(1 + EVERY_ENTRIES))


def test_a_state_that_holds_the_erased_is_never_kept() -> None:
    clock = Clock()
    checkpoints, _ = made(clock)
    clock.now += AT_LEAST_SECONDS
    state = at(EVERY_ENTRIES)
    assert checkpoints.due(state)
    state.outdated = True
    assert not checkpoints.due(state)


def test_what_fails_is_said_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    def full() -> None:
        raise OSError("no space left")

    clock = Clock()
    checkpoints, finished = made(clock, full)
    with caplog.at_level(logging.WARNING):
        asyncio.run(checkpoints.keep(at(5)))
    assert [record.__dict__["reason"] for record in caplog.records] == ["OSError: no space left"]
    assert finished == [5]
    clock.now += AT_LEAST_SECONDS
    assert checkpoints.due(at(6))


@pytest.mark.parametrize("error", [HomeError("the log cannot be read"), OSError("no room for a copy"), ValueError("x")])
def test_one_that_cannot_begin_leaves_room_for_the_next(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    errors, kept = [error], []

    def prepare(state: State) -> Callable[[], None]:
        if errors:
            raise errors.pop()
        kept.append(state.offset)
        return lambda: None

    clock, finished = Clock(), list[int]()
    checkpoints = Checkpoints(prepare, finished.append, clock)
    assert not checkpoints.due(at(0))
    with caplog.at_level(logging.WARNING):
        asyncio.run(checkpoints.keep(at(5)))
    assert [record.__dict__["reason"] for record in caplog.records] == [f"{type(error).__name__}: {error}"]
    clock.now += PAUSE_SECONDS
    assert checkpoints.due(at(5 + EVERY_ENTRIES))
    asyncio.run(checkpoints.keep(at(5 + EVERY_ENTRIES)))
    assert (kept, finished) == ([5 + EVERY_ENTRIES], [5, 5 + EVERY_ENTRIES])


def test_what_a_copy_left_behind_is_cleared_away_also_when_the_server_stops() -> None:
    checkpoints, finished = made(Clock(), lambda: time.sleep(60))

    async def stop() -> None:
        keeping = asyncio.create_task(checkpoints.keep(at(5)))
        await asyncio.sleep(0.05)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping

    asyncio.run(stop())
    assert finished == [5]
