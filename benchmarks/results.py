"""What ``serve.py`` found, as types: written as JSON, read again for the tables."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from freshness import Fresh
from machine import Machine
from openloop import Load

LIMIT_MS = 7.0
"""p90 that a sustained rate keeps: Serenade's published figure (SIGMOD 2022) for 1,000 requests/s on 2 virtual CPUs."""
KEPT_UP = 0.99
"""Share of the rate that must be answered while it lasts: a queue that grows is not a rate."""


class Phase(Struct):
    """One load on one server."""

    load: Load
    cpu_ms: float
    """User and system time of the server for each request."""
    cpu_share: float
    """Of one core, taken by the server."""
    other_cpu_share: float
    """Of all cores together, taken by anything but the server and its load: the machine was calm where it is small."""
    load_average: float
    """Of the last minute, at the end."""


class Side(Struct):
    """One side of the ratios."""

    cold: Phase
    """The first requests after the start."""
    idle: Phase
    ladder: list[Phase]
    """Ascending rates, up to the first that failed twice."""
    started_mb: float
    """Resident memory before the first request."""
    loaded_mb: float
    """And after the last."""


class Parameters(Struct):
    """What was asked for."""

    seconds: float
    rates: list[float]
    pair_rates: list[float]
    samples: int
    seed: int
    connections: int


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    parameters: Parameters
    endcap: Side
    implicit: Side
    pairs: list[Phase]
    """An event, then the list of its visitor."""
    fresh: Fresh
    fresh_load_average: float


def passes(phase: Phase) -> bool:
    """Whether the server kept up, refused nothing, and was fast enough."""
    load = phase.load
    kept_up = not load.refused and not load.unanswered and load.achieved >= KEPT_UP * load.rate
    return kept_up and load.whole.p90 is not None and load.whole.p90 <= LIMIT_MS


def highest(ladder: Sequence[Phase]) -> Phase | None:
    """The phase of the highest rate that passed, all lower rates having passed too; None if the lowest failed."""
    found: Phase | None = None
    for rate in sorted({phase.load.rate for phase in ladder}):
        passed = [phase for phase in ladder if phase.load.rate == rate and passes(phase)]
        if not passed:
            break
        found = passed[0]
    return found


def both_at(one: Sequence[Phase], other: Sequence[Phase]) -> tuple[Phase, Phase]:
    """The phases of the highest rate that both sides sustained, else the first of each: there costs are compared."""
    tops = highest(one), highest(other)
    if tops[0] is None or tops[1] is None:
        return one[0], other[0]
    rate = min(tops[0].load.rate, tops[1].load.rate)
    mine, theirs = ([p for p in side if p.load.rate == rate and passes(p)] for side in (one, other))
    return mine[0], theirs[0]


def to_json(results: Results) -> bytes:
    """As it is kept, one value a line."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"


def from_json(kept: bytes) -> Results:
    """What ``to_json`` wrote."""
    return msgspec.json.decode(kept, type=Results)
