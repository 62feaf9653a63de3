"""One real server, one real collector on a socket: what a request's trace looks like on the wire (OTLP over HTTP)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.integration.servers import server
from tests.unit.http_server import answering

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Config
from endcap.events.log import Body, to_record
from endcap.events.schema import Event

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{CALLER}-{CALLERS_SPAN}-01"}
ITEMS = ("mug", "pot", "tray", "lamp")
VIEW = {"type": "view", "visitor_id": "v1", "item_id": "mug"}


class Collector(ThreadingHTTPServer):
    """Takes what an OTLP exporter sends, and keeps the spans of the caller's trace."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans: list[Span] = []
        self.services: set[str] = set()

    def wait_for(self, names: set[str]) -> dict[str, Span]:
        """By name: the spans, once all these have come, within 20 s."""
        until = time.monotonic() + 20
        while not names <= {span.name for span in self.spans}:
            assert time.monotonic() < until, f"only {sorted(span.name for span in self.spans)} came"
            time.sleep(0.05)
        return {span.name: span for span in self.spans}


class Taking(BaseHTTPRequestHandler):
    """POST /v1/traces, as https://opentelemetry.io/docs/specs/otlp/#otlphttp has it."""

    server: Collector

    def do_POST(self) -> None:
        message = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
        for resource in message.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.server.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.server.spans += [span for span in scope.spans if span.trace_id.hex() == CALLER]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    with answering(collector):
        yield collector


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop that has learnt."""
    home = tmp_path_factory.mktemp("traced") / "home"
    now = wiring.clock()
    made: list[Body] = [parse_change("put", {"item_id": name, "title": f"Tea {name}"}) for name in ITEMS]
    made += [
        Event("view", now - 86_400_000 * 30 + n * 3_600_000, f"e{n}", f"u{n % 7}", item_id=ITEMS[n % len(ITEMS)])
        for n in range(200)
    ]
    log = wiring.open_log(home)
    log.append([to_record(body, now) for body in made])
    log.close()
    wiring.train(home, Config(), 0, now, lambda *_: None)
    return home


def said(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_is_a_span_in_the_callers_trace_and_each_stage_a_span_in_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "our-shop")
        with server(home) as (_, base), httpx.Client(base_url=base, timeout=20) as http:
            assert http.post("/v1/events", json=VIEW, headers=HEADERS).status_code == 202
            stages = {"auth", "decode", "append", "fsync", "apply"}
            events = collector.wait_for({"POST /v1/events", *stages})
            collector.spans.clear()
            wanted = {"recipe": "for-you", "visitor_id": "v1"}
            assert http.post("/v1/recommend", json=wanted, headers=HEADERS).status_code == 200
            steps = {"auth", "decode", "rules", "propose", "rank", "explain", "served", "encode"}
            lists = collector.wait_for({"POST /v1/recommend", *steps})
    check(events, "POST /v1/events", stages, 202)
    check(lists, "POST /v1/recommend", steps, 200)
    assert events["fsync"].parent_span_id == events["apply"].parent_span_id == events["append"].span_id
    assert events["fsync"].end_time_unix_nano <= events["apply"].start_time_unix_nano
    assert collector.services == {"our-shop"}


def check(spans: dict[str, Span], route: str, stages: set[str], status: int) -> None:
    """The caller's span, in it the request, in that its stages, one after the other."""
    request = spans[route]
    assert set(spans) == {route, *stages}
    assert request.parent_span_id.hex() == CALLERS_SPAN
    assert request.kind == Span.SPAN_KIND_SERVER
    told = said(request)
    assert told["http.route"] == told["url.path"] == route.split(" ")[1]
    assert (told["http.request.method"], told["http.response.status_code"]) == ("POST", status)
    for name in stages - {"fsync", "apply"}:
        assert spans[name].parent_span_id == request.span_id
    for name in stages:
        assert spans[name].start_time_unix_nano >= request.start_time_unix_nano
        assert request.end_time_unix_nano >= spans[name].end_time_unix_nano > spans[name].start_time_unix_nano


def test_a_collector_that_is_away_holds_up_nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")  # nobody listens at discard's port
    with server(home) as (process, base), httpx.Client(base_url=base, timeout=20) as http:
        for _ in range(20):
            assert http.get("/v1/recommend/popular").status_code == 200
        process.terminate()
        begun = time.monotonic()
        assert process.wait(20) == 0
    assert time.monotonic() - begun < 15
