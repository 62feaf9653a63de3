"""Served lists that were on their way into the log while somebody was erased.

A list is shown before the log holds it, and whose it is may only be known from entries that the erasure takes away. So
the erasure notes, before it changes the log, by which names the lists of the erased go: as keyed hashes, with the key
beside them, in a file from which they are taken when no such list can come any more.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from endcap.backends.log.spool import Spool
from endcap.errors import HomeError
from endcap.events.log import ERASURE_KEY, to_entry
from endcap.events.served import Served
from endcap.pipelines.person import name_of
from endcap.protocols import Log
from endcap.types import Record, Rewrite

_IDS = ("user", "visitor", "session")


class Note(msgspec.Struct, frozen=True):
    """Whose lists an erasure must not leave."""

    erasure: int
    """Its number. An erasure that the log does not hold has not happened."""
    key: bytes
    names: frozenset[str]
    """A keyed hash of each name, hex."""

    def is_theirs(self, record: Record, before: int) -> bool:
        """Whether ``record`` is a list of theirs that rests on a state older than the entry ``before``."""
        body = to_entry(0, record).body
        if not isinstance(body, Served) or body.offset >= before:
            return False
        user, visitor, session = (cast("str | None", body.asked.get(f"{name}_id")) for name in _IDS)
        return _hashed(self.key, name_of(user, visitor, session)) in self.names


Noted = Sequence[tuple[Note, int]]
"""Each with the entry of its erasure."""


def note(path: Path, erasure: int, names: Iterable[str], key: bytes) -> None:
    """Note at ``path`` whose lists the erasure of that number must not leave. It is on the disk when this returns."""
    new = Note(erasure, key, frozenset(_hashed(key, name) for name in names))
    _change(path, lambda notes: [*(one for one in notes if one.erasure != erasure), new])


def noted(path: Path, log: Log) -> Noted:
    """What is noted at ``path`` of erasures that ``log`` holds."""
    notes = _read(path.read_bytes()) if path.is_file() else []
    found = ((one, log.find(f"{ERASURE_KEY}{one.erasure}")) for one in notes)
    return [(one, entry[0]) for one, entry in found if entry is not None and one.names]


def last_swept(path: Path) -> int:
    """The newest erasure of which ``sweep`` was done: its number is used, even if the log should lose it. 0: none."""
    notes = _read(path.read_bytes()) if path.is_file() else []
    return max((one.erasure for one in notes if not one.names), default=0)


def sweep(path: Path, log: Log, found: Noted) -> int:
    """Take out of ``log`` the lists of those in ``found`` that came in after their erasure; how many.

    No more of them may be under way: ``found`` is taken from the notes at ``path``.
    """
    gone = {
        offset
        for one, entry in found
        for offset, record in log.read(entry)
        if record.kind == "served" and one.is_theirs(record, entry)
    }
    if gone:
        log.rewrite(log.last_offset(), lambda _: Rewrite(dict.fromkeys(gone)))
    if found:
        _change(path, lambda notes: _without({one.erasure for one, _ in found}, notes))
    return len(gone)


def _without(done: set[int], notes: list[Note]) -> list[Note]:
    """``notes`` without the names of those that are ``done``, of which the newest number stays."""
    empty = {one.erasure for one in notes if not one.names} | done
    left = [one for one in notes if one.erasure not in empty]
    return [*left, Note(max(empty), b"", frozenset())]


def bring_in(spool: Spool, path: Path, log: Log) -> None:
    """Bring into ``log`` what a process that died has left in ``spool``, and nothing of who was erased since.

    ``path``: where that is noted. What the process itself brought in of them goes, too.
    """
    found = noted(path, log)
    spool.drain(log, lambda record: any(one.is_theirs(record, entry) for one, entry in found))
    sweep(path, log, found)


def _change(path: Path, change: Callable[[list[Note]], list[Note]]) -> None:
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two may be erased at once, by two processes
            file.seek(0)
            notes = change(_read(file.read()))
            file.truncate(0)
            file.write(msgspec.json.encode(notes))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HomeError(f"{path} cannot be written ({error.strerror}): check its rights and the disk") from error


def _read(data: bytes) -> list[Note]:
    try:
        return msgspec.json.decode(data, type=list[Note])
    except msgspec.DecodeError:  # new, or cut short: then the log was not changed
        return []


def _hashed(key: bytes, name: str) -> str:
    return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()
