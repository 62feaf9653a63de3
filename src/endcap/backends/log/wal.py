"""Whether the write-ahead log of a file that nobody has open is damaged, before SQLite forgets it.

SQLite goes on from the last commit whose checksums fit, and says nothing of what comes after it
(https://www.sqlite.org/fileformat2.html#wal_file_format). A process that was killed leaves frames without a commit, or
half a frame: those were never acknowledged. A whole frame of this round whose checksum does not fit is something else:
a write that a power cut tore, which was not acknowledged either, or damage to what was.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from time import sleep
from typing import BinaryIO

_HEADER = struct.Struct(">IIIIIIII")
"""Magic, format, page size, checkpoint number, two salts, two checksums."""
_FRAME = struct.Struct(">IIIIII")
"""Page, size of the database after a commit (else 0), two salts, two checksums."""
_MAGIC = 0x377F0682
"""The last bit says in which byte order checksums are taken: 1 for big-endian."""
_LOOK_AGAIN_SECONDS = 0.05


def keep_damaged(log: Path) -> Path | None:
    """A copy of the write-ahead log of ``log`` if it is damaged; None where it is not, or where there is none.

    Call it before the log is opened. Costs about 0.03 s a MB. Raises OSError if the copy cannot be made.
    """
    wal = log.with_name(f"{log.name}-wal")
    at = damaged_frame(wal)
    if at is None:
        return None
    sleep(_LOOK_AGAIN_SECONDS)
    if damaged_frame(wal) != at:
        return None  # somebody writes to it now: that frame was not whole yet
    copy = log.with_name(f"{log.name}-wal.damaged")
    shutil.copyfile(wal, copy)
    return copy


def damaged_frame(wal: Path) -> int | None:
    """The number, from 1, of the first whole frame of this round that is damaged; None if there is none."""
    try:
        with wal.open("rb") as file:
            return _first_damaged(file)
    except FileNotFoundError:
        return None


def _first_damaged(file: BinaryIO) -> int | None:
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, _, page_size, _, *salts, first, second = _HEADER.unpack(head)
    order = ">" if magic & 1 else "<"
    if magic & ~1 != _MAGIC or _checksum(head[:24], order, 0, 0) != (first, second):
        return 1 if file.read(1) else None
    number, size = 0, _FRAME.size + page_size
    while len(frame := file.read(size)) == size:
        number += 1
        _, _, *theirs, wanted_first, wanted_second = _FRAME.unpack_from(frame)
        if theirs != salts:  # of an earlier round, as all that follow then are
            return number if _goes_on(file, salts, size) else None
        first, second = _checksum(frame[:8] + frame[_FRAME.size :], order, first, second)
        if (first, second) != (wanted_first, wanted_second):
            return number
    return None


def _goes_on(file: BinaryIO, salts: list[int], size: int) -> bool:
    """Whether a frame of the round of ``salts`` follows."""
    while len(frame := file.read(size)) == size:
        if list(_FRAME.unpack_from(frame)[2:4]) == salts:
            return True
    return False


def _checksum(data: bytes, order: str, first: int, second: int) -> tuple[int, int]:
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
