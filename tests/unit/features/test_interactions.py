"""The training columns against a slow fold of the same events, and the matrix against its definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from endcap.config import StateConfig
from endcap.events.schema import Event, Line
from endcap.features.interactions import InteractionBuilder, matrix
from endcap.state.fold import State, apply
from endcap.types import Entry, Interactions, Vocabulary

MINUTE = 60_000


def built(*events: Event, config: StateConfig | None = None) -> tuple[State, Interactions]:
    state, builder = State(config or StateConfig()), InteractionBuilder()
    for offset, event in enumerate(events, start=1):
        apply(state, Entry(offset, event.time, event))
        builder.add(state, event)
    return state, builder.build(state)


def lines(interactions: Interactions) -> list[tuple[str, str, float]]:
    users, items = interactions.users, interactions.items
    columns = (interactions.user.tolist(), interactions.item.tolist(), interactions.weight.tolist())
    return [(users.name(user), items.name(item), weight) for user, item, weight in zip(*columns, strict=True)]


def purchase(item: str, quantity: float = 1.0, time: int = 0, user: str = "ann") -> Event:
    return Event("purchase", time, user_id=user, items=(Line(item, quantity),))


def take_back(item: str, quantity: float = 1.0, time: int = 0, user: str = "ann") -> Event:
    return Event("return", time, user_id=user, items=(Line(item, quantity),))


def test_every_type_has_its_weight_and_rows_are_those_of_the_state() -> None:
    state, found = built(
        Event("view", 0, visitor_id="7", item_id="mug"),
        Event("search", 1, visitor_id="7", query="mug"),
        Event("impression", 2, visitor_id="7", item_id="cup"),
        Event("dismiss", 3, visitor_id="7", item_id="cup"),
        purchase("mug", time=4),
    )
    assert lines(found) == [("v:7", "mug", 1.0), ("u:ann", "mug", 5.0)]
    assert found.users is state.users
    assert found.items is state.items
    assert found.time.tolist() == [0, 4]


def test_no_events_give_empty_columns() -> None:
    _, found = built()
    assert len(found) == 0
    assert matrix(found).shape == (0, 0)


def test_a_visit_ends_with_silence_and_with_another_session_id() -> None:
    _, found = built(
        Event("view", 0, visitor_id="7", item_id="a"),
        Event("view", 10 * MINUTE, visitor_id="7", item_id="b"),
        Event("view", 50 * MINUTE, visitor_id="7", item_id="c"),
        Event("view", 51 * MINUTE, visitor_id="7", item_id="d", session_id="s"),
        Event("view", 52 * MINUTE, visitor_id="8", item_id="d", session_id="s"),
    )
    visits = found.session.tolist()
    assert visits[0] == visits[1]
    assert len(set(visits)) == 4


def test_a_return_takes_back_the_newest_purchase_first_and_partly() -> None:
    _, found = built(
        purchase("mug", 3, time=0),
        purchase("mug", 2, time=1),
        purchase("mug", 9, time=2, user="bob"),
        purchase("cup", 1, time=3),
        take_back("mug", 4, time=4),
    )
    assert list(zip(found.time.tolist(), lines(found), strict=True)) == [
        (0, ("u:ann", "mug", 5.0)),  # one of three is left
        (2, ("u:bob", "mug", 5.0)),
        (3, ("u:ann", "cup", 5.0)),
    ]


def test_a_return_of_more_than_was_bought_leaves_nothing_and_owes_nothing() -> None:
    _, found = built(purchase("mug", 2), take_back("mug", 5, time=1), purchase("mug", 1, time=2))
    assert found.time.tolist() == [2]


def test_a_return_undoes_purchases_only_and_may_come_without_one() -> None:
    _, found = built(
        take_back("mug"), Event("view", 1, user_id="ann", item_id="mug"), take_back("mug", time=2), take_back("new")
    )
    assert lines(found) == [("u:ann", "mug", 1.0)]


def test_what_a_visitor_did_becomes_the_users() -> None:
    _, found = built(
        Event("purchase", 0, visitor_id="7", items=(Line("mug", 1),)),
        Event("view", 1, visitor_id="7", item_id="cup"),
        Event("identify", 2, visitor_id="7", user_id="ann"),
        Event("view", 3, visitor_id="7", item_id="pot"),
        take_back("mug", time=4),
    )
    assert lines(found) == [("u:ann", "cup", 1.0), ("u:ann", "pot", 1.0)]


def test_a_second_identify_moves_only_what_came_after_the_first() -> None:
    _, found = built(
        Event("view", 0, visitor_id="7", item_id="a"),
        Event("identify", 1, visitor_id="7", user_id="ann"),
        Event("identify", 2, visitor_id="7", user_id="bob"),
        Event("view", 3, visitor_id="7", item_id="b"),
    )
    assert lines(found) == [("u:ann", "a", 1.0), ("u:bob", "b", 1.0)]


def test_who_was_forgotten_and_identified_again_keeps_what_came_before() -> None:
    config = StateConfig(max_identified=1)
    _, found = built(
        Event("view", 0, visitor_id="7", item_id="a"),
        Event("identify", 1, visitor_id="7", user_id="ann"),
        Event("identify", 2, visitor_id="8", user_id="bob"),
        Event("view", 3, visitor_id="7", item_id="b"),
        Event("identify", 4, visitor_id="7", user_id="cy"),
        Event("view", 5, visitor_id="7", item_id="c"),
        Event("identify", 6, visitor_id="8", user_id="bob"),
        Event("view", 7, visitor_id="7", item_id="d"),
        config=config,
    )
    assert lines(found) == [("u:ann", "a", 1.0), ("u:cy", "b", 1.0), ("u:cy", "c", 1.0), ("v:7", "d", 1.0)]


@pytest.mark.parametrize("kind", ["view", "purchase", "return", "uncart", "identify"])
def test_without_consent_nothing_is_trained_on(kind: str) -> None:
    _, found = built(
        Event("view", 0, visitor_id="7", item_id="b"),
        Event("purchase", 0, user_id="ann", item_id="a"),
        Event("cart", 0, user_id="ann", item_id="a"),
        Event(kind, 1, user_id="ann", visitor_id="7", item_id="a", consent=False),
        Event("view", 2, visitor_id="7", item_id="c"),
    )
    assert lines(found) == [("v:7", "b", 1.0), ("u:ann", "a", 5.0), ("u:ann", "a", 3.0), ("v:7", "c", 1.0)]


def test_an_uncart_takes_back_the_newest_cart_wholly() -> None:
    carts = [Event("cart", time, user_id="ann", items=(Line("mug", 3.0),)) for time in range(2)]
    _, found = built(*carts, purchase("mug", time=2), Event("uncart", 3, user_id="ann", item_id="mug"))
    assert list(zip(found.time.tolist(), found.weight.tolist(), strict=True)) == [(0, 3.0), (2, 5.0)]


def test_a_rating_below_the_middle_is_no_taste() -> None:
    config = StateConfig(weights={"rate": 2.0})
    rated = [Event("rate", time, user_id="ann", item_id="mug", rating=rating) for time, rating in ((0, 2.0), (1, 4.0))]
    _, found = built(*rated, config=config)
    assert found.time.tolist() == [1]


def test_a_dismissal_is_no_taste_whatever_its_weight() -> None:
    config = StateConfig(weights={"dismiss": 2.0, "view": 1.0})
    _, found = built(
        Event("dismiss", 0, visitor_id="7", item_id="a"), Event("view", 1, visitor_id="7", item_id="b"), config=config
    )
    assert lines(found) == [("v:7", "b", 1.0)]


def _random_log(seed: int) -> Sequence[Event]:
    random = np.random.default_rng(seed)
    events = []
    for time in range(400):
        who, item = str(random.integers(4)), f"i{random.integers(6)}"
        named = random.random() < 0.5
        kind = str(random.choice(["view", "purchase", "purchase", "return", "identify"], p=[0.3, 0.3, 0.1, 0.28, 0.02]))
        if kind == "identify":
            events.append(Event(kind, time, user_id=who, visitor_id=str(random.integers(4))))
        else:
            lines = (Line(item, float(random.integers(1, 4))),)
            events.append(Event(kind, time, None, who if named else None, None if named else who, items=lines))
    return events


@pytest.mark.parametrize("seed", range(5))
def test_the_columns_hold_what_the_state_remembers(seed: int) -> None:
    state, found = built(*_random_log(seed), config=StateConfig(max_history=10_000))
    assert len(found) > 50
    for user in range(len(state.users)):
        own = found.user == user
        remembered = state.history(user)
        expected = zip(remembered.times.tolist(), remembered.items.tolist(), remembered.types.tolist(), strict=True)
        weights = state.type_weights(remembered.types)
        assert sorted(zip(found.time[own].tolist(), found.item[own].tolist(), strict=True)) == sorted(
            (time, item) for time, item, _ in expected
        )
        assert found.weight[own].sum() == weights.sum()


def test_the_matrix_sums_the_weights_of_a_pair() -> None:
    found = Interactions(
        Vocabulary("xy"),
        Vocabulary("abc"),
        np.array([1, 0, 1, 1], np.int32),
        np.array([2, 0, 2, 0], np.int32),
        np.array([1, 5, 3, 2], np.float32),
        np.zeros(4, np.int64),
        np.zeros(4, np.int32),
    )
    table = matrix(found)
    assert table.dtype == np.float32
    assert table.toarray().tolist() == [[5, 0, 0], [2, 0, 4]]
    assert table.nnz == 3
