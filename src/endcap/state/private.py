"""Visits without consent: what they did is known as long as they last, and leaves nothing behind.

They lie beside the histories, keyed by who it is, so that nothing else in the state ever depends on them: such an
event gives nobody a row, no item a row, and changes no count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from endcap.checks import FUTURE_TOLERANCE_MS
from endcap.state.packing import Packed, pack_json, unpack_json
from endcap.state.visits import Bounds, Visit, enter, pack_visits, unpack_visits


class PrivateVisits:
    """The open visits of everyone of whom an event without consent is part of one, with all their events.

    Bounded: of ``most`` people, those who did something last. Over visits go at their owner's next event, and at
    the latest when another event is so much newer that no clock that is tolerated can be the cause.
    """

    def __init__(self, bounds: Bounds, most: int) -> None:
        self._bounds = bounds
        self._most = most
        self._people: OrderedDict[str, list[Visit]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._people)

    def of(self, key: str | None) -> list[Visit] | None:
        """The visits of the person; None if none is private."""
        return None if key is None else self._people.get(key)

    def enter(self, key: str, known: Sequence[Visit], time: int, session_id: str | None) -> Visit:
        """The visit that an event without consent belongs to; it may be one of ``known``, which stay as they are."""
        self._let_go(time)
        visits = self._people.setdefault(key, [])
        if not visits:
            visits.extend(visit.copy() for visit in known)
        self._people.move_to_end(key)
        if len(self._people) > self._most:
            self._people.popitem(last=False)
        visit = enter(visits, time, session_id, self._bounds)
        visit.private = True
        return visit

    def follow(self, key: str, time: int, session_id: str | None) -> Visit | None:
        """The visit that an event with consent belongs to too, where its owner has a private one."""
        self._let_go(time)
        visits = self._people.get(key)
        if visits is None:
            return None
        visit = enter(visits, time, session_id, self._bounds)
        visits[:] = [one for one in visits if not one.is_over(time, self._bounds)]
        if any(one.private for one in visits):
            return visit
        del self._people[key]
        return None

    def forget(self, key: str) -> None:
        """Nothing is known of that person any more."""
        self._people.pop(key, None)

    def _let_go(self, time: int) -> None:
        longest = self._bounds.gap_ms + FUTURE_TOLERANCE_MS
        while self._people:
            key = next(iter(self._people))
            if time - max(visit.last_time for visit in self._people[key]) <= longest:
                return
            del self._people[key]

    def pack(self) -> Packed:
        """Everything, as arrays."""
        return {"keys": pack_json(list(self._people)), **pack_visits(list(self._people.values()))}

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        self._people = OrderedDict(zip(unpack_json(arrays["keys"]), unpack_visits(arrays), strict=True))
