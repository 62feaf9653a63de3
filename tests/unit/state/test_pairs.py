"""The session index against a dictionary of lists."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.config import StateConfig
from endcap.state import pairs
from endcap.state.pairs import SessionIndex

ITEMS, USERS = 5, 3
CONFIG = StateConfig(sessions_per_item=3, max_session_items=2)

Added = tuple[int, int, int, int]
"""User, visit, item, time."""


class Visiting:
    """An index to which visits are added, each into its own session."""

    def __init__(self, config: StateConfig = CONFIG) -> None:
        self.index = SessionIndex(config)
        self.index.grow(ITEMS)
        self.session: dict[tuple[int, int], int] = {}

    def add(self, user: int, visit: int, item: int, time: int) -> None:
        self.session[user, visit] = self.index.add(user, self.session.get((user, visit), -1), item, time)


def indexed(events: list[Added], config: StateConfig = CONFIG) -> SessionIndex:
    visiting = Visiting(config)
    for event in events:
        visiting.add(*event)
    return visiting.index


class SlowIndex:
    """The same, without a thought for speed."""

    def __init__(self, events: list[Added], config: StateConfig = CONFIG) -> None:
        self.members: list[list[int]] = []
        self.times: list[int] = []
        self.newest: dict[int, int] = {}
        self.lists: dict[int, list[int]] = {item: [] for item in range(ITEMS)}
        self.often = [0] * ITEMS
        session_of: dict[tuple[int, int], int] = {}
        for user, visit, item, time in events:
            session = session_of.get((user, visit), -1)
            if not self.held(session):
                session = session_of[user, visit] = len(self.members)
                self.members.append([])
                self.times.append(time)
            self.newest[user] = session
            self.times[session] = max(time, self.times[session])
            if item not in self.members[session] and len(self.members[session]) < config.max_session_items:
                self.members[session].append(item)
                self.often[item] += 1
                self.lists[item].append(session)
                if len(self.lists[item]) > 2 * config.sessions_per_item:
                    self.lists[item] = self.lists[item][-config.sessions_per_item :]

    def held(self, session: int) -> bool:
        return any(session in kept for kept in self.lists.values())


@st.composite
def streams(draw: st.DrawFn) -> list[Added]:
    """Events of a few users whose visits end now and then; times in disorder."""
    visit = dict.fromkeys(range(USERS), 0)
    events = []
    for _ in range(draw(st.integers(0, 60))):
        user = draw(st.integers(0, USERS - 1))
        visit[user] += draw(st.sampled_from([0, 0, 1]))
        events.append((user, visit[user], draw(st.integers(0, ITEMS - 1)), draw(st.integers(0, 1_000))))
    return events


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, sessions_per_item=1)])
@given(events=streams())
@settings(max_examples=200, deadline=None)
def test_equals_the_slow_version(config: StateConfig, events: list[Added]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "MIN_RELEASED", 1)
        index, slow = indexed(events, config), SlowIndex(events, config)
    assert index.count == len(slow.members)
    for user in range(USERS):
        assert index.session_of(user) == slow.newest.get(user, -1)
    for item in range(ITEMS):
        assert index.recent(item).tolist() == slow.lists[item][-config.sessions_per_item :]
    assert index.frequency().tolist() == slow.often
    held = [session for session in range(index.count) if slow.held(session)]
    assert index.held == len(held)
    asked = np.array(held[::-2], np.int32)
    assert index.last_time(asked).tolist() == [slow.times[session] for session in asked]
    position, item_rows = index.members(asked)
    flat = [(at, item) for at, session in enumerate(asked) for item in slow.members[session]]
    assert list(zip(position.tolist(), item_rows.tolist(), strict=True)) == flat


@given(streams(), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_many_at_once_equal_one_by_one(events: list[Added], kept: int) -> None:
    """Sessions are extended by runs of one visit's items."""
    config = replace(CONFIG, sessions_per_item=kept, max_session_items=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "MIN_RELEASED", 1)
        one_by_one, at_once = indexed(events, config), SessionIndex(config)
        at_once.grow(ITEMS)
        session: dict[tuple[int, int], int] = {}
        for who, run in groupby(events, lambda event: event[:2]):
            columns = list(zip(*run, strict=True))
            session[who] = at_once.extend(who[0], session.get(who, -1), columns[2], columns[3])
    expected, packed = one_by_one.pack(), at_once.pack()
    for name, values in expected.items():
        np.testing.assert_array_equal(packed[name], values)


