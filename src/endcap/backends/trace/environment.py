"""Which tracer the environment asks for, by the standard variables of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from endcap.backends.trace.off import NoTracer
from endcap.errors import ConfigError
from endcap.protocols import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"


def tracer(environment: Mapping[str, str]) -> Tracer:
    """What is told where the time of a request goes, by the standard variables of OpenTelemetry; by default nobody.

    Raises ConfigError for a variable that asks for what is not there.
    """
    endpoint = any(environment.get(name) for name in ENDPOINTS)
    wanted = environment.get("OTEL_TRACES_EXPORTER") or ("otlp" if endpoint else "none")
    if wanted == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NoTracer()
    if wanted != "otlp":
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {wanted!r:.80}: use otlp, or none")
    name = next((name for name in PROTOCOLS if environment.get(name)), None)
    if name is not None and environment[name] != SPOKEN:
        raise ConfigError(f"{name} is {environment[name]!r:.80}: only {SPOKEN} is spoken here")
    try:
        from endcap.backends.trace.otel import OpenTelemetry  # noqa: PLC0415  # an optional, heavy package
    except ImportError as error:
        raise ConfigError(
            f"OpenTelemetry is asked for and not installed ({error}): pip install 'endcap[otel]', or leave it out with "
            "OTEL_TRACES_EXPORTER=none"
        ) from None
    return OpenTelemetry(version("endcap"))
