"""The protocols: what is learnt from, and what is asked afterwards.

A problem holds the past in two parts and two makers of questions. The ensemble's weights are learnt on the
questions after the early part; the test is asked after both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from endcap.catalog.items import ItemChange
from endcap.errors import DataError
from endcap.evaluation.offline import Case
from endcap.evaluation.past import Past
from endcap.evaluation.splits import by_time, last_share, leave_last_out
from endcap.events.schema import Event
from endcap.types import MS_PER_DAY, Entry, IntArray, Query, TimeArray

SESSION_SHARE = 0.1
"""The part of the training sessions, the last ones, that validates."""
STEP_MS = 100
"""Between two rows of data that know an order but no clock."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Cases with the names of those who ask."""

    cases: tuple[Case, ...]
    people: tuple[str, ...]
    """(cases,) user ids, or row numbers of the test file."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """What was counted on the way, such as people without a history."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One protocol applied to one set of data."""

    early: Sequence[Entry]
    late: Sequence[Entry]
    validation: Callable[[Past], Questions]
    """Asked of the fold of ``early``; answered by ``late``."""
    test: Callable[[Past], Questions]
    """Asked of the fold of ``early`` and ``late``."""
    split: Mapping[str, object]
    """What was done, for the report."""
    stream: Sequence[Entry] | None = None
    """Asked for one after the other and taken in, instead of ``test``."""


@dataclass(frozen=True, slots=True)
class TimeCut:
    """Where the time protocol cuts."""

    days: float = 30.0
    """The last days of the data are the test."""
    validation_days: float = 14.0
    """The days before them, on which the weights of the ensemble are learnt."""


def time_problem(entries: Sequence[Entry], cut: TimeCut) -> Problem:
    """The last days are the test, for everybody from the same moment on.

    The catalogue is taken as the whole log knows it: an import brings it at once, and not when an item first sold.
    Raises DataError if there is nothing on one side of the cut.
    """
    return ahead_problem(*_cut(entries, cut), cut)


def prequential_problem(entries: Sequence[Entry], cut: TimeCut) -> Problem:
    """The last days are lived through: each event is asked for, then learnt from. Raises as ``time_problem``."""
    past, test, moment = _cut(entries, cut)
    problem = ahead_problem(past, test, moment, cut)
    return replace(problem, split={**problem.split, "protocol": "prequential"}, stream=test)


def _cut(entries: Sequence[Entry], cut: TimeCut) -> tuple[list[Entry], list[Entry], int]:
    """The entries before the last days, the events in them, and the moment between."""
    events = [entry for entry in entries if isinstance(entry.body, Event)]
    if not events:
        raise DataError("there are no events to evaluate on: import some first, or give --data FILE")
    end = max(entry.time for entry in events)
    moment = end - round(cut.days * MS_PER_DAY)
    test = [entry for entry in events if entry.time >= moment]
    past = [entry for entry in entries if not isinstance(entry.body, Event) or entry.time < moment]
    return past, test, moment


def ahead_problem(past: Sequence[Entry], test: Sequence[Entry], moment: int, cut: TimeCut) -> Problem:
    """``test`` follows ``past`` at ``moment`` (milliseconds since 1970)."""
    catalogue = [entry for entry in past if isinstance(entry.body, ItemChange)]
    events = [entry for entry in past if isinstance(entry.body, Event)]
    if not events or not test:
        raise DataError(
            f"the data has {len(events)} events before the test and {len(test)} in it: both are needed; "
            f"the last {cut.days:g} days are the test"
        )
    before = moment - round(cut.validation_days * MS_PER_DAY)
    parts = by_time(np.array([entry.time for entry in events], np.int64), moment, before)
    late = [events[row] for row in parts.late]
    return Problem(
        early=catalogue + [events[row] for row in parts.early],
        late=late,
        validation=lambda known: wants(known, late, before),
        test=lambda known: wants(known, test, moment),
        split={
            "protocol": "time",
            "test_from_ms": moment,
            "test_to_ms": max(entry.time for entry in test),
            "validation_from_ms": before,
            "train_events": len(parts.early) + len(late),
            "test_events": len(test),
        },
    )


