"""A copy of a log that others go on writing: SQLite's online backup (https://www.sqlite.org/backup.html)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from endcap.backends.log.sqlite import explained
from endcap.errors import HomeError
from endcap.types import Record

PAGES = 1_000
"""Of 4 KB, copied between two calls of ``progress``."""
_LOCK_SECONDS = 10.0


def copy_log(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy the log at ``source``, as it is at one moment, to the new file ``target``, and check the copy.

    Writers and readers of ``source`` do not wait. ``progress`` gets pages done and pages in all. Raises HomeError if
    there is no log, either file cannot be used, or the log is damaged.
    """
    if not source.is_file():
        raise HomeError(f"there is no log {source}: name the home folder of a shop with --home")
    try:
        with closing(_connect(source)) as log, closing(_connect(target)) as copy:
            # A read transaction pins the moment: without one, a copy in steps begins again at every commit.
            log.execute("BEGIN")
            log.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            log.backup(copy, pages=PAGES, progress=lambda _, left, total: progress(total - left, total))
            found: str = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise explained(source, error) from error
    if found != "ok":
        raise HomeError(f"the log {source} is damaged ({found}): see that its disk is sound, and restore a backup")


def newest(path: Path, kind: str | None = None) -> tuple[int, Record] | None:
    """The newest entry of the log at ``path`` with its offset, of ``kind`` if one is named; None if there is none."""
    try:
        with closing(_connect(path)) as log:
            row = log.execute(
                "SELECT offset, kind, time, key, data FROM entries WHERE ? IS NULL OR kind = ? "
                "ORDER BY offset DESC LIMIT 1",
                (kind, kind),
            ).fetchone()
    except sqlite3.DatabaseError as error:
        raise explained(path, error) from error
    return None if row is None else (row[0], Record(row[1], row[2], row[4], row[3]))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
