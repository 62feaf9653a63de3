"""How soon a server is back, and how soon "why?" is answered, with and without a snapshot of the state.

    python benchmarks/restart.py [--home DIR]    measure, write benchmarks/results/restart.json (about 3 minutes)
    python benchmarks/restart.py --render        write the figures of that file into docs/reference/benchmarks.md

The demo shop. Each way back is taken in turn, several times: from the newest snapshot, from the log alone, and with a
snapshot that was torn. The other side is sqlite3 handing over every row of the log: no rebuild can be faster than that.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from demo_shop import ENDCAP, make_home, read_shop
from endcap.config import Home
from machine import Machine, describe, load_average
from pages import BENCHMARKS, table, where
from processes import serving
from script import parser_of, run

SEED = 20_111_209
LISTS = 200
READY_SECONDS = 180.0
TORN = 0.5
"""Of a torn snapshot, this share of the file is there."""


class Back(msgspec.Struct):
    """One way back, from starting the process to ``/health/ready``."""

    seconds: list[float]
    median: float


class Results(msgspec.Struct):
    """A run."""

    date: str
    machine: Machine
    entries: int
    snapshot: Back
    """The newest snapshot and the log's tail."""
    log: Back
    """No snapshot: the whole log is folded."""
    torn: Back
    """Every snapshot cut in the middle: refused, and the whole log is folded."""
    sqlite_rows: Back
    """sqlite3 hands over every row of the log, in a process that does nothing else with them."""
    start_alone: Back
    """A server with an empty home, until it answers (it is never ready): what the process itself takes."""
    gain: float
    """``log`` over ``snapshot``."""
    why: Back
    """``endcap why`` for random lists that were served before the restarts; a process of its own each."""
    load_average: float
    """Of the machine, over the last minute, at the end."""


def main() -> None:
    """Measure and write."""
    parser = parser_of("restart", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    run(parser, BENCHMARKS, Results, figures, lambda work, options: measure(work, options.home, options.rounds))


def figures(results: Results) -> str:
    """As a table of docs/reference/benchmarks.md."""
    ways = [
        ("from the newest snapshot and the tail", results.snapshot),
        ("from the log alone", results.log),
        ("snapshots torn: refused, from the log alone", results.torn),
        ("an empty shop: the process itself", results.start_alone),
        ("sqlite3 handing over every row of the log", results.sqlite_rows),
        ("`endcap why` for a list that was served", results.why),
    ]
    rows = [
        (what, f"{one.median:.2f}", f"{max(one.seconds):.2f}", f"{one.median / results.sqlite_rows.median:.1f}")
        for what, one in ways
    ]
    head = (f"{results.entries:,} entries", "seconds, median", "longest", "to sqlite3's rows")
    return where(results.date, results.machine) + table(head, rows)


def measure(work: Path, given: Path | None, rounds: int) -> Results:
    """All ways back in turn, then the questions."""
    date, machine, home = datetime.now(UTC).isoformat(timespec="seconds"), describe(work), work / "home"
    make_home(home, given)
    shop = read_shop(home, work / "i.npz", work / "n.json")
    users = random.Random(SEED).choices(shop.visits, k=LISTS)
    with serving([ENDCAP, "serve", "--home", home, "--port", "0"], work / "lists.log") as server:
        served = [shown(server.port, user) for user in users]
    kept, empty = work / "kept", work / "empty"
    subprocess.run([ENDCAP, "init", "--home", empty], check=True, capture_output=True, timeout=READY_SECONDS)
    shutil.copytree(Home(home).state, kept)
    found: dict[str, list[float]] = {name: [] for name in ("snapshot", "log", "torn", "sqlite_rows", "start_alone")}
    for _ in range(rounds):
        for name, prepare in (("snapshot", keep), ("log", drop), ("torn", tear)):
            prepare(kept, Home(home).state)
            found[name].append(back(home, work / f"{name}.log"))
        found["sqlite_rows"].append(rows_read(Home(home).log))
        found["start_alone"].append(back(empty, work / "empty.log", "/health/live"))
    keep(kept, Home(home).state)
    asked = random.Random(SEED).sample(served, min(len(served), 4 * rounds))
    answers = [why(home, request, item) for request, item in asked]
    ways = {name: _back(seconds) for name, seconds in found.items()}
    gain = round(ways["log"].median / ways["snapshot"].median, 2)
    return Results(
        date, machine, count(Home(home).log), **ways, gain=gain, why=_back(answers), load_average=load_average()
    )


def keep(kept: Path, state: Path) -> None:
    """The snapshots as they were."""
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(kept, state)


def drop(kept: Path, state: Path) -> None:  # noqa: ARG001  # each way is prepared with both
    """No snapshot at all."""
    shutil.rmtree(state, ignore_errors=True)


def tear(kept: Path, state: Path) -> None:
    """Every snapshot cut, as by a power cut in the middle of writing."""
    keep(kept, state)
    for path in state.glob("*.npz"):
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * TORN))


def back(home: Path, output: Path, path: str = "/health/ready") -> float:
    """Seconds from starting the server to the moment it answers ``path`` with 200."""
    begun = time.monotonic()
    with serving([ENDCAP, "serve", "--home", home, "--port", "0"], output) as server:
        until = begun + READY_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5):
                    return time.monotonic() - begun
            except urllib.error.HTTPError:
                time.sleep(0.02)
        raise RuntimeError(f"not ready after {READY_SECONDS:g} s: {output.read_text()}")


def shown(port: int, user: str) -> tuple[str, str]:
    """The request id of a list for ``user``, and its last item."""
    body = msgspec.json.encode({"recipe": "for-you", "user_id": user, "k": 20})
    url, kind = f"http://127.0.0.1:{port}/v1/recommend", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=10) as answer:
        found = msgspec.json.decode(answer.read())
    return found["request_id"], found["items"][-1]["item_id"]


def why(home: Path, request: str, item: str) -> float:
    """Seconds that ``endcap why`` takes. Raises RuntimeError where it does not find the item in the list."""
    begun = time.monotonic()
    command = [str(ENDCAP), "why", "--home", str(home), "--request", request, "--item", item, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=READY_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"endcap why ended with {done.returncode}: {done.stdout}{done.stderr}")
    return time.monotonic() - begun


def rows_read(log: Path) -> float:
    """Seconds that sqlite3 takes to hand over every row."""
    begun = time.monotonic()
    with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as connection:
        for _ in connection.execute("SELECT offset, kind, time, key, data FROM entries ORDER BY offset"):
            pass
    return time.monotonic() - begun


def count(log: Path) -> int:
    """Entries of the log."""
    with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])


def _back(seconds: list[float]) -> Back:
    return Back([round(one, 3) for one in seconds], round(median(seconds), 3))


if __name__ == "__main__":
    main()
