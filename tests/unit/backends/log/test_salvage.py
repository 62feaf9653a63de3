"""A log with flipped bytes, lost pages and a cut end: all that can be read is kept, the rest is named by offset."""

from __future__ import annotations

import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from endcap.backends.log.salvage import Looked, look, mend, salvage
from endcap.backends.log.sqlite import SqliteLog
from endcap.errors import HomeError
from endcap.types import DAMAGED, Record

PAGE = 4_096


def record(number: int, size: int = 100) -> Record:
    return Record("event", number, f"{number:0{size}d}".encode(), f"key-{number}")


def make(path: Path, count: int) -> list[tuple[int, Record]]:
    """A log of ``count`` records, all of it in the file: nothing in the write-ahead log."""
    log = SqliteLog(path)
    log.append([record(number) for number in range(1, count + 1)])
    read = list(log.read())
    log.close()
    return read


def read(path: Path) -> list[tuple[int, Record]]:
    log = SqliteLog(path)
    found = list(log.read())
    log.close()
    return found


def leaves(path: Path) -> dict[int, list[int]]:
    """By where in the file a leaf page of the table begins: the offsets of its rows (fileformat2.html, section 1.6)."""
    data = path.read_bytes()
    found = {}
    for page in range(PAGE, len(data), PAGE):
        if data[page] == 0x0D:
            cells = struct.unpack_from(f">{int.from_bytes(data[page + 3 : page + 5])}H", data, page + 8)
            found[page] = sorted(number(data, number(data, page + cell)[1])[0] for cell in cells)
    return found


def number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    while True:
        value = value << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def leaf_with(path: Path, offset: int) -> int:
    return next(page for page, rows in leaves(path).items() if offset in rows)


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_in_a_row_is_detected_and_named(tmp_path: Path, seed: int) -> None:
    path, chance = tmp_path / "endcap.db", random.Random(seed)
    whole = make(path, 200)
    number = chance.randint(1, 200)
    at = path.read_bytes().index(record(number).data) + chance.randrange(100)
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 1 << chance.randrange(8)]))
    found = read(path)
    assert [offset for offset, _ in found] == [offset for offset, _ in whole]
    assert [offset for offset, one in found if one.kind == DAMAGED] == [number]
    assert [one for one in found if one[0] != number] == [one for one in whole if one[0] != number]
    assert look(path) == Looked(199, (number,), ())


@pytest.mark.parametrize("column", [b"event", b"key-77"])
def test_bytes_that_are_no_text_are_detected(tmp_path: Path, column: bytes) -> None:
    path = tmp_path / "endcap.db"
    whole = make(path, 200)
    data = path.read_bytes()
    overwrite(path, data.rindex(column, 0, data.index(record(77).data)), b"\xff\xfe")
    found = read(path)
    assert [offset for offset, one in found if one.kind == DAMAGED] == [77]
    assert [one for one in found if one[0] != 77] == [one for one in whole if one[0] != 77]
    assert look(path).damaged == (77,)


@pytest.mark.parametrize("seed", range(12))
def test_lost_pages_cost_only_what_lay_on_them(tmp_path: Path, seed: int) -> None:
    path, chance = tmp_path / "endcap.db", random.Random(seed)
    whole = make(path, 2_000)
    numbers = sorted(chance.sample(range(1, 2_001), chance.choice([1, 2])))
    pages = {leaf_with(path, number) for number in numbers}
    lost = sorted(offset for page in pages for offset in leaves(path)[page])
    for page in pages:
        overwrite(path, page, chance.randbytes(PAGE))
    found, kept = mend(path)
    assert kept is not None
    assert found.first == lost[0]
    assert [offset for first, last in found.gaps for offset in range(first, (last or 2_000) + 1)] == lost
    assert read(path) == [one for one in whole if one[0] not in lost]
    assert look(path).sound
    assert look(kept) == found  # the damaged file is still there
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    log = SqliteLog(path)
    assert log.append([record(2_001), record(numbers[0]), record(1_000)])[0] == 2_001  # no offset is given again
    log.close()


