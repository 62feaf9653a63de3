"""One user's memory: visits, bounds, returns and the joining of two histories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.config import StateConfig
from endcap.events.schema import TYPE_CODES
from endcap.state.interests import InterestBounds
from endcap.state.user import UserHistory
from endcap.state.visits import Bounds

T0 = 1_764_000_000_000
MINUTE = 60_000
CONFIG = StateConfig(session_gap_minutes=30.0, max_session_items=3, max_history=4)
BOUNDS, INTERESTS = Bounds.of(CONFIG), InterestBounds.of(CONFIG)
VIEW, BUY, CART = TYPE_CODES["view"], TYPE_CODES["purchase"], TYPE_CODES["cart"]

Done = tuple[int, int, int, float]
"""Item, time, type, quantity."""


def remembering(*done: Done, most: int = 100) -> UserHistory:
    history = UserHistory()
    for item, time, code, quantity in done:
        history.add(item, time, code, quantity, most)
    return history


def content(history: UserHistory) -> list[Done]:
    columns = (history.items, history.times, history.types, history.quantities)
    return list(zip(*(column.tolist() for column in columns), strict=True))


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


def test_an_uncart_takes_back_the_newest_cart_whatever_its_quantity() -> None:
    done = [(1, 10, CART, 2.0), (1, 20, CART, 5.0), (1, 30, BUY, 1.0), (2, 40, CART, 1.0)]
    history = remembering(*done)
    assert history.undo_cart(1) == [20]
    assert content(history) == [done[0], done[2], done[3]]
    assert [history.undo_cart(1), history.undo_cart(1)] == [[10], []]


def test_many_at_once_are_remembered_as_one_by_one() -> None:
    history = remembering((9, 1, BUY, 1.0))
    history.extend([1, 2, 3], [10, 20, 30], VIEW, [1.0, 2.0, 3.0], 3)
    assert content(history) == [(1, 10, VIEW, 1.0), (2, 20, VIEW, 2.0), (3, 30, VIEW, 3.0)]
    history.extend([4], [40], BUY, [1.0], 3)
    assert content(history)[0] == (2, 20, VIEW, 2.0)


# Joining


def test_two_histories_are_merged_by_time_with_ties_after_ones_own() -> None:
    mine = remembering((1, 10, VIEW, 1.0), (2, 30, BUY, 2.0))
    mine.absorb(
        remembering((3, 5, VIEW, 1.0), (4, 30, VIEW, 1.0), (5, 40, BUY, 3.0)),
        replace(CONFIG, max_history=100),
        INTERESTS,
    )
    assert content(mine) == [
        (3, 5, VIEW, 1.0),
        (1, 10, VIEW, 1.0),
        (2, 30, BUY, 2.0),
        (4, 30, VIEW, 1.0),
        (5, 40, BUY, 3.0),
    ]


def test_the_merged_history_keeps_its_newest() -> None:
    mine = remembering((1, 10, VIEW, 1.0), (2, 30, VIEW, 1.0))
    mine.absorb(remembering((3, 20, VIEW, 1.0), (4, 5, VIEW, 1.0)), replace(CONFIG, max_history=2), INTERESTS)
    assert content(mine) == [(3, 20, VIEW, 1.0), (2, 30, VIEW, 1.0)]


def test_a_merged_history_goes_on() -> None:
    mine = UserHistory()
    mine.absorb(remembering((3, 5, BUY, 1.5)), replace(CONFIG, max_history=100), INTERESTS)
    mine.add(4, 6, VIEW, 1.0, 100)
    assert content(mine) == [(3, 5, BUY, 1.5), (4, 6, VIEW, 1.0)]
    assert mine.undo_purchase(3, 1.5) == [5]


def visiting(minutes: int, session_id: str | None, *items: int) -> UserHistory:
    history = UserHistory()
    for item in items:
        history.arrive("view", T0 + minutes * MINUTE, session_id, BOUNDS).touch(item, BOUNDS)
    return history


def held(history: UserHistory) -> list[tuple[str | None, list[int]]]:
    return [(visit.session_id, visit.items.tolist()) for visit in history.visits]


@pytest.mark.parametrize("later", [5, -5])
def test_the_visits_of_both_go_on_the_others_as_the_last(later: int) -> None:
    mine, other = visiting(0, "phone", 1), visiting(later, "laptop", 2, 3)
    here = other.visits[-1]
    mine.absorb(other, CONFIG, INTERESTS)
    assert held(mine) == [("phone", [1]), ("laptop", [2, 3])]
    assert mine.visits[-1] is here, "its sessions in the indices are those of before"
    assert mine.last_time == T0 + max(later, 0) * MINUTE
    assert mine.counts == {"view": 3}


def test_open_visits_stay_bounded_when_they_are_joined() -> None:
    mine = visiting(0, "a", 1)
    mine.arrive("view", T0, "b", BOUNDS)
    mine.absorb(visiting(0, "c", 2), replace(CONFIG, max_open_visits=2), INTERESTS)
    assert [session_id for session_id, _ in held(mine)] == ["b", "c"]
