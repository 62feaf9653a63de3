"""``apply_batch``: many entries at once, to the same state as ``apply`` one by one, to the last bit.

What a log holds most of are runs: events of one type, by one person, in one visit (a basket, a page of impressions).
Who it is, which visit and which session are found once a run; the columns are extended once a run, and numpy counts
once every few thousand events. What is not part of a run goes through ``apply``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeGuard

from endcap.events.schema import EVENT_TYPES, TYPE_CODES, Event
from endcap.state.fold import BASKET_TYPES, UNDONE_BY, State, apply
from endcap.state.user import UserHistory
from endcap.state.visits import Visit
from endcap.types import Entry

_ONE_BY_ONE = frozenset({*UNDONE_BY, "dismiss", "identify", "rate", "review"})
"""Types whose meaning depends on more than their weight."""


@dataclass(frozen=True, slots=True)
class Run:
    """What somebody did in one visit with events of one type that weigh something; a line each, in log order."""

    user: int
    session: int
    """The number of the session in ``State.sessions`` after it."""
    code: int
    """The type, as a number in TYPE_CODES."""
    items: Sequence[int]
    """Item rows."""
    times: Sequence[int]
    """Milliseconds since 1970."""
    quantities: Sequence[float]


class Follower(Protocol):
    """Who collects something beside the fold."""

    def add(self, state: State, event: Event) -> None:
        """Take in an event that was applied just now."""
        ...

    def extend(self, run: Run) -> None:
        """Take in a run that was applied just now."""
        ...


def apply_batch(state: State, entries: Iterable[Entry], follower: Follower | None = None) -> None:
    """Add ``entries`` to ``state``, in their order; those that are not newer than the state are left out.

    ``follower`` hears of every event that says something, and may read the state then.
    """
    run: list[Event] = []
    first = Entry(0, 0, None)  # of the run
    offset, gap, newest = state.offset, state.bounds.gap_ms, 0
    for entry in entries:
        if entry.offset <= offset:
            continue
        event = entry.body
        if run:
            if _goes_on(event, run[0]) and event.time - newest <= gap:
                run.append(event)
                offset, newest = entry.offset, max(newest, event.time)
                continue
            _apply(state, first, run, offset, follower)
            run = []
        offset = entry.offset
        if isinstance(event, Event) and _begins(state, event):
            run.append(event)
            first, newest = entry, event.time
        else:
            _apply_one(state, entry, follower)
    if run:
        _apply(state, first, run, offset, follower)


def _apply(state: State, first: Entry, run: Sequence[Event], offset: int, follower: Follower | None) -> None:
    if len(run) == 1:
        _apply_one(state, first, follower)
    else:
        _apply_run(state, run, offset, follower)


def _apply_one(state: State, entry: Entry, follower: Follower | None) -> None:
    apply(state, entry)
    if follower is not None and isinstance(entry.body, Event):
        follower.add(state, entry.body)


def _begins(state: State, event: Event) -> bool:
    known = event.user_id is not None or event.visitor_id is not None
    return known and event.type not in _ONE_BY_ONE and event.consent is not False and not len(state.private)


def _goes_on(event: object, first: Event) -> TypeGuard[Event]:
    return (
        isinstance(event, Event)
        and event.type == first.type
        and event.session_id == first.session_id
        and event.user_id == first.user_id
        and event.visitor_id == first.visitor_id
        and event.consent is not False
    )


def _apply_run(state: State, run: Sequence[Event], offset: int, follower: Follower | None) -> None:
    first = run[0]
    user = state._user(state.user_key(first.user_id, first.visitor_id) or "")
    history = state._histories[user]
    visit = history.arrive(first.type, first.time, first.session_id, state.bounds)
    newest = max([event.time for event in run])
    history.counts[first.type] += len(run) - 1
    history.last_time, visit.last_time = max(history.last_time, newest), max(visit.last_time, newest)
    items, times, quantities = _lines(state, run)
    code, weight = TYPE_CODES[first.type], state._weight_of[first.type]
    if items:
        state.popularity.all_happened(code, items, times)
    if items and weight > 0:
        found = Run(user, -1, code, items, times, quantities)
        _count(state, history, visit, found, weight)
        if follower is not None:
            follower.extend(replace(found, session=visit.session))
    state.attribution.all_happened(user, run, state.items)
    state.events += len(run)
    state.offset = state.anchor = offset


def _lines(state: State, run: Sequence[Event]) -> tuple[list[int], list[int], list[float]]:
    items: list[int] = []
    times: list[int] = []
    quantities: list[float] = []
    row = state.items.row
    for event in run:
        if event.items:
            for line in event.items:
                item = row(line.item_id)
                items.append(item if item >= 0 else state._item(line.item_id))
                times.append(event.time)
                quantities.append(line.quantity)
        elif event.item_id is not None:
            item = row(event.item_id)
            items.append(item if item >= 0 else state._item(event.item_id))
            times.append(event.time)
            quantities.append(1.0)
    return items, times, quantities


def _count(state: State, history: UserHistory, visit: Visit, run: Run, weight: float) -> None:
    visit.touch_all(run.items, state.bounds)
    history.extend(run.items, run.times, run.code, run.quantities, state.config.max_history)
    state.popularity.extend(run.items, weight, run.times)
    visit.session = state.sessions.extend(run.user, visit.session, run.items, run.times)
    if EVENT_TYPES[run.code] in BASKET_TYPES:
        visit.basket = state.baskets.extend(run.user, visit.basket, run.items, run.times)
    history.interests.extend(state.facets, run.items, weight, run.times, state.interest_bounds)
