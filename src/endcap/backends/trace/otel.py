"""OpenTelemetry: a request is a span, and each of its stages is a span in it.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ says what the variables mean; the SDK
reads most of them itself (service name, resource, sampler, headers, limits of the queue). Names of attributes are those
of https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from endcap.protocols import Attribute

CLOSE_MS = 1_000
"""How long a server that stops waits for a collector to take the last spans."""
_PARENTS = (b"traceparent", b"tracestate")


class OpenTelemetry:
    """Sends spans to an OTLP collector over HTTP, from a thread of its own; what it cannot send is dropped."""

    def __init__(self, version: str) -> None:
        """``version``: of the service, as its resource says."""
        resource = Resource.create({SERVICE_NAME: "endcap", "service.version": version})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("endcap", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, headers: Mapping[bytes, bytes], attributes: Mapping[str, Attribute]) -> Iterator[None]:
        """A request: a part of the caller's trace where its headers name one (W3C Trace Context)."""
        carrier = {name.decode(): headers[name].decode("latin-1") for name in _PARENTS if name in headers}
        parent = self._propagator.extract(carrier)
        with self._tracer.start_as_current_span("request", parent, trace.SpanKind.SERVER, dict(attributes)):
            yield

    def answered(self, route: str, status: int) -> None:
        """The request that is under way was for ``route`` and answered with ``status``."""
        span = trace.get_current_span()
        span.update_name(route)
        span.set_attribute("http.route", route.partition(" ")[2])
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage of what is under way; nothing where nothing is, so that the work between requests is no trace."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        with self._tracer.start_as_current_span(name):
            yield

    def here(self) -> object:
        """What is under way, for ``past``; None where nothing is."""
        return context.get_current() if trace.get_current_span().get_span_context().is_valid else None

    def past(self, name: str, under: object, begun_ns: int, ended_ns: int) -> None:
        """A stage of ``under`` that is over; nanoseconds since 1970."""
        if isinstance(under, context.Context):
            self._tracer.start_span(name, under, start_time=begun_ns).end(ended_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()
