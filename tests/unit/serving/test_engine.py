"""Every recipe for every kind of visitor, over a small shop with the real encoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.shops import DAY, MINUTE, NOW, TEA, Small, basket, did, item

from endcap.catalog.items import ItemChange, parse_change
from endcap.encoders.cache import VectorStore
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.errors import InvalidFieldError
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.models.content import FEW, SHARPNESS, WORDS
from endcap.models.ensemble import Blend
from endcap.models.itemknn import ItemKNN
from endcap.serving.engine import RECIPES, Recommended, Request

FOR_ALL = tuple(recipe for recipe in RECIPES if recipe != "buy-again")
"""Recipes that have something to show to somebody new; tests/unit/serving/test_bought.py is about the other."""
ABOUT: dict[str, dict[str, Any]] = {
    "similar": {"item_ids": ("pot",)},
    "bought-together": {"item_ids": ("pot",)},
    "rerank": {"item_ids": ("scarf", "pot", "lamp")},
    "search": {"query": "tea pot"},
}
"""What a recipe needs beside the visitor."""
FOR_ONE = ("for-you", "similar", "bought-together", "next")
"""The recipes that leave out what the visitor has dismissed."""
SOLD = (
    basket("u1", "pot", "cup"),
    basket("u2", "pot", "cup"),
    basket("u3", "pot", "lamp"),
)


def asked(recipe: str) -> dict[str, Any]:
    return ABOUT.get(recipe, {})


@pytest.fixture
def shop(store: VectorStore) -> Small:
    """Five items, three baskets a day ago: pot 3, cup 2, lamp 1."""
    return Small(store, *TEA, *SOLD)


def scores(shown: tuple[Recommended, ...]) -> dict[str, float]:
    return {one.item_id: one.score for one in shown}


# Each recipe says what it should.


def test_a_new_visitor_gets_what_is_in_demand_and_then_the_rest(shop: Small) -> None:
    answer = shop.ask(visitor_id="nobody", explain=True)
    # Four untrained members of weight 1/4, of which trending and popular speak, each scaled by its best.
    assert scores(answer.items) == pytest.approx({"pot": 1 / 2, "cup": 1 / 3, "lamp": 1 / 6, "clock": 0, "scarf": 0})
    assert [one.item_id for one in answer.items] == ["pot", "cup", "lamp", "clock", "scarf"]
    assert answer.items[1].parts == pytest.approx({"trending": 1 / 6, "popular": 1 / 6})
    assert [one.reason for one in answer.items] == ["In demand this week"] * 3 + ["Part of the catalogue"] * 2
    assert (answer.model, answer.offset) == ("untrained", len(TEA) + len(SOLD))


def test_nobody_at_all_gets_the_same_as_a_new_visitor(shop: Small) -> None:
    assert shop.ask().items == shop.ask(user_id="x", visitor_id="y").items


def test_trending_forgets_in_weeks_and_popular_in_months(store: VectorStore) -> None:
    old = [basket(f"u{n}", "pot", time=NOW - 70 * DAY) for n in range(10)]
    shop = Small(store, *TEA, *old, basket("w", "cup", time=NOW))
    trending, popular = shop.ask("trending").items, shop.ask("popular").items
    assert [trending[0].item_id, popular[0].item_id] == ["cup", "pot"]
    assert scores(trending)["pot"] == pytest.approx(10 * 2 ** (-70 / 7), rel=1e-5)
    assert scores(popular)["cup"] == pytest.approx(1 / (10 * 2 ** (-70 / 90)), rel=1e-5)
    assert popular[0].reason == "A favourite of many"


def test_similar_ranks_by_the_meaning_and_the_words_of_the_titles(shop: Small) -> None:
    answer = shop.ask("similar", item_ids=("pot",))
    texts = {change.item_id: "Tea pot. Leaf" if change.item_id == "pot" else change.fields["title"] for change in TEA}
    vectors = UniversalSentenceEncoder().encode([str(text) for text in texts.values()])
    cosines = dict(zip(texts, (vectors @ vectors[0]).tolist(), strict=True))
    ordinary = (sum(cosines.values()) - cosines["pot"]) / (len(TEA) + FEW)
    near = {name: (1 - WORDS) * ((cosine - ordinary) / (1 - ordinary)) ** SHARPNESS for name, cosine in cosines.items()}
    near["cup"] += WORDS * float(shop.contents.words.like(0)[1])  # both are of tea
    expected = sorted(set(near) - {"pot"}, key=lambda name: -near[name])
    assert [one.item_id for one in answer.items] == expected
    assert expected[0] == "cup"
    # Content has 0.6 of the blend, and is scaled by its best.
    best = near["cup"]
    assert scores(answer.items) == pytest.approx({name: 0.6 * near[name] / best for name in expected}, rel=1e-3)
    assert answer.items[0].reason == "Similar to “Tea pot”"


def test_similar_to_several_names_the_one_that_speaks_most(shop: Small) -> None:
    shop.add(item("alarm", "Alarm clock"))
    reasons = {one.item_id: one.reason for one in shop.ask("similar", item_ids=("clock", "pot")).items}
    assert (reasons["alarm"], reasons["cup"]) == ("Similar to “Wall clock”", "Similar to “Tea pot”")
    assert not {"clock", "pot"} & reasons.keys()


def test_bought_together_counts_baskets_and_not_views(shop: Small) -> None:
    shop.add(did("view", "w", "pot", session_id="s"), did("view", "w", "scarf", session_id="s"))
    answer = shop.ask("bought-together", item_ids=("pot",), explain=True)
    # Sessions that hold both, damped by (sessions with it + 10) ** 0.25; scaled by the pot's own 3.
    best = 3 / (3 + 10) ** 0.25
    expected = {"cup": 2 / (2 + 10) ** 0.25 / best, "lamp": 1 / (1 + 10) ** 0.25 / best}
    together = {one.item_id: one.score for one in answer.items if one.parts and "bought_together" in one.parts}
    assert together == pytest.approx(expected, rel=1e-5)
    assert [one.item_id for one in answer.items[:2]] == ["cup", "lamp"]
    assert answer.items[0].reason == "Often bought together with “Tea pot”"


def test_each_item_of_a_cart_speaks(shop: Small) -> None:
    shop.add(basket("u4", "scarf", "clock"))
    answer = shop.ask("bought-together", item_ids=("scarf", "cup"), explain=True)
    assert {one.item_id for one in answer.items if one.parts and "bought_together" in one.parts} == {"clock", "pot"}


def test_next_follows_the_given_items_or_the_open_visit(shop: Small) -> None:
    shop.add(did("view", "w", "lamp", NOW - MINUTE))
    given, own = shop.ask("next", user_id="w", item_ids=("cup",)), shop.ask("next", user_id="w")
    assert given.items[0].item_id == "pot"
    assert [given.items[0].reason, own.items[0].reason] == ["Chosen by others on a visit like yours"] * 2
    assert "cup" not in scores(given.items)
    assert "lamp" in scores(given.items)  # the given items stand for the visit
    assert "lamp" not in scores(own.items)
    assert own.items[0].item_id == "pot"  # the one thing bought with a lamp


def test_next_after_the_visit_is_over_is_what_is_in_demand(shop: Small) -> None:
    shop.add(did("view", "w", "lamp", NOW - 31 * MINUTE))
    answer = shop.ask("next", user_id="w")
    assert {one.reason for one in answer.items[:3]} == {"In demand this week"}
    assert [one.item_id for one in answer.items[:3]] == ["pot", "cup", "lamp"]


def test_search_finds_and_does_not_fill_up(shop: Small) -> None:
    answer = shop.ask("search", query="tea pot", explain=True)
    assert answer.items[0].item_id == "pot"
    assert answer.items[0].reason == "Matches “tea pot”"
    assert answer.items[0].parts == pytest.approx({"search": 1.0})
    assert len(answer.items) < len(TEA)
    assert shop.ask("search", query="qzxwvk").items == ()


def test_search_by_id_and_in_another_language(shop: Small) -> None:
    assert shop.ids("search", query="CLOCK")[0] == "clock"
    found = shop.ask("search", query="台灯", language="zh").items
    assert (found[0].item_id, found[0].reason) == ("lamp", "与“台灯”匹配")


def test_rerank_orders_the_callers_list_and_nothing_else(shop: Small) -> None:
    assert shop.ids("rerank", item_ids=("scarf", "lamp", "no such", "pot", "lamp")) == ["pot", "lamp", "scarf"]
    assert shop.ids("rerank", item_ids=("scarf", "lamp", "pot"), k=1) == ["pot"]
    assert shop.ids("rerank", item_ids=("no such",)) == []


def test_rerank_follows_the_visitor(shop: Small) -> None:
    shop.add(item("scarf2", "Blue wool scarf"), did("view", "w", "scarf", NOW - DAY))
    assert shop.ids("rerank", item_ids=("lamp", "scarf2"), user_id="w") == ["scarf2", "lamp"]
    assert shop.ids("rerank", item_ids=("lamp", "scarf2")) == ["lamp", "scarf2"]


def test_rerank_knows_the_scores_of_the_least_wanted_too(store: VectorStore) -> None:
    things = [f"i{n}" for n in range(210)]  # more than a list's candidates
    sold = [basket("u", name, time=NOW - DAY + n * MINUTE) for n, name in enumerate(things)]
    shop = Small(store, *[item(name, "Thing") for name in things], *sold)
    (only,) = shop.ask("rerank", item_ids=("i0",), k=1, explain=True).items
    assert only.parts is not None
    assert only.parts.keys() >= {"trending", "popular"}


# Everything holds for every recipe.


def test_what_is_hidden_leaves_room_for_the_next_best_proposals(shop: Small) -> None:
    whole = shop.ask("similar", item_ids=("pot",)).items
    hidden = tuple(one.item_id for one in whole[:2])
    assert shop.ask("similar", item_ids=("pot",), exclude=hidden, k=1).items == (whole[2],)
    assert whole[2].reason == "Similar to “Tea pot”"  # proposed, not filled in


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_the_parts_add_up_to_the_score_and_the_order_is_by_score(shop: Small, recipe: str) -> None:
    shop.add(did("view", "w", "cup", NOW - 2 * DAY), did("view", "w", "clock", NOW - MINUTE))
    answer = shop.ask(recipe, user_id="w", explain=True, **asked(recipe))
    assert answer.items
    for one in answer.items:
        assert one.parts is not None
        assert abs(sum(one.parts.values()) - one.score) <= 1e-6
        assert 0.0 not in one.parts.values()
    assert [one.score for one in answer.items] == sorted((one.score for one in answer.items), reverse=True)
    plain = shop.ask(recipe, user_id="w", **asked(recipe))
    assert [replace(one, parts=None, evidence=None) for one in answer.items] == list(plain.items)


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_empty_shop_has_nothing_to_show(store: VectorStore, recipe: str) -> None:
    answer = Small(store).ask(recipe, user_id="u", visitor_id="v", **asked(recipe))
    assert (answer.items, answer.offset) == ((), 0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_unknown_ids_are_passed_over(shop: Small, recipe: str) -> None:
    about = asked(recipe)
    known = shop.ask(recipe, **about)
    more = about | ({"item_ids": ("no such", *about["item_ids"])} if "item_ids" in about else {})
    unknown = shop.ask(recipe, user_id="x", visitor_id="y", session_id="z", exclude=("no such",), **more)
    assert unknown.items == known.items


def test_a_list_about_something_unknown_is_what_is_in_demand(shop: Small) -> None:
    for recipe in ("similar", "bought-together", "next"):
        assert shop.ids(recipe, item_ids=("no such",)) == shop.ids("trending")


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_what_cannot_be_sold_or_is_gone_is_not_shown(shop: Small, recipe: str) -> None:
    about = asked(recipe)
    wanted = {"bought-together": "cup", "similar": "cup"}.get(recipe, "pot")
    assert wanted in shop.ids(recipe, **about)
    shop.add(parse_change("patch", {"item_id": wanted, "in_stock": False}))
    assert wanted not in shop.ids(recipe, **about)
    shop.add(parse_change("patch", {"item_id": wanted, "in_stock": True}))
    assert wanted in shop.ids(recipe, **about)
    shop.add(ItemChange(wanted, "delete"))
    assert wanted not in shop.ids(recipe, **about)


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_what_is_not_there_yet_or_no_longer_is_not_shown(shop: Small, recipe: str) -> None:
    wanted = {"bought-together": "cup", "similar": "cup"}.get(recipe, "pot")
    shop.add(parse_change("patch", {"item_id": wanted, "available_from": NOW, "expires": NOW + DAY}))
    shown = [wanted in shop.ids(recipe, moment, **asked(recipe)) for moment in (NOW - 1, NOW, NOW + DAY - 1, NOW + DAY)]
    assert shown == [False, True, True, False]


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_exclude_kind_and_where_hold(shop: Small, recipe: str) -> None:
    about = asked(recipe)
    whole = shop.ids(recipe, **about)
    assert shop.ids(recipe, exclude=(whole[0], "no such"), **about) == whole[1:]
    assert shop.ids(recipe, kind="product", **about) == whole
    assert shop.ids(recipe, kind="campaign", **about) == []
    prices = {change.item_id: change.fields["price"] for change in TEA}
    cheap = [name for name in whole if prices[name] < 15]  # type: ignore[operator]  # every price is a number
    assert shop.ids(recipe, where="price < 15", **about) == cheap
    assert shop.ids(recipe, where="price < 15", exclude=tuple(cheap), **about) == []


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_k_is_the_most_that_is_shown(shop: Small, recipe: str) -> None:
    about = asked(recipe)
    whole = shop.ids(recipe, k=1_000, **about)
    for k in range(1, len(whole) + 2):
        assert shop.ids(recipe, k=k, **about) == whole[:k]


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_of_one_group_one_is_shown_even_where_the_list_is_short(shop: Small, recipe: str) -> None:
    variants = [item(f"pot-{n}", f"Tea pot {n}", group_id="pots") for n in range(3)]
    shop.add(parse_change("patch", {"item_id": "pot", "group_id": "pots"}), *variants)
    about = asked(recipe)
    if recipe == "rerank":
        about = {"item_ids": ("pot", "pot-0", "pot-1", "cup")}
    shown = shop.ids(recipe, k=20, **about)
    itself = recipe in ("similar", "bought-together")  # the list is about the pot: no variant of it belongs there
    assert len({"pot", "pot-0", "pot-1", "pot-2"} & set(shown)) == (0 if itself else 1)
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("recipe", ["similar", "bought-together"])
def test_a_variant_of_the_item_on_the_page_is_not_like_it(shop: Small, recipe: str) -> None:
    shop.add(item("pot-2", "Tea pot 2", group_id="pots"))
    assert "pot-2" in shop.ids(recipe, item_ids=("pot",))
    shop.add(parse_change("patch", {"item_id": "pot", "group_id": "pots"}))
    shown = shop.ids(recipe, item_ids=("pot",))
    assert "cup" in shown
    assert not {"pot", "pot-2"} & set(shown)


def test_of_a_group_that_nobody_wants_yet_one_is_shown(shop: Small) -> None:
    shop.add(item("a", "Plain mat", group_id="mats"), item("b", "Fancy mat", group_id="mats"))
    shop.add(did("view", "w", "b"))
    assert shop.ids("trending")[-3:] == ["b", "clock", "scarf"]


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_what_only_events_have_named_is_not_shown(shop: Small, recipe: str) -> None:
    shop.add(*[basket(f"n{n}", "pot", "unlisted") for n in range(9)])
    about = asked(recipe) if recipe != "rerank" else {"item_ids": ("unlisted", "pot")}
    shown = shop.ids(recipe, **about)
    assert shown
    assert "unlisted" not in shown


# The visitor's own past.


@pytest.mark.parametrize("recipe", FOR_ALL)
def test_what_was_dismissed_is_left_out_of_lists_for_one(shop: Small, recipe: str) -> None:
    wanted = {"bought-together": "cup", "similar": "cup"}.get(recipe, "pot")
    shop.add(did("dismiss", "w", wanted))
    assert (wanted in shop.ids(recipe, user_id="w", **asked(recipe))) == (recipe not in FOR_ONE)
    assert wanted in shop.ids(recipe, user_id="somebody else", **asked(recipe))


@pytest.mark.parametrize("hides", [False, True])
def test_what_was_seen_is_hidden_where_that_was_learnt(shop: Small, hides: bool) -> None:
    shop.engine.model = replace(shop.engine.model, hides_seen=hides)
    shop.add(did("view", "w", "clock", NOW - 2 * DAY), did("view", "w", "scarf", NOW - MINUTE))
    shown = set(shop.ids(user_id="w"))
    assert ("clock" in shown) == (not hides)
    assert "scarf" not in shown  # seen in this very visit
    assert "clock" in shop.ids("popular", user_id="w")


def test_the_session_of_another_visit_does_not_speak(shop: Small) -> None:
    shop.add(did("view", "w", "lamp", NOW - MINUTE, session_id="s1"))
    same, other = shop.ask("next", user_id="w", session_id="s1"), shop.ask("next", user_id="w", session_id="s2")
    assert same.items[0].reason == "Chosen by others on a visit like yours"
    assert [one.reason for one in other.items[:3]] == ["In demand this week"] * 3
    assert "lamp" not in scores(same.items)
    assert "lamp" in scores(other.items)
    assert shop.ids("for-you", user_id="w", session_id="s2")  # the history still speaks


def test_a_visitor_who_was_identified_is_the_user(shop: Small) -> None:
    shop.add(
        Event("view", NOW - 2 * MINUTE, visitor_id="v", item_id="clock"),
        Event("dismiss", NOW - 2 * MINUTE, visitor_id="v", item_id="lamp"),
    )
    before = shop.ids(user_id="w")
    assert {"clock", "lamp"} <= set(before)
    shop.add(Event("identify", NOW - MINUTE, user_id="w", visitor_id="v"))
    as_user, as_visitor = shop.ask(user_id="w"), shop.ask(visitor_id="v")
    assert as_user.items == as_visitor.items
    assert not {"clock", "lamp"} & set(scores(as_user.items))


def test_the_user_comes_before_the_visitor(shop: Small) -> None:
    shop.add(did("view", "w", "clock", NOW - MINUTE), Event("view", NOW - MINUTE, visitor_id="v", item_id="scarf"))
    assert shop.ask(user_id="w", visitor_id="v").items == shop.ask(user_id="w").items != shop.ask(visitor_id="v").items


def test_an_event_without_consent_speaks_for_the_visit_only(shop: Small) -> None:
    shop.add(did("view", "w", "lamp", NOW - MINUTE, consent=False))
    assert shop.ask("next", user_id="w").items[0].reason == "Chosen by others on a visit like yours"
    assert shop.ids("for-you", NOW + DAY, user_id="w") == shop.ids("for-you", NOW + DAY)


def test_the_very_next_list_follows_an_event(shop: Small) -> None:
    before = shop.ask(user_id="w")
    shop.add(did("view", "w", "scarf", NOW - DAY))
    after = shop.ask(user_id="w")
    assert (before.items != after.items, after.offset - before.offset) == (True, 1)
    assert after.request_id != before.request_id


def test_the_reason_names_the_title_that_speaks(shop: Small) -> None:
    knn = learnt_from(shop, *[basket(f"k{n}", "scarf", "clock", time=NOW) for n in range(5)])
    blend = Blend({"itemknn": knn}, {"itemknn": 1.0})
    shop.engine.model = replace(
        shop.engine.model, proposers={**shop.engine.model.proposers, "for-you": blend}, evidence={"itemknn": knn}
    )
    shop.add(did("view", "w", "scarf", NOW - 3 * DAY))
    first = shop.ask(user_id="w").items[0]
    assert (first.item_id, first.reason) == ("clock", "Often bought by people who chose “Red wool scarf”")
    assert shop.ask(user_id="w", language="zh").items[0].reason == "选择“Red wool scarf”的顾客常买"


def test_what_speaks_most_goes_by_the_weight_of_its_own_event(shop: Small) -> None:
    knn = learnt_from(shop, *[basket(f"k{n}", "scarf", "lamp", "clock", time=NOW) for n in range(5)])
    blend = Blend({"itemknn": knn}, {"itemknn": 1.0})
    shop.engine.model = replace(
        shop.engine.model, proposers={**shop.engine.model.proposers, "for-you": blend}, evidence={"itemknn": knn}
    )
    shop.add(did("view", "w", "pot"), did("purchase", "w", "scarf"), did("view", "w", "lamp"))
    shop.add(*[did("view", "w", "pot") for _ in range(8)])
    reasons = {one.item_id: one.reason for one in shop.ask(user_id="w").items}
    assert reasons["clock"] == "Often bought by people who chose “Red wool scarf”"  # 5 * 0.98 ** 9, the lamp 0.98 ** 8


def learnt_from(shop: Small, *events: Event) -> ItemKNN:
    """Item neighbours of ``events``, which are added to the shop."""
    builder = InteractionBuilder()
    for event in events:
        shop.add(event)
        builder.add(shop.state, event)
    return ItemKNN().fit(builder.build(shop.state))


def test_a_title_that_is_gone_is_not_named(shop: Small) -> None:
    shop.add(did("view", "w", "scarf", NOW - DAY), ItemChange("scarf", "delete"))
    assert all("scarf" not in one.reason for one in shop.ask(user_id="w").items)


def test_an_item_is_similar_before_any_event_and_after_a_new_title(shop: Small) -> None:
    shop.add(item("new", "Porcelain tea pot"))
    assert shop.ids("similar", item_ids=("pot",), k=1) == ["new"]
    shop.add(item("new", "Garden hose"))
    assert shop.ids("similar", item_ids=("pot",), k=1) == ["cup"]


# What is refused.


def test_a_recipe_that_does_not_exist(shop: Small) -> None:
    with pytest.raises(InvalidFieldError, match=r"^recipe is 'best': use one of for-you, similar, bought-tog") as error:
        shop.ask("best")
    assert error.value.field == "recipe"


@pytest.mark.parametrize("recipe", ["similar", "bought-together", "rerank"])
def test_a_list_about_nothing(shop: Small, recipe: str) -> None:
    with pytest.raises(InvalidFieldError, match=f"^the recipe '{recipe}' needs item_ids: what the list") as error:
        shop.ask(recipe)
    assert error.value.field == "item_ids"


def test_a_search_for_nothing(shop: Small) -> None:
    with pytest.raises(InvalidFieldError, match=r"^the recipe 'search' needs a query: what the visitor typed") as error:
        shop.ask("search", query=" \t")
    assert error.value.field == "query"


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one(shop: Small, k: int) -> None:
    with pytest.raises(InvalidFieldError, match=f"^k is {k}: ask for at least 1 item") as error:
        shop.ask(k=k)
    assert error.value.field == "k"


def test_a_kind_that_does_not_exist(shop: Small) -> None:
    with pytest.raises(InvalidFieldError, match=r"^kind is 'gift': use one of product, campaign, review, con") as error:
        shop.ask(kind="gift")
    assert error.value.field == "kind"


def test_a_condition_that_cannot_be_read(shop: Small) -> None:
    with pytest.raises(InvalidFieldError, match=r"^where is 'colour = 1': .*; it must be a SQL condition over item_id"):
        shop.ask(where="colour = 1")


def test_the_engine_leaves_the_state_alone(shop: Small) -> None:
    shop.add(did("view", "w", "clock", NOW - MINUTE))
    users, offset, counts = len(shop.state.users), shop.state.offset, shop.state.popularity.scores("popular").copy()
    for recipe in RECIPES:
        shop.ask(recipe, user_id="w", visitor_id="unknown", **asked(recipe))
    assert (len(shop.state.users), shop.state.offset) == (users, offset)
    np.testing.assert_array_equal(shop.state.popularity.scores("popular"), counts)


def test_with_diversity_the_twin_gives_way_and_why_says_so(shop: Small) -> None:
    shop.add(
        *[item(f"pot-{n}", f"Tea pot {n}") for n in range(4)], *[basket(f"x{n}", f"pot-{n % 4}") for n in range(40)]
    )
    plain = shop.ids("trending", k=4)
    spread = shop.ids("trending", k=4, diversity=0.95)
    assert len({one for one in plain if one.startswith("pot")}) >= 3
    assert spread[0] == plain[0]
    assert len({one for one in spread if one.startswith("pot")}) < 3
    gone = next(one for one in plain if one not in spread)
    request = Request("trending", k=4, diversity=0.95)
    assert shop.engine.why(request, NOW, shop.state.items.row(gone)).verdict == "moved"
    assert shop.ids("trending", k=4, diversity=0.0) == plain


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_diversity_is_a_share(shop: Small, wrong: float) -> None:
    with pytest.raises(InvalidFieldError, match=r"diversity is .*: give a number from 0 to 1"):
        shop.ask("trending", diversity=wrong)