def wants(past: Past, answers: Iterable[Entry], now: int) -> Questions:
    """Who comes back after ``now``, and for which different items.

    Wanted is what is bought, or where nothing is bought what any event with a weight is about. Asked about is who has
    a user id, also if new, or a history; of a visitor with neither there is nothing to ask from: they are counted.
    """
    events = [entry.body for entry in answers if isinstance(entry.body, Event)]
    counted = counted_types(past, events)
    wanted: dict[tuple[str, int], dict[str, None]] = {}  # (user id, row) to different item ids
    strangers: set[str | None] = set()
    for event in events:
        if event.type not in counted or not event.lines():
            continue
        row = past.state.user_row(event.user_id, event.visitor_id)
        if row < 0 and event.user_id is None:
            strangers.add(event.visitor_id)
            continue
        who = (event.user_id or past.state.users.name(row)[2:], row)
        wanted.setdefault(who, {}).update(dict.fromkeys(line.item_id for line in event.lines()))
    ids = _ItemRows(past)
    cases = tuple(
        Case(past.state.query(row, now), ids.rows(items), past.seen(row)) for (_, row), items in wanted.items()
    )
    notes = {"new_users": sum(not case.query.history.size for case in cases), "visitors_left_out": len(strangers)}
    return Questions(cases, tuple(name for name, _ in wanted), notes | repeats(cases) | ids.notes())


def counted_types(past: Past, events: Sequence[Event]) -> set[str]:
    """The types of events that say what is wanted: purchases, or where there are none what has a weight."""
    if any(event.type == "purchase" for event in events):
        return {"purchase"}
    return {name for name, weight in past.state.config.weights.items() if weight > 0}


def repeats(cases: Iterable[Case]) -> dict[str, int]:
    """How many items are wanted, and how many of them are wanted again."""
    pairs = [(case.relevant.size, int(np.isin(case.relevant, case.seen).sum())) for case in cases]
    return {"wanted": sum(size for size, _ in pairs), "wanted_again": sum(again for _, again in pairs)}


class _ItemRows:
    """Rows for ids; an item that the past does not know gets a row behind the last one, which no model can propose."""

    def __init__(self, past: Past) -> None:
        self._items = past.state.items
        self._new: dict[str, int] = {}

    def rows(self, names: Iterable[str]) -> IntArray:
        """(n,) the row of each of ``names``."""
        return np.array([self._row(name) for name in names], np.int32)

    def _row(self, name: str) -> int:
        row = self._items.row(name)
        return row if row >= 0 else self._new.setdefault(name, len(self._items) + len(self._new))

    def notes(self) -> dict[str, int]:
        """How many different ones were not known."""
        return {"unknown_items": len(self._new)}


@dataclass(frozen=True, slots=True)
class Touches:
    """Who touched what, one after the other, as a file tells it: rows in the order of time."""

    users: Sequence[str]
    items: Sequence[str]
    time: TimeArray
    """(n,) milliseconds since 1970; steps where the file knows an order only."""
    has_clock: bool
    """If not, all that one user did is one session."""

    def entries(self) -> list[Entry]:
        """Each one as a click: weight 1."""
        sessions = [None] * len(self.users) if self.has_clock else self.users
        columns = zip(self.users, self.items, self.time.tolist(), sessions, strict=True)
        return [
            Entry(0, time, Event("click", time, user_id=user, item_id=item, session_id=session))
            for user, item, time, session in columns
        ]


