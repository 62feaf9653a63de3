"""What the server counts."""

from __future__ import annotations

from endcap.interfaces.api.meters import Durations, Meters, PerSecond
from endcap.serving.freshness import Timings


def test_counts_of_the_last_whole_minute() -> None:
    counts = PerSecond()
    counts.add(1000.2)
    counts.add(1000.9, 4)
    counts.add(1059.0, 2)
    counts.add(1060.5, 8)  # the second that still runs does not count
    last = counts.last_minute(1060.9)
    assert (len(last), last[0], last[59], sum(last)) == (60, 5, 2, 7)


def test_old_counts_are_forgotten() -> None:
    counts = PerSecond()
    counts.add(1000.0, 5)
    assert sum(counts.last_minute(1061.0)) == 0
    counts.add(1062.0)  # the slot of the second 1000
    assert counts.last_minute(1063.0)[-1] == 1


def test_percentiles_of_the_last_minute() -> None:
    durations = Durations()
    assert durations.percentiles(1000.0) == (None, None)
    durations.add(900.0, 99.0)
    for place in range(101):
        durations.add(1000.0, place / 100)
    p50, p99 = durations.percentiles(1001.0)
    assert (p50, p99) == (0.5, 0.99)


def test_the_ring_keeps_the_newest() -> None:
    durations = Durations()
    for _ in range(16_384):
        durations.add(1000.0, 9.0)
    for _ in range(16_384):
        durations.add(1000.0, 1.0)
    assert durations.percentiles(1000.0) == (1.0, 1.0)


def test_metrics_have_our_name_and_the_numbers() -> None:
    meters = Meters(started=0.0)
    meters.request("POST /v1/recommend", 200, 10.0, 0.004)
    meters.request("POST /v1/recommend", 200, 10.0, 0.006)
    meters.request("GET /v1/stream", 503, 10.0, None)
    meters.event_batch(accepted=3, duplicates=2, refused=1, now=10.0)
    meters.fresh(10.0, 0.003)
    meters.gauge("endcap_offset", "Where.", lambda: 7)
    commits = Timings()
    commits.observe(9.0, 0.003)
    lines = meters.exposition(commits, 10.0).decode().splitlines()
    assert 'endcap_requests_total{route="POST /v1/recommend",status="200"} 2.0' in lines
    assert 'endcap_requests_total{route="GET /v1/stream",status="503"} 1.0' in lines
    assert 'endcap_request_seconds_bucket{le="0.005",route="POST /v1/recommend"} 1.0' in lines
    assert not [line for line in lines if line.startswith('endcap_request_seconds_count{route="GET /v1/stream"')]
    assert 'endcap_events_total{outcome="accepted"} 3.0' in lines
    assert 'endcap_events_total{outcome="duplicate"} 2.0' in lines
    assert 'endcap_events_total{outcome="refused"} 1.0' in lines
    assert "endcap_freshness_seconds_count 1.0" in lines
    assert "endcap_offset 7.0" in lines
    assert "endcap_fsync_seconds_count 1.0" in lines
    assert all(line.startswith("endcap_") for line in lines if not line.startswith("#"))
    assert meters.errors.last_minute(11.0)[-1] == 1
    assert meters.recommend.percentiles(10.0)[0] == 0.005


def test_a_write_to_the_log_is_counted_once() -> None:
    meters, commits = Meters(started=0.0), Timings()
    commits.observe(9.0, 0.003)
    commits.observe(10.0, 0.003)
    meters.exposition(commits, 10.0)
    commits.observe(11.0, 0.003)
    assert b"endcap_fsync_seconds_count 3.0" in meters.exposition(commits, 12.0)
