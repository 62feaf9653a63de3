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


@pytest.mark.parametrize(
    ("arrivals", "share", "kept"),
    [
        (evenly, 0.8, 0.98),
        (evenly, 1.0, 0.93),
        (evenly, 1.1, 0.93),
        (evenly, 1.5, 0.9),
        (evenly, 3.0, 0.85),
        (by_chance, 0.8, 0.93),
        (by_chance, 1.0, 0.8),
        (by_chance, 1.5, 0.9),
        (in_pages, 0.8, 0.8),
        (in_pages, 1.0, 0.7),
        (in_pages, 1.5, 0.8),
    ],
)
def test_those_let_in_wait_twice_as_long_as_at_half_the_load_and_most_of_the_capacity_is_used(
    arrivals: Arrivals, share: float, kept: float
) -> None:
    thread = Thread(seed=1)
    thread.serve(arrivals(0.5 * CAPACITY, thread.draw))  # what is usual here
    usual = thread.serve(arrivals(0.5 * CAPACITY, thread.draw))
    assert usual.answered >= 0.95 * 0.5 * CAPACITY * SECONDS
    found = thread.serve(arrivals(share * CAPACITY, thread.draw))
    assert found.p99 <= 2 * usual.p99
    assert found.answered >= kept * min(share, 1.0) * CAPACITY * SECONDS


def test_an_idle_shop_answers_every_list_of_every_page() -> None:
    thread = Thread(seed=2)
    thread.serve(evenly(0.5 * CAPACITY, thread.draw))  # one at a time has been usual
    pages = [at for second in range(60) for at in repeat(float(second), 6)]
    assert thread.serve(pages).answered == len(pages)
