"""What ``endcap plan`` predicts beside what shops of known size take, through the real import, train and serve.

    python benchmarks/plan.py            build the shops, write benchmarks/results/plan.json (about 15 minutes)
    python benchmarks/plan.py --fit      build five more shops, and print the costs that fit those
    python benchmarks/plan.py --judge    hold the costs that the code has now against what was measured last

The shops are drawn, with a seed: titles of the demo shop's words, a few items that sell much, visits of four events.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import linprog

from demo_shop import ENDCAP
from endcap.catalog.demo import demo_lines
from endcap.pipelines.planning import COSTS, Size, plan
from endcap.wiring import open_log
from machine import Machine, describe
from openloop import Connection, request
from pages import OPERATE, fill
from processes import serving

HERE = Path(__file__).parent
SEED = 7
KEPT_LISTS = 20_000
"""Served in all, before the log is taken: so many are in it."""
CHECKED = (Size(5_000, 20_000, 200_000, KEPT_LISTS), Size(20_000, 60_000, 800_000, KEPT_LISTS))
"""The sizes that are judged; no cost was fitted on them."""
FITTED = (
    Size(100, 1_000, 5_000, KEPT_LISTS),
    Size(8_000, 1_000, 20_000, KEPT_LISTS),
    Size(1_000, 60_000, 100_000, KEPT_LISTS),
    Size(1_000, 10_000, 500_000, KEPT_LISTS),
    Size(4_000, 30_000, 300_000, KEPT_LISTS),
)
LISTS = 2_000
"""Asked of each server before its memory is taken: what is remembered by item is then there."""
TOLERANCE = 0.2


class Checked(msgspec.Struct):
    """One shop: bytes by what takes them, as predicted and as taken."""

    items: int
    users: int
    events: int
    lists: int
    predicted: dict[str, int]
    measured: dict[str, int]
    error: dict[str, float]
    """(predicted - measured) / measured."""
    training: int
    """Bytes that training held at most. Not predicted: it does not grow in a line with what there is."""


class Results(msgspec.Struct):
    """A run."""

    date: str
    machine: Machine
    tolerance: float
    seed: int
    checked: list[Checked]
    fitted: list[Checked]
    """The shops that the costs were fitted on, if they were built."""


def main() -> None:
    """Build, measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="build the other shops too, and print costs that fit them")
    parser.add_argument("--judge", action="store_true", help="build nothing: compare the last measurements again")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "plan.json")
    options = parser.parse_args()
    if options.judge:
        results = judge_again(msgspec.json.decode(options.out.read_bytes(), type=Results))
    else:
        results = build(options.fit)
    for name, costs in fitting_costs(results.fitted).items():
        print(f"{name:9}", [round(cost) for cost in costs], "now", asdict(COSTS[name]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    fill(OPERATE, "plan", figures(results))
    worst = max(abs(error) for one in results.checked for error in one.error.values())
    print(f"written to {options.out}; the worst is off by {worst:.1%}")
    sys.exit(worst > TOLERANCE)


def figures(results: Results) -> str:
    """The checked shops as a table of docs/how-to/operate.md."""
    head = "| items | users | events | lists | " + " | ".join(results.checked[0].measured) + " | training |"
    lines = ["Predicted / taken, MB:", "", head, "| ---: " * (len(results.checked[0].measured) + 5) + "|"]
    for one in results.checked:
        cells = [f"{one.predicted[name] / 1e6:,.1f} / {taken / 1e6:,.1f}" for name, taken in one.measured.items()]
        size = f"{one.items:,} | {one.users:,} | {one.events:,} | {one.lists:,}"
        lines.append(f"| {size} | {' | '.join(cells)} | {one.training / 1e6:,.0f} |")
    return "\n".join(lines) + "\n"


def build(fitting: bool) -> Results:
    """Every shop, one after the other."""
    work = Path(tempfile.mkdtemp(prefix="endcap-plan-"))
    try:
        date, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe(work)
        fitted = [compare(size, work) for size in FITTED] if fitting else []
        return Results(date, machine, TOLERANCE, SEED, [compare(size, work) for size in CHECKED], fitted)
    finally:
        shutil.rmtree(work)


def compare(size: Size, work: Path) -> Checked:
    """One shop, built, trained, served and measured in ``work``."""
    print(f"{datetime.now(UTC):%H:%M:%S} {size}", file=sys.stderr)
    home = work / "home"
    measured, training = measure(size, home)
    shutil.rmtree(home)
    found = judge(size, measured, training)
    print(found, file=sys.stderr)
    return found


def judge(size: Size, measured: dict[str, int], training: int) -> Checked:
    """What was measured beside what is predicted."""
    predicted = plan(size)
    error = {name: round((predicted[name] - taken) / taken, 4) for name, taken in measured.items()}
    return Checked(size.items, size.users, size.events, size.lists, predicted, measured, error, training)


def judge_again(results: Results) -> Results:
    """The same measurements beside the costs that the code has now."""

    def again(shops: list[Checked]) -> list[Checked]:
        return [judge(Size(one.items, one.users, one.events, one.lists), one.measured, one.training) for one in shops]

    return msgspec.structs.replace(results, checked=again(results.checked), fitted=again(results.fitted))


def measure(size: Size, home: Path) -> tuple[dict[str, int], int]:
    """Bytes that the shop takes, and that training held at most."""
    draw = np.random.default_rng(SEED)
    items, events = home.parent / "items.parquet", home.parent / "events.parquet"
    drawn_items(size, draw).write_parquet(items)
    drawn_events(size, draw).write_parquet(events)
    run("import", "items", items, "--home", home)
    run("import", "events", events, "--home", home)
    trained = run("train", "--home", home)
    with serving([ENDCAP, "serve", "--home", home, "--port", "0"], home.parent / "serve.log") as server:
        connection = Connection(server.port)
        ask(connection, draw.integers(0, size.users, LISTS).tolist())
        memory = round(server.memory_mb() * 1e6)
        ask(connection, draw.integers(0, size.users, size.lists - LISTS).tolist())
        connection.close()
    with closing(open_log(home)) as log:
        log.expire("served", 0, 1)  # as a server does in its first minute: it makes the index of times
    return {
        "server": memory,
        "log": folder_bytes(home / "log", "endcap.db*"),
        "snapshot": max(path.stat().st_size for path in (home / "state").glob("*.npz")),
        "model": folder_bytes(home / "models", "**/*"),
        "vectors": folder_bytes(home / "vectors", "**/*"),
    }, trained


def ask(connection: Connection, users: Sequence[int]) -> None:
    """A list for each. Raises RuntimeError where one is refused."""
    for user in users:
        status, body = connection.ask(
            request("/v1/recommend", {"recipe": "for-you", "user_id": f"user-{user}"}).encode()
        )
        if status != 200:
            raise RuntimeError(f"{status}: {body!r}")


def drawn_items(size: Size, draw: np.random.Generator) -> pl.DataFrame:
    """Titles of four words, each as often as in the demo shop."""
    words = demo_lines()["Description"].drop_nulls().unique(maintain_order=True).str.split(" ").explode().to_numpy()
    picked = draw.choice(words, (size.items, 4))
    return pl.DataFrame(
        {
            "item_id": [f"item-{n}" for n in range(size.items)],
            "title": [" ".join(row) + f" {n}" for n, row in enumerate(picked.tolist())],
            "brand": [f"brand {n}" for n in draw.integers(0, 50, size.items).tolist()],
            "price": draw.integers(1, 100, size.items),
        }
    )


def drawn_events(size: Size, draw: np.random.Generator) -> pl.DataFrame:
    """Visits of four events: every user comes once, some often; item ``n`` is wanted about ``1 / sqrt(n)`` as much."""
    visits = -(-size.events // 4)
    often = draw.choice(size.users, max(visits - size.users, 0), p=_shares(size.users))
    user = np.concatenate([draw.permutation(size.users), often])[:visits]
    begun = np.sort(draw.integers(0, 90 * 86_400_000, visits)) + time.time_ns() // 1_000_000 - 91 * 86_400_000
    item = draw.choice(size.items, 4 * visits, p=draw.permutation(_shares(size.items)))
    return pl.DataFrame(
        {
            "event_id": [f"event-{n}" for n in range(4 * visits)],
            "type": draw.choice(["view", "cart", "purchase"], 4 * visits, p=[0.7, 0.15, 0.15]),
            "user_id": [f"user-{n}" for n in np.repeat(draw.permutation(user), 4).tolist()],
            "item_id": [f"item-{n}" for n in item.tolist()],
            "time": np.repeat(begun, 4) + np.tile(np.arange(4) * 20_000, visits),
        }
    ).head(size.events)


def _shares(n: int) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = 1.0 / np.sqrt(np.arange(1, n + 1))
    weights /= weights.sum()
    return weights


def run(*arguments: object) -> int:
    """One command; the most memory that it held, bytes. Raises RuntimeError where it fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([str(ENDCAP), *map(str, arguments)], stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"endcap {arguments}: {process.returncode}\n{said.read().decode()}")
    return _bytes(used)


def _bytes(used: resource.struct_rusage) -> int:
    return used.ru_maxrss * 1024  # Linux counts in KiB


def folder_bytes(folder: Path, pattern: str) -> int:
    """The sizes of the files that match."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def fitting_costs(shops: Sequence[Checked]) -> Mapping[str, Sequence[float]]:
    """By what takes them: bytes fixed, an item, a user, an event, so that the worst relative error is smallest.

    Every shop has served as many lists, so their cost, which is known apart, is not in the fixed part.
    """
    if not shops:
        return {}
    rows = np.array([[1, one.items, one.users, one.events] for one in shops], np.float64)
    found = {}
    for name in shops[0].measured:
        taken = np.array([one.measured[name] - COSTS[name].served * one.lists for one in shops], np.float64)
        shares = rows / taken[:, None]  # (shops, 4): sum to 1
        scale = np.linalg.norm(shares, axis=0)
        worst = np.ones((len(shops), 1))
        above, below = np.hstack([shares / scale, -worst]), np.hstack([-shares / scale, -worst])
        bounds = np.concatenate([np.ones(len(shops)), -np.ones(len(shops))])
        solved = linprog([0, 0, 0, 0, 1], A_ub=np.vstack([above, below]), b_ub=bounds)  # nothing is below 0
        found[name] = (solved.x[:4] / scale).tolist()
    return found


if __name__ == "__main__":
    main()
