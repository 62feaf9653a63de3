"""How much a log holds, asked of SQLite: what a plan of memory needs before anything is replayed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from endcap.backends.log.sqlite import explained


@dataclass(frozen=True, slots=True)
class LogCounts:
    """What is in a log."""

    items: int
    """Different items."""
    users: int
    """Different users and visitors."""
    events: int
    lists: int
    """Served ones."""


def last_entry(path: Path) -> int:
    """The newest offset, at once: there are at most so many entries. 0 where there is no log."""
    if not path.is_file():
        return 0
    return _ask(path, "SELECT coalesce(max(offset), 0) FROM entries")[0]


def count(path: Path) -> LogCounts:
    """Counts what is in the log at ``path``; a scan, about 1 s a million entries. Raises HomeError."""
    # CAST: newer SQLite takes a BLOB for its own binary JSON
    items, users, events, lists = _ask(
        path,
        """SELECT count(DISTINCT CASE kind WHEN 'item' THEN json_extract(body, '$.item_id') END),
                  count(DISTINCT CASE kind WHEN 'event' THEN
                      coalesce('u' || json_extract(body, '$.user_id'), 'v' || json_extract(body, '$.visitor_id')) END),
                  sum(kind = 'event'),
                  (SELECT count(*) FROM entries WHERE kind = 'served')
           FROM (SELECT kind, CAST(data AS TEXT) AS body FROM entries WHERE kind IN ('item', 'event'))
           WHERE json_valid(body)""",
    )
    return LogCounts(items, users, events, lists)


def _ask(path: Path, question: str) -> list[int]:
    try:
        with closing(sqlite3.connect(path, timeout=10.0)) as log:
            return [int(value or 0) for value in log.execute(question).fetchone()]
    except sqlite3.DatabaseError as error:
        raise explained(path, error) from error
