"""The locks of a home: one process at a time serves it, or changes what no server may see changed; and one tunes it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from endcap.config import Home
from endcap.errors import HomeError


def lock(home: Path) -> IO[str]:
    """The home's lock, held until it is closed or the process ends. Raises HomeError if another process has it."""
    return _held(home, Home(home).lock, "is served by another process: stop that, or give another --home")


def lock_tuning(home: Path) -> IO[str]:
    """The lock of the home's tuning, in the same way. A server may run beside it."""
    path = Home(home).cache / "tune.lock"
    return _held(home, path, "is being tuned by another process: let that end, or stop it; this one may go on then")


def _held(home: Path, path: Path, taken: str) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.open("a+")
    except OSError as error:
        raise HomeError(f"{home} cannot be written ({error.strerror}): give a home folder that can be") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise HomeError(f"{home} {taken}") from error
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held
