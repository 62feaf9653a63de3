"""The canary in the fold: whatever it saw, and when, everybody else's state is the same to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.state.folds import fold
from tests.unit.state.streams import START, STREAMS

from endcap.catalog.items import ItemChange
from endcap.checks import CANARY
from endcap.config import StateConfig
from endcap.errors import InvalidFieldError
from endcap.events.canary import CanaryView
from endcap.events.log import to_entry, to_record
from endcap.events.schema import TYPE_CODES, parse_event
from endcap.state.batch import apply_batch
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest
from endcap.types import Entry

CONFIG = StateConfig(max_history=6, max_session_items=3, sessions_per_item=2)
MUG = ItemChange("mug", "put", {"title": "Mug"})
VIEWS = st.lists(
    st.tuples(st.integers(0, 80), st.sampled_from(["i0", "i3", "nowhere"]), st.integers(-10, 10_000)), max_size=8
)
"""Where in the stream, of which item, at which minute."""


def with_canary(stream: list[Entry], views: list[tuple[int, str, int]]) -> list[Entry]:
    """``stream`` at every second offset, and the canary's views between."""
    spread = [Entry(2 * entry.offset, entry.time, entry.body) for entry in stream]
    seen = {
        2 * place + 1: Entry(2 * place + 1, START + minute * 60_000, CanaryView(item, START + minute * 60_000))
        for place, item, minute in views
    }
    return sorted([*spread, *seen.values()], key=lambda entry: entry.offset)


def one_by_one(stream: list[Entry]) -> State:
    state = State(CONFIG)
    for entry in stream:
        apply(state, entry)
    return state


@given(STREAMS, VIEWS)
@settings(max_examples=150, deadline=None)
def test_a_stream_with_and_without_the_canary_gives_equal_states(
    stream: list[Entry], views: list[tuple[int, str, int]]
) -> None:
    plain, mixed = one_by_one(with_canary(stream, [])), one_by_one(with_canary(stream, views))
    last = max([2 * entry.offset for entry in stream] + [2 * place + 1 for place, _, _ in views], default=0)
    assert (mixed.offset, mixed.anchor, mixed.events) == (last, plain.anchor, plain.events)
    mixed.offset = plain.offset
    assert digest(mixed) == digest(plain)
    for user in range(len(plain.users)):
        np.testing.assert_array_equal(mixed.query(user, START).history, plain.query(user, START).history)
        np.testing.assert_array_equal(mixed.query(user, START).session, plain.query(user, START).session)
    for kind in ("trending", "popular"):
        np.testing.assert_array_equal(mixed.popularity.scores(kind), plain.popularity.scores(kind))


@given(STREAMS, VIEWS)
@settings(max_examples=100, deadline=None)
def test_many_at_once_equal_one_by_one(stream: list[Entry], views: list[tuple[int, str, int]]) -> None:
    mixed = with_canary(stream, views)
    expected, state = one_by_one(mixed), State(CONFIG)
    apply_batch(state, mixed)
    assert digest(state) == digest(expected)
    assert (state.canary, state.anchor, state.offset) == (expected.canary, expected.anchor, expected.offset)


def test_it_remembers_its_last_view_and_nothing_else() -> None:
    pot = ItemChange("pot", "put", {"title": "Pot"})
    state = fold(MUG, pot, CanaryView("mug", START), CanaryView("pot", START + 5))
    query, hidden = state.ask(None, CANARY, None, START + 9)
    assert (query.history.tolist(), query.session.tolist(), query.times.tolist()) == ([1], [1], [START + 5])
    assert query.weights.tolist() == state.type_weights(np.array([TYPE_CODES["view"]], np.int32)).tolist()
    assert (query.user, query.now, hidden.tolist()) == (-1, START + 9, [])
    assert len(state.users) == 0


def test_before_its_first_view_and_after_that_of_an_item_that_is_not_known_it_has_no_history() -> None:
    for state in (fold(MUG), fold(MUG, CanaryView("mug", START), CanaryView("nowhere", START))):
        assert state.ask(None, CANARY, None, START)[0].history.size == 0
        assert list(state.items) == ["mug"]


def test_the_log_gives_back_what_it_was_given() -> None:
    view = CanaryView("mug", START)
    record = to_record(view)
    assert (record.kind, record.time, record.key) == ("canary", START, None)
    assert len(record.data) == len('{"item_id":"mug"}')
    assert to_entry(7, record) == Entry(7, START, view)


def test_nobody_else_may_speak_for_it() -> None:
    with pytest.raises(InvalidFieldError, match="visitor_id is 'endcap-canary': the server itself is that visitor"):
        parse_event({"type": "view", "visitor_id": CANARY, "item_id": "mug"}, START)
    assert parse_event({"type": "view", "user_id": CANARY, "item_id": "mug"}, START).user_id == CANARY
