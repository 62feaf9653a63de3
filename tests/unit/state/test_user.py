"""One user's memory: visits, bounds, returns and the joining of two histories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.config import StateConfig
from endcap.events.schema import TYPE_CODES
from endcap.state.user import UserHistory

T0 = 1_764_000_000_000
MINUTE = 60_000
CONFIG = StateConfig(session_gap_minutes=30.0, max_session_items=3, max_history=4)
VIEW, BUY = TYPE_CODES["view"], TYPE_CODES["purchase"]

Done = tuple[int, int, int, float]
"""Item, time, type, quantity."""


def visits(*arrivals: tuple[float, str | None]) -> list[int]:
    """The visit after each arrival of (minutes, the shop's session id), the first counted as 1."""
    history = UserHistory()
    numbers = []
    for minutes, session_id in arrivals:
        history.arrive(T0 + int(minutes * MINUTE), session_id, CONFIG)
        numbers.append(history.visit)
    return [number - numbers[0] + 1 for number in numbers]


def remembering(*done: Done, most: int = 100) -> UserHistory:
    history = UserHistory()
    for item, time, code, quantity in done:
        history.add(item, time, code, quantity, most)
    return history


def content(history: UserHistory) -> list[Done]:
    columns = (history.items, history.times, history.types, history.quantities)
    return list(zip(*(column.tolist() for column in columns), strict=True))


# Visits


def test_a_visit_ends_after_more_than_the_gap() -> None:
    assert visits((0, None), (30, None), (60, None), (90 + 1 / MINUTE, None)) == [1, 1, 1, 2]


def test_silence_is_counted_from_the_newest_event_not_from_the_last_that_came() -> None:
    assert visits((0, None), (20, None), (5, None), (45, None)) == [1, 1, 1, 1]


def test_a_late_event_joins_the_visit_that_is_open() -> None:
    assert visits((0, None), (100, None), (1, None), (101, None)) == [1, 2, 2, 2]


def test_another_session_id_is_another_visit_at_once() -> None:
    assert visits((0, "s1"), (1, "s2"), (2, "s2")) == [1, 2, 2]


def test_the_same_session_id_outlasts_any_silence() -> None:
    assert visits((0, "s1"), (100_000, "s1")) == [1, 1]


def test_an_event_without_a_session_id_stays_in_a_named_visit_until_silence() -> None:
    assert visits((0, "s1"), (1, None), (2, "s1"), (90, None), (91, "s1")) == [1, 1, 1, 2, 3]


def test_a_new_visit_starts_empty_and_knows_its_id() -> None:
    history = UserHistory()
    history.arrive(T0, "s1", CONFIG)
    history.touch(5, CONFIG)
    history.arrive(T0 + MINUTE, None, CONFIG)
    assert (history.session_items.tolist(), history.session_id) == ([5], "s1")
    history.arrive(T0 + 100 * MINUTE, None, CONFIG)
    assert (history.session_items.tolist(), history.session_id) == ([], None)
    history.arrive(T0, "s2", CONFIG)
    assert (history.session_id, history.last_time) == ("s2", T0 + 100 * MINUTE)


@given(st.lists(st.integers(0, 6), max_size=30))
def test_a_visit_holds_its_newest_different_items(touched: list[int]) -> None:
    history = UserHistory()
    for item in touched:
        history.touch(item, CONFIG)
    newest_first = list(dict.fromkeys(reversed(touched)))[: CONFIG.max_session_items]
    assert history.session_items.tolist() == newest_first[::-1]


# Memory


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**12), st.just(VIEW), st.just(1.0))))
def test_the_oldest_events_go_first(most: int, done: list[Done]) -> None:
    history = remembering(*done, most=most)
    assert content(history) == done[-most:]
    assert len(history) == min(most, len(done))


# Returns


def test_a_return_takes_from_the_newest_purchase_first() -> None:
    history = remembering((1, 10, BUY, 2.0), (1, 20, BUY, 3.0))
    assert history.undo_purchase(1, 1.0) == []
    assert content(history) == [(1, 10, BUY, 2.0), (1, 20, BUY, 2.0)]
    assert history.undo_purchase(1, 3.0) == [20]
    assert content(history) == [(1, 10, BUY, 1.0)]


def test_a_return_takes_back_only_purchases_of_that_item() -> None:
    done = [(1, 10, VIEW, 1.0), (2, 20, BUY, 1.0), (1, 30, BUY, 1.0), (1, 40, VIEW, 1.0)]
    history = remembering(*done)
    assert history.undo_purchase(1, 1.0) == [30]
    assert content(history) == [done[0], done[1], done[3]]


