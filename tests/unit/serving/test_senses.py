"""What a request brings besides words: read in time or refused, and never for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from endcap.errors import InvalidFieldError, OverloadedError
from endcap.serving.senses import WORDS_SECONDS, Desk, Senses

MOST = 2


class Listener:
    """Hears the last of the words that it is told to expect, and notes them."""

    name = "listener"

    def __init__(self) -> None:
        self.expected: list[Sequence[str]] = []

    def load(self) -> None:
        """Nothing to load."""

    def transcribe(self, audio: bytes, words: Sequence[str] = ()) -> str:
        """The audio is the text."""
        self.expected.append(list(words))
        return audio.decode()


@contextmanager
def desk(seconds: float = 30.0) -> Iterator[Desk]:
    opened = Desk("image", MOST, seconds)
    yield opened
    opened.close()


class Work:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.go_on.wait(30)
        return "done"


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_work_is_done_off_the_loop_and_its_error_is_the_callers() -> None:
    async def work() -> None:
        with desk() as one:
            assert await one.ask(threading.current_thread) is not threading.current_thread()
            with pytest.raises(InvalidFieldError, match="no picture"):
                await one.ask(_refuse)

    run(work)


def _refuse() -> None:
    raise InvalidFieldError("image", "no picture")


def test_who_would_have_to_wait_too_long_is_told_at_once_and_the_next_is_served_again() -> None:
    async def work() -> None:
        with desk() as one:
            slow = Work()
            waiting = [asyncio.create_task(one.ask(slow)) for _ in range(MOST)]
            await asyncio.to_thread(slow.begun.wait, 30)
            with pytest.raises(OverloadedError, match="2 requests with image are waiting: send it again in a second"):
                await one.ask(lambda: "")
            slow.go_on.set()
            assert await asyncio.gather(*waiting) == ["done"] * MOST
            assert await one.ask(lambda: "served") == "served"

    run(work)


def test_what_takes_too_long_is_given_up_and_what_waits_behind_it_does_not_begin() -> None:
    async def work() -> None:
        with desk(seconds=0.05) as one:
            slow, behind = Work(), Work()
            asked = [asyncio.create_task(one.ask(task)) for task in (slow, behind)]
            for task in asked:
                with pytest.raises(OverloadedError, match=r"the image was not read within 0\.05 s: send it again"):
                    await task
            slow.go_on.set()
            one.close()
            assert slow.begun.is_set()
            assert not behind.begun.is_set()

    run(work)


def test_who_has_gone_leaves_room_and_nothing_begins_for_them() -> None:
    async def work() -> None:
        with desk() as one:
            slow, behind = Work(), Work()
            here = asyncio.create_task(one.ask(slow))
            gone = asyncio.create_task(one.ask(behind))
            await asyncio.to_thread(slow.begun.wait, 30)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            next_one = asyncio.create_task(one.ask(lambda: "next"))
            await asyncio.sleep(0)
            slow.go_on.set()
            assert [await here, await next_one] == ["done", "next"]
            assert not behind.begun.is_set()

    run(work)


def test_the_words_that_are_expected_are_the_catalogues_and_are_taken_again_after_a_while() -> None:
    now, titles, listener = [0.0], ["Tea pot"], Listener()

    async def work() -> None:
        senses = Senses(listener, lambda: now[0])
        for step in (0.0, WORDS_SECONDS - 1, 1.0):
            now[0] += step
            assert await senses.hear(b" a pot ", lambda: titles) == "a pot"
            titles.append("Desk lamp")
        senses.close()

    run(work)
    assert listener.expected == [["tea pot"], ["tea pot"], ["tea pot", "desk lamp"]]


def test_silence_is_said_and_so_is_a_shop_that_hears_nothing() -> None:
    async def work() -> None:
        senses, deaf = Senses(Listener()), Senses()
        assert (senses.hears, deaf.hears) == (True, False)
        with pytest.raises(InvalidFieldError, match="nothing is said in the audio: speak louder, or type"):
            await senses.hear(b" ", list)
        with pytest.raises(InvalidFieldError, match=r"hears no speech: set encode\.speech, start the server again"):
            await deaf.hear(b"pot", list)
        senses.close()
        deaf.close()

    run(work)
