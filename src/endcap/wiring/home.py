"""What lies in a home folder: its log, and whether somebody serves it."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack, closing
from pathlib import Path

from endcap.backends.log.spool import Spool
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Home
from endcap.errors import HomeError
from endcap.pipelines.locking import lock
from endcap.pipelines.underway import bring_in
from endcap.protocols import Log

SPOOL_SECONDS = 0.5
"""After which a list that a running server was making is in the spool."""
SPOOL_LIMIT_SECONDS = 60.0
"""So long the log may refuse what is in the spool: a running server tries every 0.1 s."""


def clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """An id that nobody can guess, for a request."""
    return secrets.token_urlsafe(12)


def open_log(home: Path) -> Log:
    """The log of the home folder; an empty one if there is none. Raises HomeError if it cannot be used."""
    return SqliteLog(Home(home).log)


def existing_log(home: Path) -> Log:
    """The log of ``home``. Raises HomeError if there is none."""
    if not Home(home).log.is_file():
        raise HomeError(f"there is no log in {home}: name the home folder of a shop with --home")
    return open_log(home)


def is_served(home: Path, log: Log, held: ExitStack) -> bool:
    """Whether a server runs on ``home``. If not, none can start until ``held`` ends, and the spool is in ``log``."""
    try:
        held.enter_context(closing(lock(home)))
    except HomeError:
        return True
    if Home(home).spool.is_file():
        with closing(Spool(Home(home).spool)) as spool:
            bring_in(spool, Home(home).erasure_lists, log)
    return False


def await_lists(home: Path, log: Log, held: ExitStack) -> None:
    """Wait until the server of ``home`` has brought into ``log`` what it has shown. If it dies, that is done here.

    Raises HomeError if neither happens.
    """
    time.sleep(SPOOL_SECONDS)
    path, until = Home(home).spool, time.monotonic() + SPOOL_LIMIT_SECONDS
    _, shown = Spool.counts(path)
    while Spool.counts(path)[0] < shown and is_served(home, log, held):
        if time.monotonic() > until:
            raise HomeError(
                "the log does not take the lists that the server has shown: see what that says, then erase again"
            )
        time.sleep(SPOOL_SECONDS / 10)
