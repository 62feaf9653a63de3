"""The lock of a home: one process at a time serves it, or changes what no server may see changed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from endcap.config import Home
from endcap.errors import HomeError


def lock(home: Path) -> IO[str]:
    """The home's lock, held until it is closed or the process ends."""
    path = Home(home).lock
    try:
        home.mkdir(parents=True, exist_ok=True)
        held = path.open("a+")
    except OSError as error:
        raise HomeError(f"{home} cannot be written ({error.strerror}): give a home folder that can be") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise HomeError(f"{home} is served by another process: stop that, or give another --home") from error
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held
