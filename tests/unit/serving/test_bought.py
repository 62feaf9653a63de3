"""What was bought: hidden until it is due again where that was learnt, and the recipe of what is bought again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from tests.unit.shops import DAY, NOW, TEA, Small, basket, did, item

from endcap.catalog.items import parse_change
from endcap.catalog.rules import RuleChange, parse_rule
from endcap.encoders.cache import VectorStore
from endcap.events.log import Body
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.models.buy_again import BuyAgain
from endcap.models.ensemble import Blend
from endcap.serving.engine import RECIPES, Request
from endcap.serving.page import page
from endcap.state.fold import State, apply
from endcap.types import Entry

TEN_DAYS = 10 * DAY
"""Between two purchases of a pot, always; what is bought is due again after half of it."""


@pytest.fixture
def shop(store: VectorStore) -> Small:
    """Pots are bought every ten days; the version has learnt that."""
    bodies: list[Body] = [
        *TEA,
        *(basket(f"u{n}", "pot", time=NOW - at * TEN_DAYS) for n in range(20) for at in (3, 2, 1)),
    ]
    state, builder = State(Small(store).state.config), InteractionBuilder()
    for offset, body in enumerate(bodies, 1):
        apply(state, Entry(offset, NOW, body))
        if offset > len(TEA):
            builder.add(state, cast(Event, body))
    shop = Small(store, *bodies)
    again = BuyAgain(0.5).fit(builder.build(state))
    learn(shop, again)
    return shop


def learn(shop: Small, again: BuyAgain) -> None:
    """Let the shop serve what ``again`` has learnt."""
    proposers = {**shop.engine.model.proposers, "buy-again": Blend({"buy_again": again}, {"buy_again": 1.0})}
    shop.engine.model = replace(shop.engine.model, again=again, proposers=proposers)


@pytest.mark.parametrize(("seen", "bought"), [(False, False), (True, False), (False, True)])
def test_what_was_bought_is_hidden_until_it_is_due(shop: Small, seen: bool, bought: bool) -> None:
    shop.engine.model = replace(shop.engine.model, hides_seen=seen, hides_bought=bought)
    shop.add(basket("w", "pot", time=NOW - 4 * DAY), did("view", "w", "clock", NOW - 2 * DAY))
    hidden = {name for name in ("pot", "clock") if name not in shop.ids(user_id="w")}
    assert hidden == ({"pot", "clock"} if seen else {"pot"} if bought else set())
    later = {name for name in ("pot", "clock") if name not in shop.ids(now=NOW + 2 * DAY, user_id="w")}
    assert later == ({"clock"} if seen else set())


def test_why_says_when_it_is_due_again(shop: Small) -> None:
    shop.engine.model = replace(shop.engine.model, hides_bought=True)
    shop.add(basket("w", "pot", time=NOW - 4 * DAY))
    row = shop.state.items.row("pot")
    found = shop.engine.why(Request("for-you", user_id="w"), NOW, row)
    assert (found.verdict, found.hidden_by) == ("hidden", ("bought_not_due",))
    assert found.due is not None
    assert found.due == pytest.approx(NOW + DAY, abs=60_000)  # five days after it was bought
    assert datetime.fromtimestamp(found.due / 1000, UTC).year == 2025
    assert shop.engine.why(Request("popular", user_id="w"), NOW, row).due is None


def test_where_nobody_comes_back_there_is_no_date(store: VectorStore) -> None:
    shop = Small(store, *TEA, basket("w", "pot", time=NOW - 400 * DAY))
    shop.engine.model = replace(shop.engine.model, hides_bought=True)
    found = shop.engine.why(Request("for-you", user_id="w"), NOW, shop.state.items.row("pot"))
    assert (found.hidden_by, found.due) == (("bought_not_due",), None)


def test_buy_again_holds_what_is_due_and_nothing_else(shop: Small) -> None:
    shop.add(basket("w", "pot", "cup", time=NOW - TEN_DAYS), did("view", "w", "clock", NOW - TEN_DAYS))
    answer = shop.ask("buy-again", user_id="w", explain=True)
    assert [one.item_id for one in answer.items] == ["pot", "cup"], "pots are bought again, of cups nothing is known"
    assert answer.items[0].reason == "You may need it again by now"
    assert answer.items[0].parts is not None
    assert list(answer.items[0].parts) == ["buy_again"]
    assert shop.ids("buy-again", user_id="somebody new") == []
    shop.add(basket("w", "pot", time=NOW - DAY))
    assert shop.ids("buy-again", user_id="w") == ["cup"]


def test_buy_again_keeps_every_rule(shop: Small) -> None:
    shop.add(basket("w", "pot", "cup", "lamp", "scarf", time=NOW - TEN_DAYS))
    assert set(shop.ids("buy-again", user_id="w")) == {"pot", "cup", "lamp", "scarf"}
    hide = parse_rule({"id": "r", "action": "exclude", "where": "item_id = 'cup'", "recipe": "buy-again"}, RECIPES)
    pin = parse_rule({"id": "p", "action": "pin", "where": "item_id IN ('clock', 'scarf')"}, RECIPES)
    shop.add(
        RuleChange("r", hide),
        RuleChange("p", pin),
        parse_change("patch", {"item_id": "lamp", "in_stock": False}),
    )
    assert shop.ids("buy-again", user_id="w") == ["scarf", "pot"]
    shop.add(did("dismiss", "w", "pot"))
    assert shop.ids("buy-again", user_id="w", exclude=("scarf",)) == []
    assert not any(shop.engine.violations.values())


def test_a_page_has_a_row_of_what_is_due(shop: Small) -> None:
    bought = basket("w", "pot", "lamp", "cup", "scarf", time=NOW - TEN_DAYS)
    shop.add(*(item(f"more {n}", f"Other thing {n}") for n in range(9)), bought)
    rows = page(shop.engine, Request("for-you", user_id="w", k=1, language="zh"), NOW)
    titles = {row.request.recipe: row.title for row in rows}
    assert titles["buy-again"] == "再次购买"
    assert "buy-again" not in {row.request.recipe for row in page(shop.engine, Request("for-you", k=1), NOW)}