def leave_last_out_problem(touches: Touches) -> Problem:
    """The last item of every user is asked for, the one before validates and is in the history at test time.

    Raises DataError if no user has three rows.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(touches.users))}
    parts = leave_last_out(np.array([numbers[name] for name in touches.users], np.int64))
    if not parts.test.size:
        raise DataError("no user has 3 rows or more: leave-last-out needs one to test, one to validate, one to learn")
    entries = touches.entries()
    late, test = ([entries[row] for row in rows] for rows in (parts.late, parts.test))
    return Problem(
        early=[entries[row] for row in parts.early],
        late=late,
        validation=lambda past: next_items(past, late),
        test=lambda past: next_items(past, test),
        split={
            "protocol": "leave-last-out",
            "train_events": len(parts.early),
            "validation_events": len(late),
            "test_events": len(test),
            "users_too_short": len(numbers) - len(test),
        },
    )


def next_items(past: Past, answers: Iterable[Entry]) -> Questions:
    """One case for each of ``answers``: what the user touches next, asked at the moment of the answer."""
    ids = _ItemRows(past)
    cases, people = [], []
    for entry in answers:
        event = entry.body
        if isinstance(event, Event) and event.user_id is not None and event.item_id is not None:
            row = past.state.user_row(event.user_id, None)
            cases.append(Case(past.state.query(row, entry.time), ids.rows([event.item_id]), past.seen(row)))
            people.append(event.user_id)
    return Questions(tuple(cases), tuple(people), repeats(cases) | ids.notes())


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The beginnings of sessions, each with the item that came next."""

    prefixes: Sequence[Sequence[str]]
    targets: Sequence[str]


def session_problem(sessions: Sequence[Sequence[str]], test: Prefixes) -> Problem:
    """What comes next in a session of somebody unknown; ``sessions``, in the order of time, are learnt from.

    The last tenth of them validates: there each item after the first is asked for. Raises DataError if there is nothing
    to learn from or to ask.
    """
    if not sessions or not test.targets:
        raise DataError(f"there are {len(sessions)} sessions to learn from and {len(test.targets)} to test: need both")
    parts = last_share(len(sessions), SESSION_SHARE)
    clicks = np.cumsum([0, *map(len, sessions)]) * STEP_MS
    entries = [_session_entries(number, sessions[number], int(clicks[number])) for number in range(len(sessions))]
    late = [sessions[number] for number in parts.late if len(sessions[number]) > 1]
    places = [(session, at) for session in late for at in range(1, len(session))]
    asked = Prefixes([session[:at] for session, at in places], [session[at] for session, at in places])
    edge, end = (int(clicks[number]) for number in (parts.early.size, len(sessions)))
    return Problem(
        early=[entry for number in parts.early for entry in entries[number]],
        late=[entry for number in parts.late for entry in entries[number]],
        validation=lambda past: continuations(past, asked, edge),
        test=lambda past: continuations(past, test, end),
        split={
            "protocol": "session",
            "train_sessions": len(sessions),
            "validation_sessions": len(late),
            "validation_prefixes": len(asked.targets),
            "test_prefixes": len(test.targets),
        },
    )


def _session_entries(number: int, session: Sequence[str], start: int) -> list[Entry]:
    name = f"session-{number}"
    times = range(start, start + len(session) * STEP_MS, STEP_MS)
    return [
        Entry(0, time, Event("click", time, visitor_id=name, item_id=item))
        for time, item in zip(times, session, strict=True)
    ]


def continuations(past: Past, asked: Prefixes, now: int) -> Questions:
    """One case for each prefix; its items are the history and the current session of a visitor without a row."""
    ids = _ItemRows(past)
    cases = []
    for prefix, target in zip(asked.prefixes, asked.targets, strict=True):
        history = past.state.items.rows(prefix)
        session = history[np.sort(history.size - 1 - np.unique(history[::-1], return_index=True)[1])]
        query = Query(history, np.ones(history.size, np.float32), session=session, now=now)
        cases.append(Case(query, ids.rows([target]), np.unique(history)))
    people = tuple(map(str, range(len(cases))))
    return Questions(tuple(cases), people, repeats(cases) | ids.notes())
