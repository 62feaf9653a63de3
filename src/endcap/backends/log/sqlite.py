"""The embedded log: one table in an SQLite file.

Write-ahead logging with ``synchronous=FULL``: "the WAL is synced after each transaction commit"
(https://www.sqlite.org/pragma.html#pragma_synchronous), so a commit that has returned survives a power cut.
SQLite has one writer at a time, across threads and processes; offsets are given under its lock, so they
become visible in ascending order and a reader that goes by offset misses nothing.

Every connection overwrites what it deletes with zeros (``secure_delete``). A page that was split or rebuilt may all
the same hold the bytes of a row that has moved: ``compact`` makes the file anew and empties the write-ahead log.

SQLite keeps no checksum of a page in the file, so flipped bits in a row would go unseen: each row has a CRC-32 of its
own. One that does not fit gives a record of the kind ``DAMAGED``. A row without one is from before there were any.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock
from time import monotonic, sleep

from endcap.errors import HomeError
from endcap.types import DAMAGED, Record, Rewrite

_APPLICATION_ID = 0x456E6463
"""``Endc``: says in the file's header whose it is."""
_VERSION = 1
ROWS_PER_INSERT = 250
"""Rows of one INSERT. One statement, not one a row: SQLite gives the GIL away and waits for it at each step."""
_PAGE_ROWS = 2_000
_PAGE_BYTES = 4_000_000

_CACHE_KIB = 32_768
"""Keeps the index of a million keys in memory, so that random keys (UUIDs) do not read the disk."""

LOCK_TIMEOUT_SECONDS = 60.0
"""How long an append waits for others. A file that is made anew (``compact``) takes its lock for 10 to 20 s a GB."""
_LOOK_AGAIN_SECONDS = 0.05

Row = tuple[int, str, int, str | None, bytes, int | None]
"""Of the table. A damaged file may give other types."""

