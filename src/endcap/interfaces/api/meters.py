"""What the server counts: Prometheus metrics, and the last minute for the console.

A request costs a few microseconds here: label sets are resolved once, the rings are flat arrays, and
percentiles are taken when somebody asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from math import inf, nextafter

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from endcap.serving.canary import TARGET_SECONDS
from endcap.serving.freshness import Timings

WINDOW_SECONDS = 60
_SLOTS = WINDOW_SECONDS + 2  # the whole minute, the second that runs, one to spare
_RING_SIZE = 16_384
_LISTS = frozenset({"POST /v1/recommend", "GET /v1/recommend/{recipe}"})
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, inf)

_FRESHNESS_BUCKETS = (0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, TARGET_SECONDS, 0.035, 0.05, 0.1, 0.25, 1.0, inf)
"""Close together about the target, which is one of them: the share that kept it can be told exactly."""


class PerSecond:
    """Counts by second, for the last minute."""

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * _SLOTS))
        self._seconds = array("q", bytes(8 * _SLOTS))

    def add(self, at: float, count: int = 1) -> None:
        """Count ``count`` at ``at`` (seconds)."""
        second = int(at)
        slot = second % _SLOTS
        if self._seconds[slot] != second:
            self._seconds[slot] = second
            self._counts[slot] = 0
        self._counts[slot] += count

    def last_minute(self, now: float) -> list[int]:
        """The counts of the last 60 whole seconds, oldest first."""
        end = int(now)
        return [
            self._counts[second % _SLOTS] if self._seconds[second % _SLOTS] == second else 0
            for second in range(end - WINDOW_SECONDS, end)
        ]


class Durations:
    """Durations and when they were, newest 16,384."""

    def __init__(self) -> None:
        self._at = array("d", [-inf]) * _RING_SIZE
        self._seconds = array("d", bytes(8 * _RING_SIZE))
        self._next = 0

    def add(self, at: float, seconds: float) -> None:
        """Note that something took ``seconds`` and ended at ``at``."""
        self._at[self._next] = at
        self._seconds[self._next] = seconds
        self._next = (self._next + 1) % _RING_SIZE

    def percentiles(self, now: float) -> tuple[float | None, float | None]:
        """p50 and p99 of the last minute, seconds; None where there is nothing."""
        recent = np.array(self._seconds)[np.array(self._at) > now - WINDOW_SECONDS]
        if recent.size == 0:
            return None, None
        p50, p99 = np.percentile(recent, (50, 99))
        return float(p50), float(p99)


class _Read(Collector):
    """A counter that is kept elsewhere."""

    def __init__(self, name: str, summary: str, label: str, values: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._summary, self._label, self._values = name, summary, label, values

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._summary, labels=[self._label])
        for value, count in self._values().items():
            family.add_metric([value], count)
        return [family]


class Meters:
    """The server's counters. Clocks are passed in with each call: monotonic seconds."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.requests = PerSecond()
        self.events = PerSecond()
        self.errors = PerSecond()
        self.recommend = Durations()
        self.freshness = Durations()
        self.registry = CollectorRegistry()
        self._requests = Counter("endcap_requests", "Requests.", ("route", "status"), registry=self.registry)
        self._seconds = Histogram(
            "endcap_request_seconds", "Time to answer.", ("route",), registry=self.registry, buckets=_BUCKETS
        )
        events = Counter("endcap_events", "Events received.", ("outcome",), registry=self.registry)
        self._accepted = events.labels("accepted")
        self._duplicates = events.labels("duplicate")
        self._refused = events.labels("refused")
        self._freshness = Histogram(
            "endcap_freshness_seconds",
            "From an event of the server's own visitor to its first changed list, the disk included.",
            registry=self.registry,
            buckets=_FRESHNESS_BUCKETS,
        )
        self._fsync = Histogram(
            "endcap_fsync_seconds", "One write to the log, fsync included.", registry=self.registry, buckets=_BUCKETS
        )
        self._commits_seen = started
        ProcessCollector(namespace="endcap", registry=self.registry)
        self._by_status: dict[tuple[str, int], Counter] = {}
        self._by_route: dict[str, Histogram] = {}

    def gauge(self, name: str, summary: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when somebody looks at it."""
        Gauge(name, summary, registry=self.registry).set_function(value)

    def counter(self, name: str, summary: str, label: str, values: Callable[[], Mapping[str, int]]) -> None:
        """Add a counter that is read when somebody looks at it; ``values``: by the value of ``label``."""
        self.registry.register(_Read(name, summary, label, values))

    def request(self, route: str, status: int, now: float, seconds: float | None) -> None:
        """Count a request; ``seconds`` None: it was a stream, whose length says nothing."""
        counter = self._by_status.get((route, status))
        if counter is None:
            counter = self._by_status[route, status] = self._requests.labels(route, str(status))
        counter.inc()
        self.requests.add(now)
        if status >= 500:
            self.errors.add(now)
        if seconds is None:
            return
        histogram = self._by_route.get(route)
        if histogram is None:
            histogram = self._by_route[route] = self._seconds.labels(route)
        histogram.observe(seconds)
        if route in _LISTS:
            self.recommend.add(now, seconds)

    def event_batch(self, accepted: int, duplicates: int, refused: int, now: float) -> None:
        """Count what became of the events of one request."""
        self._accepted.inc(accepted)
        self._duplicates.inc(duplicates)
        self._refused.inc(refused)
        self.events.add(now, accepted)

    def fresh(self, now: float, seconds: float) -> None:
        """Note that the canary's list followed its event by ``seconds``."""
        self._freshness.observe(seconds)
        self.freshness.add(now, seconds)

    def exposition(self, commits: Timings, now: float) -> bytes:
        """Everything in the Prometheus text format. ``commits``: the writes to the log; the new ones are counted."""
        for seconds in commits.since(self._commits_seen).tolist():
            self._fsync.observe(seconds)
        self._commits_seen = nextafter(now, inf)  # what ends now has been counted
        return generate_latest(self.registry)
