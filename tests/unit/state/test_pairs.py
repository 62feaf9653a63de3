"""The session index against a dictionary of lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from endcap.config import StateConfig
from endcap.state.pairs import SessionIndex

ITEMS, USERS = 5, 3
CONFIG = StateConfig(sessions_per_item=3, max_session_items=2)

Added = tuple[int, int, int, int]
"""User, visit, item, time."""


def indexed(events: list[Added], config: StateConfig = CONFIG) -> SessionIndex:
    index = SessionIndex(config)
    index.grow(ITEMS)
    for event in events:
        index.add(*event)
    return index


class SlowIndex:
    """The same, without a thought for speed or memory."""

    def __init__(self, events: list[Added], config: StateConfig = CONFIG) -> None:
        self.members: list[list[int]] = []
        self.times: list[int] = []
        self.newest: dict[int, tuple[int, int]] = {}
        self.kept = config.sessions_per_item
        for user, visit, item, time in events:
            if self.newest.get(user, (None, 0))[0] != visit:
                self.newest[user] = (visit, len(self.members))
                self.members.append([])
                self.times.append(time)
            session = self.newest[user][1]
            self.times[session] = max(time, self.times[session])
            if item not in self.members[session] and len(self.members[session]) < config.max_session_items:
                self.members[session].append(item)

    def holding(self, item: int) -> list[int]:
        return [session for session, items in enumerate(self.members) if item in items]


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


@given(streams())
def test_equals_the_slow_version(events: list[Added]) -> None:
    index, slow = indexed(events), SlowIndex(events)
    assert index.count == len(slow.members)
    for user in range(USERS):
        assert index.session_of(user) == slow.newest.get(user, (0, -1))[1]
    for item in range(ITEMS):
        # ascending session numbers are the order of their opening, not of the item's coming
        assert sorted(index.recent(item).tolist()) == sorted(arrival_order(events, item)[-CONFIG.sessions_per_item :])
        assert index.recent(item).tolist() == arrival_order(events, item)[-CONFIG.sessions_per_item :]
        assert index.frequency()[item] == len(slow.holding(item))
    asked = np.array([session for session in range(index.count) if session % 2 == 0][::-1], np.int32)
    assert index.last_time(asked).tolist() == [slow.times[session] for session in asked]
    position, item_rows = index.members(asked)
    flat = [(at, item) for at, session in enumerate(asked) for item in slow.members[session]]
    assert list(zip(position.tolist(), item_rows.tolist(), strict=True)) == flat


def arrival_order(events: list[Added], item: int) -> list[int]:
    """The sessions that hold ``item``, in the order in which it came into them."""
    found: list[int] = []
    for end in range(1, len(events) + 1):
        found += [session for session in SlowIndex(events[:end]).holding(item) if session not in found]
    return found


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
    index = indexed([(0, 1, 0, 10)])
    times, recent = index.last_time(np.array([0], np.int32)), index.recent(0)
    _, members = index.members(np.array([0], np.int32))
    index.add(0, 1, 1, 20)
    index.add(0, 2, 0, 30)
    assert (times.tolist(), recent.tolist(), members.tolist()) == ([10], [0], [0])
