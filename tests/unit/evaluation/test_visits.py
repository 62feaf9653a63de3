"""Cases from held out visits, written out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tests.unit.shops import DAY, MINUTE, NOW, TEA, basket, did

from endcap.config import StateConfig
from endcap.evaluation.offline import Case
from endcap.evaluation.visits import visit_cases
from endcap.events.schema import Event, Line
from endcap.state.fold import State, apply
from endcap.types import Activation, Entry

ROWS = {name: row for row, name in enumerate(("pot", "cup", "lamp", "clock", "scarf"))}


def state_of(*events: Event) -> State:
    """The five items, and then ``events``."""
    state = State(StateConfig())
    for offset, body in enumerate((*TEA, *events), 1):
        apply(state, Entry(offset, NOW, body))
    return state


def cases(state: State, *events: object, most: int = 100, seed: int = 0) -> list[Case]:
    return visit_cases(state, [Entry(100 + at, NOW, event) for at, event in enumerate(events)], most, seed)


def asked(found: Sequence[Case]) -> list[tuple[str, str]]:
    """(history, wanted) as names."""
    names = list(ROWS)
    return [
        ("+".join(names[row] for row in case.query.history), "+".join(names[row] for row in case.relevant))
        for case in found
    ]


def views(who: str, *items: str, start: int = NOW, **more: str) -> list[Event]:
    """One view a minute."""
    return [did("view", who, name, start + at * MINUTE, **more) for at, name in enumerate(items)]


def test_a_visit_of_somebody_known_asks_at_its_beginning_and_in_its_middle() -> None:
    state = state_of(did("view", "w", "pot", NOW - 2 * DAY), did("purchase", "w", "cup", NOW - DAY))
    beginning, middle = cases(state, *views("w", "lamp", "clock", "scarf"))
    assert asked([beginning, middle]) == [("pot+cup", "lamp+clock+scarf"), ("pot+cup+lamp", "clock+scarf")]
    user = state.user_row("w", None)
    assert (beginning.query.user, beginning.query.now, middle.query.user, middle.query.now) == (user, NOW, user, NOW)
    assert beginning.query.session.size == 0
    assert middle.query.session.tolist() == [ROWS["lamp"]]
    # What of the visit is known weighs as much as the history does on average: view 1, purchase 5.
    assert middle.query.weights.tolist() == [1.0, 5.0, 3.0]
    assert middle.query.times.tolist() == [NOW - 2 * DAY, NOW - DAY, NOW]
    assert beginning.seen.tolist() == [ROWS["pot"], ROWS["cup"]]
    assert middle.seen.tolist() == [ROWS["pot"], ROWS["cup"], ROWS["lamp"]]


def test_a_visit_of_somebody_new_asks_in_its_middle_only() -> None:
    (only,) = cases(state_of(), *views("new", "pot", "cup", "lamp", "clock"))
    assert asked([only]) == [("pot+cup", "lamp+clock")]
    assert only.query.user == -1
    assert only.query.weights.tolist() == [1.0, 1.0]


def test_a_visit_to_one_item_has_no_middle() -> None:
    assert cases(state_of(), *views("new", "pot")) == []
    assert asked(cases(state_of(did("view", "w", "pot")), *views("w", "cup"))) == [("pot", "cup")]


def test_an_item_counts_once_and_in_order_of_first_touch() -> None:
    assert asked(cases(state_of(), *views("new", "cup", "pot", "cup", "lamp"))) == [("cup", "pot+lamp")]


def test_silence_ends_a_visit_and_a_session_id_does_not_mind_silence() -> None:
    later = NOW + 31 * MINUTE
    silent = [*views("w", "pot", "cup"), *views("w", "lamp", "clock", start=later + MINUTE)]
    assert asked(cases(state_of(), *silent)) == [("pot", "cup"), ("lamp", "clock")]
    joined = [
        *views("w", "pot", "cup", session_id="s"),
        *views("w", "lamp", "clock", start=later + MINUTE, session_id="s"),
    ]
    assert asked(cases(state_of(), *joined)) == [("pot+cup", "lamp+clock")]
    exactly = [did("view", "w", "pot", NOW), did("view", "w", "cup", NOW + 30 * MINUTE)]
    assert asked(cases(state_of(), *exactly)) == [("pot", "cup")]


def test_a_long_visit_without_silence_is_one() -> None:
    slow = [did("view", "w", name, NOW + at * 20 * MINUTE) for at, name in enumerate(("pot", "cup", "lamp", "clock"))]
    assert asked(cases(state_of(), *slow)) == [("pot+cup", "lamp+clock")]


@pytest.mark.parametrize("kind", ["return", "dismiss"])
def test_what_goes_back_is_no_part_of_a_visit_whatever_its_weight(kind: str) -> None:
    state = State(StateConfig(weights={"view": 1.0, kind: 1.0}))
    for offset, body in enumerate(TEA, 1):
        apply(state, Entry(offset, NOW, body))
    assert asked(cases(state, *views("w", "pot"), did(kind, "w", "cup", NOW), *views("w", "lamp"))) == [("pot", "lamp")]


def test_two_sessions_of_one_user_and_two_users_are_apart() -> None:
    mixed = [
        did("view", "w", "pot", NOW, session_id="s"),
        did("view", "w", "lamp", NOW, session_id="t"),
        did("view", "x", "clock", NOW, session_id="s"),
        did("view", "w", "cup", NOW + 1, session_id="s"),
        did("view", "x", "scarf", NOW + 1, session_id="s"),
    ]
    assert asked(cases(state_of(), *mixed)) == [("pot", "cup"), ("clock", "scarf")]


def test_a_basket_is_one_visit_in_the_order_of_its_lines() -> None:
    assert asked(cases(state_of(), basket("new", "lamp", "pot", "cup"))) == [("lamp", "pot+cup")]


def test_visitors_without_a_name_are_known_by_their_own_past() -> None:
    state = state_of(Event("view", NOW - DAY, visitor_id="v", item_id="scarf"))
    held_out = [Event("view", NOW, visitor_id="v", item_id=name) for name in ("pot", "cup")]
    found = cases(state, *held_out)
    assert asked(found) == [("scarf", "pot+cup"), ("scarf+pot", "cup")]
    assert found[0].query.user == state.user_row(None, "v")


def test_a_user_and_a_visitor_of_the_same_id_are_two() -> None:
    state = state_of(Event("view", NOW - DAY, visitor_id="7", item_id="scarf"))
    mixed = [*views("7", "pot", "cup"), Event("view", NOW, visitor_id="7", item_id="lamp")]
    assert asked(cases(state, *mixed)) == [("pot", "cup"), ("scarf", "lamp")]


@pytest.mark.parametrize(
    "event",
    [
        did("return", "w", "cup", NOW + 1),
        did("dismiss", "w", "cup", NOW + 1),
        did("impression", "w", "cup", NOW + 1),
        did("view", "w", "cup", NOW + 1, consent=False),
        did("view", "w", "unknown", NOW + 1),
        Event("search", NOW + 1, user_id="w", query="cup"),
        Activation("v"),
        TEA[1],
    ],
    ids=["return", "dismiss", "impression", "no consent", "unknown item", "search", "activation", "item change"],
)
def test_what_says_nothing_about_taste_is_no_part_of_a_visit(event: object) -> None:
    assert asked(cases(state_of(), *views("w", "pot"), event, *views("w", "lamp"))) == [("pot", "lamp")]


def test_of_too_many_visits_a_seeded_sample_is_taken() -> None:
    visits = [
        Event("purchase", NOW + at, user_id=f"n{at}", items=(Line("pot"), Line(list(ROWS)[1 + at % 4])))
        for at in range(40)
    ]
    everything = cases(state_of(), *visits)
    some, same, other = (cases(state_of(), *visits, most=15, seed=seed) for seed in (1, 1, 2))
    assert (len(everything), len(some)) == (40, 15)
    moments = [[case.query.now for case in found] for found in (some, same, other)]
    assert moments[0] == moments[1] == sorted(set(moments[0]))
    assert moments[0] != moments[2]
    assert set(moments[0]) <= {case.query.now for case in everything}
    assert len(cases(state_of(), *visits, most=40)) == 40


def test_the_state_is_left_alone() -> None:
    state = state_of(did("view", "w", "pot"))
    before = (state.offset, len(state.items), len(state.users), state.popularity.scores("popular").tolist())
    cases(state, *views("w", "cup", "unknown"), *views("new", "lamp", "clock"))
    assert (state.offset, len(state.items), len(state.users), state.popularity.scores("popular").tolist()) == before


def test_nothing_held_out_gives_no_case() -> None:
    assert cases(state_of()) == []


def test_rows_are_what_models_take() -> None:
    (case,) = cases(state_of(), *views("new", "pot", "cup"))
    query = case.query
    assert {array.dtype for array in (query.history, query.session, case.relevant, case.seen)} == {np.dtype(np.int32)}
    assert query.weights.dtype == np.float32
    assert query.times.dtype == np.int64
