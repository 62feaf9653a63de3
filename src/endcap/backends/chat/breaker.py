"""After a failure nobody asks for a while; then one tries, for all (Nygard, Release It!, 2007: the circuit breaker)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Breaker:
    """Lets askers through, or not. Any thread. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], rest_seconds: float) -> None:
        self._clock = clock
        self._rest_seconds = rest_seconds
        self._until: float | None = None
        self._lock = Lock()

    def admits(self) -> bool:
        """Whether to ask now. After a rest one is let through, and the rest begins again until ``passed``."""
        with self._lock:
            if self._until is None:
                return True
            if self._clock() < self._until:
                return False
            self._until = self._clock() + self._rest_seconds
            return True

    def passed(self) -> None:
        """An answer came."""
        with self._lock:
            self._until = None

    def failed(self) -> None:
        """None did."""
        with self._lock:
            self._until = self._clock() + self._rest_seconds
