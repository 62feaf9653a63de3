"""Open visits: what somebody does now, within the bounds of the configuration."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from endcap.config import StateConfig
from endcap.state.packing import Packed, pack_json, pack_rows, unpack_json, unpack_rows


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a visit is over, and how much of it is kept."""

    gap_ms: float
    """Silence after which a visit is over, whether or not the shop named it."""
    visits: int
    """Open visits of one person; the one touched longest ago goes first."""
    items: int
    """Different items of one visit; the one touched longest ago goes first."""

    @classmethod
    def of(cls, config: StateConfig) -> Self:
        """As ``config`` sets them."""
        return cls(config.session_gap_minutes * 60_000, config.max_open_visits, config.max_session_items)


class Visit:
    """One visit: its items, and its sessions in the two indices."""

    __slots__ = ("basket", "dismissed", "items", "last_time", "private", "session", "session_id")

    def __init__(self, session_id: str | None, time: int) -> None:
        self.session_id = session_id
        """The shop's own id, where it gave one."""
        self.last_time = time
        """Milliseconds since 1970 of the newest event."""
        self.items: array[int] = array("i")
        """Different item rows, the one touched last at the end."""
        self.session = -1
        """Its session in ``State.sessions``; -1: none yet."""
        self.basket = -1
        """The same in ``State.baskets``."""
        self.dismissed: array[int] | None = None
        """Item rows that were dismissed without consent: hidden as long as the visit lasts."""
        self.private = False
        """Whether an event without consent is part of it."""

    def touch(self, item: int, bounds: Bounds) -> None:
        """Put ``item`` last."""
        items = self.items
        if item in items:
            items.remove(item)
        items.append(item)
        if len(items) > bounds.items:
            del items[0]

    def touch_all(self, items: Sequence[int], bounds: Bounds) -> None:
        """``touch`` each of ``items``, in their order."""
        if len(items) == 1:
            self.touch(items[0], bounds)
            return
        newest_first = list(dict.fromkeys([*reversed(items), *reversed(self.items)]))[: bounds.items]
        newest_first.reverse()
        self.items = array("i", newest_first)

    def dismiss(self, items: Iterable[int], most: int) -> None:
        """Hide ``items`` as long as the visit lasts; of more than ``most``, the newest."""
        known = dict.fromkeys(self.dismissed or ()) | dict.fromkeys(items)
        self.dismissed = array("i", list(known)[-most:])

    def is_over(self, now: int, bounds: Bounds) -> bool:
        """Whether it has been silent for too long at ``now``."""
        return now - self.last_time > bounds.gap_ms

    def copy(self) -> Visit:
        """Another one that is equal."""
        other = Visit(self.session_id, self.last_time)
        other.items, other.session, other.basket, other.private = self.items[:], self.session, self.basket, self.private
        other.dismissed = None if self.dismissed is None else self.dismissed[:]
        return other


def enter(visits: list[Visit], time: int, session_id: str | None, bounds: Bounds) -> Visit:
    """The one of ``visits`` that an event at ``time`` belongs to, put last; a new one where there is none.

    An event with the shop's session id belongs to the visit of that id, one without to the visit touched last;
    neither to a visit that is over. What is over at ``time`` goes when a visit is looked for or begun.
    """
    if visits:
        visit = visits[-1]
        silence = time - visit.last_time
        if silence <= bounds.gap_ms and (session_id is None or session_id == visit.session_id):
            if silence > 0:
                visit.last_time = time
            return visit
        visits[:] = [visit for visit in visits if time - visit.last_time <= bounds.gap_ms]
        for at in range(len(visits) - 1, -1, -1):
            if session_id is None or session_id == visits[at].session_id:
                visit = visits.pop(at)
                visit.last_time = max(visit.last_time, time)
                visits.append(visit)
                return visit
    visit = Visit(session_id, time)
    visits.append(visit)
    if len(visits) > bounds.visits:
        del visits[0]
    return visit


def open_visit(visits: Sequence[Visit], now: int, session_id: str | None, bounds: Bounds) -> Visit | None:
    """The visit that an event at ``now`` would join, by the rule of ``enter``; None if it would begin one."""
    for visit in reversed(visits):
        if not visit.is_over(now, bounds) and (session_id is None or session_id == visit.session_id):
            return visit
    return None


def pack_visits(people: Sequence[Sequence[Visit]]) -> Packed:
    """The visits of all ``people``, as arrays."""
    visits = [visit for one in people for visit in one]
    items, items_edges = pack_rows([visit.items for visit in visits], "i")
    dismissed, dismissed_edges = pack_rows([visit.dismissed or array("i") for visit in visits], "i")
    numbers = [(visit.last_time, visit.session, visit.basket, visit.private) for visit in visits]
    return {
        "counts": np.array([len(one) for one in people], np.int64),
        "items": items,
        "items_edges": items_edges,
        "dismissed": dismissed,
        "dismissed_edges": dismissed_edges,
        "numbers": np.array(numbers, np.int64).reshape(-1, 4),
        "session_ids": pack_json([visit.session_id for visit in visits]),
    }


def unpack_visits(arrays: Packed) -> list[list[Visit]]:
    """The visits that ``pack_visits`` was given."""
    items = unpack_rows(arrays["items"], arrays["items_edges"], "i")
    dismissed = unpack_rows(arrays["dismissed"], arrays["dismissed_edges"], "i")
    visits = []
    for at, (session_id, numbers) in enumerate(
        zip(unpack_json(arrays["session_ids"]), arrays["numbers"].tolist(), strict=True)
    ):
        visit = Visit(session_id, numbers[0])
        visit.session, visit.basket, visit.private = numbers[1], numbers[2], bool(numbers[3])
        visit.items, visit.dismissed = items[at], dismissed[at] if len(dismissed[at]) else None
        visits.append(visit)
    ends = np.cumsum(arrays["counts"]).tolist()
    return [visits[end - count : end] for count, end in zip(arrays["counts"].tolist(), ends, strict=True)]
