"""The embedded log: one table in an SQLite file.

Write-ahead logging with ``synchronous=FULL``: "the WAL is synced after each transaction commit"
(https://www.sqlite.org/pragma.html#pragma_synchronous), so a commit that has returned survives a power cut.
SQLite has one writer at a time, across threads and processes; offsets are given under its lock, so they
become visible in ascending order and a reader that goes by offset misses nothing.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock

from endcap.errors import HomeError
from endcap.types import Record

_APPLICATION_ID = 0x456E6463
"""``Endc``: says in the file's header whose it is."""
_VERSION = 1
_ROWS_PER_INSERT = 250
"""Rows of one INSERT. One statement, not one a row: SQLite gives the GIL away and waits for it at each step."""
_PAGE_ROWS = 2_000
_PAGE_BYTES = 4_000_000

_CACHE_KIB = 32_768
"""Keeps the index of a million keys in memory, so that random keys (UUIDs) do not read the disk."""

_Row = tuple[int, str, int, str | None, bytes]

# AUTOINCREMENT: an offset is not given again, even if the newest entry is erased.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    time INTEGER NOT NULL,
    key TEXT UNIQUE,
    data BLOB NOT NULL
) STRICT;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class SqliteLog:
    """The log in the file at ``path``, which is made if it is not there.

    Any thread may call any method, and other processes may append to the same file: an append waits at
    most ``lock_timeout_seconds`` for their transaction to end. Readers have a connection of their own and
    never wait for a writer, nor a writer for them. Each method raises HomeError, saying what to do, if the file
    cannot be used.
    """

    def __init__(self, path: Path, lock_timeout_seconds: float = 10.0) -> None:
        self._path = path
        self._lock_timeout_seconds = lock_timeout_seconds
        self._write_lock = Lock()
        self._read_lock = Lock()
        with _explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            try:
                with _locked(path.parent):
                    _prepare(path, self._writer)
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise

    def append(self, records: Sequence[Record]) -> list[int | None]:
        """The offset of each record, None for a duplicate of a stored one or of an earlier one in ``records``.

        One transaction: if it fails, nothing of it is stored. Costs one fsync.
        """
        if not records:
            return []
        with self._write_lock, _explaining(self._path), _transaction(self._writer):
            return _insert(self._writer, records)

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records with an offset greater than ``after``, in order, each with its offset.

        Goes page by page (2,000 records or 4 MB) and holds nothing open between them, so a reader may
        pause for as long as it likes; what is appended meanwhile is read too.
        """
        left = limit
        while left is None or left > 0:
            page = self._page(after, _PAGE_ROWS if left is None else min(left, _PAGE_ROWS))
            if not page:
                return
            for offset, kind, time, key, data in page:
                yield offset, Record(kind, time, data, key)
            after = page[-1][0]
            left = None if left is None else left - len(page)

    def find(self, key: str) -> tuple[int, Record] | None:
        with self._read_lock, _explaining(self._path):
            row = self._reader.execute(
                "SELECT offset, kind, time, key, data FROM entries WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else (row[0], Record(row[1], row[2], row[4], row[3]))

    def expire(self, kind: str, before: int, limit: int) -> int:
        """Costs a scan of the index of times, which is made the first time. Offsets are not given again."""
        with self._write_lock, _explaining(self._path), _transaction(self._writer):
            self._writer.execute("CREATE INDEX IF NOT EXISTS entries_time ON entries (kind, time)")
            return self._writer.execute(
                "DELETE FROM entries WHERE offset IN "
                "(SELECT offset FROM entries WHERE kind = ? AND time < ? ORDER BY time LIMIT ?)",
                (kind, before, limit),
            ).rowcount

    def last_offset(self) -> int:
        with self._read_lock, _explaining(self._path):
            return _number(self._reader, "SELECT max(offset) FROM entries")

    def close(self) -> None:
        """Gives the file back. Closing twice is harmless."""
        with self._write_lock, self._read_lock, _explaining(self._path):
            self._reader.close()
            self._writer.close()

    def _page(self, after: int, rows: int) -> list[_Row]:
        page: list[_Row] = []
        size = 0
        with self._read_lock, _explaining(self._path):
            cursor = self._reader.execute(
                "SELECT offset, kind, time, key, data FROM entries WHERE offset > ? ORDER BY offset LIMIT ?",
                (after, rows),
            )
            for row in cursor:
                page.append(row)
                size += len(row[4])
                if size >= _PAGE_BYTES:
                    break
            cursor.close()  # ends the read transaction, which would keep the WAL from being reset
        return page

    def _connect(self) -> sqlite3.Connection:
        # Without an isolation level the module opens no transaction of its own accord.
        connection = sqlite3.connect(
            self._path, timeout=self._lock_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return connection


def explained(path: Path, error: sqlite3.DatabaseError | OSError) -> HomeError:
    """What ``error`` means for the log at ``path``, and what to do about it."""
    remedy = "see that the disk is sound, then restore the log from a backup"
    if isinstance(error, OSError):
        remedy = "give a home folder that can be written"
    elif isinstance(error, sqlite3.ProgrammingError):
        remedy = "it was closed: open it again"
    else:
        remedy = _REMEDIES.get(error.sqlite_errorcode & 0xFF, remedy)
    return HomeError(f"the log {path} cannot be used ({error}): {remedy}")


_REMEDIES = {
    sqlite3.SQLITE_FULL: "free space on its disk and send again; nothing was stored",
    sqlite3.SQLITE_IOERR: "see that its disk is sound and has space, then send again; nothing was stored",
    sqlite3.SQLITE_READONLY: "give a home folder that can be written",
    sqlite3.SQLITE_CANTOPEN: "give a home folder that can be written",
    sqlite3.SQLITE_PERM: "give a home folder that can be written",
    sqlite3.SQLITE_BUSY: "another program holds it; let that end, then send again; nothing was stored",
    sqlite3.SQLITE_NOTADB: "it is not an Endcap log; move it away or give another home folder",
}


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise explained(path, error) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have rolled back already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: SQLite does not wait when two switch a new file to WAL."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    """Makes the table in a new file; refuses a file that is someone else's."""
    application = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    if (application, version) == (_APPLICATION_ID, _VERSION):
        return
    if application == _APPLICATION_ID:
        raise HomeError(f"the log {path} has format {version}, this Endcap reads {_VERSION}: use the one that wrote it")
    if _number(connection, "SELECT count(*) FROM sqlite_schema"):
        raise HomeError(f"{path} is the database of another program: move it away or give another home folder")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(_SCHEMA)


def _insert(connection: sqlite3.Connection, records: Sequence[Record]) -> list[int | None]:
    # The transaction holds the write lock, so the offsets can be given here: as many as records, of which
    # duplicates leave theirs unused.
    first = _number(connection, "SELECT max(seq) FROM sqlite_sequence WHERE name = 'entries'") + 1
    stored = 0
    rest = iter(enumerate(records, first))
    while chunk := list(islice(rest, _ROWS_PER_INSERT)):
        rows = ", ".join(["(?, ?, ?, ?, ?)"] * len(chunk))
        values = [value for offset, r in chunk for value in (offset, r.kind, r.time, r.key, r.data)]
        stored += connection.execute(
            f"INSERT INTO entries (offset, kind, time, key, data) VALUES {rows} ON CONFLICT (key) DO NOTHING", values
        ).rowcount
    offsets = range(first, first + len(records))
    if stored == len(records):
        return list(offsets)
    new = {row[0] for row in connection.execute("SELECT offset FROM entries WHERE offset >= ?", (first,))}
    return [offset if offset in new else None for offset in offsets]


def _number(connection: sqlite3.Connection, question: str) -> int:
    """The one number that ``question`` asks for; 0 for null."""
    return int(connection.execute(question).fetchone()[0] or 0)