SELECT = "SELECT offset, kind, time, key, data, crc FROM entries"
# Bytes in place of text: Python refuses to give a text that is no UTF-8.
SELECT_BYTES = "SELECT offset, CAST(kind AS BLOB), time, CAST(key AS BLOB), data, crc FROM entries"
# AUTOINCREMENT: an offset is not given again, even if the newest entry is erased.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    time INTEGER NOT NULL,
    key TEXT UNIQUE,
    data BLOB NOT NULL,
    crc INTEGER
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

    def __init__(self, path: Path, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
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
            for row in page:
                yield row[0], record_of(row)
            after = page[-1][0]
            left = None if left is None else left - len(page)

    def find(self, key: str) -> tuple[int, Record] | None:
        with self._read_lock, _explaining(self._path):
            row = self._reader.execute(f"{SELECT} WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], record_of(row))

    def keys(self, prefix: str) -> list[str]:
        """Reads the index of keys alone: a row may be damaged."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._read_lock, _explaining(self._path):
            rows = self._reader.execute(
                "SELECT key FROM entries WHERE key >= ? AND key < ? ORDER BY offset", (prefix, end)
            ).fetchall()
        return [row[0] for row in rows]

    def expire(self, kind: str, before: int, limit: int) -> int:
        """Costs a scan of the index of times, which is made the first time. Offsets are not given again."""
        with self._write_lock, _explaining(self._path), _transaction(self._writer):
            self._writer.execute("CREATE INDEX IF NOT EXISTS entries_time ON entries (kind, time)")
            return self._writer.execute(
                "DELETE FROM entries WHERE offset IN "
                "(SELECT offset FROM entries WHERE kind = ? AND time < ? ORDER BY time LIMIT ?)",
                (kind, before, limit),
            ).rowcount

    def rewrite(self, after: int, decide: Callable[[Sequence[tuple[int, Record]]], Rewrite | None]) -> list[int | None]:
        """An offset that is not there (any more) is passed over. Costs 20 microseconds a change, and one fsync."""
        with self._write_lock, _explaining(self._path), _transaction(self._writer):
            tail = self._writer.execute(f"{SELECT} WHERE offset > ? ORDER BY offset", (after,)).fetchall()
            wanted = decide([(row[0], record_of(row)) for row in tail])
            if wanted is None:
                return []
            gone = [(offset,) for offset, record in wanted.changes.items() if record is None]
            self._writer.executemany("DELETE FROM entries WHERE offset = ?", gone)
            changed = [
                (r.kind, r.time, r.key, r.data, _crc(at, r), at) for at, r in wanted.changes.items() if r is not None
            ]
            self._writer.executemany(
                "UPDATE entries SET kind = ?, time = ?, key = ?, data = ?, crc = ? WHERE offset = ?", changed
            )
            return _insert(self._writer, wanted.then) if wanted.then else []

    def compact(self) -> None:
        """Makes the file anew: 10 to 20 s a GB, and room for twice its size on the disk.

        Raises HomeError also where others do not let go of the write-ahead log within ``lock_timeout_seconds``.
        """
        with self._write_lock, _explaining(self._path):
            self._writer.execute("VACUUM")
        deadline = monotonic() + self._lock_timeout_seconds
        while not self._emptied():
            if monotonic() > deadline:
                raise HomeError(f"the log {self._path} is being read: let that end (a backup?), then compact it")
            sleep(_LOOK_AGAIN_SECONDS)

    def _emptied(self) -> bool:
        """Whether the write-ahead log is empty now; not while others read it or move it into the file."""
        with self._write_lock, _explaining(self._path):
            busy: int = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return busy == 0

    def last_offset(self) -> int:
        with self._read_lock, _explaining(self._path):
            return _number(self._reader, "SELECT max(offset) FROM entries")

    def close(self) -> None:
        """Gives the file back. Closing twice is harmless."""
        with self._write_lock, self._read_lock, _explaining(self._path):
            self._reader.close()
            self._writer.close()

    def _page(self, after: int, rows: int) -> list[Row]:
        page: list[Row] = []
        with self._read_lock, _explaining(self._path):
            try:
                self._fill(page, SELECT, after, rows)
            except sqlite3.DatabaseError as error:
                if is_undecodable(error):
                    page.clear()
                    self._fill(page, SELECT_BYTES, after, rows)
                elif not page:  # what came before the damage was given
                    self._fill_one(page, after)
        return page

    def _fill_one(self, page: list[Row], after: int) -> None:
        """The row before the damage: in a longer page Python asks for the next one before it gives this one."""
        try:
            self._fill(page, SELECT, after, 1)
        except sqlite3.DatabaseError as error:
            raise HomeError(f"{explained(self._path, error)}; it can be read up to entry {after}") from error

    def _fill(self, page: list[Row], select: str, after: int, rows: int) -> None:
        size = 0
        with closing(self._reader.cursor()) as cursor:  # open, it would keep the WAL from being reset
            # Not "offset > ?": that search begins on the page of the offset itself, which may be damaged.
            for row in cursor.execute(f"{select} WHERE offset >= ? ORDER BY offset LIMIT ?", (after + 1, rows)):
                page.append(row if select is SELECT else decoded(row))
                size += len(row[4]) if isinstance(row[4], bytes) else 0
                if size >= _PAGE_BYTES:
                    return

    def _connect(self) -> sqlite3.Connection:
        # Without an isolation level the module opens no transaction of its own accord.
        connection = sqlite3.connect(
            self._path, timeout=self._lock_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:  # it is no database
            connection.close()
            raise
        return connection


def record_of(row: Row) -> Record:
    """What ``row`` holds; of the kind ``DAMAGED`` where it is not what was written."""
    offset, kind, time, key, data, crc = row
    record = Record(kind, time, data, key, checked=crc is not None)
    try:
        sound = crc == checksum(offset, record) if crc is not None else isinstance(kind, str)
    except (TypeError, UnicodeEncodeError):
        sound = False
    if sound and isinstance(time, int) and isinstance(data, bytes):  # a flipped byte may say another type
        return record
    return Record(DAMAGED, time if isinstance(time, int) else 0, data if isinstance(data, bytes) else b"")


def decoded(row: tuple[int, bytes, int, bytes | None, bytes, int | None]) -> Row:
    """A row of ``SELECT_BYTES`` as one of ``SELECT``; what is no UTF-8 is replaced, and the checksum does not fit."""
    offset, kind, time, key, data, crc = row
    name = None if key is None else key.decode(errors="replace")
    return offset, (kind or b"").decode(errors="replace"), time, name, data, crc


def explained(path: Path, error: sqlite3.DatabaseError | OSError) -> HomeError:
    """What ``error`` means for the log at ``path``, and what to do about it."""
    remedy = "see that the disk is sound, then restore the log from a backup"
    if isinstance(error, OSError):
        remedy = "give a home folder that can be written"
    elif isinstance(error, sqlite3.ProgrammingError):
        remedy = "it was closed: open it again"
    elif not is_undecodable(error):
        remedy = _REMEDIES.get(error.sqlite_errorcode & 0xFF, remedy)
    return HomeError(f"the log {path} cannot be used ({error}): {remedy}")


def is_undecodable(error: sqlite3.DatabaseError) -> bool:
    """Whether Python, not SQLite, raised ``error``: for a text that is no UTF-8."""
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", None) is None


_REMEDIES = {
    sqlite3.SQLITE_FULL: "free space on its disk and send again; nothing was stored",
    sqlite3.SQLITE_IOERR: "see that its disk is sound and has space, then send again; nothing was stored",
    sqlite3.SQLITE_READONLY: "give a home folder that can be written",
    sqlite3.SQLITE_CANTOPEN: "give a home folder that can be written",
    sqlite3.SQLITE_PERM: "give a home folder that can be written",
    sqlite3.SQLITE_BUSY: "another program holds it; let that end, then send again; nothing was stored",
    sqlite3.SQLITE_CORRUPT: "it is damaged: stop the server and run endcap repair, which keeps every entry that can be "
    "read, or restore a backup",
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
        _add_checksums(connection)
        return
    if application == _APPLICATION_ID:
        raise HomeError(f"the log {path} has format {version}, this Endcap reads {_VERSION}: use the one that wrote it")
    if _number(connection, "SELECT count(*) FROM sqlite_schema"):
        raise HomeError(f"{path} is the database of another program: move it away or give another home folder")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(_SCHEMA)


def _add_checksums(connection: sqlite3.Connection) -> None:
    """A log from before there were any gets the column, at once; its rows go on without."""
    if not _number(connection, "SELECT count(*) FROM pragma_table_info('entries') WHERE name = 'crc'"):
        connection.execute("ALTER TABLE entries ADD COLUMN crc INTEGER")


def _insert(connection: sqlite3.Connection, records: Sequence[Record]) -> list[int | None]:
    # The transaction holds the write lock, so the offsets can be given here: as many as records, of which
    # duplicates leave theirs unused.
    first = _number(connection, "SELECT max(seq) FROM sqlite_sequence WHERE name = 'entries'") + 1
    stored = 0
    rest = iter(enumerate(records, first))
    while chunk := list(islice(rest, ROWS_PER_INSERT)):
        stored += insert_rows(connection, chunk, " ON CONFLICT (key) DO NOTHING")
    offsets = range(first, first + len(records))
    if stored == len(records):
        return list(offsets)
    new = {row[0] for row in connection.execute("SELECT offset FROM entries WHERE offset >= ?", (first,))}
    return [offset if offset in new else None for offset in offsets]


def insert_rows(connection: sqlite3.Connection, numbered: Sequence[tuple[int, Record]], otherwise: str = "") -> int:
    """One INSERT of records at their offsets; how many were stored. ``otherwise``: the end of the statement."""
    rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(numbered))
    values = [value for offset, r in numbered for value in (offset, r.kind, r.time, r.key, r.data, _crc(offset, r))]
    statement = f"INSERT INTO entries (offset, kind, time, key, data, crc) VALUES {rows}{otherwise}"
    return connection.execute(statement, values).rowcount


def checksum(offset: int, record: Record) -> int:
    """CRC-32 of all that the row says. About 0.5 microseconds."""
    return zlib.crc32(record.data, zlib.crc32(f"{offset} {record.time} {record.kind} {record.key}".encode()))


def _crc(offset: int, record: Record) -> int | None:
    """What stands beside the row. One that had no checksum gets none: nobody knows whether it is what was written."""
    return checksum(offset, record) if record.checked else None


def _number(connection: sqlite3.Connection, question: str) -> int:
    """The one number that ``question`` asks for; 0 for null."""
    return int(connection.execute(question).fetchone()[0] or 0)
