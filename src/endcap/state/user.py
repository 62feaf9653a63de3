"""Per-user state: what one user did, newest last, within a bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from endcap.config import StateConfig
from endcap.events.schema import EVENT_TYPES, TYPE_CODES
from endcap.state.interests import InterestBounds, Interests, pack_interests, unpack_interests
from endcap.state.packing import Packed, pack_rows, prefixed, under, unpack_rows
from endcap.state.visits import Bounds, Visit, enter, pack_visits, unpack_visits
from endcap.types import FloatArray, IntArray, TimeArray

CRUMB = 1e-4
"""Pieces: less than this, left of a purchase or of a return, is rounding (0.1 kg is not quite 0.1 in a float32)."""

_PURCHASE, _CART = TYPE_CODES["purchase"], TYPE_CODES["cart"]


class UserHistory:
    """One user's events that say something about taste, in log order; the interests and the visits that follow.

    Bounded: the oldest events go when ``max_history`` is reached, the weakest interests and the visits touched
    longest ago by their own bounds.
    """

    __slots__ = ("_items", "_quantities", "_times", "_types", "counts", "interests", "last_time", "visits")

    def __init__(self) -> None:
        self._items: array[int] = array("i")
        self._times: array[int] = array("q")
        self._types: array[int] = array("b")
        self._quantities: array[float] = array("f")
        self.visits: list[Visit] = []
        """Those that nothing has closed yet, the one touched last at the end."""
        self.interests = Interests()
        self.counts: dict[str, int] = {}
        """Events by type."""
        self.last_time = 0
        """Milliseconds since 1970 of the newest event."""

    def arrive(self, event_type: str, time: int, session_id: str | None, bounds: Bounds) -> Visit:
        """Note that an event came; the visit that it is part of."""
        self.last_time = max(self.last_time, time)
        self.counts[event_type] = self.counts.get(event_type, 0) + 1
        return enter(self.visits, time, session_id, bounds)

    def add(self, item: int, time: int, code: int, quantity: float, max_history: int) -> None:
        """Remember one event; ``code`` is its type's number in TYPE_CODES."""
        self._items.append(item)
        self._times.append(time)
        self._types.append(code)
        self._quantities.append(quantity)
        if len(self._items) > max_history:
            for column in (self._items, self._times, self._types, self._quantities):
                del column[0]

    def extend(
        self, items: Sequence[int], times: Sequence[int], code: int, quantities: Sequence[float], max_history: int
    ) -> None:
        """``add`` for each of the events, all of one type, in their order."""
        self._items.extend(items)
        self._times.extend(times)
        self._types.extend([code] * len(items))
        self._quantities.extend(quantities)
        if len(self._items) > max_history:
            for column in (self._items, self._times, self._types, self._quantities):
                del column[:-max_history]

    def undo_purchase(self, item: int, quantity: float) -> list[int]:
        """Take back ``quantity`` of the newest purchases of ``item``; the times of those that vanish wholly."""
        vanished = []
        for at in range(len(self._items) - 1, -1, -1):
            if quantity < CRUMB:
                break
            if self._items[at] == item and self._types[at] == _PURCHASE:
                taken = min(quantity, self._quantities[at])
                quantity -= taken
                self._quantities[at] -= taken
                if self._quantities[at] < CRUMB:
                    vanished.append(self._forget(at))
        return vanished

    def undo_cart(self, item: int) -> list[int]:
        """Take back the newest cart of ``item``, whatever its quantity; its time, or nothing."""
        for at in range(len(self._items) - 1, -1, -1):
            if self._items[at] == item and self._types[at] == _CART:
                return [self._forget(at)]
        return []

    def _forget(self, at: int) -> int:
        time = self._times[at]
        for column in (self._items, self._times, self._types, self._quantities):
            del column[at]
        return time

    def absorb(self, other: UserHistory, config: StateConfig, interests: InterestBounds) -> None:
        """Take over what ``other`` did, merged by time; its visits go on, as those touched last."""
        order = np.argsort(np.concatenate([self.times, other.times]), kind="stable")
        for name in ("_items", "_times", "_types", "_quantities"):
            mine, theirs = getattr(self, name), getattr(other, name)
            merged = np.concatenate([np.array(mine), np.array(theirs)])[order][-config.max_history :]
            setattr(self, name, array(mine.typecode, merged.tolist()))
        self.visits = [*self.visits, *other.visits][-config.max_open_visits :]
        self.interests.absorb(other.interests, interests)
        for event_type, count in other.counts.items():
            self.counts[event_type] = self.counts.get(event_type, 0) + count
        self.last_time = max(self.last_time, other.last_time)

    @property
    def items(self) -> IntArray:
        """(n,) item rows, oldest first."""
        return np.array(self._items, np.int32)

    @property
    def times(self) -> TimeArray:
        """(n,) milliseconds since 1970."""
        return np.array(self._times, np.int64)

    @property
    def types(self) -> IntArray:
        """(n,) event types, as numbers in TYPE_CODES."""
        return np.array(self._types, np.int32)

    @property
    def quantities(self) -> FloatArray:
        """(n,) pieces; what was returned is taken off."""
        return np.array(self._quantities, np.float32)

    def __len__(self) -> int:
        return len(self._items)


_LISTS = {"_items": "i", "_times": "q", "_types": "b", "_quantities": "f"}
"""What a history holds as arrays, with their types."""


def pack_histories(histories: Sequence[UserHistory]) -> Packed:
    """All ``histories``, as arrays."""
    packed: Packed = {
        "counts": np.array([[one.counts.get(name, 0) for name in EVENT_TYPES] for one in histories], np.int64),
        "last": np.array([one.last_time for one in histories], np.int64),
        **prefixed("visits", pack_visits([one.visits for one in histories])),
        **prefixed("interests", pack_interests([one.interests for one in histories])),
    }
    for name, typecode in _LISTS.items():
        flat, edges = pack_rows([getattr(one, name) for one in histories], typecode)
        packed |= {name: flat, f"{name}_edges": edges}
    return packed


def unpack_histories(arrays: Packed) -> list[UserHistory]:
    """The histories that ``pack_histories`` was given."""
    columns = {name: unpack_rows(arrays[name], arrays[f"{name}_edges"], code) for name, code in _LISTS.items()}
    visits = unpack_visits(under("visits", arrays))
    interests = unpack_interests(under("interests", arrays))
    histories = []
    for at, (counts, last_time) in enumerate(zip(arrays["counts"].tolist(), arrays["last"].tolist(), strict=True)):
        history = UserHistory()
        for name, rows in columns.items():
            setattr(history, name, rows[at])
        history.counts = {name: count for name, count in zip(EVENT_TYPES, counts, strict=True) if count}
        history.last_time, history.visits, history.interests = last_time, visits[at], interests[at]
        histories.append(history)
    return histories