def test_what_comes_before_a_lost_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    whole = make(path, 2_000)
    overwrite(path, leaf_with(path, 1_500), bytes(PAGE))
    log, found = SqliteLog(path), []
    with pytest.raises(HomeError, match=r"malformed.*run endcap repair.*it can be read up to entry 14\d\d$") as error:
        for one in log.read():
            found.append(one)  # noqa: PERF402  # one by one: it raises on the way
    log.close()
    assert found == whole[: len(found)]
    assert len(found) > 1_400
    last = int(str(error.value).rpartition(" ")[2])
    assert look(path).first == last + 1


@pytest.mark.parametrize("pages", [1, 5, 40])
def test_a_file_that_was_cut_short(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "endcap.db"
    whole = make(path, 2_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - pages * PAGE])
    there = [offset for page, rows in leaves(path).items() for offset in rows]
    found, kept = mend(path)
    assert kept is not None
    assert read(path) == [one for one in whole if one[0] in there]
    assert found.records == len(read(path))


def test_a_sound_log_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    make(path, 50)
    before = path.read_bytes()
    assert mend(path) == (Looked(50, (), ()), None)
    assert path.read_bytes() == before


def test_what_is_still_in_the_write_ahead_log_is_mended_too(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    make(path, 100)
    log = SqliteLog(path)
    log.append([record(number) for number in range(101, 111)])
    at = path.read_bytes().index(record(5).data)
    log.append([record(111)])
    copy = tmp_path / "copy" / "endcap.db"
    copy.parent.mkdir()
    for end in ("", "-wal"):  # as a killed process leaves it
        copy.with_name(f"endcap.db{end}").write_bytes(path.with_name(f"endcap.db{end}").read_bytes())
    log.close()
    wal = copy.with_name("endcap.db-wal")
    assert record(111).data in wal.read_bytes()
    overwrite(copy, at, b"9")
    found, kept = mend(copy)
    assert (found.damaged, found.records) == ((5,), 110)
    assert kept == copy.with_name("endcap.db.damaged")
    assert [offset for offset, _ in read(copy)] == [offset for offset in range(1, 112) if offset != 5]


def test_a_second_repair_keeps_the_first_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    make(path, 100)
    for number, name in ((5, "endcap.db.damaged"), (6, "endcap.db.damaged-2")):
        overwrite(path, path.read_bytes().index(record(number).data), b"9")
        assert mend(path)[1] == tmp_path / name
    assert [offset for offset, _ in read(path)][:5] == [1, 2, 3, 4, 7]


def test_offsets_that_others_know_are_not_given_again(tmp_path: Path) -> None:
    path, target = tmp_path / "endcap.db", tmp_path / "new.db"
    make(path, 10)
    salvage(path, target, last=500)
    log = SqliteLog(target)
    assert log.append([record(11)]) == [501]
    log.close()


def test_a_log_in_use_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    make(path, 100)
    overwrite(path, path.read_bytes().index(record(5).data), b"9")
    log = SqliteLog(path)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchone()
    log.append([record(101)])
    with pytest.raises(HomeError, match=r"endcap.db-wal is in use: stop whatever works with the home, then run"):
        mend(path)
    reader.close()
    log.close()
    assert mend(path)[0].damaged == (5,)
    assert read(path)[-1] == (101, record(101))


def test_no_log_and_no_database(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match=r"there is no log .*: name the home folder of a shop with --home"):
        look(tmp_path / "endcap.db")
    (tmp_path / "endcap.db").write_bytes(b"something else" * 1_000)
    with pytest.raises(HomeError, match="it is not an Endcap log"):
        look(tmp_path / "endcap.db")


def test_a_log_from_before_there_were_checksums(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    whole = make(path, 100)
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("ALTER TABLE entries DROP COLUMN crc")
    assert read(path) == whole  # opening it adds the column
    log = SqliteLog(path)
    log.append([record(101)])
    assert [offset for offset, one in log.read() if one.checked] == [101]
    log.close()
    overwrite(path, path.read_bytes().index(record(5).data), b"9")
    overwrite(path, path.read_bytes().index(record(101).data), b"9")
    assert look(path).damaged == (101,)
    mend(path)
    log = SqliteLog(path)
    assert not any(one.checked for _, one in log.read()), "a repair vouches for none"
    log.close()


def test_a_log_that_is_older_than_the_checksums_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "endcap.db"
    whole = make(path, 50)
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("ALTER TABLE entries DROP COLUMN crc")
        plain.commit()
    assert look(path) == Looked(50, (), ())
    assert mend(path) == (Looked(50, (), ()), None)
    assert read(path) == whole