def test_what_no_item_refers_to_any_more_is_released() -> None:
    config = replace(CONFIG, sessions_per_item=2)
    index = indexed([(0, visit, visit % 2, visit) for visit in range(20 * pairs.MIN_RELEASED)], config)
    assert index.count == 20 * pairs.MIN_RELEASED
    assert index.held <= 2 * 2 * config.sessions_per_item
    assert index.pack()["times"].size <= 2 * pairs.MIN_RELEASED, "places are given back"
    newest = index.recent(1)
    assert newest.tolist() == [index.count - 3, index.count - 1]
    assert index.last_time(newest).tolist() == newest.tolist()
    assert index.members(newest)[1].tolist() == [1, 1]


def test_a_visit_whose_session_was_released_begins_another() -> None:
    config = StateConfig(sessions_per_item=1)
    index = SessionIndex(config)
    index.grow(2)
    first = index.add(0, -1, 0, 1)
    for user in (1, 2):
        index.add(user, -1, 0, 2)
    assert index.add(0, first, 1, 3) == 3
    assert index.members(index.recent(1))[1].tolist() == [1]


def test_a_visitors_open_session_becomes_the_users() -> None:
    index = SessionIndex(CONFIG)
    index.grow(2)
    session, other = index.add(0, -1, 0, 1), index.add(1, -1, 0, 2)
    index.join(0, 1, session)
    assert (index.session_of(0), index.session_of(1)) == (-1, session)
    index.join(2, 1, -1)
    assert index.session_of(1) == session
    index.add(1, other, 1, 3)
    assert index.session_of(1) == other


def test_a_session_is_found_from_its_first_event_on() -> None:
    index = indexed([(0, 1, 4, 10)])
    assert index.recent(4).tolist() == [0]
    assert index.count == 1


def test_a_new_visit_is_a_new_session_and_the_old_one_stays() -> None:
    index = indexed([(0, 1, 0, 10), (0, 2, 0, 20), (1, 1, 0, 5)])
    assert index.recent(0).tolist() == [0, 1, 2]
    assert (index.session_of(0), index.session_of(1), index.session_of(2)) == (1, 2, -1)
    assert index.last_time(np.array([2, 0], np.int32)).tolist() == [5, 10]


def test_a_late_event_does_not_make_a_session_older() -> None:
    assert indexed([(0, 1, 0, 10), (0, 1, 1, 3)]).last_time(np.array([0], np.int32)).tolist() == [10]


def test_items_beyond_the_bound_are_not_counted_but_keep_the_session_young() -> None:
    index = indexed([(0, 1, 0, 10), (0, 1, 1, 20), (0, 1, 2, 30)])
    assert index.members(np.array([0], np.int32))[1].tolist() == [0, 1]
    assert index.recent(2).size == 0
    assert index.frequency().tolist() == [1, 1, 0, 0, 0]
    assert index.last_time(np.array([0], np.int32)).tolist() == [30]


def test_memory_for_an_item_is_bounded_while_its_count_goes_on() -> None:
    index = indexed([(0, visit, 0, visit) for visit in range(100)])
    assert index.recent(0).tolist() == [97, 98, 99]
    assert index.pack()["sessions"].size <= 2 * CONFIG.sessions_per_item
    assert index.frequency()[0] == 100


def test_unknown_rows_and_no_sessions_are_empty_not_an_error() -> None:
    for index in (indexed([]), indexed([(0, 1, ITEMS - 1, 10)])):
        assert [index.recent(item).size for item in (-1, 0, ITEMS, 99)] == [0, 0, 0, 0]
    index = indexed([])
    none = np.empty(0, np.int32)
    assert index.last_time(none).size == 0
    assert [found.size for found in index.members(none)] == [0, 0]


def test_what_was_read_stays_as_the_index_goes_on() -> None:
    visiting = Visiting()
    visiting.add(0, 1, 0, 10)
    index, asked = visiting.index, np.array([0], np.int32)
    times, recent = index.last_time(asked), index.recent(0)
    _, members = index.members(asked)
    visiting.add(0, 1, 1, 20)
    visiting.add(0, 2, 0, 30)
    assert (times.tolist(), recent.tolist(), members.tolist()) == ([10], [0], [0])
