"""What a server does with more than it can answer: who is let in, and how fast those are answered.

    python benchmarks/overload.py [--home DIR]    measure, write benchmarks/results/overload.json (about 3 minutes)
    python benchmarks/overload.py --render        write the figures of that file into docs/how-to/operate.md

The demo shop's server, and lists for its customers at rates from far below to far above what it can do. An open loop:
what comes too late counts from when it was due. The load runs before other processes, and connects before it begins:
what itself does too late would otherwise count as the server's.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from demo_shop import ENDCAP, list_tasks, make_home, read_shop
from machine import Machine, describe
from openloop import Load, Plan
from pages import OPERATE
from processes import Served, serving
from script import parser_of, run

HERE = Path(__file__).parent
SEED = 20_111_209
TASKS = 20_000
SHARES = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Rates, as shares of what the server can answer."""
SEARCH_RATE = 2_000.0
"""More than it can do: what it lets in then, in a second, is what it can answer."""
LIMIT = 2.0
"""Times the uncongested p99 that the p99 of those let in may be."""


class Step(msgspec.Struct):
    """One rate."""

    share: float
    """Of what the server can answer."""
    rate: float
    answered_per_second: float
    """Lists; what was refused does not count."""
    shed: float
    """Share of the requests that was refused with 503."""
    p50_ms: float | None
    p99_ms: float | None
    """Of those that were let in."""
    ratio: float | None
    """This p99 over the uncongested one: that of the step with the lowest rate."""
    unanswered: int
    refusal: str
    late_p99_ms: float
    """By which the load itself noticed a due request too late; it is part of the latency."""
    waited: float
    """Share of the time in which the server's thread was ready and had no core: what others took from it."""


class Results(msgspec.Struct):
    """A run."""

    date: str
    machine: Machine
    seconds: float
    capacity: float
    """Lists a second that the server answers when it is asked for more."""
    limit: float
    steps: list[Step]


def main() -> None:
    """Measure and write."""
    parser = parser_of("overload", __doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    run(parser, OPERATE, Results, figures, measure)


def figures(results: Results) -> str:
    """The steps as a table of docs/how-to/operate.md."""
    lines = [
        f"Lists for customers of the demo shop; {results.capacity:,.0f} a second is what the server answered when "
        f"it was asked for {SEARCH_RATE:,.0f} (load average of the machine before: {results.machine.load_average:g}).",
        "",
        "| asked for a second | answered | refused | p50 ms | p99 ms | times the uncongested p99 | without a core |",
        "| ---: " * 7 + "|",
    ]
    for one in results.steps:
        times = [f"{value:,.1f}" if value is not None else "" for value in (one.p50_ms, one.p99_ms, one.ratio)]
        answered_part = f"{one.rate:,.0f} | {one.answered_per_second:,.0f} | {one.shed:.1%}"
        lines.append(f"| {answered_part} | {' | '.join(times)} | {one.waited:.1%} |")
    return "\n".join(lines) + "\n"


def measure(work: Path, options: argparse.Namespace) -> Results:
    """All rates on one server."""
    date, machine, home = datetime.now(UTC).isoformat(timespec="seconds"), describe(work), work / "home"
    make_home(home, options.home)
    tasks = list_tasks(read_shop(home, work / "i.npz", work / "n.json"), "/v1/recommend", TASKS, random.Random(SEED))
    with serving([ENDCAP, "serve", "--home", home, "--port", "0"], work / "endcap.log") as server:
        load(server.port, 200.0, 5.0, tasks)  # warms up
        capacity = answered(load(server.port, SEARCH_RATE, options.seconds, tasks))
        steps = [step(server, share, capacity, options.seconds, tasks) for share in SHARES]
    compare(steps)
    for one in steps:
        print(msgspec.json.encode(one).decode())
    return Results(date, machine, options.seconds, capacity, LIMIT, steps)


def compare(steps: Sequence[Step]) -> None:
    """Give each step its ratio: to the p99 of the first, at half of what the server can answer."""
    calm = steps[0].p99_ms
    for one in steps:
        one.ratio = round(one.p99_ms / calm, 2) if calm and one.p99_ms is not None else None


def step(server: Served, share: float, capacity: float, seconds: float, tasks: list[list[str]]) -> Step:
    """One rate, as it went."""
    rate = round(share * capacity)
    waited, begun = server.waited_seconds(), time.perf_counter()
    found = load(server.port, rate, seconds, tasks)
    waited = (server.waited_seconds() - waited) / (time.perf_counter() - begun)
    accepted = found.accepted
    if accepted is None:
        raise RuntimeError("the load did not tell accepted requests apart")
    shed = round(found.refused / max(found.whole.count, 1), 4)
    return Step(
        share,
        rate,
        answered(found),
        shed,
        accepted.p50,
        accepted.p99,
        None,
        found.unanswered,
        found.refusal,
        found.late_p99,
        round(waited, 4),
    )


def answered(found: Load) -> float:
    """Lists a second."""
    done = found.whole.count - found.unanswered
    return round(found.achieved * (done - found.refused) / max(done, 1), 1)


def load(port: int, rate: float, seconds: float, tasks: list[list[str]]) -> Load:
    """A load in a process of its own."""
    plan = msgspec.json.encode(Plan(port, rate, seconds, tasks, goes_first=True))
    done = subprocess.run([sys.executable, str(HERE / "openloop.py")], input=plan, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Load)


if __name__ == "__main__":
    main()
