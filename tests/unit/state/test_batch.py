"""``apply_batch`` against ``apply`` one by one: the same state to the last bit, and the same for who follows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.state.streams import START, STREAMS

from endcap.config import StateConfig
from endcap.events.schema import TYPE_CODES, Event, Line
from endcap.features.interactions import InteractionBuilder
from endcap.state import item as item_state
from endcap.state import pairs
from endcap.state.batch import Run, apply_batch
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest
from endcap.types import Entry, Interactions

MINUTE = 60_000
ROOMY = StateConfig()
SMALL = StateConfig(
    max_history=6,
    max_session_items=3,
    sessions_per_item=2,
    max_open_visits=2,
    max_interests=2,
    max_dismissed=2,
    max_identified=1,
    max_private_visits=1,
    session_gap_minutes=5.0,
    attribution_days=0.5,
    report_days=2,
    max_attributed_lists=2,
    max_attributed_items=3,
)


def one_by_one(stream: list[Entry], config: StateConfig) -> State:
    state = State(config)
    for entry in stream:
        apply(state, entry)
    return state


@pytest.mark.parametrize("config", [ROOMY, SMALL, replace(SMALL, sessions_per_item=1, trending_half_life_days=0.01)])
@given(stream=STREAMS, cuts=st.lists(st.integers(0, 150), max_size=4), read=st.booleans())
@settings(max_examples=150, deadline=None)
def test_many_at_once_equal_one_by_one_to_the_last_bit(
    config: StateConfig, stream: list[Entry], cuts: list[int], read: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "MIN_RELEASED", 1)
        patch.setattr(item_state, "MAX_WAITING", 7)
        expected = one_by_one(stream, config)
        state, edges = State(config), [0, *sorted(cuts), len(stream)]
        for start, end in pairwise(edges):
            apply_batch(state, stream[start:end])
            if read:
                state.popularity.scores("trending")
    assert digest(state) == digest(expected)
    assert (state.offset, state.anchor, state.events) == (expected.offset, expected.anchor, expected.events)


@given(STREAMS, st.integers(0, 60))
@settings(deadline=None)
def test_entries_that_are_not_newer_are_left_out(stream: list[Entry], known: int) -> None:
    state = State(SMALL)
    apply_batch(state, stream[:known])
    apply_batch(state, stream)
    apply_batch(state, stream[::-1])
    assert digest(state) == digest(one_by_one(stream, SMALL))


def columns(found: Interactions) -> list[list[float]]:
    return [column.tolist() for column in (found.user, found.item, found.weight, found.time, found.session)]


@given(STREAMS)
@settings(max_examples=100, deadline=None)
def test_who_follows_collects_the_same(stream: list[Entry]) -> None:
    state, builder = State(ROOMY), InteractionBuilder()
    for entry in stream:
        apply(state, entry)
        if isinstance(entry.body, Event):
            builder.add(state, entry.body)
    at_once, follower = State(ROOMY), InteractionBuilder()
    apply_batch(at_once, stream, follower)
    assert columns(follower.build(at_once)) == columns(builder.build(state))


class Heard:
    """Keeps what a follower is told."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.events: list[Event] = []

    def add(self, state: State, event: Event) -> None:
        assert state.users.row(f"u:{event.user_id}") >= 0, "it was applied"
        self.events.append(event)

    def extend(self, run: Run) -> None:
        self.runs.append(run)


def test_a_run_is_of_one_person_one_type_and_one_visit() -> None:
    def viewed(who: str, items: str, minute: int, kind: str = "view") -> list[Event]:
        return [Event(kind, START + minute * MINUTE, user_id=who, item_id=item) for item in items]

    basket = Event("purchase", START + 5 * MINUTE, user_id="ann", items=(Line("a", 2.0), Line("c", 0.5)))
    told = [
        *viewed("ann", "ab", 0),
        *viewed("ann", "a", 1),
        *viewed("bo", "ab", 2),
        *viewed("ann", "a", 3, "return"),
        *viewed("ann", "cb", 3, "impression"),
        *(basket, basket),
        *viewed("ann", "a", 60),
        *viewed("ann", "bb", 100),
    ]
    heard = Heard()
    apply_batch(State(ROOMY), [Entry(at, event.time, event) for at, event in enumerate(told, 1)], heard)
    view, bought = TYPE_CODES["view"], TYPE_CODES["purchase"]
    assert [(run.user, run.session, run.code, list(run.items), list(run.quantities)) for run in heard.runs] == [
        (0, 0, view, [0, 1, 0], [1.0, 1.0, 1.0]),
        (1, 1, view, [0, 1], [1.0, 1.0]),
        (0, 0, bought, [0, 2, 0, 2], [2.0, 0.5, 2.0, 0.5]),
        (0, 3, view, [1, 1], [1.0, 1.0]),
    ]
    assert list(heard.runs[0].times) == [START, START, START + MINUTE]
    assert [(event.type, event.item_id) for event in heard.events] == [("return", "a"), ("view", "a")]


def test_nothing_at_once_changes_nothing() -> None:
    state = State(ROOMY)
    apply_batch(state, [])
    assert (state.offset, len(state.users)) == (0, 0)
    assert digest(state) == digest(State(ROOMY))
    assert np.array_equal(state.popularity.scores("popular"), np.empty(0, np.float32))
