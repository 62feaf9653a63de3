"""Per-pair state: which items were together in which sessions.

One index serves session kNN and "bought together" (VMIS-kNN: Kersbergen, Sprangers, Schelter: Serenade,
SIGMOD 2022). A session is in it from its first event on, so that nothing waits for a session to close.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from endcap.config import StateConfig
from endcap.state.column import Column
from endcap.state.packing import Packed, pack_rows, unpack_rows
from endcap.types import FloatArray, IntArray, TimeArray


class SessionIndex:
    """Sessions by item and items by session.

    Bounded by configuration: an item keeps its newest ``sessions_per_item`` sessions, a session its first
    ``max_session_items`` different items.
    """

    def __init__(self, config: StateConfig) -> None:
        self._sessions_per_item = config.sessions_per_item
        self._max_session_items = config.max_session_items
        self._members: list[array[int]] = []
        self._times: array[int] = array("q")
        self._sessions: list[array[int]] = []
        self._frequency = Column(np.float32)
        self._open: dict[int, tuple[int, int]] = {}

    @property
    def count(self) -> int:
        """The number of sessions."""
        return len(self._members)

    def grow(self, items: int) -> None:
        """Make room for ``items`` rows."""
        self._frequency.grow(items)
        while len(self._sessions) < items:
            self._sessions.append(array("i"))

    def add(self, user: int, visit: int, item: int, time: int) -> None:
        """Put ``item`` into the session of ``user``'s visit number ``visit``; a new visit is a new session."""
        known = self._open.get(user)
        if known is None or known[0] != visit:
            session = len(self._members)
            self._open[user] = (visit, session)
            self._members.append(array("i"))
            self._times.append(time)
        else:
            session = known[1]
            self._times[session] = max(self._times[session], time)
        members = self._members[session]
        if len(members) < self._max_session_items and item not in members:
            members.append(item)
            self._link(item, session)

    def _link(self, item: int, session: int) -> None:
        sessions = self._sessions[item]
        sessions.append(session)
        if len(sessions) > 2 * self._sessions_per_item:
            del sessions[: -self._sessions_per_item]
        self._frequency.add(item, 1)

    def session_of(self, user: int) -> int:
        """The newest session of ``user``, or -1."""
        return self._open.get(user, (0, -1))[1]

    def recent(self, item: int) -> IntArray:
        """(n,) the newest sessions that hold ``item``, oldest first; empty for an unknown row."""
        if not 0 <= item < len(self._sessions):
            return np.empty(0, np.int32)
        return np.frombuffer(self._sessions[item][-self._sessions_per_item :], np.int32)

    def last_time(self, sessions: IntArray) -> TimeArray:
        """(sessions,) milliseconds since 1970 of each one's newest event."""
        return np.frombuffer(self._times, np.int64)[sessions] if self._times else np.empty(0, np.int64)

    def members(self, sessions: IntArray) -> tuple[IntArray, IntArray]:
        """The items of ``sessions`` laid end to end: (position in ``sessions``, item), in order of first appearance."""
        parts: Sequence[array[int]] = [self._members[session] for session in sessions.tolist()]
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
        opened = [(user, visit, session) for user, (visit, session) in sorted(self._open.items())]
        return {
            "members": members,
            "members_edges": members_edges,
            "sessions": sessions,
            "sessions_edges": sessions_edges,
            "times": np.array(self._times, np.int64),
            "frequency": self._frequency.values,
            "open": np.array(opened, np.int64).reshape(-1, 3),
        }

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        self._members = unpack_rows(arrays["members"], arrays["members_edges"], "i")
        self._sessions = unpack_rows(arrays["sessions"], arrays["sessions_edges"], "i")
        self._times = array("q", arrays["times"].tobytes())
        self._frequency.load(arrays["frequency"])
        self._open = {user: (visit, session) for user, visit, session in arrays["open"].tolist()}
