"""The server's own reading of its freshness beside an outside client's, of the same time; and what the canary costs.

    python benchmarks/canary.py [--home DIR]    measure, write benchmarks/results/canary.json (about 3 minutes)
    python benchmarks/canary.py --render        write the figures of that file into docs/how-to/operate.md

First, one server: a client sends the first event of a new visitor and asks for ten items until they reflect it, while
the canary does the same inside. Both readings are of the same minute. The client's has two HTTP requests in it, so the
plainest request (GET /health/live) is measured beside it. Then two servers at a time, one with the canary and one
without, with the same light traffic and then with none: the difference is what the canary costs.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from urllib.request import urlopen

import msgspec
from msgspec import Struct

from demo_shop import ENDCAP, make_home, read_shop, views
from endcap.wiring import open_log
from freshness import ask_changed, fsync_seconds
from machine import Machine, describe, load_average
from openloop import Connection, Latency, latency, request
from pages import OPERATE
from processes import Served, serving
from script import parser_of, run

SEED = 20_111_209
PAUSE_SECONDS = 0.2
"""Between two samples of the client, and between two lists of the light traffic."""
LIVE = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


class Reading(Struct):
    """One minute, seen from outside and from inside; milliseconds."""

    client: Latency
    """From sending an event to the answer with the list that reflects it."""
    request: Latency
    """The plainest request: a reading from outside has two requests in it."""
    fsync: Latency
    """16 KiB appended to a file beside the log, and fsync."""
    canary_p50: float
    canary_p99: float
    canary_count: int
    ratio_p50: float
    """What the canary read over what the client read, less two of the plainest requests."""
    load_average: float


class Cost(Struct):
    """What a server used in a second, with the canary and without it, both at the same time."""

    traffic: str
    readings: int
    """Of the canary."""
    seconds: float
    cpu_ms: tuple[float, float]
    """A second: with, without."""
    written_bytes: tuple[float, float]
    """To the disk, a second: with, without."""


class Results(Struct):
    """A run."""

    date: str
    machine: Machine
    reading: Reading
    costs: list[Cost]


def main() -> None:
    """Measure and write."""
    parser = parser_of("canary", __doc__)
    parser.add_argument("--seconds", type=float, default=58.0, help="of each part; the server's percentiles are of 60")
    run(parser, OPERATE, Results, figures, measure)


def figures(results: Results) -> str:
    """What stands in docs/how-to/operate.md."""
    one = results.reading
    plain = 2 * (one.request.p50 or 0)
    lines = [
        "| one minute, ms | p50 | p99 |",
        "| --- | ---: | ---: |",
        f"| the canary, {one.canary_count} readings | {one.canary_p50:.2f} | {one.canary_p99:.2f} |",
        f"| a client, {one.client.count} readings | {one.client.p50:.2f} | {one.client.p99:.2f} |",
        f"| the plainest request (a client's reading has two) | {one.request.p50:.2f} | {one.request.p99:.2f} |",
        f"| an fsync of 16 KiB beside the log | {one.fsync.p50:.2f} | {one.fsync.p99:.2f} |",
        "",
        f"So the canary reads {one.ratio_p50:.2f} times what the client does, less its two requests ({plain:.2f} ms).",
        "",
        "| traffic | readings | CPU ms a second, with / without | bytes to the disk a second, with / without |",
        "| --- | ---: | ---: | ---: |",
    ]
    for cost in results.costs:
        cpu, written = cost.cpu_ms, cost.written_bytes
        rate = f"{cost.readings} in {cost.seconds:.0f} s"
        lines.append(
            f"| {cost.traffic} | {rate} | {cpu[0]:.1f} / {cpu[1]:.1f} | {written[0]:,.0f} / {written[1]:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Everything, on copies of one home."""
    date, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe(work)
    plain, home = work / "without", work / "with"
    make_home(home, options.home)
    shutil.copytree(home, plain)
    (plain / "config.toml").write_text("[serve]\ncanary_seconds = 0\n")
    shop = read_shop(home, work / "i.npz", work / "n.json")
    visits, sold = views(shop, random.Random(SEED)), cycle(shop.sold)
    for one in (home, plain):
        with closing(open_log(one)) as log:
            log.expire("served", 0, 1)  # makes the index of times, as each server would in its first minute
    with ExitStack() as running:
        ours, other = (
            running.enter_context(serving([ENDCAP, "serve", "--home", one, "--port", "0"], work / f"{one.name}.log"))
            for one in (home, plain)
        )
        reading = read(ours, sold, home / "log", options.seconds)
        costs = [cost(ours, other, visits, name, options.seconds) for name in ("5 lists a second", "nothing happens")]
    return Results(date, machine, reading, costs)


