"""How fast Endcap answers: the real server, a load of its own process, and the plainest alternative in the same run.

    python benchmarks/serve.py             measure, write benchmarks/results/serve.json (about 10 minutes)
    python benchmarks/serve.py --render    write the figures of that file into README.md and README.zh-CN.md

benchmarks/README.md says what each figure means.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec

import freshness
from demo_shop import ENDCAP, list_tasks, make_home, read_shop, views
from machine import describe, load_average
from openloop import CONNECTIONS, DRAIN_SECONDS, Load, Plan
from processes import Served, busy_seconds, serving
from results import Parameters, Phase, Results, Side, from_json, passes, to_json
from tables import write_readmes

HERE = Path(__file__).parent
RATES = (100, 250, 500, 750, 1000, 1250, 1500, 1750, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 6000)
PAIR_RATES = (50, 100, 250, 500)
IDLE_RATE = 20.0
COLD_RATE = 200.0
SEED = 20_111_209
TASKS = 20_000
"""Different requests of a side; what needs more begins again."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of the ratio, running."""

    name: str
    server: Served
    tasks: list[list[str]]


def main() -> None:
    """Measure, or render what was measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if options.render:
        write_readmes(from_json(options.out.read_bytes()), HERE.parent)
        return
    work = Path(tempfile.mkdtemp(prefix="endcap-bench-"))
    try:
        results = measure(work, options)
    finally:
        shutil.rmtree(work)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(to_json(results))
    _say(f"written to {options.out}")


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Everything, on a home in ``work``."""
    date, machine, home = datetime.now(UTC), describe(work), work / "home"
    _say("the demo shop" + (" is made: a minute" if options.home is None else " is copied"))
    make_home(home, options.home)
    interactions, names = work / "interactions.npz", work / "names.json"
    shop, draw = read_shop(home, interactions, names), random.Random(SEED)
    plain = [sys.executable, HERE / "peers" / "implicit_server.py", interactions, names, str(shop.factors)]
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # implicit warns, and is slower, without it
    with ExitStack() as running:
        ours = running.enter_context(serving([ENDCAP, "serve", "--home", home, "--port", "0"], work / "endcap.log"))
        theirs = running.enter_context(serving(plain, work / "implicit.log", one_thread))
        started = [server.memory_mb() for server in (ours, theirs)]
        contenders = [
            Contender("endcap", ours, list_tasks(shop, "/v1/recommend", TASKS, draw)),
            Contender("implicit", theirs, list_tasks(shop, "/recommend", TASKS, draw)),
        ]
        cold = [stand(one.name + " cold", one.server, COLD_RATE, options.seconds, one.tasks) for one in contenders]
        idle = [stand(one.name + " idle", one.server, IDLE_RATE, 3 * options.seconds, one.tasks) for one in contenders]
        ladders = climb(contenders, options.rate, options.seconds)
        visits, pairs = views(shop, draw), list[Phase]()
        for rate in options.pair_rate:
            tasks = [[event, wanted] for _, event, wanted in islice(visits, round(rate * options.seconds))]
            phase = run("endcap event+list", ours, rate, options.seconds, tasks)
            if phase.load.refused:
                _say(f"{rate:g} pairs a second are more than can be answered: {phase.load.refused} refused")
                break
            pairs.append(phase)
        _say(f"event to changed list: {options.samples} samples by asking, {options.samples} by the stream")
        fresh, fresh_load = freshness.measure(ours.port, home / "log", visits, options.samples), load_average()
        loaded = [server.memory_mb() for server in (ours, theirs)]
    mine, other = (Side(*found) for found in zip(cold, idle, ladders, started, loaded, strict=True))
    asked = Parameters(options.seconds, options.rate, options.pair_rate, options.samples, SEED, CONNECTIONS)
    return Results(date.isoformat(timespec="seconds"), machine, asked, mine, other, pairs, fresh, fresh_load)


def climb(contenders: Sequence[Contender], rates: Sequence[float], seconds: float) -> list[list[Phase]]:
    """Each side at ascending ``rates``, taking turns; a rate that fails is tried once more, then that side stops."""
    ladders: list[list[Phase]] = [[] for _ in contenders]
    climbing = set(range(len(contenders)))
    for rate in rates:
        for at in sorted(climbing):
            one = contenders[at]
            tries = [run(one.name, one.server, rate, seconds, one.tasks)]
            if not passes(tries[0]):
                tries.append(run(one.name, one.server, rate, seconds, one.tasks))
            ladders[at] += tries
            if not passes(tries[-1]):
                climbing.discard(at)
    return ladders


def stand(name: str, server: Served, rate: float, seconds: float, tasks: list[list[str]]) -> Phase:
    """The same at a rate that the server must stand. Raises RuntimeError if it refuses anything."""
    phase = run(name, server, rate, seconds, tasks)
    if phase.load.refused:
        raise RuntimeError(f"{name} refused {phase.load.refused} requests, the first with {phase.load.refusal}")
    return phase


def run(name: str, server: Served, rate: float, seconds: float, tasks: list[list[str]]) -> Phase:
    """One load on ``server``, from a process of its own."""
    plan = msgspec.json.encode(Plan(server.port, rate, seconds, tasks))
    begun, used, busy = time.perf_counter(), server.cpu_seconds(), busy_seconds()
    done = subprocess.run(
        [sys.executable, HERE / "openloop.py"],
        input=plan,
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + DRAIN_SECONDS + 60,
    )
    wall, used, busy = time.perf_counter() - begun, server.cpu_seconds() - used, busy_seconds() - busy
    load = msgspec.json.decode(done.stdout, type=Load)
    requests = sum(step.count for step in load.steps)
    others = busy - used - load.cpu_seconds
    phase = Phase(
        load,
        cpu_ms=round(used / requests * 1000, 3),
        cpu_share=round(used / wall, 3),
        other_cpu_share=round(max(others, 0.0) / wall / len(_cores()), 3),
        load_average=load_average(),
    )
    _say(
        f"{name} {rate:g}/s: p50 {load.whole.p50} p90 {load.whole.p90} p99 {load.whole.p99} ms, {load.achieved}/s, "
        f"CPU {phase.cpu_ms} ms a request, load average {phase.load_average}"
    )
    return phase


def _cores() -> set[int]:
    return os.sched_getaffinity(0)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home made by 'endcap demo', not being served; it is copied")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load (default 10)")
    parser.add_argument("--rate", type=float, nargs="+", default=list(map(float, RATES)), help="lists a second")
    parser.add_argument(
        "--pair-rate", type=float, nargs="+", default=list(map(float, PAIR_RATES)), help="pairs a second"
    )
    parser.add_argument("--samples", type=int, default=500, help="of event to changed list, each way (default 500)")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "serve.json")
    parser.add_argument("--render", action="store_true", help="write the figures of --out into both READMEs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
