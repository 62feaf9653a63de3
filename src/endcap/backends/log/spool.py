"""Records that wait for the log's next commit, in a file that outlives the process.

A mapped file: what was written is the kernel's, so it is there after the process has died, without a system
call and without waiting for the disk. It does not survive a power cut; the log's commit does.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from endcap.errors import HomeError, OverloadedError
from endcap.protocols import Log
from endcap.types import Record

CAPACITY = 4 << 20
"""Bytes; about 10,000 served lists."""
_HEADER = struct.Struct("<8sQQ")
"""Mark, then how many bytes were ever released and ever written."""
_MARK = b"endcap\x01\n"
_START = 64
_HEAD = struct.Struct("<II")
"""Length and CRC-32 of a record."""


class Spool:
    """A ring of records, first in, first out. One thread writes and releases.

    Raises HomeError if the file cannot be used.
    """

    def __init__(self, path: Path, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if os.fstat(descriptor).st_size != _START + capacity:
                    os.ftruncate(descriptor, 0)
                    os.posix_fallocate(descriptor, 0, _START + capacity)  # a full disk is met here, not at a write
                self._map = mmap.mmap(descriptor, _START + capacity)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HomeError(
                f"{path} cannot be used ({error.strerror}): free space, or give a home that can be"
            ) from error
        mark, self._released, self._written = _HEADER.unpack_from(self._map)
        if mark != _MARK:
            self._released = self._written = 0
            self._mark()

    def append(self, record: Record) -> int:
        """Keep ``record``; how many bytes ``release`` has to be given for it. Raises OverloadedError when full."""
        data = msgspec.msgpack.encode(record)
        size = _HEAD.size + len(data)
        if self._written - self._released + size > self._capacity:
            raise OverloadedError("too many answers wait for the disk: ask again in a second")
        self._put(_HEAD.pack(len(data), zlib.crc32(data)) + data)
        self._written += size
        self._mark()  # last: a record that is half written is not counted
        return size

    def release(self, size: int) -> None:
        """The oldest ``size`` bytes are in the log. They are overwritten: what the log forgets is not left here."""
        self._wipe(size)
        self._released += size
        self._mark()

    def left(self) -> list[Record]:
        """What was not released, oldest first: what a process that died had not brought into the log."""
        found = []
        at = self._released
        while self._written - at >= _HEAD.size:
            length, checksum = _HEAD.unpack(self._get(at, _HEAD.size))
            data = self._get(at + _HEAD.size, length) if length <= self._written - at else b""
            if zlib.crc32(data) != checksum or not data:
                break  # torn: nothing after it can be told apart
            found.append(msgspec.msgpack.decode(data, type=Record))
            at += _HEAD.size + length
        return found

    def drain(self, log: Log, leave_out: Callable[[Record], bool]) -> None:
        """Bring into ``log`` what was not released, apart from what is to be left out, and forget it here."""
        log.append([record for record in self.left() if not leave_out(record)])
        self.clear()

    @staticmethod
    def counts(path: Path) -> tuple[int, int]:
        """How many bytes were ever released and ever written there, by any process; none without a file."""
        if not path.is_file():
            return 0, 0
        with path.open("rb") as file:
            found = file.read(_HEADER.size)
        _, released, written = _HEADER.unpack(found.ljust(_HEADER.size, b"\0"))  # shorter as long as it is being made
        return released, written

    def clear(self) -> None:
        """Forget everything, and overwrite it."""
        self._released = self._written
        self._map[_START:] = bytes(self._capacity)
        self._mark()

    def close(self) -> None:
        """Give the file back."""
        self._map.close()

    def _mark(self) -> None:
        _HEADER.pack_into(self._map, 0, _MARK, self._released, self._written)

    def _put(self, data: bytes) -> None:
        start = self._written % self._capacity
        first = min(len(data), self._capacity - start)
        self._map[_START + start : _START + start + first] = data[:first]
        self._map[_START : _START + len(data) - first] = data[first:]

    def _wipe(self, size: int) -> None:
        """Zeros over the oldest ``size`` bytes that were not released."""
        start = self._released % self._capacity
        first = min(size, self._capacity - start)
        self._map[_START + start : _START + start + first] = bytes(first)
        self._map[_START : _START + size - first] = bytes(size - first)

    def _get(self, at: int, size: int) -> bytes:
        start = at % self._capacity
        first = min(size, self._capacity - start)
        return self._map[_START + start : _START + start + first] + self._map[_START : _START + size - first]
