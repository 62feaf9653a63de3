"""The fold: what a log adds up to, by hand and against slow versions."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.state.folds import (
    CONFIG,
    MINUTE,
    SMALL,
    did,
    fold,
    history,
    ids,
    joined,
    row,
    together,
    trending,
    visit,
)
from tests.unit.state.streams import START, STREAMS

from endcap.catalog.items import parse_change
from endcap.errors import ConfigError
from endcap.events.schema import EVENT_TYPES, TYPE_CODES, Event, Line
from endcap.state.fold import BASKET_TYPES, State, apply
from endcap.state.snapshot import digest
from endcap.state.user import CRUMB
from endcap.types import MS_PER_DAY, Activation, Entry

# Log order


@given(STREAMS)
def test_the_same_log_gives_the_same_state(stream: list[Entry]) -> None:
    states = [State(SMALL), State(SMALL)]
    for state in states:
        for entry in stream:
            apply(state, entry)
    assert digest(states[0]) == digest(states[1])
    assert states[0].offset == len(stream)
    assert states[0].events == sum(isinstance(entry.body, Event) for entry in stream)


@given(STREAMS, st.data())
@settings(deadline=None)
def test_an_entry_that_is_not_newer_changes_nothing(stream: list[Entry], data: st.DataObject) -> None:
    once, again = State(SMALL), State(SMALL)
    for at, entry in enumerate(stream, 1):
        apply(once, entry)
        apply(again, entry)
        apply(again, stream[data.draw(st.integers(0, at - 1))])
    assert digest(once) == digest(again)


def test_gaps_between_offsets_are_fine() -> None:
    state = State(CONFIG)
    apply(state, Entry(5, START, did("view", "u:ann", "a")))
    apply(state, Entry(4, START, did("view", "u:ann", "b")))
    apply(state, Entry(9, START, did("view", "u:ann", "c")))
    assert (history(state, "u:ann"), state.offset) == (["a", "c"], 9)


def test_catalogue_and_activation_are_part_of_it() -> None:
    state = fold(
        did("view", "u:ann", "seen"), parse_change("put", {"item_id": "a", "title": "A", "price": 3}), Activation("m2")
    )
    assert list(state.items) == ["seen", "a"]
    assert state.shop.listed.tolist() == [False, True]
    assert state.shop.active_version == "m2"
    assert (state.offset, state.events) == (3, 1)
    for part in (state.popularity.scores("trending"), state.sessions.frequency(), state.baskets.frequency()):
        assert part.size == 2


def test_a_weight_of_a_type_that_no_event_has_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"state\.weights names 'buy', which is no event type: there are impression"):
        State(replace(CONFIG, weights={"view": 1.0, "buy": 5.0}))


# What counts


def test_each_type_counts_its_weight() -> None:
    state = fold(*(did(kind, "u:ann", kind) for kind in EVENT_TYPES if kind not in ("return", "dismiss")))
    expected = {kind: CONFIG.weights[kind] for kind in CONFIG.weights}
    assert {name: score for name, score in trending(state).items() if score} == expected
    assert history(state, "u:ann") == [kind for kind in EVENT_TYPES if kind in CONFIG.weights]
    known = state.history(row(state, "u:ann"))
    assert state.type_weights(known.types).tolist() == [CONFIG.weights[kind] for kind in history(state, "u:ann")]
    assert known.counts == dict.fromkeys((kind for kind in EVENT_TYPES if kind not in ("return", "dismiss")), 1)


def test_what_weighs_nothing_or_less_leaves_no_trace_but_its_count() -> None:
    config = replace(CONFIG, weights={"view": 0.0, "impression": -1.0})
    state = fold(did("view", "u:ann", "a"), did("impression", "u:ann", "a"), did("cart", "u:ann", "a"), config=config)
    assert (history(state, "u:ann"), visit(state, "u:ann"), trending(state)) == ([], [], {"a": 0.0})
    assert (state.sessions.count, state.baskets.count) == (0, 0)
    assert state.history(0).counts == {"view": 1, "impression": 1, "cart": 1}


def test_a_line_counts_once_whatever_its_quantity() -> None:
    state = fold(did("purchase", "u:ann", Line("a", 12.0), "b"))
    assert trending(state) == {"a": 5.0, "b": 5.0}
    assert state.history(0).quantities.tolist() == [12.0, 1.0]


def test_only_carts_and_purchases_make_baskets() -> None:
    kinds = [kind for kind in CONFIG.weights if kind not in BASKET_TYPES]
    state = fold(*(did(kind, "u:ann", kind) for kind in [*kinds, "cart", "purchase"]))
    assert together(state) == [[*kinds, "cart", "purchase"]]
    assert together(state, baskets=True) == [["cart", "purchase"]]


@dataclass
class Counted:
    """One event that the slow version holds for somebody."""

    item: str
    time: int
    weight: float
    type: str
    left: float


class SlowPopularity:
    """Every counted event by owner in one list, without bounds; what was wholly returned is struck out."""

    def __init__(self, stream: list[Entry]) -> None:
        self.held: dict[str, list[Counted]] = defaultdict(list)
        self.owner: dict[str, str] = {}
        self.newest = 0
        for entry in stream:
            if isinstance(entry.body, Event):
                self._take(entry.body)

    def _take(self, event: Event) -> None:
        if event.consent is False:
            return
        visitor = f"v:{event.visitor_id}"
        who = f"u:{event.user_id}" if event.user_id else self.owner.get(visitor, visitor)
        if event.type == "identify" and event.user_id and event.visitor_id and self.owner.get(visitor) != who:
            self.owner[visitor] = who
            self.held[who] = sorted(self.held[who] + self.held.pop(visitor, []), key=lambda one: one.time)
        for line in event.lines():
            weight = CONFIG.weights.get(event.type, 0.0)
            if event.type == "return":
                self._return(who, line)
            elif event.type == "uncart":
                self._uncart(who, line)
            elif weight and not (event.type == "review" and event.rating == 1.0):
                self.held[who].append(Counted(line.item_id, event.time, weight, event.type, line.quantity))
                self.newest = max(self.newest, event.time)

    def _return(self, who: str, line: Line) -> None:
        left = line.quantity
        for one in reversed(self.held[who]):
            if one.type == "purchase" and one.item == line.item_id and left >= CRUMB:
                taken = min(left, one.left)
                one.left, left = one.left - taken, left - taken
        self.held[who] = [one for one in self.held[who] if one.left >= CRUMB]

    def _uncart(self, who: str, line: Line) -> None:
        carts = [one for one in self.held[who] if one.type == "cart" and one.item == line.item_id]
        if carts:
            self.held[who] = [one for one in self.held[who] if one is not carts[-1]]

    def score(self, item: str, half_life_days: float) -> float:
        counted = [one for held in self.held.values() for one in held if one.item == item]
        return sum(
            one.weight * math.pow(2.0, -(self.newest - one.time) / (half_life_days * MS_PER_DAY)) for one in counted
        )


@given(STREAMS)
@settings(max_examples=200, deadline=None)
def test_popularity_and_histories_equal_the_slow_version(stream: list[Entry]) -> None:
    state, slow = State(CONFIG), SlowPopularity(stream)
    for entry in stream:
        apply(state, entry)
    for window, half_life in (("trending", 7.0), ("popular", 90.0)):
        expected = [slow.score(item, half_life) for item in state.items]
        np.testing.assert_allclose(state.popularity.scores(window), expected, rtol=1e-5, atol=1e-5)
    for user, key in enumerate(state.users):
        known = state.history(user)
        assert ids(state, known.items) == [one.item for one in slow.held[key]]
        assert known.times.tolist() == [one.time for one in slow.held[key]]
        np.testing.assert_allclose(known.quantities, [one.left for one in slow.held[key]], rtol=1e-4, atol=1e-4)


# Returns


def test_a_return_takes_back_what_the_purchase_counted() -> None:
    state = fold(
        did("purchase", "u:ann", Line("a", 2.0), "b", at=0),
        did("view", "u:ann", "a", at=1),
        did("return", "u:ann", Line("a", 2.0), at=20_000),
    )
    assert history(state, "u:ann") == ["b", "a"]
    expected = trending(fold(did("purchase", "u:ann", "b"), did("view", "u:ann", "a", at=1)))
    assert trending(state) == {name: expected[name] for name in ("a", "b")}


def test_a_return_of_a_part_leaves_the_purchase() -> None:
    state = fold(did("purchase", "u:ann", Line("a", 3.0)), did("return", "u:ann", Line("a", 2.0)))
    assert state.history(0).quantities.tolist() == [1.0]
    assert trending(state) == {"a": 5.0}


def test_a_return_finds_only_ones_own_purchases_that_came_before_it() -> None:
    returned = did("return", "u:bo", "a")
    state = fold(did("purchase", "u:ann", "a"), returned, did("purchase", "u:bo", "a"))
    assert trending(state) == {"a": 10.0}
    assert (history(state, "u:ann"), history(state, "u:bo")) == (["a"], ["a"])


def test_a_returned_item_stays_in_the_visit_and_in_the_sessions() -> None:
    state = fold(did("purchase", "u:ann", "a", "b"), did("return", "u:ann", "a", at=1))
    assert visit(state, "u:ann") == ["a", "b"]
    assert together(state) == together(state, baskets=True) == [["a", "b"]]


def test_a_purchase_as_a_visitor_can_be_returned_by_the_user() -> None:
    state = fold(did("purchase", "v:1", "a"), joined("1", "ann", at=1), did("return", "u:ann", "a", at=2))
    assert (history(state, "u:ann"), trending(state)) == ([], {"a": 0.0})


# Visits and sessions


def test_a_visit_is_a_session() -> None:
    state = fold(
        did("view", "u:ann", "a", at=0),
        did("view", "u:bo", "c", at=1),
        did("view", "u:ann", "b", at=30),
        did("view", "u:ann", "c", at=61),
    )
    assert together(state) == [["a", "b"], ["c"], ["c"]]
    assert visit(state, "u:ann", at=61) == ["c"]
    assert state.sessions.session_of(row(state, "u:ann")) == 2


def test_any_event_keeps_a_visit_open_also_one_that_counts_nothing() -> None:
    between = [did("search", "u:ann", at=25), did("return", "u:ann", "a", at=50)]
    state = fold(did("view", "u:ann", "a"), *between, did("view", "u:ann", "b", at=75))
    assert together(state) == [["a", "b"]]


def test_a_late_event_joins_the_open_visit_and_counts_as_in_time() -> None:
    late = fold(did("view", "u:ann", "a", at=100), did("view", "u:ann", "b", at=0))
    assert (together(late), visit(late, "u:ann", at=100), history(late, "u:ann")) == (
        [["a", "b"]],
        ["a", "b"],
        ["a", "b"],
    )
    in_time = fold(did("view", "u:ann", "b", at=0), did("view", "u:ann", "a", at=100))
    assert trending(late) == trending(in_time)
    assert trending(late)["b"] < 1.0


def test_sessions_named_by_the_shop_split_where_the_name_changes() -> None:
    named = [("s1", "a", 0), ("s2", "b", 1), ("s2", "c", 30), ("s2", "d", 61)]
    state = fold(*(did("view", "u:ann", item, at=at, session_id=name) for name, item, at in named))
    assert together(state) == [["a"], ["b", "c"], ["d"]]


def test_two_devices_keep_a_visit_each() -> None:
    named = [("phone", "a"), ("laptop", "b"), ("phone", "c"), ("laptop", "d")]
    state = fold(*(did("view", "u:ann", item, at=at, session_id=name) for at, (name, item) in enumerate(named)))
    assert together(state) == [["a", "c"], ["b", "d"]]
    assert visit(state, "u:ann", at=4) == visit(state, "u:ann", at=4, session_id="laptop") == ["b", "d"]
    assert visit(state, "u:ann", at=4, session_id="phone") == ["a", "c"]
    assert visit(state, "u:ann", at=4, session_id="fridge") == visit(state, "u:ann", at=34) == []


@pytest.mark.parametrize("session_id", [None, "s1"])
@pytest.mark.parametrize(("minutes", "open_"), [(30, True), (31, False)])
def test_a_query_and_the_next_event_agree_on_when_a_visit_is_over(
    session_id: str | None, minutes: int, open_: bool
) -> None:
    first, then = did("view", "u:ann", "a", session_id=session_id), did("view", "u:ann", "b", at=minutes)
    assert visit(fold(first), "u:ann", at=minutes) == (["a"] if open_ else [])
    state = fold(first, replace(then, session_id=session_id))
    assert together(state) == ([["a", "b"]] if open_ else [["a"], ["b"]])


# Changes of mind and ratings


def test_an_uncart_takes_back_the_newest_cart_of_the_item() -> None:
    state = fold(
        did("cart", "u:ann", Line("a", 3.0), at=0),
        did("cart", "u:ann", "a", at=1),
        did("cart", "u:bo", "a", at=2),
        did("view", "u:ann", "a", at=3),
        did("uncart", "u:ann", "a", at=4),
    )
    assert state.history(0).quantities.tolist() == [3.0, 1.0]
    assert history(state, "u:bo") == ["a"]
    kept = fold(did("cart", "u:ann", "a"), did("cart", "u:bo", "a", at=2), did("view", "u:ann", "a", at=3))
    np.testing.assert_allclose(trending(state)["a"], trending(kept)["a"], rtol=1e-5)
    assert state.history(0).counts == {"cart": 2, "view": 1, "uncart": 1}
    assert visit(state, "u:ann", at=4) == ["a"]


@pytest.mark.parametrize("kind", ["return", "uncart", "dismiss"])
def test_what_takes_back_is_no_sign_of_taste_whatever_its_weight(kind: str) -> None:
    config = replace(CONFIG, weights={kind: 3.0, "view": 1.0})
    state = fold(did(kind, "u:ann", "a"), config=config)
    assert (history(state, "u:ann"), trending(state)) == ([], {"a": 0.0})


@pytest.mark.parametrize(
    ("kind", "given_", "counts"),
    [
        ("rate", {"rating": 2.9}, False),
        ("rate", {"rating": 3.0}, True),
        ("rate", {"value": 1.0}, False),
        ("rate", {"value": 5.0}, True),
        ("rate", {"rating": 5.0, "value": 1.0}, True),
        ("rate", {}, True),
        ("review", {"rating": 1.0}, False),
        ("review", {"rating": 4.0}, True),
        ("review", {"value": 1.0}, True),
        ("purchase", {"value": 1.0, "rating": 1.0}, True),
    ],
)
def test_a_rating_below_the_middle_says_nothing_about_taste(kind: str, given_: dict[str, float], counts: bool) -> None:
    config = replace(CONFIG, weights={"rate": 2.0, "review": 2.0, "purchase": 5.0})
    state = fold(did(kind, "u:ann", "a", **given_), config=config)
    assert (history(state, "u:ann"), visit(state, "u:ann")) == ((["a"], ["a"]) if counts else ([], []))
    assert state.sessions.count == int(counts)
    assert state.history(0).counts == {kind: 1}


def test_the_middle_of_the_ratings_is_the_shops() -> None:
    config = replace(CONFIG, weights={"rate": 1.0}, rating_middle=5.5)
    assert history(fold(did("rate", "u:ann", "a", rating=5.0), config=config), "u:ann") == []


# What a model is asked


def test_a_query_holds_the_history_with_its_weights_and_the_open_visit() -> None:
    state = fold(
        did("view", "u:ann", "a", at=0), did("purchase", "u:ann", "b", at=50), did("view", "u:ann", "a", at=51)
    )
    query = state.query(row(state, "u:ann"), START + 60 * MINUTE)
    assert ids(state, query.history) == ["a", "b", "a"]
    assert query.weights.tolist() == [1.0, 5.0, 1.0]
    assert query.times.tolist() == [START, START + 50 * MINUTE, START + 51 * MINUTE]
    assert ids(state, query.session) == ["b", "a"]
    assert (query.user, query.now) == (0, START + 60 * MINUTE)


@pytest.mark.parametrize(("minutes", "open_"), [(30, True), (30 + 1 / MINUTE, False)])
def test_a_visit_is_over_after_the_gap_also_when_no_event_says_so(minutes: float, open_: bool) -> None:
    state = fold(did("view", "u:ann", "a"))
    query = state.query(0, START + round(minutes * MINUTE))
    assert ids(state, query.session) == (["a"] if open_ else [])
    assert ids(state, query.history) == ["a"]


def test_nobody_is_asked_about_with_nothing_but_the_time() -> None:
    query = State(CONFIG).query(-1, 5)
    assert (query.history.size, query.session.size, query.user, query.now) == (0, 0, -1, 5)


# Memory


@given(STREAMS)
@settings(deadline=None)
def test_memory_is_bounded_by_the_settings(stream: list[Entry]) -> None:
    state = State(SMALL)
    for entry in stream:
        apply(state, entry)
    for user in range(len(state.users)):
        assert len(state.history(user)) <= SMALL.max_history
        assert len(state.history(user).visits) <= SMALL.max_open_visits
        assert all(len(one.items) <= SMALL.max_session_items for one in state.history(user).visits)
        assert len(state.history(user).interests.values[1]) <= 2 * SMALL.max_interests
        assert state.dismissed(user).size <= SMALL.max_dismissed
    assert len(state._identified) <= SMALL.max_identified
    assert len(state.private) <= SMALL.max_private_visits
    for user in range(len(state.users)):
        assert sum(map(len, state.interests(user, START).values())) <= SMALL.max_interests
    for index in (state.sessions, state.baskets):
        assert all(index.recent(item).size <= SMALL.sessions_per_item for item in range(len(state.items)))
        assert index.held <= 2 * SMALL.sessions_per_item * max(len(state.items), 1)
        found = [index.recent(item) for item in range(len(state.items))]
        position, _ = index.members(np.concatenate([np.empty(0, np.int32), *found]))
        assert np.bincount(position, minlength=1).max() <= SMALL.max_session_items


def test_the_codes_of_the_types_are_those_of_the_log() -> None:
    state = fold(did("view", "u:ann", "a"), did("purchase", "u:ann", "a"))
    assert state.history(0).types.tolist() == [TYPE_CODES["view"], TYPE_CODES["purchase"]]
