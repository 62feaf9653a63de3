"""Lists with what a language model said: rules, pins and caps hold, whatever it was; and the log makes them again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.shops import NOW, TEA, Small, basket

from endcap.catalog.rules import RuleChange, parse_rule
from endcap.encoders.cache import VectorStore
from endcap.serving.engine import RECIPES, Request
from endcap.serving.exposure import request_of, served

IDS = ["pot", "cup", "lamp", "clock", "scarf"]
SOLD = [basket(f"u{at}", *IDS[: 5 - at]) for at in range(5)]


def rule(action: str, where: str, **more: object) -> RuleChange:
    return RuleChange("r", parse_rule({"id": "r", "action": action, "where": where, **more}, RECIPES))


@pytest.fixture
def shop(store: VectorStore) -> Small:
    return Small(store, *TEA, *SOLD)


def test_the_first_items_stand_in_the_order(shop: Small) -> None:
    assert shop.ids("popular") == IDS
    assert shop.ids("popular", order=("scarf", "lamp", "pot", "cup", "clock")) == [
        "scarf",
        "lamp",
        "pot",
        "cup",
        "clock",
    ]
    assert shop.ids("popular", order=("clock", "pot")) == ["clock", "cup", "lamp", "pot", "scarf"]


def test_a_short_list_is_the_best_of_the_order(shop: Small) -> None:
    assert shop.ids("popular", k=2, order=("scarf", "lamp", "pot", "cup", "clock")) == ["scarf", "lamp"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rule("pin", "item_id = 'pot'"), ["pot", "scarf", "clock", "lamp", "cup"]),
        (rule("pin", "item_id = 'cup'", value=2), ["scarf", "cup", "clock", "lamp", "pot"]),
        (rule("exclude", "item_id = 'scarf'"), ["clock", "lamp", "cup", "pot"]),
        (rule("cap", "price > 13", value=1), ["scarf", "cup", "pot"]),
    ],
)
def test_rules_hold_whatever_the_order(shop: Small, change: RuleChange, expected: list[str]) -> None:
    shop.add(change)
    assert shop.ids("popular", order=tuple(reversed(IDS))) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*IDS, "nobody", ""]), max_size=8), st.integers(1, 6), st.sampled_from([0.0, 0.5]))
def test_an_order_adds_nothing_and_hides_nothing(shop: Small, order: list[str], k: int, diversity: float) -> None:
    found = shop.ids("popular", k=k, order=tuple(order), exclude=("lamp",), diversity=diversity)
    assert len(found) == len(set(found)) == min(k, 4)
    assert set(found) <= {"pot", "cup", "clock", "scarf"}


def test_a_rewritten_query_is_what_is_searched_for_and_the_typed_one_what_is_told(shop: Small) -> None:
    assert shop.ids("search", query="zzzz") == []
    answer = shop.ask("search", query="zzzz", rewritten="wall clock")
    assert answer.items[0].item_id == "clock"
    assert answer.items[0].reason == "Matches “zzzz”"


def test_the_log_keeps_what_was_said(shop: Small) -> None:
    request = Request("search", query="cl0ck", rewritten="clock", order=("lamp", "clock"), explain=True)
    answer = shop.engine.recommend(request, NOW)
    again = request_of(served(request, answer, NOW, shop.state.items, settled=True))
    assert (again.rewritten, again.order) == ("clock", ("lamp", "clock"))
    made = shop.engine.recommend(again, NOW)
    assert [one.item_id for one in made.items] == [one.item_id for one in answer.items]
