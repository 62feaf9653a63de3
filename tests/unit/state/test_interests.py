"""Interests against their closed form, and what a catalogue says of an item."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.catalog.items import Item, parse_change
from endcap.config import StateConfig
from endcap.events.schema import Event
from endcap.state.fold import State, apply
from endcap.state.interests import Facets, InterestBounds, Interests
from endcap.state.item import MAX_EXPONENT
from endcap.types import MS_PER_DAY, Entry

T0 = 1_764_000_000_000
CONFIG = StateConfig(interest_half_life_days=10.0, max_interests=100)
BOUNDS = InterestBounds.of(CONFIG)


def facets(**fields: Any) -> list[tuple[str, str]]:
    known = Facets()
    known.grow(1)
    known.describe(0, Item("a", "A", **fields))
    return [known.name(facet) for facet in known.of(0)]


def test_an_item_has_its_categories_its_brand_and_a_price_band() -> None:
    assert facets(categories=("A > B", "C"), brand="Aga: x", price=10.0) == [
        ("category", "A > B"),
        ("category", "C"),
        ("brand", "Aga: x"),
        ("price", "8-16"),
    ]
    assert facets(categories=("A", "A", "B", "C", "D")) == [("category", name) for name in "ABC"]
    assert facets() == []


@pytest.mark.parametrize(
    ("price", "sale", "band"),
    [(8.0, None, "8-16"), (15.99, None, "8-16"), (16.0, 7.5, "4-8"), (0.3, None, "0.25-0.5"), (1.0, None, "1-2")],
)
def test_a_price_band_reaches_from_a_power_of_two_to_the_next(price: float, sale: float | None, band: str) -> None:
    assert facets(price=price, sale_price=sale) == [("price", band)]


def test_what_is_free_has_no_price_band_and_what_is_not_listed_has_nothing() -> None:
    assert facets(price=0.0) == facets(price=5.0, sale_price=0.0) == []
    known = Facets()
    known.grow(1)
    known.describe(0, Item("a", "A", brand="Aga"))
    known.describe(0, None)
    assert known.of(0) == ()


Counted = tuple[list[int], float, int]
_COUNTED = st.tuples(
    st.lists(st.integers(0, 5), unique=True, max_size=4),
    st.floats(0.5, 8.0),
    st.integers(0, 40_000).map(lambda days: T0 + days * MS_PER_DAY),  # up to 4,000 half-lives
)


def closed_form(counted: list[Counted], now: int) -> dict[int, float]:
    weights: dict[int, float] = {}
    for found, weight, time in counted:
        for facet in found:
            weights[facet] = weights.get(facet, 0.0) + weight * 2.0 ** (-(now - time) / BOUNDS.half_life_ms)
    return weights


def interests(counted: list[Counted]) -> Interests:
    one = Interests()
    for found, weight, time in counted:
        one.add(found, weight, time, BOUNDS)
    return one


@given(st.lists(_COUNTED, max_size=20), st.lists(_COUNTED, max_size=10))
def test_any_order_and_any_joining_equal_the_closed_form(mine: list[Counted], theirs: list[Counted]) -> None:
    one, other = interests(mine), interests(theirs)
    one.absorb(other, BOUNDS)
    now = max((time for *_, time in mine + theirs), default=T0)
    expected = closed_form(mine + theirs, now)
    found = dict(one.at(now, BOUNDS))
    assert found.keys() <= expected.keys()
    for facet, weight in expected.items():
        assert found.get(facet, 0.0) == pytest.approx(weight, rel=1e-9, abs=1e-30)


def test_the_strongest_are_first_and_ties_go_by_number() -> None:
    one = interests([([2, 1], 1.0, T0), ([3], 2.0, T0)])
    assert one.at(T0, BOUNDS) == [(3, 2.0), (1, 1.0), (2, 1.0)]
    assert one.at(T0 + 10 * MS_PER_DAY, BOUNDS) == [(3, 1.0), (1, 0.5), (2, 0.5)]


def test_the_weakest_go_when_there_are_twice_as_many_as_are_kept() -> None:
    bounds = InterestBounds(BOUNDS.half_life_ms, 2)
    one = Interests()
    for facet, weight in ((0, 3.0), (1, 1.0), (2, 5.0), (3, 2.0)):
        one.add([facet], weight, T0, bounds)
    assert sorted(one.values[1]) == [0, 1, 2, 3]
    assert one.at(T0, bounds) == [(2, 5.0), (0, 3.0)]
    one.add([4], 1.0, T0, bounds)
    assert sorted(one.values[1]) == [0, 2]
    other = Interests()
    other.absorb(interests([([facet], 1.0 + facet, T0) for facet in range(6)]), bounds)
    assert sorted(other.values[1]) == [4, 5]


def test_what_is_taken_back_is_as_if_it_had_never_been() -> None:
    one = interests([([1, 2], 5.0, T0), ([2], 0.1, T0 + MS_PER_DAY)])
    one.take_back([1, 2], 5.0, T0, BOUNDS)
    assert dict(one.at(T0 + MS_PER_DAY, BOUNDS)) == {2: pytest.approx(0.1)}
    one.take_back([2, 7], 5.0, T0, BOUNDS)
    assert one.at(T0, BOUNDS) == []


def test_centuries_between_two_events_do_not_overflow() -> None:
    far = T0 + int(3 * MAX_EXPONENT * 10 * MS_PER_DAY)
    one = interests([([1], 5.0, T0), ([2], 3.0, far)])
    assert dict(one.at(far, BOUNDS)) == {2: 3.0, 1: pytest.approx(0.0)}
    one.take_back([1], 5.0, far + int(2 * MAX_EXPONENT * 10 * MS_PER_DAY), BOUNDS)
    assert one.at(far, BOUNDS) == [(2, 3.0)]


def did(kind: str, item: str, days: float = 0.0, **more: Any) -> Event:
    return Event(kind, T0 + int(days * MS_PER_DAY), item_id=item, user_id="ann", **more)


def test_a_users_interests_follow_from_the_events_and_fade() -> None:
    state = State(CONFIG)
    bodies = [
        parse_change("put", {"item_id": "pot", "title": "P", "categories": ["Tea"], "brand": "Aga", "price": 9}),
        parse_change("put", {"item_id": "cup", "title": "C", "categories": ["Tea"], "price": 3}),
        did("purchase", "pot"),
        did("view", "cup", days=10),
        did("view", "cup", days=10, consent=False),
        did("view", "unlisted", days=10),
        did("cart", "cup", days=10),
        did("uncart", "cup", days=10),
    ]
    for offset, body in enumerate(bodies, 1):
        apply(state, Entry(offset, T0, body))
    assert state.interests(0, T0 + 10 * MS_PER_DAY) == {
        "category": [("Tea", 3.5)],
        "brand": [("Aga", 2.5)],
        "price": [("8-16", 2.5), ("2-4", 1.0)],
    }
    apply(state, Entry(99, T0, did("return", "pot", days=11)))
    assert state.interests(0, T0 + 20 * MS_PER_DAY) == {
        "category": [("Tea", pytest.approx(0.5))],
        "brand": [],
        "price": [("2-4", 0.5)],
    }
