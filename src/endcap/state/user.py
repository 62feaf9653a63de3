"""Per-user state: what one user did, newest last, within a bounded memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from endcap.config import StateConfig
from endcap.events.schema import EVENT_TYPES, TYPE_CODES
from endcap.state.packing import Packed, pack_json, pack_rows, unpack_json, unpack_rows
from endcap.types import FloatArray, IntArray, TimeArray

CRUMB = 1e-4
"""Pieces: less than this, left of a purchase or of a return, is rounding (0.1 kg is not quite 0.1 in a float32)."""

_PURCHASE = TYPE_CODES["purchase"]


class UserHistory:
    """One user's events that say something about taste, in log order, and the current visit.

    A visit ends after ``session_gap_minutes`` of silence, or where the shop's own session id changes. An
    event that comes late joins the visit that is open. The oldest events go when ``max_history`` is reached.
    """

    __slots__ = ("_items", "_quantities", "_session", "_times", "_types", "counts", "last_time", "session_id", "visit")

    def __init__(self) -> None:
        self._items: array[int] = array("i")
        self._times: array[int] = array("q")
        self._types: array[int] = array("b")
        self._quantities: array[float] = array("f")
        self._session: array[int] = array("i")
        self.session_id: str | None = None
        """The shop's own id of the current visit, where it gave one."""
        self.counts: Counter[str] = Counter()
        """Events by type."""
        self.last_time = 0
        """Milliseconds since 1970 of the newest event."""
        self.visit = 0
        """The number of the current visit."""

    def arrive(self, time: int, session_id: str | None, config: StateConfig) -> None:
        """Note that an event came at ``time``; starts a new visit where the rule says so."""
        silent = time - self.last_time > config.session_gap_minutes * 60_000
        own_id_changed = session_id is not None and session_id != self.session_id
        same_id = session_id is not None and not own_id_changed
        if own_id_changed or (silent and not same_id):
            self.visit += 1
            self._session = array("i")
            self.session_id = session_id
        self.last_time = max(self.last_time, time)

    def touch(self, item: int, config: StateConfig) -> None:
        """Put ``item`` last in the current visit."""
        if item in self._session:
            self._session.remove(item)
        self._session.append(item)
        del self._session[: -config.max_session_items]

    def add(self, item: int, time: int, code: int, quantity: float, max_history: int) -> None:
        """Remember one event; ``code`` is its type's number in TYPE_CODES."""
        self._items.append(item)
        self._times.append(time)
        self._types.append(code)
        self._quantities.append(quantity)
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
                    vanished.append(self._times[at])
                    for column in (self._items, self._times, self._types, self._quantities):
                        del column[at]
        return vanished

    def absorb(self, other: UserHistory, max_history: int) -> None:
        """Take over what ``other`` did, merged by time; the later of the two current visits stays, alone."""
        order = np.argsort(np.concatenate([self.times, other.times]), kind="stable")
        for name in ("_items", "_times", "_types", "_quantities"):
            mine, theirs = getattr(self, name), getattr(other, name)
            merged = np.concatenate([np.array(mine), np.array(theirs)])[order][-max_history:]
            setattr(self, name, array(mine.typecode, merged.tolist()))
        if other.last_time >= self.last_time:
            self._session, self.session_id, self.visit = other._session, other.session_id, self.visit + 1
        self.counts.update(other.counts)
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

    @property
    def session_items(self) -> IntArray:
        """(m,) different items of the current visit, the one touched last at the end."""
        return np.array(self._session, np.int32)

    def __len__(self) -> int:
        return len(self._items)


_LISTS = {"_items": "i", "_times": "q", "_types": "b", "_quantities": "f", "_session": "i"}
"""What a history holds as arrays, with their types."""


def pack_histories(histories: Sequence[UserHistory]) -> Packed:
    """All ``histories``, as arrays."""
    packed: Packed = {
        "counts": np.array([[one.counts[name] for name in EVENT_TYPES] for one in histories], np.int64),
        "last": np.array([(one.last_time, one.visit) for one in histories], np.int64),
        "session_ids": pack_json([one.session_id for one in histories]),
    }
    for name, typecode in _LISTS.items():
        flat, edges = pack_rows([getattr(one, name) for one in histories], typecode)
        packed |= {name: flat, f"{name}_edges": edges}
    return packed


def unpack_histories(arrays: Packed) -> list[UserHistory]:
    """The histories that ``pack_histories`` was given."""
    columns = {name: unpack_rows(arrays[name], arrays[f"{name}_edges"], code) for name, code in _LISTS.items()}
    histories = []
    session_ids = unpack_json(arrays["session_ids"])
    for at, (counts, (last_time, visit)) in enumerate(
        zip(arrays["counts"].tolist(), arrays["last"].tolist(), strict=True)
    ):
        history = UserHistory()
        for name, rows in columns.items():
            setattr(history, name, rows[at])
        history.counts.update({name: count for name, count in zip(EVENT_TYPES, counts, strict=True) if count})
        history.last_time, history.visit, history.session_id = last_time, visit, session_ids[at]
        histories.append(history)
    return histories
