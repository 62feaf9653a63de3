"""How fresh and how fast the running shop is: bounded rings of timings, read by the console and by /metrics."""

from __future__ import annotations

from collections import deque

import numpy as np

RING_SIZE = 10_000


class Timings:
    """The newest durations, each with the moment it ended. Seconds."""

    def __init__(self, size: int = RING_SIZE) -> None:
        self._ring: deque[tuple[float, float]] = deque(maxlen=size)
        self.count = 0
        """All that were ever observed."""

    def observe(self, ended: float, seconds: float) -> None:
        """Note that something that took ``seconds`` ended at the monotonic moment ``ended``."""
        self._ring.append((ended, seconds))
        self.count += 1

    def since(self, start: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """(n,) the seconds of those that ended at ``start`` or later."""
        return np.array([seconds for ended, seconds in self._ring if ended >= start], np.float64)


class Freshness:
    """What the writer measured."""

    def __init__(self) -> None:
        self.commits = Timings()
        """One append to the log, fsync included."""
