"""Per-item state: how much each item is wanted, in decaying windows.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): an event at time t adds
weight * 2^((t - landmark) / half life). Counts made so compare at any later moment without touching them,
and an event that comes late counts exactly as much as if it had come in time.
"""

from __future__ import annotations

import math

import numpy as np

from endcap.config import StateConfig
from endcap.state.column import Column
from endcap.state.packing import Packed, prefixed, under
from endcap.types import MS_PER_DAY, FloatArray

MAX_EXPONENT = 512.0
"""Half-lives since the landmark at which the counts are scaled down; a float64 holds 2^1023."""


class _Window:
    """One decaying count per item."""

    __slots__ = ("counts", "half_life_ms", "landmark")

    def __init__(self, half_life_days: float) -> None:
        self.counts = Column(np.float64)
        self.half_life_ms = half_life_days * MS_PER_DAY
        self.landmark: int | None = None

    def add(self, item: int, weight: float, time: int) -> None:
        if self.landmark is None:
            self.landmark = time
        exponent = (time - self.landmark) / self.half_life_ms
        if exponent > MAX_EXPONENT:
            self.counts.scale(2.0**-exponent)
            self.landmark, exponent = time, 0.0
        self.counts.add(item, weight * 2.0**exponent)

    def at(self, now: int) -> FloatArray:
        if self.landmark is None:
            return self.counts.values.astype(np.float32)
        exponent = (self.landmark - now) / self.half_life_ms
        return (self.counts.values * math.exp2(exponent) if exponent > -1074 else self.counts.values * 0.0).astype(
            np.float32
        )

    def pack(self) -> Packed:
        landmark = [] if self.landmark is None else [self.landmark]
        return {"counts": self.counts.values, "landmark": np.array(landmark, np.int64)}

    def unpack(self, arrays: Packed) -> None:
        self.counts.load(arrays["counts"])
        self.landmark = int(arrays["landmark"][0]) if arrays["landmark"].size else None


class Popularity:
    """Decayed, weighted event counts per item: ``trending`` forgets within days, ``popular`` within months."""

    WINDOWS = ("trending", "popular")

    def __init__(self, config: StateConfig) -> None:
        self._windows = {
            "trending": _Window(config.trending_half_life_days),
            "popular": _Window(config.popular_half_life_days),
        }
        self.last_time = 0
        """Milliseconds since 1970 of the newest event counted."""
        self.version = 0
        """Counts the changes: what was derived from the counts is known to be current by one comparison."""

    def grow(self, items: int) -> None:
        """Make room for ``items`` rows."""
        for window in self._windows.values():
            window.counts.grow(items)

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self._windows["trending"].counts)

    def add(self, item: int, weight: float, time: int) -> None:
        """Count an event of ``weight``; a negative weight takes back one that was counted at ``time``."""
        self.last_time = max(self.last_time, time)
        self.version += 1
        for window in self._windows.values():
            window.add(item, weight, time)

    def pack(self) -> Packed:
        """Everything, as arrays."""
        packed: Packed = {"last_time": np.array(self.last_time, np.int64)}
        for name, window in self._windows.items():
            packed |= prefixed(name, window.pack())
        return packed

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        self.last_time = int(arrays["last_time"])
        for name, window in self._windows.items():
            window.unpack(under(name, arrays))

    def scores(self, window: str) -> FloatArray:
        """(items,) the counts of ``window``, as they stood at the newest event."""
        return self._windows[window].at(self.last_time)
