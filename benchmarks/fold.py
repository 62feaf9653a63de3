"""How fast a log becomes a state: ``apply``, ``apply_batch``, and the same windows by polars and by Bytewax.

    python benchmarks/fold.py --home HOME [--bytewax PYTHON]
    python benchmarks/fold.py --render            write the figures of the last run into docs/reference/benchmarks.md

CPU time of one process and one thread, the best of some rounds, on the events of a demo shop. Writes
``results/fold.json``.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home, StateConfig
from endcap.events.log import to_entry
from endcap.events.schema import TYPE_CODES, Event
from endcap.state.batch import apply_batch
from endcap.state.fold import State, apply
from endcap.state.item import Popularity
from endcap.state.snapshot import digest
from endcap.types import MS_PER_DAY, Entry
from machine import Machine, describe
from pages import BENCHMARKS, fill, table, where

HERE = Path(__file__).parent
PAGE = 5_000
"""Entries given to ``apply_batch`` at a time."""
CONFIG = StateConfig()
HALF_LIVES = {"trending": CONFIG.trending_half_life_days, "popular": CONFIG.popular_half_life_days}

Lines = list[tuple[str, str, int]]
"""(item, type, milliseconds since 1970) of each line of each event."""


class Speed(Struct):
    """Events, or lines of events, a second of CPU time."""

    best: float
    rounds: list[float]


class Fold(Struct):
    """The whole state."""

    decode: Speed
    """Of the log's records, read beforehand: what comes before each of the others."""
    apply: Speed
    apply_batch: Speed
    interleaved_apply: Speed
    """The same events, one of each person in turn: the worst case of a batch, which has no runs."""
    interleaved_apply_batch: Speed


class Windows(Struct):
    """Only the decayed counts by item and type, in two windows; all sides agree to 1e-5."""

    endcap: Speed
    """From lists of rows, codes and times."""
    polars: Speed
    """From a DataFrame that lies ready."""
    polars_from_events: Speed
    """And with making it from the events."""
    bytewax: Speed | None
    """Its input lies ready as a list."""
    bytewax_version: str | None
    without_bytewax: str | None
    """Why there is no figure."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    polars_version: str
    entries: int
    events: int
    lines: int
    fold: Fold
    windows: Windows


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home made by 'endcap demo'; it is only read")
    parser.add_argument("--bytewax", default=sys.executable, help="an interpreter that has Bytewax (default: this one)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fold.json")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if options.render:
        fill(BENCHMARKS, "fold", figures(msgspec.json.decode(options.out.read_bytes(), type=Results)))
        return
    if options.home is None:
        parser.error("--home is needed: a home made by 'endcap demo'")
    results = measure(options.home, options.bytewax, options.rounds)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    print(options.out)


def figures(results: Results) -> str:
    """As a table of docs/reference/benchmarks.md."""
    fold, sides = results.fold, results.windows
    rows = [("the whole state, `apply_batch`", fold.apply_batch), ("the whole state, `apply`", fold.apply)]
    rows += [
        ("the same, no two events of one person in a row, `apply_batch`", fold.interleaved_apply_batch),
        ("the same, `apply`", fold.interleaved_apply),
        ("only the decayed windows, Endcap", sides.endcap),
        (f"only the decayed windows, polars {results.polars_version} from a frame that lies ready", sides.polars),
        ("only the decayed windows, polars from the events", sides.polars_from_events),
    ]
    if sides.bytewax is not None:
        rows.append((f"only the decayed windows, Bytewax {sides.bytewax_version}", sides.bytewax))
    ratios = [one.best / (fold.apply if at < 4 else sides.endcap).best for at, (_, one) in enumerate(rows)]
    lines = [(what, f"{one.best:,.0f}", f"{ratio:.2f}") for (what, one), ratio in zip(rows, ratios, strict=True)]
    head = ("what", "events a second of CPU", "to `apply`, to Endcap's windows")
    return where(results.date, results.machine) + table(head, lines)


def measure(home: Path, bytewax: str, rounds: int) -> Results:
    """Everything, on the log of ``home``."""
    date, machine = datetime.now(UTC), describe(home)
    log = SqliteLog(Home(home).log)
    records = list(log.read())
    log.close()
    entries = [to_entry(offset, record) for offset, record in records]
    gc.freeze()  # what lies ready is not searched for garbage in each round
    events = [entry.body for entry in entries if isinstance(entry.body, Event)]
    lines = [(line.item_id, event.type, event.time) for event in events for line in event.lines()]
    decode = timed(lambda: [to_entry(*record) for record in records], len(records), rounds)
    return Results(
        date=date.isoformat(timespec="seconds"),
        machine=machine,
        polars_version=version("polars"),
        entries=len(entries),
        events=len(events),
        lines=len(lines),
        fold=whole(entries, decode, rounds),
        windows=windows(events, lines, bytewax, rounds),
    )


def timed(work: Callable[[], object], size: int, rounds: int) -> Speed:
    """``size`` over the CPU seconds of ``work``."""
    speeds = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        speeds.append(round(size / (time.process_time() - started), 1))
    return Speed(max(speeds), speeds)


def whole(entries: Sequence[Entry], decode: Speed, rounds: int) -> Fold:
    """The whole fold, in log order and interleaved. Raises RuntimeError if both ways do not give the same state."""
    mixed = interleaved(entries)
    for order in (entries, mixed):
        if digest(one_by_one(order)) != digest(at_once(order)):
            raise RuntimeError("apply_batch does not give the state that apply gives")
    return Fold(
        decode=decode,
        apply=timed(lambda: one_by_one(entries), len(entries), rounds),
        apply_batch=timed(lambda: at_once(entries), len(entries), rounds),
        interleaved_apply=timed(lambda: one_by_one(mixed), len(mixed), rounds),
        interleaved_apply_batch=timed(lambda: at_once(mixed), len(mixed), rounds),
    )


def interleaved(entries: Sequence[Entry]) -> list[Entry]:
    """The catalogue, then one event of each person in turn: each one's order is kept, no two stand side by side."""
    seen: Counter[str | None] = Counter()
    turns = []
    for entry in entries:
        turn = 0
        if isinstance(entry.body, Event):
            who = entry.body.user_id or entry.body.visitor_id
            turn = seen[who] = seen[who] + 1
        turns.append(turn)
    order = sorted(range(len(entries)), key=turns.__getitem__)
    return [replace(entries[place], offset=offset) for offset, place in enumerate(order, 1)]


