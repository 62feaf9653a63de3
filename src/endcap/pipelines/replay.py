"""Replay: the state at any moment, folded from the log's first entry, and whether what serves equals it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from endcap.config import StateConfig
from endcap.events.log import entries
from endcap.pipelines.restart import LiveDigest
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

    name: str
    """``restart`` or ``live``."""
    way: str
    """Which other way, in words."""
    offset: int
    digest: str
    same: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What a fold from the first entry was compared with."""

    checks: tuple[Check, ...] = ()
    not_live: str | None = None
    """Why the memory of a running server is not among them."""


@dataclass(slots=True)
class Mark:
    """An entry on the way at which the digest is wanted."""

    offset: int
    digest: str | None = None
    """None where the fold ends before it."""


def replay(
    log: Log, config: StateConfig, until: Callable[[int, int], bool], progress: Progress, mark: Mark | None = None
) -> Replayed:
    """Fold ``log`` from its first entry, up to the first for which ``until`` (offset, time) is true."""
    state, last = State(config), log.last_offset()
    passed = None
    for entry in entries(log):
        if mark is not None and passed is None and entry.offset > mark.offset:
            passed = _digest_at(state, mark.offset)
        if until(entry.offset, entry.time):
            break
        apply(state, entry)
        if entry.offset % SHOWN_EVERY == 0:
            progress(entry.offset, last)
    else:
        if mark is not None and passed is None:
            passed = _digest_at(state, mark.offset)
    if state.outdated:  # somebody was erased while it was folded
        return replay(log, config, until, progress, mark)
    if mark is not None:
        mark.digest = passed
    return described(state)


def _digest_at(state: State, offset: int) -> str:
    """The entry at ``offset`` may have expired since: a served list, or a view of the canary."""
    before, state.offset = state.offset, offset
    found = digest(state)
    state.offset = before
    return found


def described(state: State) -> Replayed:
    """What is said of ``state``."""
    return Replayed(state.offset, digest(state), state.events, len(state.users), len(state.items))


def check_restart(way: str, found: Replayed, other: Replayed) -> Check:
    """Compares what a restart would come to with ``found``."""
    return Check("restart", way, other.offset, other.digest, other == found)


def check_live(live: LiveDigest, passed: str) -> Check:
    """Compares what a server held in memory with ``passed``, the digest of a fold at the same entry."""
    return Check("live", "what the server held in memory", live.offset, live.digest, live.digest == passed)
