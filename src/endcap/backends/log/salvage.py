"""A damaged log made anew, of everything in it that can be read.

SQLite refuses a page that makes no sense and whatever lies on it. The pages around it are reached all the same: a
search for a later offset goes another way down the tree (https://www.sqlite.org/fileformat2.html#b_tree_pages).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from endcap.backends.log.sqlite import (
    ROWS_PER_INSERT,
    SELECT_BYTES,
    Row,
    SqliteLog,
    decoded,
    explained,
    insert_rows,
    record_of,
)
from endcap.errors import HomeError
from endcap.types import DAMAGED, Record

_CHUNK = 2_000
# Not "offset > ?": that search would begin on the page of the offset itself.
_BEFORE_CHECKSUMS = "CREATE TEMP VIEW entries AS SELECT *, NULL AS crc FROM main.entries"
"""Stands for the table of a log that is older than the column."""
_FROM = f"{SELECT_BYTES} WHERE offset >= ? ORDER BY offset"
_FIRST_FROM = f"{_FROM} LIMIT 1"
_LAST = 2**62
"""No log has so many entries."""

Gap = tuple[int, int | None]
"""The first and the last offset of what cannot be read; None: to the end."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of reading a whole log."""

    records: int
    """That can be read."""
    damaged: tuple[int, ...]
    """Offsets of single records whose checksum does not fit."""
    gaps: tuple[Gap, ...]
    """Where whole pages cannot be read. Some of these offsets may never have been given."""

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.damaged or self.gaps)

    @property
    def first(self) -> int:
        """The first offset that cannot be read; 0 where the log is sound."""
        return min([*self.damaged, *(first for first, _ in self.gaps)], default=0)


def look(path: Path, take: Callable[[list[tuple[int, Record]]], None] = lambda _: None) -> Looked:
    """Read every record of the log at ``path``; ``take`` is given those that are sound, in order.

    Raises HomeError if the file cannot be opened at all.
    """
    if not path.is_file():
        raise HomeError(f"there is no log {path}: name the home folder of a shop with --home")
    records = 0
    damaged: list[int] = []
    gaps: list[Gap] = []
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as source:
            source.execute("PRAGMA writable_schema = ON")  # else a file that was cut short is refused as a whole
            source.execute("SELECT count(*) FROM entries WHERE offset < 0").fetchone()
            if "crc" not in {column[1] for column in source.execute("PRAGMA table_info(entries)")}:
                source.execute(_BEFORE_CHECKSUMS)
            rows = _rows(source, gaps)
            while chunk := list(islice(rows, _CHUNK)):
                damaged += [offset for offset, record in chunk if record.kind == DAMAGED]
                sound = [one for one in chunk if one[1].kind != DAMAGED]
                records += len(sound)
                if sound:
                    take(sound)
    except sqlite3.DatabaseError as error:
        raise explained(path, error) from error
    return Looked(records, tuple(damaged), tuple(gaps))


def salvage(path: Path, target: Path, last: int = 0) -> Looked:
    """Write what can be read of the log at ``path`` to the new log ``target``. Every entry keeps its offset.

    What is appended later gets an offset above ``last`` and all that ``path`` is known to have given: others may know
    those that were lost. Raises HomeError if either cannot be used. Nobody else may write to ``path`` meanwhile.
    """
    SqliteLog(target).close()
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # it is synced below, as a whole
            found = look(path, lambda records: _insert(copy, records))
            copy.execute("DELETE FROM sqlite_sequence")
            copy.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (max(last, _given(path, found)),))
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except sqlite3.DatabaseError as error:
        raise explained(target, error) from error
    return found


def mend(path: Path, last: int = 0) -> tuple[Looked, Path | None]:
    """Put what ``salvage`` makes of the log at ``path`` in its place; also where the damaged file is kept.

    A log that is sound stays as it is. The new file is there whole or not at all.
    """
    found = look(path)
    if found.sound:
        return found, None
    part = path.with_name(f"{path.name}.part")
    for name in _files(part):
        name.unlink(missing_ok=True)
    found = salvage(path, part, last)
    kept = next(name for name in _names(path) if not name.exists())
    try:
        _empty_write_ahead_log(path)
        os.link(path, kept)
        part.replace(path)
    except OSError as error:
        raise explained(path, error) from error
    return found, kept


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def _names(path: Path) -> Iterator[Path]:
    yield path.with_name(f"{path.name}.damaged")
    for number in count(2):
        yield path.with_name(f"{path.name}.damaged-{number}")


def _empty_write_ahead_log(path: Path) -> None:
    """SQLite would put what is left in it over the new file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as source:
        source.execute("PRAGMA writable_schema = ON")
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    left = [file for file in _files(path)[1:] if file.exists() and file.stat().st_size]
    if left:
        raise HomeError(f"{left[0]} is in use: stop whatever works with the home, then run endcap repair again")


def _insert(copy: sqlite3.Connection, records: list[tuple[int, Record]]) -> None:
    copy.execute("BEGIN")
    for start in range(0, len(records), ROWS_PER_INSERT):
        insert_rows(copy, records[start : start + ROWS_PER_INSERT], " ON CONFLICT DO NOTHING")
    copy.execute("COMMIT")


def _rows(source: sqlite3.Connection, gaps: list[Gap]) -> Iterator[tuple[int, Record]]:
    """The readable records of ``source``, in order; what lies between goes into ``gaps``."""
    after: int | None = 0
    while after is not None:
        last = after
        try:
            for row in source.execute(_FROM, (after + 1,)):
                if not isinstance(row[0], int) or row[0] <= last:
                    continue  # a damaged page may give anything
                last = row[0]
                yield last, record_of(decoded(row))
            return
        except sqlite3.DatabaseError:
            row = _next(source, last)  # Python asks for a row before it gives the one before it
            if row is not None:
                after = row[0]
                yield row[0], record_of(row)
            else:
                after = _beyond(source, last)
                gaps.append((last + 1, after))


def _beyond(source: sqlite3.Connection, last: int) -> int | None:
    """The lowest offset after which ``source`` can be read again, given that it cannot after ``last``."""
    low, step = last, 1
    while not _readable(source, last + step):
        low, step = last + step, 2 * step
        if step > _LAST:
            return None
    high = last + step
    while high - low > 1:
        middle = (low + high) // 2
        if _readable(source, middle):
            high = middle
        else:
            low = middle
    return high


def _readable(source: sqlite3.Connection, after: int) -> bool:
    try:
        source.execute(_FIRST_FROM, (after + 1,)).fetchone()
    except sqlite3.DatabaseError:
        return False
    return True


def _next(source: sqlite3.Connection, after: int) -> Row | None:
    """The first row after ``after``; None where it cannot be read."""
    try:
        row = source.execute(_FIRST_FROM, (after + 1,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return decoded(row) if row is not None and isinstance(row[0], int) and row[0] > after else None


def _given(path: Path, found: Looked) -> int:
    """The highest offset that ``path`` ever gave, as far as it can be told."""
    known = [0, *found.damaged, *(first for first, _ in found.gaps)]
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as source:
            source.execute("PRAGMA writable_schema = ON")
            known += [row[0] or 0 for row in source.execute("SELECT max(seq) FROM sqlite_sequence")]
    except sqlite3.DatabaseError:
        pass  # it lies on a page that is damaged
    return max(known)
