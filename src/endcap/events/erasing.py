"""Which erasures a log has seen."""

from __future__ import annotations

from collections.abc import Iterator

from endcap.errors import HomeError
from endcap.events.erasure import Erasure
from endcap.events.log import ERASURE_KEY, to_entry
from endcap.protocols import Log
from endcap.types import Unreadable


def last_number(log: Log) -> int:
    """The number of the newest erasure, 0 where there was none."""
    return next((erasure.number for _, erasure in erasures(log)), 0)


def erasures(log: Log) -> Iterator[tuple[int, Erasure]]:
    """Every erasure with its offset, the newest first. A number may be missing: a repair leaves out what is damaged."""
    for key in reversed(log.keys(ERASURE_KEY)):
        found = log.find(key)
        body = None if found is None else to_entry(*found).body
        if isinstance(body, Unreadable):
            raise HomeError(body.reason)  # whom it took away cannot be guessed
        if found is not None and isinstance(body, Erasure):
            yield found[0], body


def erased_under(log: Log, offset: int, since: int | None = None) -> list[Erasure]:
    """The erasures that came after entry ``since`` and took something up to ``offset`` away, the oldest first.

    ``since``: ``offset``, if it is not given.
    """
    found = []
    for at, erasure in erasures(log):
        if at <= (offset if since is None else since):
            break
        if erasure.first <= offset:
            found.append(erasure)
    return found[::-1]
