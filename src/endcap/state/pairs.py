"""Per-pair state: which items were together in which sessions.

One index serves session kNN and "bought together" (VMIS-kNN: Kersbergen, Sprangers, Schelter: Serenade,
SIGMOD 2022). A session is in it from its first event on, so that nothing waits for a session to close.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from endcap.config import StateConfig
from endcap.state.column import Column
from endcap.state.packing import Packed, pack_rows, unpack_rows
from endcap.types import FloatArray, IntArray, TimeArray

MIN_RELEASED = 1_024
"""Released sessions, and at least as many as are left, before their places are given back."""

_GONE: array[int] = array("i")


class SessionIndex:
    """Sessions by item and items by session.

    Bounded by configuration: an item keeps its newest ``sessions_per_item`` sessions (up to twice as many before
    they are cut), a session its first ``max_session_items`` different items. A session that no item keeps is
    released. Numbers ascend for ever and are never given twice.
    """

    def __init__(self, config: StateConfig) -> None:
        self._sessions_per_item = config.sessions_per_item
        self._max_session_items = config.max_session_items
        self._members: list[array[int]] = []
        """By place: the items of a session."""
        self._times: array[int] = array("q")
        """By place: milliseconds since 1970 of its newest event."""
        self._held: array[int] = array("i")
        """By place: how many items keep it; 0: released."""
        self._numbers: array[int] = array("i")
        """The number of the session at each of the first places, ascending; from there on the numbers have no gaps."""
        self._start = 0
        """The number of the session at the first place after those."""
        self._released = 0
        self._sessions: list[array[int]] = []
        self._frequency = Column(np.float32)
        self._newest: array[int] = array("i")
        """By user: the session that was added to last; -1: none."""

    @property
    def count(self) -> int:
        """The number of sessions so far, with those that were released."""
        return self._start + len(self._members) - len(self._numbers)

    @property
    def held(self) -> int:
        """The number of sessions that some item keeps."""
        return len(self._members) - self._released

    def grow(self, items: int) -> None:
        """Make room for ``items`` rows."""
        self._frequency.grow(items)
        while len(self._sessions) < items:
            self._sessions.append(array("i"))

    def add(self, user: int, session: int, item: int, time: int) -> int:
        """Put ``item`` into ``session`` of ``user``, or into a new one where that is -1 or released; its number."""
        place = self._place(session)
        if place < 0:
            session, place = self._begin(time)
        elif time > self._times[place]:
            self._times[place] = time
        members = self._members[place]
        if len(members) < self._max_session_items and item not in members:
            members.append(item)
            self._held[place] += 1
            self._link(item, session)
        self._note(user, session)
        return session

    def extend(self, user: int, session: int, items: Sequence[int], times: Sequence[int]) -> int:
        """``add`` for each of ``items``, in their order."""
        if len(items) == 1:
            return self.add(user, session, items[0], times[0])
        place, most = self._place(session), self._max_session_items
        known: set[int] = set(self._members[place]) if place >= 0 else set()
        for item, time in zip(items, times, strict=True):
            if place < 0:
                session, place = self._begin(time)
                known = set()
            elif time > self._times[place]:
                self._times[place] = time
            if len(known) < most and item not in known:
                known.add(item)
                self._members[place].append(item)
                self._held[place] += 1
                if self._link(item, session):
                    place = self._place(session)
        self._note(user, session)
        return session

    def _begin(self, time: int) -> tuple[int, int]:
        """A new session: its number and its place."""
        session, place = self.count, len(self._members)
        self._members.append(array("i"))
        self._times.append(time)
        self._held.append(0)
        return session, place

    def _note(self, user: int, session: int) -> None:
        if user >= len(self._newest):
            self._newest.extend([-1] * (user + 1 - len(self._newest)))
        self._newest[user] = session

    def _place(self, session: int) -> int:
        """Where ``session`` is; -1 where there is none, or it was released."""
        if session >= self._start:
            place = session - self._start + len(self._numbers)
        else:
            place = bisect_left(self._numbers, session)
            if place == len(self._numbers) or self._numbers[place] != session:
                return -1
        return place if self._held[place] else -1

    def _link(self, item: int, session: int) -> bool:
        """Whether sessions may have been released, or places have changed."""
        self._frequency.add(item, 1)
        sessions = self._sessions[item]
        sessions.append(session)
        if len(sessions) <= 2 * self._sessions_per_item:
            return False
        oldest = sessions[: -self._sessions_per_item]
        del sessions[: -self._sessions_per_item]
        for other in oldest:
            self._let_go(self._place(other))
        if self._released >= max(MIN_RELEASED, self.held):
            self._give_back()
        return True

    def _let_go(self, place: int) -> None:
        self._held[place] -= 1
        if self._held[place] == 0:
            self._members[place] = _GONE
            self._released += 1

    def _give_back(self) -> None:
        """Forget the places of released sessions. As many were released since the last time: O(1) for each."""
        places = [place for place, held in enumerate(self._held) if held]
        numbers, count = self._numbers_at(np.array(places, np.int64)), self.count
        self._members = [self._members[place] for place in places]
        self._times = array("q", [self._times[place] for place in places])
        self._held = array("i", [self._held[place] for place in places])
        self._numbers, self._start, self._released = array("i", numbers.tolist()), count, 0

    def _numbers_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        known = np.array(self._numbers, np.int64)
        numbers: NDArray[np.int64] = self._start + places - known.size
        numbers[places < known.size] = known[places[places < known.size]]
        return numbers

    def _places(self, sessions: IntArray) -> IntArray:
        if not self._numbers:
            return sessions - np.int32(self._start)
        known = np.frombuffer(self._numbers, np.int32)
        later = sessions - np.int32(self._start - known.size)
        return np.where(sessions >= self._start, later, np.searchsorted(known, sessions)).astype(np.int32)

    def session_of(self, user: int) -> int:
        """The session of ``user`` that was added to last, or -1."""
        return self._newest[user] if 0 <= user < len(self._newest) else -1

    def join(self, visitor: int, user: int, session: int) -> None:
        """From now on ``session``, which was the ``visitor``'s, is the ``user``'s; -1: the visitor had none open."""
        self._newest.extend([-1] * (max(visitor, user) + 1 - len(self._newest)))
        self._newest[visitor] = -1
        if session >= 0:
            self._newest[user] = session

    def recent(self, item: int) -> IntArray:
        """(n,) the newest sessions that hold ``item``, oldest first; empty for an unknown row."""
        if not 0 <= item < len(self._sessions):
            return np.empty(0, np.int32)
        return np.frombuffer(self._sessions[item][-self._sessions_per_item :], np.int32)

    def newest(self, items: Iterable[int], each: int, most: int) -> tuple[list[int], IntArray, TimeArray]:
        """The newest ``each`` sessions of the first ``most`` of ``items`` that are in any.

        Those items; their sessions end to end, each item's oldest first; (items + 1,) where each one's begin and end.
        """
        each = min(each, self._sessions_per_item)
        rows: list[int] = []
        parts: list[array[int]] = []
        edges = [0]
        for item in items:
            if 0 <= item < len(self._sessions) and self._sessions[item]:
                rows.append(item)
                parts.append(self._sessions[item][-each:])
                edges.append(edges[-1] + len(parts[-1]))
                if len(rows) == most:
                    break
        return rows, np.frombuffer(b"".join(parts), np.int32), np.array(edges, np.int64)

    def last_time(self, sessions: IntArray) -> TimeArray:
        """(sessions,) milliseconds since 1970 of each one's newest event. They must be held by some item."""
        if not self._times:
            return np.empty(0, np.int64)
        return np.frombuffer(self._times, np.int64)[self._places(sessions)]

    def members(self, sessions: IntArray) -> tuple[IntArray, IntArray]:
        """The items of ``sessions`` laid end to end: (position in ``sessions``, item), in order of first appearance.

        They must be held by some item.
        """
        parts: Sequence[array[int]] = [self._members[place] for place in self._places(sessions).tolist()]
        lengths = np.fromiter(map(len, parts), np.int32, len(parts))
        position = np.repeat(np.arange(len(parts), dtype=np.int32), lengths)
        return position, np.frombuffer(b"".join(parts), np.int32)

    def frequency(self) -> FloatArray:
        """(items,) in how many sessions each item was. A view."""
        return self._frequency.values

    def pack(self) -> Packed:
        """Everything, as arrays."""
        members, members_edges = pack_rows(self._members, "i")
        sessions, sessions_edges = pack_rows(self._sessions, "i")
        return {
            "members": members,
            "members_edges": members_edges,
            "sessions": sessions,
            "sessions_edges": sessions_edges,
            "times": np.array(self._times, np.int64),
            "held": np.array(self._held, np.int32),
            "numbers": np.array(self._numbers, np.int32),
            "meta": np.array([self._start, self._released], np.int64),
            "frequency": self._frequency.values,
            "newest": np.array(self._newest, np.int32),
        }

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        self._members = unpack_rows(arrays["members"], arrays["members_edges"], "i")
        self._sessions = unpack_rows(arrays["sessions"], arrays["sessions_edges"], "i")
        self._times = array("q", arrays["times"].tobytes())
        self._held = array("i", arrays["held"].tobytes())
        self._numbers = array("i", arrays["numbers"].tobytes())
        self._start, self._released = arrays["meta"].tolist()
        self._frequency.load(arrays["frequency"])
        self._newest = array("i", arrays["newest"].tobytes())
