"""Export a person: all that is held of them, by the API's names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from endcap.events.log import original, to_entry
from endcap.events.schema import EVENT_TYPES, Event
from endcap.events.served import Served
from endcap.pipelines.person import Person, entries_of, find
from endcap.protocols import Log
from endcap.state.fold import State


@dataclass(frozen=True, slots=True)
class Past:
    """One event of the history that lists follow from."""

    type: str
    item_id: str
    time: int
    """Milliseconds since 1970."""
    quantity: float


@dataclass(frozen=True, slots=True)
class Weighed:
    """A category, a brand or a price band, and how much it weighs now."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What the state knows of one user or visitor."""

    user_id: str | None
    visitor_id: str | None
    counts: dict[str, int]
    """Events by type."""
    last_time: int
    """Milliseconds since 1970 of the newest event."""
    history: list[Past]
    """In the order in which they came in."""
    session: list[str]
    """The items of the visit that is open."""
    interests: dict[str, list[Weighed]]
    dismissed: list[str]
    """Items that they do not want to see again."""


@dataclass(frozen=True, slots=True)
class Export:
    """All that is held of a person. Models hold nothing of anybody: items alone have weights in them."""

    user_id: str | None
    visitor_id: str | None
    time: int
    """Milliseconds since 1970: when it was made."""
    visitor_ids: list[str]
    """Theirs too: identified as the user, or sent with nobody else's user id."""
    events: list[dict[str, Any]]
    """As they were sent, with their times, in the order of the log."""
    served: list[dict[str, Any]]
    """The lists that were shown to them: what was asked, and the items, best first."""
    profiles: list[Profile]
    """Of the user, and of visitors who are theirs without having been identified."""
    damaged: list[int]
    """Entries of the log that nobody can read any more, and that may be theirs. An erasure takes them along."""


def export(log: Log, state: State, person: Person, now_ms: int) -> Export:
    """All that ``log``, and ``state``, the fold of it, hold of ``person``; empty lists where that is nothing."""
    finder, _ = find(log, [person])
    events, served = [], []
    for offset, record in entries_of(log, finder.taken()):
        body = to_entry(offset, original(record)).body
        if isinstance(body, Event):
            events.append(_event(body))
        elif isinstance(body, Served):
            served.append(_served(body, state))
    visitors = finder.visitors()
    profiles = [_profile(state, person, now_ms)]
    profiles += [_profile(state, Person(visitor_id=one), now_ms) for one in visitors if one != person.visitor_id]
    found = [one for one in profiles if one is not None]
    return Export(person.user_id, person.visitor_id, now_ms, visitors, events, served, found, finder.damaged)


def _event(event: Event) -> dict[str, Any]:
    fields = asdict(event)
    return {name: value for name, value in fields.items() if value is not None and value != ()}


def _served(served: Served, state: State) -> dict[str, Any]:
    items = [state.items.name(row) for row in served.rows if row < len(state.items)]
    return {
        "request_id": served.request_id,
        "time": served.now,
        "model": served.model,
        "asked": served.asked,
        "item_ids": items,
    }


def _profile(state: State, person: Person, now_ms: int) -> Profile | None:
    row = state.users.row(person.key())
    if row < 0 or not state.history(row).counts:  # a visitor's goes over to the user at the login
        return None
    history, name = state.history(row), state.items.name
    columns = (history.types, history.items, history.times, history.quantities)
    past = zip(*(column.tolist() for column in columns), strict=True)
    interests = state.interests(row, now_ms).items()
    return Profile(
        person.user_id,
        person.visitor_id,
        dict(history.counts),
        history.last_time,
        [Past(EVENT_TYPES[code], name(item), time, quantity) for code, item, time, quantity in past],
        [name(item) for item in state.query(row, now_ms).session.tolist()],
        {kind: [Weighed(*one) for one in found] for kind, found in interests},
        [name(item) for item in state.dismissed(row).tolist()],
    )
