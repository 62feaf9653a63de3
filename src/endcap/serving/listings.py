"""The list that an event names: found when the event comes in, and written into it, because lists expire."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from endcap.events.log import SERVED_KEY, Body, to_entry
from endcap.events.schema import ANOTHERS_LIST, UNKNOWN_LIST, Event, Listing
from endcap.events.served import Served
from endcap.protocols import Log
from endcap.state.fold import State

FEW_LISTS = 8
"""Lists looked up on the loop, about 0.1 ms; more of them are, in a thread."""


def named_lists(bodies: Sequence[Body]) -> set[str]:
    """The request ids that the events among ``bodies`` name; without consent nothing is counted, so none is wanted."""
    return {
        body.request_id
        for body in bodies
        if isinstance(body, Event) and body.request_id is not None and body.consent is not False
    }


def find_in(log: Log, request_id: str) -> Served | None:
    """The list that ``log`` keeps under that id. About 15 microseconds where it is in the log's cache."""
    found = log.find(SERVED_KEY + request_id)
    body = None if found is None else to_entry(*found).body
    return body if isinstance(body, Served) else None


async def lists_of(log: Log, names: set[str], waiting: Mapping[str, Served]) -> dict[str, Served | None]:
    """The list of each of ``names``, from those that are ``waiting`` for the log or from the log itself."""

    def found() -> dict[str, Served | None]:
        return {name: find_in(log, name) for name in others}

    known = {name: waiting[name] for name in names if name in waiting}  # now: they may be in the log when it was read
    others = [name for name in names if name not in known]
    return {**known, **(await asyncio.to_thread(found) if len(others) > FEW_LISTS else found())}


def with_listings(bodies: Sequence[Body], lists: Mapping[str, Served | None], state: State) -> list[Body]:
    """``bodies``; each event that names a list, all of which are in ``lists``, says of which it is."""
    return [
        replace(body, listing=_listing(body, lists[body.request_id], state))
        if isinstance(body, Event) and body.request_id is not None and body.consent is not False
        else body
        for body in bodies
    ]


def _listing(event: Event, served: Served | None, state: State) -> Listing | str:
    if served is None:
        return UNKNOWN_LIST
    if not _may_name(event, served, state):
        return ANOTHERS_LIST
    place = {row: at for at, row in enumerate(served.rows, 1)}
    places = tuple([place.get(state.items.row(line.item_id), 0) for line in event.lines()])
    return Listing(str(served.asked.get("recipe")), served.model, served.now, places, served.page_row)


def _may_name(event: Event, served: Served, state: State) -> bool:
    """Whether the list was served to whom the event is about, as far as is known now, or to nobody in particular."""
    user_id, visitor_id = _text(served.asked.get("user_id")), _text(served.asked.get("visitor_id"))
    theirs = state.user_key(user_id, visitor_id)
    same_browser = visitor_id is not None and visitor_id == event.visitor_id
    return theirs is None or same_browser or theirs == state.user_key(event.user_id, event.visitor_id)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
