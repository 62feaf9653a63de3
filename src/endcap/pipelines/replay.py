"""Replay: the state at any moment, folded from the log's first entry, and whether what serves equals it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from endcap.config import StateConfig
from endcap.events.log import entries
from endcap.protocols import Log
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest
from endcap.types import Progress

SHOWN_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """The state of one moment, folded from the first entry."""

    offset: int
    """The newest entry in it."""
    digest: str
    events: int
    users: int
    items: int


@dataclass(frozen=True, slots=True)
class Check:
    """Whether another way to the same state comes to the same."""

    way: str
    """Which other way."""
    offset: int
    digest: str
    same: bool


def replay(log: Log, config: StateConfig, until: Callable[[int, int], bool], progress: Progress) -> Replayed:
    """Fold ``log`` from its first entry, up to the first for which ``until`` (offset, time) is true."""
    state, last = State(config), log.last_offset()
    for entry in entries(log):
        if until(entry.offset, entry.time):
            break
        apply(state, entry)
        if entry.offset % SHOWN_EVERY == 0:
            progress(entry.offset, last)
    return described(state)


def described(state: State) -> Replayed:
    """What is said of ``state``."""
    return Replayed(state.offset, digest(state), state.events, len(state.users), len(state.items))


def check(way: str, found: Replayed, other: Replayed) -> Check:
    """Compares what another ``way`` came to with ``found``."""
    return Check(way, other.offset, other.digest, other == found)