def read(server: Served, sold: Iterator[str], folder: Path, seconds: float) -> Reading:
    """The same minute from outside and from inside."""
    connection = Connection(server.port)
    outside: list[float] = []
    plain: list[float] = []
    fsync: list[float] = []
    probe, until = folder / "fsync-probe", time.perf_counter() + seconds
    with probe.open("wb", buffering=0) as file:
        while time.perf_counter() < until:
            visitor = {"visitor_id": f"bench-{len(outside)}"}
            event = request("/v1/events", {"type": "view", "item_id": next(sold), **visitor})
            wanted = request("/v1/recommend", {"recipe": "for-you", **visitor})
            outside.append(ask_changed(connection, event, wanted))
            begun = time.perf_counter()
            connection.ask(LIVE)
            plain.append(time.perf_counter() - begun)
            fsync.append(fsync_seconds(file.fileno()))
            time.sleep(PAUSE_SECONDS)
    probe.unlink()
    status, body = connection.ask(b"GET /v1/stats HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    inside = msgspec.json.decode(body)["freshness_ms"]
    connection.close()
    if status != 200 or inside["p50"] is None:
        raise RuntimeError(f"the server says nothing of its freshness: {status} {body!r}")
    client, plainest = latency(outside), latency(plain)
    assert client.p50 is not None
    assert plainest.p50 is not None
    ratio = round(inside["p50"] / (client.p50 - 2 * plainest.p50), 3)
    count = readings(server)
    return Reading(client, plainest, latency(fsync), inside["p50"], inside["p99"], count, ratio, load_average())


def cost(ours: Served, other: Served, visits: Iterator[tuple[str, str, str]], traffic: str, seconds: float) -> Cost:
    """Both servers for ``seconds``: with the canary and without."""
    connections = [Connection(one.port) for one in (ours, other)]
    count, used, begun = readings(ours), [usage(one) for one in (ours, other)], time.perf_counter()
    while time.perf_counter() < begun + seconds:
        if traffic != "nothing happens":
            _, _, wanted = next(visits)
            for connection in connections:
                connection.ask(wanted.encode())
        time.sleep(PAUSE_SECONDS)
    took = time.perf_counter() - begun
    spent = [
        [after - before for after, before in zip(usage(one), used[at], strict=True)]
        for at, one in enumerate((ours, other))
    ]
    for connection in connections:
        connection.close()
    cpu = tuple(round(one[0] / took * 1000, 2) for one in spent)
    written = tuple(round(one[1] / took, 1) for one in spent)
    return Cost(traffic, readings(ours) - count, round(took, 1), cpu, written)  # type: ignore[arg-type]  # two each


def usage(server: Served) -> tuple[float, float]:
    """CPU seconds, and bytes sent to the disk, so far."""
    found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{server.pid}/io").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{server.pid}/io does not say what was written")
    return server.cpu_seconds(), float(found[1])


def readings(server: Served) -> int:
    """How often the canary of the server has measured."""
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        found = re.search(rb'^endcap_canary_readings_total\{outcome="ok"\} (\d+)', answer.read(), re.MULTILINE)
    if found is None:
        raise RuntimeError("the server does not count the readings of its canary")
    return int(found[1])


if __name__ == "__main__":
    main()
