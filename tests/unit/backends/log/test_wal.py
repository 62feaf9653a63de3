"""The write-ahead log: damage is told from what a killed process leaves, and kept."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.backends.log.wal import damaged_frame, keep_damaged
from endcap.types import Record

FRAME = 24 + 4_096


def record(number: int) -> Record:
    return Record("event", number, b"x" * 100, f"key-{number}")


def left_by_a_killed_process(folder: Path, commits: int) -> Path:
    """A log with ``commits`` of one record each in its write-ahead log, as if nobody had closed it."""
    path = folder / "one" / "endcap.db"
    log = SqliteLog(path)
    log.append([record(0)])
    log.close()
    log = SqliteLog(path)
    for number in range(1, commits + 1):
        log.append([record(number)])
    copy = folder / "two" / "endcap.db"
    copy.parent.mkdir()
    for end in ("", "-wal"):
        copy.with_name(f"endcap.db{end}").write_bytes(path.with_name(f"endcap.db{end}").read_bytes())
    log.close()
    return copy


def wal_of(path: Path) -> Path:
    return path.with_name("endcap.db-wal")


def test_a_sound_one_is_let_alone(tmp_path: Path) -> None:
    path = left_by_a_killed_process(tmp_path, 20)
    assert wal_of(path).stat().st_size > 20 * FRAME
    assert keep_damaged(path) is None
    log = SqliteLog(path)
    assert len(list(log.read())) == 21
    log.close()
    assert keep_damaged(path) is None  # there is none any more


@pytest.mark.parametrize("seed", range(10))
def test_damage_is_found_kept_and_everything_before_it_is_there(tmp_path: Path, seed: int) -> None:
    path, chance = left_by_a_killed_process(tmp_path, 30), random.Random(seed)
    data = bytearray(wal_of(path).read_bytes())
    at = 32 + chance.randrange(len(data) - 32 - FRAME)  # not in the last frame
    data[at] ^= 1 << chance.randrange(8)
    wal_of(path).write_bytes(bytes(data))
    frame = (at - 32) // FRAME + 1
    assert damaged_frame(wal_of(path)) == frame
    kept = keep_damaged(path)
    assert kept == path.with_name("endcap.db-wal.damaged")
    assert kept.read_bytes() == bytes(data)
    log = SqliteLog(path)
    found = list(log.read())
    log.close()
    commits = sum(struct.unpack_from(">I", data, 32 + n * FRAME + 4)[0] > 0 for n in range(frame - 1))
    assert found == [(number + 1, record(number)) for number in range(commits + 1)]


def test_damage_to_the_last_frame_is_found(tmp_path: Path) -> None:
    path = left_by_a_killed_process(tmp_path, 5)
    data = bytearray(wal_of(path).read_bytes())
    data[-100] ^= 4
    wal_of(path).write_bytes(bytes(data))
    assert damaged_frame(wal_of(path)) == (len(data) - 32) // FRAME


def test_a_damaged_header_is_found(tmp_path: Path) -> None:
    path = left_by_a_killed_process(tmp_path, 5)
    data = bytearray(wal_of(path).read_bytes())
    data[17] ^= 1
    wal_of(path).write_bytes(bytes(data))
    assert damaged_frame(wal_of(path)) == 1


def test_what_a_killed_writer_leaves_is_no_damage(tmp_path: Path) -> None:
    path = left_by_a_killed_process(tmp_path, 5)
    data = wal_of(path).read_bytes()
    for end in (len(data) - 1, len(data) - 2_000, len(data) - FRAME + 10, len(data) - FRAME, 40, 32, 10, 0):
        wal_of(path).write_bytes(data[:end])
        assert damaged_frame(wal_of(path)) is None


def test_frames_of_an_earlier_round_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    log = SqliteLog(path)
    for number in range(600):  # more than the 1,000 pages after which SQLite begins again from the front
        log.append([record(number)])
    data = wal_of(path).read_bytes()
    salts = {data[32 + n * FRAME + 8 : 32 + n * FRAME + 16] for n in range((len(data) - 32) // FRAME)}
    assert len(salts) == 2
    assert damaged_frame(wal_of(path)) is None
    log.close()
