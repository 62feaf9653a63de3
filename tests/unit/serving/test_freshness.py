"""Rings of timings: what is kept, what is counted, and what lies in a window."""

from __future__ import annotations

from endcap.serving.freshness import RING_SIZE, Timings


def test_since_gives_those_that_ended_then_or_later() -> None:
    timings = Timings()
    for ended, seconds in ((1.0, 0.1), (2.0, 0.2), (3.0, 0.3)):
        timings.observe(ended, seconds)
    assert timings.since(2.0).tolist() == [0.2, 0.3]
    assert timings.since(0.0).tolist() == [0.1, 0.2, 0.3]
    assert timings.since(3.5).tolist() == []
    assert timings.since(3.5).dtype == float


def test_the_oldest_go_and_are_still_counted() -> None:
    timings = Timings(size=2)
    for at in range(5):
        timings.observe(float(at), at / 10)
    assert timings.since(0.0).tolist() == [0.3, 0.4]
    assert timings.count == 5


def test_memory_is_bounded() -> None:
    timings = Timings()
    for at in range(RING_SIZE + 1):
        timings.observe(float(at), 0.0)
    assert (timings.since(0.0).size, timings.count) == (RING_SIZE, RING_SIZE + 1)
