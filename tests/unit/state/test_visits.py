"""Visits: when one goes on, when another begins, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.config import StateConfig
from endcap.state.visits import Bounds, Visit, enter, open_visit

T0 = 1_764_000_000_000
MINUTE = 60_000
BOUNDS = Bounds.of(StateConfig(session_gap_minutes=30.0, max_session_items=3, max_open_visits=3))

Arrival = tuple[float, str | None]
"""Minutes, the shop's session id."""


def entered(*arrivals: Arrival, bounds: Bounds = BOUNDS) -> list[int]:
    """Which visit each arrival is part of, numbered as they begin."""
    visits: list[Visit] = []
    seen: list[Visit] = []
    for minutes, session_id in arrivals:
        seen.append(enter(visits, T0 + int(minutes * MINUTE), session_id, bounds))
    order = list({id(visit): None for visit in seen})
    return [order.index(id(visit)) + 1 for visit in seen]


def test_a_visit_ends_after_more_than_the_gap() -> None:
    assert entered((0, None), (30, None), (60, None), (90 + 1 / MINUTE, None)) == [1, 1, 1, 2]


def test_silence_is_counted_from_the_newest_event_not_from_the_last_that_came() -> None:
    assert entered((0, None), (20, None), (5, None), (45, None)) == [1, 1, 1, 1]


def test_a_late_event_joins_the_visit_that_is_open() -> None:
    assert entered((0, None), (100, None), (1, None), (101, None)) == [1, 2, 2, 2]


def test_another_session_id_is_another_visit_at_once() -> None:
    assert entered((0, "s1"), (1, "s2"), (2, "s2")) == [1, 2, 2]


@pytest.mark.parametrize("name", ["s1", None])
def test_silence_ends_a_visit_whatever_it_is_called(name: str | None) -> None:
    assert entered((0, name), (30, name), (61, name)) == [1, 1, 2]


def test_two_devices_at_a_time_are_two_visits() -> None:
    assert entered((0, "s1"), (1, "s2"), (2, "s1"), (3, "s2"), (31, "s1")) == [1, 2, 1, 2, 1]


def test_an_event_without_a_session_id_joins_the_visit_touched_last() -> None:
    assert entered((0, "s1"), (1, None), (2, "s2"), (3, "s1"), (4, None)) == [1, 1, 2, 1, 1]
    assert entered((0, None), (1, "s1"), (2, None)) == [1, 2, 2]


def test_the_visit_touched_last_may_be_over_while_another_is_not() -> None:
    assert entered((0, "s1"), (25, "s2"), (1, "s1"), (40, None)) == [1, 2, 1, 2]


def test_the_visit_touched_longest_ago_goes_first() -> None:
    assert entered((0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "b"), (5, "a")) == [1, 2, 3, 4, 2, 5]


def test_an_over_visit_goes_when_another_begins() -> None:
    visits: list[Visit] = []
    enter(visits, T0, "s1", BOUNDS)
    enter(visits, T0 + 31 * MINUTE, "s2", BOUNDS)
    assert [visit.session_id for visit in visits] == ["s2"]


_ARRIVALS = st.lists(st.tuples(st.integers(-40, 120), st.sampled_from([None, "s1", "s2", "s3", "s4"])), max_size=25)


@given(_ARRIVALS, st.tuples(st.integers(-40, 300), st.sampled_from([None, "s1", "s2"])))
def test_the_visit_that_is_open_is_the_one_that_an_event_would_join(arrivals: list[Arrival], now: Arrival) -> None:
    visits: list[Visit] = []
    for minutes, session_id in arrivals:
        enter(visits, T0 + int(minutes * MINUTE), session_id, BOUNDS)
    assert len(visits) <= BOUNDS.visits
    before, moment = list(visits), T0 + int(now[0] * MINUTE)
    found = open_visit(visits, moment, now[1], BOUNDS)
    joined = enter(visits, moment, now[1], BOUNDS)
    assert found is (joined if joined in before else None)


@given(st.lists(st.integers(0, 6), max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=9))
def test_a_visit_holds_its_newest_different_items(touched: list[int], then: list[int]) -> None:
    visit, at_once = Visit(None, T0), Visit(None, T0)
    for item in touched + then:
        visit.touch(item, BOUNDS)
    for item in touched:
        at_once.touch(item, BOUNDS)
    at_once.touch_all(then, BOUNDS)
    newest_first = list(dict.fromkeys(reversed(touched + then)))[: BOUNDS.items]
    assert visit.items.tolist() == at_once.items.tolist() == newest_first[::-1]


def test_the_settings_bound_the_visit_not_the_code() -> None:
    visit = Visit(None, T0)
    for item in range(9):
        visit.touch(item, replace(BOUNDS, items=5))
    assert visit.items.tolist() == [4, 5, 6, 7, 8]


def test_what_is_dismissed_in_a_visit_is_bounded() -> None:
    visit = Visit(None, T0)
    visit.dismiss([1, 2], 3)
    visit.dismiss([2, 3, 4], 3)
    assert visit.dismissed is not None
    assert visit.dismissed.tolist() == [2, 3, 4]
