"""What the rule of admission does: how long those wait who are let in, and how many are answered.

One thread that answers by turns, a clock that moves as it works, and requests that come as customers do.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, repeat

import pytest

from endcap.interfaces.api.admission import SAMPLE_SECONDS, Admission

LIST_SECONDS, READ_SECONDS = 0.001, 0.00004
"""At the median; the p99 is twice that, as in the demo shop."""
CAPACITY = 1 / (1.046 * LIST_SECONDS + READ_SECONDS)
SECONDS = 8.0
Arrivals = Callable[[float, random.Random], list[float]]


@dataclass(frozen=True)
class Came:
    """Of what came: the p99 in seconds of those that were let in, and their number."""

    p99: float
    answered: int


class Thread:
    """The server's loop as libuv turns it: all that is ready, what the clock woke, then every socket is read."""

    def __init__(self, seed: int) -> None:
        self.now = self.worked = 0.0
        self.draw = random.Random(seed)
        self.admission = Admission(lambda: self.now, lambda: self.worked)
        self._due = SAMPLE_SECONDS

    def serve(self, arrivals: list[float]) -> Came:
        """Answer what comes at these seconds from now on."""
        coming = [self.now + at for at in reversed(arrivals)]
        ready: list[float] = []
        took: list[float] = []
        while coming or ready:
            if not ready:
                self.now = max(self.now, min(coming[-1], self._due))
            due = self.now >= self._due
            took += [self._answer(at) for at in ready]
            if due:
                self.admission.sample(self.now - self._due)
                self._due = self.now + SAMPLE_SECONDS
            ready = self._read(coming)
        return Came(sorted(took)[len(took) * 99 // 100], len(took))

    def _work(self, seconds: float) -> None:
        self.now += seconds
        self.worked += seconds

    def _answer(self, came: float) -> float:
        self.admission.waiting -= 1
        self._work(LIST_SECONDS * self.draw.lognormvariate(0, 0.3))
        if self.draw.random() < 0.001:
            self.now += 0.004  # a neighbour takes the core
        return self.now - came

    def _read(self, coming: list[float]) -> list[float]:
        until, ready = self.now, []
        while coming and coming[-1] <= until:
            came = coming.pop()
            self._work(READ_SECONDS)
            if self.admission.admits(b"/v1/recommend"):
                self.admission.waiting += 1
                ready.append(came)
        return ready


def evenly(rate: float, _: random.Random) -> list[float]:
    return [i / rate for i in range(round(rate * SECONDS))]


def by_chance(rate: float, draw: random.Random) -> list[float]:
    return list(accumulate(draw.expovariate(rate) for _ in range(round(rate * SECONDS))))


def in_pages(rate: float, draw: random.Random) -> list[float]:
    """Six at once."""
    return [at for page in by_chance(rate / 6, draw) for at in repeat(page, 6)]


def in_calm_times(arrivals: Arrivals) -> tuple[Thread, Came]:
    """A shop at half its capacity that has seen what is usual, and how long its visitors wait."""
    thread = Thread(seed=1)
    thread.serve(arrivals(0.5 * CAPACITY, thread.draw))
    return thread, thread.serve(arrivals(0.5 * CAPACITY, thread.draw))


@pytest.mark.parametrize(
    ("arrivals", "share", "kept"),
    [
        (evenly, 1.25, 0.97),
        (evenly, 2.0, 0.95),
        (evenly, 4.0, 0.85),
        (by_chance, 1.25, 0.93),
        (by_chance, 2.0, 0.95),
        (by_chance, 4.0, 0.88),
        (in_pages, 1.25, 0.93),
        (in_pages, 2.0, 0.95),
        (in_pages, 4.0, 0.88),
    ],
)
def test_beyond_the_capacity_those_let_in_wait_twice_as_long_as_in_calm_times(
    arrivals: Arrivals, share: float, kept: float
) -> None:
    thread, calm = in_calm_times(arrivals)
    found = thread.serve(arrivals(share * CAPACITY, thread.draw))
    assert found.p99 <= 2 * calm.p99
    assert found.answered >= kept * CAPACITY * SECONDS


@pytest.mark.parametrize(
    ("arrivals", "share", "kept"),
    [
        (evenly, 0.5, 1.0),
        (evenly, 0.9, 1.0),
        (by_chance, 0.5, 1.0),
        (by_chance, 0.8, 0.99),
        (by_chance, 0.9, 0.94),
        (in_pages, 0.5, 1.0),
        (in_pages, 0.8, 0.98),
        (in_pages, 0.9, 0.94),
    ],
)
def test_below_the_capacity_nearly_nobody_is_refused_however_it_comes(
    arrivals: Arrivals, share: float, kept: float
) -> None:
    thread, _ = in_calm_times(arrivals)
    coming = arrivals(share * CAPACITY, thread.draw)
    assert thread.serve(coming).answered >= kept * len(coming)


def test_an_idle_shop_answers_every_list_of_every_page() -> None:
    thread = Thread(seed=2)
    thread.serve(evenly(0.5 * CAPACITY, thread.draw))  # one at a time has been usual
    pages = [at for second in range(60) for at in repeat(float(second), 6)]
    assert thread.serve(pages).answered == len(pages)
