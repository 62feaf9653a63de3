"""A damaged log: found, said, and made anew of all that can be read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from endcap.backends.log.salvage import Looked, look, mend
from endcap.backends.log.wal import keep_damaged
from endcap.config import Home
from endcap.errors import HomeError
from endcap.state.snapshot import snapshots

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did."""

    found: Looked
    kept: Path | None
    """The damaged file; None where nothing was changed."""


def repair(home: Home, lock: Callable[[], IO[str]] | None) -> Repaired:
    """Read the whole log, and make it anew of what can be read where something cannot.

    Snapshots that hold what is lost go: the log is the truth. ``lock`` takes the home's lock; None: only look, which
    may be done beside a server. Raises HomeError if there is no log, or it cannot be opened at all.
    """
    if lock is None or not home.log.is_file():
        return Repaired(look(home.log), None)
    with closing(lock()):
        keep_damaged(home.log)
        states = snapshots(home.state)
        found, kept = mend(home.log, max((one.since for one in states), default=0))
        for one in states:
            if not found.sound and one.offset >= found.first:
                one.path.unlink(missing_ok=True)
    return Repaired(found, kept)


def look_at_write_ahead_log(log: Path) -> None:
    """Say it, and keep a copy, if the write-ahead log of ``log`` is damaged. Before the log is opened.

    Afterwards SQLite has forgotten what it could not read. Raises HomeError if the copy cannot be made.
    """
    try:
        kept = keep_damaged(log)
    except OSError as error:
        raise HomeError(
            f"the write-ahead log of {log} is damaged and cannot be kept ({error}): free space and start again"
        ) from error
    if kept is not None:
        _logger.error(
            "write-ahead log damaged: its newest entries are lost, unless a power cut tore a write that was not "
            "acknowledged yet; let senders send again what they sent last, it is stored once",
            extra={"kept": str(kept)},
        )