def one_by_one(entries: Sequence[Entry]) -> State:
    """The reference."""
    state = State(CONFIG)
    for entry in entries:
        apply(state, entry)
    return state


def at_once(entries: Sequence[Entry]) -> State:
    """In pages, as a restart reads them."""
    state = State(CONFIG)
    for start in range(0, len(entries), PAGE):
        apply_batch(state, entries[start : start + PAGE])
    return state


def windows(events: Sequence[Event], lines: Lines, bytewax: str, rounds: int) -> Windows:
    """The decayed counts alone, on each side. Raises RuntimeError where a side does not agree."""
    items = list(dict.fromkeys(item for item, _, _ in lines))
    row = {item: place for place, item in enumerate(items)}
    expected = endcap_windows(lines, row)
    frame = frame_of(events)
    _agree("polars", expected, _by_name(polars_windows(frame)), row)
    found, problem = bytewax_windows(bytewax, lines, rounds)
    if found is not None:
        _agree("Bytewax", expected, found[2], row)
    return Windows(
        endcap=timed(lambda: endcap_windows(lines, row), len(lines), rounds),
        polars=timed(lambda: polars_windows(frame), len(lines), rounds),
        polars_from_events=timed(lambda: polars_windows(frame_of(events)), len(lines), rounds),
        bytewax=None if found is None else found[0],
        bytewax_version=None if found is None else found[1],
        without_bytewax=problem,
    )


def endcap_windows(lines: Lines, row: dict[str, int]) -> Popularity:
    """As ``apply_batch`` does it, page by page."""
    popularity = Popularity(CONFIG)
    popularity.grow(len(row))
    for start in range(0, len(lines), PAGE):
        page: dict[str, tuple[list[int], list[int]]] = {}
        for item, kind, moment in lines[start : start + PAGE]:
            rows, times = page.setdefault(kind, ([], []))
            rows.append(row[item])
            times.append(moment)
        for kind, (rows, times) in page.items():
            popularity.all_happened(TYPE_CODES[kind], rows, times)
    for kind in dict.fromkeys(kind for _, kind, _ in lines[:PAGE]):
        popularity.counts(kind, "trending")
    return popularity


def frame_of(events: Sequence[Event]) -> pl.DataFrame:
    """The lines of the events as columns."""
    lines = [(line.item_id, event.type, event.time) for event in events for line in event.lines()]
    columns = dict(zip(("item", "type", "time"), map(list, zip(*lines, strict=True)), strict=True))
    return pl.DataFrame(columns)


def polars_windows(frame: pl.DataFrame) -> pl.DataFrame:
    """What one writes by hand: one pass, grouped by item and type."""
    age = pl.col("time").max() - pl.col("time")
    counts = [((age / (days * MS_PER_DAY)) * -np.log(2.0)).exp().alias(name) for name, days in HALF_LIVES.items()]
    return frame.with_columns(counts).group_by("item", "type").agg(pl.col(list(HALF_LIVES)).sum())


Found = dict[tuple[str, str], list[float]]
"""By item and type: the count in each window, as of the newest event."""


def _by_name(frame: pl.DataFrame) -> Found:
    return {(item, kind): counts for item, kind, *counts in frame.iter_rows()}


def bytewax_windows(python: str, lines: Lines, rounds: int) -> tuple[tuple[Speed, str, Found] | None, str | None]:
    """The speed, the version and the counts; or why not."""
    speeds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="endcap-bench-") as folder:
        given, out = Path(folder) / "events.json", Path(folder) / "counts.json"
        half_lives = [days * MS_PER_DAY for days in HALF_LIVES.values()]
        given.write_text(json.dumps({"half_lives_ms": half_lives, "events": lines}))
        for _ in range(rounds):
            command: list[str | Path] = [python, HERE / "peers" / "bytewax_windows.py", given, out]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode != 0:
                return None, (done.stderr.strip().splitlines() or ["no message"])[-1]
            found = json.loads(out.read_bytes())
            speeds.append(round(len(lines) / found["seconds"], 1))
    newest = max(moment for _, _, moment in lines)
    factors = [2.0 ** ((found["landmark"] - newest) / half_life) for half_life in half_lives]
    counts = {
        (name.rpartition(" ")[0], name.rpartition(" ")[2]): [n * factor for n, factor in zip(n_s, factors, strict=True)]
        for name, n_s in found["counts"].items()
    }
    return (Speed(max(speeds), speeds), found["version"], counts), None


def _agree(side: str, expected: Popularity, found: Found, row: dict[str, int]) -> None:
    for at, name in enumerate(HALF_LIVES):
        for kind in {kind for _, kind in found}:
            counts = np.zeros(len(row), np.float64)
            for (item, one), value in found.items():
                if one == kind:
                    counts[row[item]] = value[at]
            if not np.allclose(counts, expected.counts(kind, name), rtol=1e-5, atol=1e-6):
                raise RuntimeError(f"{side} does not count what Endcap counts: {kind}, {name}")


if __name__ == "__main__":
    main()
