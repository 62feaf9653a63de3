"""Which tracer the environment asks for."""

from __future__ import annotations

import sys

import pytest

from endcap.backends.trace.environment import tracer
from endcap.backends.trace.off import NoTracer
from endcap.backends.trace.otel import OpenTelemetry
from endcap.errors import ConfigError

ENDPOINT = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "shop"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT},
        {"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
    ],
)
def test_by_default_nobody_is_told(environment: dict[str, str]) -> None:
    assert isinstance(tracer(environment), NoTracer)


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
)
def test_an_exporter_or_an_endpoint_turns_it_on(environment: dict[str, str]) -> None:
    found = tracer(environment)
    assert isinstance(found, OpenTelemetry)
    found.close()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin': use otlp, or none"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': only http/protobuf is spoken here",
        ),
    ],
)
def test_what_is_not_there_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tracer(environment)


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "endcap.backends.trace.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"pip install 'endcap\[otel\]', or leave it out with OTEL_TRACES_EXPORTER="):
        tracer({"OTEL_TRACES_EXPORTER": "otlp"})


def test_the_work_between_requests_is_no_trace() -> None:
    found = OpenTelemetry("1.0")
    with found.stage("append"):
        assert found.here() is None
    with found.request({}, {"http.request.method": "GET"}), found.stage("append"):
        assert found.here() is not None
    found.close()
