"""The SQLite log where it fails: each failure in one clear line, and nothing that was good is lost."""

from __future__ import annotations

import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from endcap.backends.log.sqlite import SqliteLog, explained
from endcap.errors import HomeError
from endcap.types import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "endcap.db"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Makes the system refuse to let any file of this process grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def records(count: int, start: int = 0) -> list[Record]:
    return [Record("event", 1, b"x" * 100, str(i)) for i in range(start, start + count)]


def test_a_batch_that_the_disk_refuses_is_not_stored_and_can_be_sent_again(path: Path) -> None:
    log = SqliteLog(path)
    log.append(records(10))
    with files_of_at_most(200_000), pytest.raises(HomeError, match="send again; nothing was stored"):
        log.append(records(10_000, start=5))
    assert [r.key for _, r in log.read()] == [str(i) for i in range(10)]
    assert log.append(records(10_000, start=5)).count(None) == 5
    assert len(list(log.read())) == 10_005
    log.close()


def test_a_bad_record_leaves_nothing_of_its_batch(path: Path) -> None:
    log = SqliteLog(path)
    with pytest.raises(OverflowError):
        log.append([*records(600), Record("event", 2**63, b"")])
    assert log.last_offset() == 0
    assert log.append(records(1)) == [1]
    log.close()


def test_waits_for_another_writer_only_so_long(path: Path) -> None:
    log = SqliteLog(path, lock_timeout_seconds=0.1)
    log.append(records(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(HomeError, match=r"database is locked.*another program holds it; let that end, then send"):
            log.append(records(1, start=1))
        assert time.monotonic() - start < 5
        assert log.last_offset() == 1  # a reader does not wait
        other.execute("ROLLBACK")
    assert log.append(records(1, start=1)) == [2]
    log.close()


def test_an_offset_is_not_given_again_after_the_newest_entry_is_erased(path: Path) -> None:
    log = SqliteLog(path)
    log.append(records(3))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM entries WHERE offset = 3")
    assert log.last_offset() == 2
    assert log.append(records(1, start=3)) == [4]
    log.close()


def test_duplicates_of_a_large_batch_are_found_in_each_statement(path: Path) -> None:
    log = SqliteLog(path)
    log.append(records(1, start=249) + records(1, start=250) + records(1, start=777))
    offsets = log.append(records(1_000))
    assert [i for i, offset in enumerate(offsets) if offset is None] == [249, 250, 777]
    assert {r.key: offset for offset, r in log.read(after=3)} == {
        str(i): offset for i, offset in enumerate(offsets) if offset is not None
    }
    log.close()


def test_a_page_ends_at_four_megabytes(path: Path) -> None:
    log = SqliteLog(path)
    log.append([Record("item", i, bytes(1_500_000)) for i in range(7)])
    reader = log.read()
    assert next(reader)[0] == 1
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM entries WHERE offset IN (3, 4)")
    assert [offset for offset, _ in reader] == [2, 3, 5, 6, 7]  # 1 to 3 were read before, 4 was not
    log.close()


def test_every_commit_goes_to_the_write_ahead_log_and_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembered(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    log = SqliteLog(path)
    log.append(records(1))
    assert opened
    for connection in opened:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    log.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    path.write_text("offset,kind\n" * 100)
    with pytest.raises(HomeError, match=r"endcap.db cannot be used .*it is not an Endcap log; move it away"):
        SqliteLog(path)
    assert path.read_text() == "offset,kind\n" * 100


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE entries (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(HomeError, match=r"endcap.db is the database of another program: move it away"):
        SqliteLog(path)
    assert path.read_bytes() == before


def test_a_log_of_another_format_is_refused(path: Path) -> None:
    SqliteLog(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 7")
    with pytest.raises(HomeError, match="has format 7, this Endcap reads 1: use the one that wrote it"):
        SqliteLog(path)


def test_a_home_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match=r"endcap.db cannot be used .*give a home folder that can be written"):
        SqliteLog(tmp_path / "file" / "endcap.db")


def test_a_folder_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(HomeError, match=r"unable to open database file.*give a home folder that can be written"):
        SqliteLog(path)


def test_a_closed_log_says_so(path: Path) -> None:
    log = SqliteLog(path)
    log.close()
    with pytest.raises(HomeError, match="it was closed: open it again"):
        log.append(records(1))
    with pytest.raises(HomeError, match="it was closed: open it again"):
        log.last_offset()


def test_a_damaged_log_says_so(path: Path) -> None:
    log = SqliteLog(path)
    log.append(records(1_000))
    log.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x55" * (len(content) - 4096))
    log = SqliteLog(path)
    with pytest.raises(HomeError, match=r"malformed.*run endcap repair, which keeps.*it can be read up to entry 0"):
        list(log.read())
    log.close()


def test_says_what_to_do_about_a_full_disk(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as full:
        full.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as caught:
            full.executescript("CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE c (x);")
    assert "free space on its disk and send again; nothing was stored" in str(explained(path, caught.value))


def test_says_what_to_do_about_a_read_only_file(path: Path) -> None:
    SqliteLog(path).close()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    with closing(reader), pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("DELETE FROM entries")
    assert "readonly database): give a home folder that can be written" in str(explained(path, caught.value))
