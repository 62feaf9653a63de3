"""The decayed counts of ``fold.py`` by Bytewax: one stateful step keyed by item and type, in this process.

    python bytewax_windows.py EVENTS_JSON OUT_JSON

EVENTS_JSON: {"half_lives_ms": [...], "events": [[item, type, time], ...]}. Run by ``fold.py``, with an interpreter that
has Bytewax.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import bytewax.operators as op  # type: ignore[import-not-found]  # the benchmark's own, not a dependency
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.testing import TestingSink, TestingSource, run_main  # type: ignore[import-not-found]

BATCH = 1_000
"""Events that the source hands over at a time."""

Counts = tuple[int, list[float]]
"""The landmark (milliseconds since 1970), and the forward-decayed count in each window."""


def main() -> None:
    """Time one run, and write when it was done and the last count of each key."""
    given = json.loads(Path(sys.argv[1]).read_bytes())
    half_lives: list[float] = given["half_lives_ms"]
    events = [(f"{item} {kind}", moment) for item, kind, moment in given["events"]]
    landmark = events[0][1]

    def count(state: list[float] | None, moment: int) -> tuple[list[float], list[float]]:
        counts = [0.0] * len(half_lives) if state is None else state
        for window, half_life in enumerate(half_lives):
            counts[window] += 2.0 ** ((moment - landmark) / half_life)
        return counts, counts

    flow, counted = Dataflow("windows"), []  # type: ignore[var-annotated]  # Bytewax has no types here
    stream = op.input("events", flow, TestingSource(events, batch_size=BATCH))
    op.output("counts", op.stateful_map("decay", stream, count), TestingSink(counted))
    started = time.process_time()
    run_main(flow)
    seconds = time.process_time() - started
    found = {"seconds": seconds, "version": version("bytewax"), "landmark": landmark, "counts": dict(counted)}
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
