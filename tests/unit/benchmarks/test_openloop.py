"""The load generator: when tasks are due, what counts as their latency, what a whole answer is."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.unit.http_server import answering

from openloop import OpenLoop, Plan, latency, parse_answer, percentile, request

SERVICE_SECONDS = 0.02


class OneAtATime(BaseHTTPRequestHandler):
    """Answers one request after the other, each in SERVICE_SECONDS, on however many connections."""

    protocol_version = "HTTP/1.1"
    counter = threading.Lock()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.counter:
            time.sleep(SERVICE_SECONDS)
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """With room for all connections of the load to come at once; else the kernel lets some wait for a second."""

    request_queue_size = 128


def slow_server() -> contextlib.AbstractContextManager[int]:
    return answering(Server(("127.0.0.1", 0), OneAtATime))


def test_percentile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values = [float(n) for n in range(1, 11)]
    assert [percentile(values, share) for share in (0.0, 0.1, 0.11, 0.5, 0.9, 0.91, 1.0)] == [1, 1, 2, 5, 9, 10, 10]


def test_what_was_never_answered_is_longer_than_any() -> None:
    found = latency([0.001] * 8, unanswered=2)
    assert (found.count, found.p50, found.p90, found.longest) == (10, 1.0, None, None)


def test_nothing_has_no_percentiles() -> None:
    assert latency([]).p50 is None


def test_latency_counts_from_when_a_request_was_due() -> None:
    n, rate = 20, 200.0  # due every 5 ms, answered every 20 ms: the last waits for all before it
    with slow_server() as port:
        load = OpenLoop(Plan(port, rate, n / rate, [[request("/", {})]])).run()
    last_due, last_answered = (n - 1) / rate, n * SERVICE_SECONDS
    assert load.whole.longest is not None
    assert load.whole.longest >= (last_answered - last_due) * 1000
    assert load.achieved <= 1 / SERVICE_SECONDS
    assert (load.whole.count, load.refused, load.unanswered) == (n, 0, 0)


def test_each_step_of_a_task_counts_from_the_answer_before_it() -> None:
    with slow_server() as port:
        load = OpenLoop(Plan(port, 10.0, 0.5, [[request("/first", {}), request("/second", {})]])).run()
    first, second = load.steps
    assert (first.count, second.count, load.whole.count) == (5, 5, 5)
    assert second.p50 is not None
    assert load.whole.p50 is not None
    assert second.p50 >= SERVICE_SECONDS * 1000
    assert load.whole.p50 >= 2 * SERVICE_SECONDS * 1000


def test_a_refused_request_is_counted_and_quoted() -> None:
    with slow_server() as port:
        load = OpenLoop(Plan(port, 20.0, 0.1, [[request("/busy", {})]])).run()
    assert (load.refused, load.refusal) == (2, "503: {}")


def test_request_counts_bytes_not_letters() -> None:
    head, _, body = request("/v1/recommend", {"query": "é"}).encode().partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head


ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\nx: y\r\n\r\n{..}"


@pytest.mark.parametrize("length", range(len(ANSWER)))
def test_an_answer_is_whole_only_at_its_last_byte(length: int) -> None:
    assert parse_answer(ANSWER[:length]) is None


def test_a_whole_answer_is_its_status_and_its_body() -> None:
    assert parse_answer(ANSWER) == (202, b"{..}")


def test_an_answer_of_unknown_length_is_refused() -> None:
    with pytest.raises(ConnectionError, match="an answer without content-length"):
        parse_answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
