"""Which erasures a log has seen."""

from __future__ import annotations

from collections.abc import Iterator

from endcap.errors import HomeError
from endcap.events.erasure import Erasure
from endcap.events.log import ERASURE_KEY, to_entry
from endcap.protocols import Log
from endcap.types import Unreadable


def last_number(log: Log) -> int:
    """The number of the newest erasure, 0 where there was none: numbers have no gaps. A few look-ups by key."""
    low, high = 0, 1
    while log.find(f"{ERASURE_KEY}{high}") is not None:
        low, high = high, 2 * high
    while high - low > 1:  # low is there (or 0), high is not
        middle = (low + high) // 2
        if log.find(f"{ERASURE_KEY}{middle}") is None:
            high = middle
        else:
            low = middle
    return low


def erasures(log: Log) -> Iterator[tuple[int, Erasure]]:
    """Every erasure with its offset, the newest first."""
    for number in range(last_number(log), 0, -1):
        found = log.find(f"{ERASURE_KEY}{number}")
        body = None if found is None else to_entry(*found).body
        if isinstance(body, Unreadable):
            raise HomeError(body.reason)  # whom it took away cannot be guessed
        if found is not None and isinstance(body, Erasure):
            yield found[0], body


def erased_under(log: Log, offset: int) -> list[Erasure]:
    """The erasures that came after entry ``offset`` and took something up to it away, the oldest first."""
    found = []
    for at, erasure in erasures(log):
        if at <= offset:
            break
        if erasure.first <= offset:
            found.append(erasure)
    return found[::-1]