def test_more_than_was_bought_takes_back_all_there_is() -> None:
    history = remembering((1, 10, BUY, 2.0), (1, 20, BUY, 1.0))
    assert history.undo_purchase(1, 99.0) == [20, 10]
    assert history.undo_purchase(1, 1.0) == []
    assert len(history) == 0


@pytest.mark.parametrize("quantity", [0.1, 0.7, 1 / 3, 100.1])
def test_what_is_sold_by_weight_is_taken_back_wholly(quantity: float) -> None:
    history = remembering((1, 10, BUY, 5.0), (1, 20, BUY, quantity))
    assert history.undo_purchase(1, quantity) == [20]
    assert content(history) == [(1, 10, BUY, 5.0)]


def test_weights_returned_in_parts_leave_no_crumb() -> None:
    history = remembering((1, 10, BUY, 0.3))
    assert [history.undo_purchase(1, 0.1) for _ in range(3)] == [[], [], [10]]


@given(st.lists(st.integers(1, 5), max_size=6), st.integers(0, 20))
def test_pieces_returned_equal_a_stack_of_pieces(bought: list[int], returned: int) -> None:
    history = remembering(*((1, time, BUY, float(pieces)) for time, pieces in enumerate(bought)))
    pieces = [time for time, count in enumerate(bought) for _ in range(count)]
    left = pieces[: max(0, len(pieces) - returned)]
    vanished = history.undo_purchase(1, float(returned))
    assert content(history) == [(1, time, BUY, float(left.count(time))) for time in sorted(set(left))]
    assert vanished == sorted(set(pieces) - set(left), reverse=True)


# Joining


def test_two_histories_are_merged_by_time_with_ties_after_ones_own() -> None:
    mine = remembering((1, 10, VIEW, 1.0), (2, 30, BUY, 2.0))
    mine.absorb(remembering((3, 5, VIEW, 1.0), (4, 30, VIEW, 1.0), (5, 40, BUY, 3.0)), 100)
    assert content(mine) == [
        (3, 5, VIEW, 1.0),
        (1, 10, VIEW, 1.0),
        (2, 30, BUY, 2.0),
        (4, 30, VIEW, 1.0),
        (5, 40, BUY, 3.0),
    ]


def test_the_merged_history_keeps_its_newest() -> None:
    mine = remembering((1, 10, VIEW, 1.0), (2, 30, VIEW, 1.0))
    mine.absorb(remembering((3, 20, VIEW, 1.0), (4, 5, VIEW, 1.0)), 2)
    assert content(mine) == [(3, 20, VIEW, 1.0), (2, 30, VIEW, 1.0)]


def test_a_merged_history_goes_on() -> None:
    mine = UserHistory()
    mine.absorb(remembering((3, 5, BUY, 1.5)), 100)
    mine.add(4, 6, VIEW, 1.0, 100)
    assert content(mine) == [(3, 5, BUY, 1.5), (4, 6, VIEW, 1.0)]
    assert mine.undo_purchase(3, 1.5) == [5]


def visiting(minutes: int, session_id: str | None, *items: int) -> UserHistory:
    history = UserHistory()
    history.arrive(T0 + minutes * MINUTE, session_id, CONFIG)
    for item in items:
        history.touch(item, CONFIG)
        history.counts["view"] += 1
    return history


def test_the_later_visit_stays_and_is_a_new_one() -> None:
    mine = visiting(0, "phone", 1)
    before = mine.visit
    mine.absorb(visiting(5, "laptop", 2, 3), 100)
    assert (mine.session_items.tolist(), mine.session_id) == ([2, 3], "laptop")
    assert mine.visit == before + 1
    assert mine.last_time == T0 + 5 * MINUTE
    assert mine.counts == {"view": 3}


def test_an_earlier_visit_of_the_other_is_over() -> None:
    mine = visiting(5, "phone", 1)
    before = mine.visit
    mine.absorb(visiting(0, "laptop", 2), 100)
    assert (mine.session_items.tolist(), mine.session_id, mine.visit) == ([1], "phone", before)
    assert mine.last_time == T0 + 5 * MINUTE
    assert mine.counts == {"view": 2}


def test_the_settings_bound_the_visit_not_the_code() -> None:
    history = UserHistory()
    for item in range(9):
        history.touch(item, replace(CONFIG, max_session_items=5))
    assert history.session_items.tolist() == [4, 5, 6, 7, 8]
