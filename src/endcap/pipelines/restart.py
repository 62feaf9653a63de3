"""The state of a log without folding all of it: snapshots, and what came after them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from itertools import islice, takewhile
from pathlib import Path

import msgspec

from endcap.config import Config, Home
from endcap.errors import HomeError
from endcap.events.erasing import erased_under, erasures
from endcap.events.log import entries, is_unreadable
from endcap.pipelines.ladder import Ladder
from endcap.pipelines.report import write_file
from endcap.protocols import Log
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.state.snapshot import load as load_snapshot
from endcap.state.snapshot import maker, proof, snapshots, thin_out
from endcap.state.snapshot import save as save_snapshot
from endcap.types import Progress

_logger = logging.getLogger(__name__)

WORTH_KEEPING = 20_000
"""Entries that take about 0.3 s to replay; after fewer, no snapshot is written."""
SHOWN_EVERY = 10_000
"""Entries between two looks at how far a replay is."""
ERASER_SECONDS = 3.0
"""So long a server waits for the snapshot of who erases; then it folds for itself."""
LOOK_AGAIN_SECONDS = 0.05


class LiveDigest(msgspec.Struct, frozen=True):
    """What a running server held in memory at one moment."""

    at: int
    """Milliseconds since 1970."""
    offset: int
    """The newest entry in it."""
    maker: str
    """The code and the settings that made it: others make another state."""
    digest: str


def replayed(home: Path, config: Config, log: Log, progress: Progress | None = None) -> State:
    """The state that ``log`` adds up to: the newest snapshot, and what came after it. Keeps a snapshot of long work."""
    state = snapshot_of(home, config, log)
    start = state.offset
    fold_on(state, log, progress=progress)
    if state.outdated:  # somebody was erased while it was folded
        return replayed(home, config, log, progress)
    if state.offset - start >= WORTH_KEEPING:
        keep_snapshot(home, state, log)
    return state


def replayed_at(home: Path, config: Config, log: Log, offset: int) -> State:
    """The state as it was when ``offset`` was the newest entry: a snapshot of before, and what came after it.

    Where that is long, it leaves snapshots on its way for who asks next.
    """
    state, since = snapshot_of(home, config, log, offset), log.last_offset()
    with Ladder(Home(home).state, partial(entry_bytes, log), state.offset, offset) as ladder:
        fold_on(state, log, until=offset, pass_by=ladder.pass_by)
        if ladder.put_up(since):
            thin_out(Home(home).state)
    return state


def snapshot_of(home: Path, config: Config, log: Log, until: int | None = None) -> State:
    """The newest snapshot of ``log``, of those that are not newer than ``until``; the empty state without one.

    Not one that set entries aside which can be read now, or which were left out by a repair.
    """
    state = load_snapshot(Home(home).state, config.state, partial(entry_bytes, log), until, partial(is_outdated, log))
    mended = [offset for offset in state.unreadable_first if not is_unreadable(log, offset)]
    return snapshot_of(home, config, log, min(mended) - 1) if mended else state


def is_outdated(log: Log, offset: int, since: int | None = None) -> bool:
    """Whether somebody was erased from ``log`` up to ``offset`` since its newest entry was ``since``, or ``offset``."""
    return bool(erased_under(log, offset, since))


def fold_on(
    state: State,
    log: Log,
    until: int | None = None,
    progress: Progress | None = None,
    pass_by: Callable[[State], None] = lambda _: None,
) -> None:
    """Apply what ``log`` holds after ``state``, up to ``until`` or to its end; ``pass_by`` sees it on the way.

    Raises HomeError where an entry that can be read cannot be applied.
    """
    start, last = state.offset, log.last_offset()
    stream = takewhile(lambda entry: until is None or entry.offset <= until, entries(log, start))
    while page := list(islice(stream, SHOWN_EVERY)):
        try:
            apply_batch(state, page)
        except Exception as error:  # whatever it was: who waits must learn where, and what to do
            raise HomeError(
                f"the log cannot be folded beyond entry {state.offset:,} ({error!r:.200}): start the version of Endcap "
                "that wrote what follows, or stop the server and run 'endcap repair --fold', which sets aside the "
                "entries that break it; and report this"
            ) from error
        pass_by(state)
        if progress is not None:
            progress(state.offset - start, last - start)


def keep_snapshot(home: Path, state: State, log: Log) -> None:
    """Save ``state`` for the next start, which can do without: a disk that refuses is only noted.

    Not one that holds people who were erased while it was made.
    """
    if state.outdated:
        return
    try:
        path = save_snapshot(state, Home(home).state, partial(entry_bytes, log))
        if is_outdated(log, state.offset):  # looked at afterwards: an erasure that begins now deletes the file itself
            path.unlink(missing_ok=True)
    except OSError as error:
        _logger.warning("no snapshot of the state", extra={"reason": str(error)})


def entry_bytes(log: Log, offset: int) -> bytes | None:
    """What ``log`` holds at ``offset``; None where there is no such entry (any more)."""
    found = next(iter(log.read(offset - 1, 1)), None) if offset > 0 else None
    return found[1].data if found is not None and found[0] == offset else None


def await_eraser(home: Path, log: Log, until: int) -> None:
    """Wait for the snapshot that who erases makes of the state without the erased: sooner than to fold it here too."""
    erased = next((offset for offset, _ in erasures(log)), None)
    if erased is None:
        return
    for _ in range(round(ERASER_SECONDS / LOOK_AGAIN_SECONDS)):
        if any(erased <= one.offset <= until for one in snapshots(Home(home).state)):
            return
        time.sleep(LOOK_AGAIN_SECONDS)


def keep_live(home: Path, state: State, newest: Callable[[int], bytes | None], now_ms: int) -> None:
    """Save the ``state`` that serves, and note its digest for the check of the night. Raises OSError or HomeError.

    It logs nothing and reads no log, so that a copy of the process may do it.
    """
    path = save_snapshot(state, Home(home).state, newest)
    write_file(Home(home).live_digest, msgspec.json.encode(LiveDigest(now_ms, state.offset, *proof(path))))


def live_digest(home: Path, config: Config, log: Log) -> tuple[LiveDigest | None, str | None]:
    """What a running server held in memory last, where ``log`` must still add up to it; or why it need not."""
    try:
        found = msgspec.json.decode(Home(home).live_digest.read_bytes(), type=LiveDigest)
    except (OSError, msgspec.MsgspecError):
        return None, "no server has kept a digest of its memory yet: one does at the latest after an hour"
    if found.maker != maker(config.state):
        return None, "the last digest of a server's memory was made by other code or settings"
    if is_outdated(log, found.offset):
        return None, "somebody was erased since a server kept the last digest of its memory"
    return found, None


def drop_outdated(home: Path, log: Log) -> None:
    """Delete the snapshots that hold people who were erased while they were made, and halves of which nobody writes."""
    for part in Home(home).state.glob("*.part"):
        if not _is_running(part.name.split(".")[-2]):
            part.unlink(missing_ok=True)
    for one in snapshots(Home(home).state):
        if is_outdated(log, one.offset, one.since):
            one.path.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
