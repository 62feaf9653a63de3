"""What traces cost: lists from the API with traces off, and with OpenTelemetry on and a collector that takes them.

    python benchmarks/traces.py [--home DIR]    measure, write benchmarks/results/traces.json (under a minute)
    python benchmarks/traces.py --render        write the figures of that file into docs/how-to/operate.md

The API is called in this process, without a socket, so that nothing but the list and its stages is timed; both sides in
turns. Off: the stages of a list are counted, and as many are timed by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct

from demo_shop import list_tasks, make_home, read_shop
from endcap import wiring
from endcap.backends.trace.off import NoTracer
from endcap.backends.trace.otel import OpenTelemetry
from endcap.config import load_config
from endcap.interfaces.api.app import Api, create_app
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.server import ServerOptions, create_context
from endcap.protocols import Attribute
from machine import Machine, describe, load_average
from pages import OPERATE
from script import parser_of, run

SEED = 20_111_209
BLOCK = 100
"""Lists of one side before it is the other's turn."""
ROUNDS = 30
NO_OPS = 100_000


class Results(Struct):
    """A run. Microseconds."""

    date: str
    machine: Machine
    stages: int
    """Of a list, the request itself included."""
    list_us: float
    """The median of a list, traces off."""
    off_us: float
    """So many stages of which nobody is told."""
    off_share: float
    on_ratio: float
    """The median over the rounds of: the median list with traces on over the one with traces off."""
    load_average: float


class Counting(NoTracer):
    """Counts the stages, and keeps nothing."""

    def __init__(self) -> None:
        self.count = 0

    def request(self, headers: Mapping[bytes, bytes], attributes: Mapping[str, Attribute]) -> Any:
        self.count += 1
        return super().request(headers, attributes)

    def stage(self, name: str) -> Any:
        self.count += 1
        return super().stage(name)


class Taking(BaseHTTPRequestHandler):
    """A collector that takes everything and keeps nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Measure and write."""
    parser = parser_of("traces", __doc__)
    run(parser, OPERATE, Results, figures, _measured)


def _measured(work: Path, options: argparse.Namespace) -> Results:
    make_home(work / "home", options.home)
    return asyncio.run(measure(work))


def figures(results: Results) -> str:
    """A sentence of docs/how-to/operate.md."""
    return (
        f"Off, the {results.stages} stages of a list take {results.off_us:.1f} of its {results.list_us:,.0f} "
        f"microseconds ({results.off_share:.2%}). On, with every request traced, a list takes {results.on_ratio:.2f} "
        "times as long; `OTEL_TRACES_SAMPLER=parentbased_traceidratio` traces a share of them.\n"
    )


async def measure(work: Path) -> Results:
    """Everything, on one shop."""
    date, machine, home = datetime.now(UTC).isoformat(timespec="seconds"), describe(work), work / "home"
    tasks = list_tasks(read_shop(home, work / "i.npz", work / "n.json"), "/v1/recommend", BLOCK, random.Random(SEED))
    bodies = [task[0].partition("\r\n\r\n")[2].encode() for task in tasks]
    config = load_config(home / "config.toml")
    live = wiring.open_live(home, config)
    await live.start()
    app = create_app(create_context(live, ServerOptions(home, config.serve, Keys.parse(""))))
    counting, off = Counting(), NoTracer()
    live.engine.tracer = counting
    await ask(app, bodies[0])
    with collecting() as port:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        on = OpenTelemetry("benchmark")
        plain, ratios = [], []
        for _ in range(ROUNDS):
            times = []
            for live.engine.tracer in (off, on):
                times.append(median([await ask(app, body) for body in bodies]))
                await live.settle()
            plain.append(times[0])
            ratios.append(times[1] / times[0])
        await asyncio.to_thread(on.close)
    await live.stop()
    list_us, off_us = median(plain) * 1e6, counting.count * no_op_seconds() * 1e6
    return Results(
        date,
        machine,
        counting.count,
        round(list_us, 1),
        round(off_us, 2),
        round(off_us / list_us, 5),
        round(median(ratios), 3),
        load_average(),
    )


async def ask(app: Api, body: bytes) -> float:
    """Seconds that the API takes for one list. Raises RuntimeError where it refuses."""
    said: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/recommend",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        said.append(message)

    begun = time.perf_counter()
    await app(scope, receive, send)
    took = time.perf_counter() - begun
    if said[0]["status"] != 200:
        raise RuntimeError(f"{said}")
    return took


def no_op_seconds() -> float:
    """What a stage takes of which nobody is told."""
    tracer = NoTracer()
    begun = time.perf_counter()
    for _ in range(NO_OPS):
        with tracer.stage("rank"):
            pass
    return (time.perf_counter() - begun) / NO_OPS


@contextmanager
def collecting() -> Iterator[int]:
    """The port of a collector, in a process of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    process = get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    try:
        yield server.server_address[1]
    finally:
        process.terminate()
        process.join()
        server.server_close()


if __name__ == "__main__":
    main()
