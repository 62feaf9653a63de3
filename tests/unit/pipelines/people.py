"""Random logs of several people, and whose each entry is, said slowly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st
from tests.unit.state.streams import START, STREAMS

from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.pipelines.person import Person
from endcap.types import Entry, Unreadable

USERS, VISITORS = ("ann", "bo", "çelik"), ("v1", "v2")

_SERVED = st.builds(
    lambda user, visitor, session: Served(
        "r",
        START,
        1,
        "m",
        (0, 1),
        {
            name: value
            for name, value in (("user_id", user), ("visitor_id", visitor), ("session_id", session))
            if value is not None
        },
    ),
    st.none() | st.sampled_from(USERS),
    st.none() | st.sampled_from(VISITORS),
    st.none() | st.sampled_from(["s1", "s2"]),
)


def _woven(stream: Sequence[Entry], lists: Sequence[tuple[int, Served]]) -> list[Entry]:
    """``stream``, as far as a log can store it, with ``lists`` at places of it, numbered anew."""
    stored = [entry for entry in stream if not isinstance(entry.body, Unreadable)]
    bodies = [entry.body for entry in stored]
    times = [entry.time for entry in stored]
    for number, (place, one) in enumerate(lists):
        at = min(place, len(bodies))
        bodies.insert(at, Served(f"r{number}", one.now, one.offset, one.model, one.rows, one.asked))
        times.insert(at, one.now)
    return [Entry(offset, time, body) for offset, (time, body) in enumerate(zip(times, bodies, strict=True), 1)]


LOGS = st.builds(_woven, STREAMS, st.lists(st.tuples(st.integers(0, 40), _SERVED), max_size=8))
"""Entries of everything a log may hold, with served lists among them."""
ASKED = st.lists(
    st.one_of(
        st.builds(lambda name: Person(user_id=name), st.sampled_from(USERS)),
        st.builds(lambda name: Person(visitor_id=name), st.sampled_from(VISITORS)),
    ),
    min_size=1,
    max_size=2,
    unique=True,
)


def ids(body: object) -> tuple[str | None, str | None, str | None]:
    """User, visitor and session that an entry names."""
    if isinstance(body, Event):
        return body.user_id, body.visitor_id, body.session_id
    if isinstance(body, Served):
        user, visitor, session = (body.asked.get(name) for name in ("user_id", "visitor_id", "session_id"))
        return user, visitor, session  # type: ignore[return-value]  # texts, as they were made above
    return None, None, None


def whose(log: Sequence[Entry], at: int) -> str | None:
    """Whose the entry at place ``at`` is: ``u:<id>``, ``v:<id>``, or nobody's."""
    user, visitor, _ = ids(log[at].body)
    if user is not None or visitor is None:
        return None if user is None else f"u:{user}"
    joins = [(place, one.body) for place, one in enumerate(log) if _joins(one.body, visitor)]
    before = [body for place, body in joins if place < at]
    owner = before[-1] if before else joins[0][1] if joins else None
    return f"v:{visitor}" if owner is None else f"u:{ids(owner)[0]}"


def _joins(body: object, visitor: str) -> bool:
    return (
        isinstance(body, Event)
        and body.type == "identify"
        and body.consent is not False
        and body.user_id is not None
        and body.visitor_id == visitor
    )


def theirs(log: Sequence[Entry], people: Iterable[Person]) -> set[int]:
    """The offsets of all that is of ``people``."""
    keys = {one.key() for one in people}
    beside: dict[str, set[str]] = {}
    for entry in log:
        user, visitor, _ = ids(entry.body)
        if user is not None and visitor is not None:
            beside.setdefault(visitor, set()).add(f"u:{user}")
    keys |= {f"v:{visitor}" for visitor, users in beside.items() if users <= keys}
    mine = {at for at in range(len(log)) if whose(log, at) in keys}
    sessions = {ids(log[at].body)[2] for at in mine} - {None}
    nobodys = {
        at
        for at, entry in enumerate(log)
        if isinstance(entry.body, Served) and ids(entry.body)[:2] == (None, None) and ids(entry.body)[2] in sessions
    }
    return {log[at].offset for at in mine | nobodys}
