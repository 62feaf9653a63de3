"""How long an erasure takes, and how long an append waits while the log's file is made anew.

    python benchmarks/erase.py [--home DIR]    measure, write benchmarks/results/erase.json (about 6 minutes)
    python benchmarks/erase.py --render        write the figures of that file into docs/how-to/privacy.md

The demo shop. Erased are its first customer, its last one, and a hundred at once, each from a fresh copy that has the
snapshots a running shop has. Then a log of one GB is made anew while another process's connection appends.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from demo_shop import make_home
from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home, load_config
from endcap.events.log import named, to_record
from endcap.events.schema import Event
from endcap.pipelines import restart
from endcap.pipelines.person import Person
from endcap.protocols import Log
from machine import Machine, describe
from pages import DOCS, table, where
from script import parser_of, run

PAGE = DOCS / "how-to" / "privacy.md"
SEED = 20_111_209
MANY = 100
GB = 1_000_000_000
EVENTS = 20_000
"""Of one append while the large log is filled."""
NOW = 1_764_000_000_000


class Erased(msgspec.Struct):
    """One erasure."""

    seconds: float
    people: int
    events: int
    entry: int
    """The first entry that went: what comes after it is folded again."""


class Anew(msgspec.Struct):
    """One log whose file was made anew."""

    gb: float
    entries: int
    seconds: float
    longest_append_seconds: float
    """Of another connection, meanwhile."""


class Results(msgspec.Struct):
    """A run."""

    date: str
    machine: Machine
    entries: int
    first: Erased
    last: Erased
    many: Erased
    anew: Anew


def main() -> None:
    """Measure and write."""
    parser = parser_of("erase", __doc__)
    run(parser, PAGE, Results, figures, lambda work, options: measure(work, options.home))


def figures(results: Results) -> str:
    """As a table of docs/how-to/privacy.md."""
    kinds = [("the first customer", results.first), ("the last", results.last), (f"{MANY} at once", results.many)]
    rows = [
        (f"{what}: {one.events:,} events, from entry {one.entry:,} of {results.entries:,}", f"{one.seconds:.1f}")
        for what, one in kinds
    ]
    anew = results.anew
    rows += [
        (f"a log of {anew.gb:.1f} GB ({anew.entries:,} entries) made anew", f"{anew.seconds:.1f}"),
        ("the longest that an append waited meanwhile", f"{anew.longest_append_seconds:.1f}"),
    ]
    return where(results.date, results.machine) + table(("what", "seconds"), rows)


def measure(work: Path, given: Path | None) -> Results:
    """Each on a copy."""
    date, machine, home = datetime.now(UTC).isoformat(timespec="seconds"), describe(work), work / "home"
    make_home(home, given)
    shutil.rmtree(Home(home).state, ignore_errors=True)  # perhaps of other code
    with closing(wiring.open_log(home)) as log:
        customers = by_first_entry(log)
        entries = log.last_offset()
        state = restart.replayed_at(home, load_config(home / "config.toml"), log, entries * 9 // 10)
        restart.keep_snapshot(home, state, log)  # as a shop has them that has run for some time
        restart.keep_snapshot(home, restart.replayed(home, load_config(home / "config.toml"), log), log)
    chosen = {"first": customers[:1], "last": customers[-1:], "many": random.Random(SEED).sample(customers, MANY)}
    found = {name: erased(home, work / name, people) for name, people in chosen.items()}
    return Results(date, machine, entries, **found, anew=made_anew(work / "large"))


def by_first_entry(log: Log) -> list[str]:
    """All users, the one whose first entry is the oldest first."""
    users: dict[str, None] = {}
    for _, record in log.read():
        who = named(record)
        if who is not None and who.user_id is not None:
            users[who.user_id] = None
    return list(users)


def erased(home: Path, copy: Path, users: list[str]) -> Erased:
    """``users`` erased from a copy of ``home``."""
    shutil.copytree(home, copy)
    begun = time.monotonic()
    people = [Person(user_id=one) for one in users]
    receipt = wiring.erase(copy, load_config(copy / "config.toml"), people, wiring.clock(), lambda *_: None)
    seconds = time.monotonic() - begun
    shutil.rmtree(copy)
    return Erased(round(seconds, 2), len(users), sum(receipt.events.values()), receipt.first or 0)


def made_anew(folder: Path) -> Anew:
    """A log of one GB, with an event a row, as a browser sends them."""
    path, chance, count = Home(folder).log, random.Random(SEED), 0
    with closing(SqliteLog(path)) as log:
        while path.stat().st_size < GB:
            log.append([to_record(view(chance)) for _ in range(EVENTS)])
            count += EVENTS
        waits, ended = [0.0], threading.Event()
        writer = threading.Thread(target=append, args=(path, waits, ended))
        writer.start()
        begun = time.monotonic()
        log.compact()
        seconds = time.monotonic() - begun
        ended.set()
        writer.join()
        size = path.stat().st_size
    return Anew(round(size / GB, 2), count, round(seconds, 2), round(max(waits), 2))


def view(chance: random.Random) -> Event:
    """One view of an item."""
    ids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(3)]
    return Event("view", NOW, ids[0], None, ids[1], ids[2], str(chance.randrange(4_000)))


def append(path: Path, waits: list[float], ended: threading.Event) -> None:
    """Append an event a hundredth of a second, and note how long each took."""
    chance = random.Random(SEED + 1)
    with closing(SqliteLog(path)) as log:
        while not ended.wait(0.01):
            begun = time.monotonic()
            log.append([to_record(view(chance))])
            waits.append(time.monotonic() - begun)


if __name__ == "__main__":
    main()
