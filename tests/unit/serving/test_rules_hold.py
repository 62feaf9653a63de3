"""No list ever breaks a rule: random shops, rules, visitors, dates and lists, judged item by item in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.shops import DAY, MINUTE, NOW, TEA, Small, basket, did, item

from endcap.catalog.items import ItemChange, parse_change
from endcap.catalog.rules import Rule, RuleChange, parse_rule
from endcap.encoders.cache import VectorStore
from endcap.events.schema import Event
from endcap.models.buy_again import BuyAgain
from endcap.models.ensemble import Blend
from endcap.ranking.rules import Visibility
from endcap.serving.engine import RECIPES, Answer, Request
from endcap.serving.page import page

Fields = Mapping[str, Any]
FOR_ONE = ("for-you", "similar", "bought-together", "next", "buy-again")
IDS = [f"i{number}" for number in range(7)]


def rule(name: str, action: str, where: str, **more: object) -> RuleChange:
    """A rule put."""
    return RuleChange(name, parse_rule({"id": name, "action": action, "where": where, **more}, RECIPES))


# What a condition means, in Python. None is SQL's NULL: neither true nor false.


def _number(of: Fields, name: str) -> float | None:
    value = of.get("attributes", {}).get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


WHERES: dict[str, Callable[[Fields], bool]] = {
    "true": lambda _: True,
    "price > 5": lambda of: of.get("price") is not None and of["price"] > 5,
    "NOT price > 5": lambda of: of.get("price") is not None and of["price"] <= 5,
    "price IS NULL OR brand = 'A'": lambda of: of.get("price") is None or of.get("brand") == "A",
    "brand IN ('A', 'B')": lambda of: of.get("brand") in ("A", "B"),
    "item_id IN ('i1', 'i2', 'i3')": lambda of: of["item_id"] in ("i1", "i2", "i3"),
    "category LIKE 'X >%'": lambda of: bool(of.get("categories")) and of["categories"][0].startswith("X >"),
    "size >= 2": lambda of: (_number(of, "size") or 0) >= 2,
    "kind <> 'campaign' AND title LIKE '%pot%'": lambda of: of["kind"] != "campaign" and "pot" in of["title"],
}
_DATES = st.integers(-2, 2).map(lambda days: NOW + days * 1_000)
_ITEM = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["Tea pot", "Tea cup", "Desk lamp", "Red scarf"]),
        "kind": st.sampled_from(["product", "product", "campaign"]),
    },
    optional={
        "in_stock": st.sampled_from([True, True, True, False]),
        "price": st.integers(0, 9),
        "brand": st.sampled_from("ABC"),
        "categories": st.sampled_from([["X > Y"], ["X > Z", "W"], ["W"]]),
        "group_id": st.sampled_from(["g1", "g2"]),
        "attributes": st.fixed_dictionaries({"size": st.sampled_from([1, 2, 2.5, "XL", True])}),
        "available_from": _DATES,
        "expires": _DATES,
    },
)
_RULE = st.fixed_dictionaries(
    {"where": st.sampled_from(list(WHERES))},
    optional={
        "recipe": st.sampled_from(RECIPES),
        "kind": st.sampled_from(["product", "campaign"]),
        "from": st.integers(-2, 0).map(lambda days: NOW + days * 1_000),
        "until": st.integers(1, 2).map(lambda days: NOW + days * 1_000),
    },
)
_ACTION = st.one_of(
    st.sampled_from([{"action": "include"}, {"action": "exclude"}, {"action": "exclude"}]),
    st.builds(lambda value: {"action": "boost", "value": value}, st.sampled_from([0.1, 0.5, 3])),
    st.builds(lambda value: {"action": "pin", "value": value}, st.integers(1, 4)),
    st.builds(
        lambda value, per: {"action": "cap", "value": value, "per": per},
        st.integers(1, 2),
        st.sampled_from([None, "brand", "category", "kind"]),
    ),
)
_ASK = st.fixed_dictionaries(
    {"recipe": st.sampled_from(RECIPES), "k": st.sampled_from([1, 2, 3, 5, 50]), "seconds": st.integers(-3, 3)},
    optional={
        "kind": st.sampled_from(["product", "campaign"]),
        "where": st.sampled_from([*WHERES]),
        "exclude": st.lists(st.sampled_from(IDS), max_size=2).map(tuple),
        "user_id": st.sampled_from(["ann", "bo", "nobody"]),
        "diversity": st.sampled_from([0.3, 1.0]),
    },
)
_CHANGES = st.one_of(
    st.tuples(st.just("rule"), st.sampled_from("pqrs"), st.tuples(_RULE, _ACTION)),
    st.tuples(st.just("rule"), st.sampled_from("pqrs"), st.tuples(_RULE, _ACTION)),
    st.tuples(st.just("put"), st.sampled_from(IDS), _ITEM),
    st.tuples(st.just("stock"), st.sampled_from(IDS), st.booleans()),
    st.tuples(st.just("delete"), st.sampled_from(IDS), st.none()),
    st.tuples(st.just("end"), st.sampled_from("pqrs"), st.none()),
    st.tuples(
        st.sampled_from(["view", "purchase", "bought before", "bought before", "dismiss"]),
        st.sampled_from(["ann", "bo"]),
        st.sampled_from(IDS),
    ),
)
_CATALOGUES = st.lists(_ITEM, min_size=len(IDS), max_size=len(IDS))
_STORIES = st.lists(st.tuples(_CHANGES, _ASK), min_size=6, max_size=20)


class Told:
    """A shop, and beside it what it was told, in the plainest form."""

    def __init__(self, store: VectorStore, hides_bought: bool) -> None:
        self.shop = Small(store)
        learnt = {"rate": np.ones(50), "interval": np.full(50, 2.0), "typical": np.full(1, 2.0)}
        again = BuyAgain(due_after=0.5).from_arrays({name: one.astype(np.float32) for name, one in learnt.items()})
        model = self.shop.engine.model
        proposers = {**model.proposers, "buy-again": Blend({"buy_again": again}, {"buy_again": 1.0})}
        self.hides_bought = hides_bought
        self.shop.engine.model = replace(model, again=again, proposers=proposers, hides_bought=hides_bought)
        self.bought: dict[tuple[str, str], int] = {}
        """By user and item, when it was bought last. A day later it is due again."""
        self.items: dict[str, Fields] = {}
        self.groups: dict[str, str | None] = {}
        """Also of items that are gone: their page may be open still."""
        self.rules: dict[str, Fields] = {}
        self.dismissed: dict[str, set[str]] = {}
        self.visit: dict[str, set[str]] = {}

    def do(self, op: str, name: Any, what: Any) -> None:
        """One step."""
        if op == "put":
            self.items[name] = {"in_stock": True, **what, "item_id": name}
            self.groups[name] = what.get("group_id")
            self.shop.add(parse_change("put", {**what, "item_id": name}))
        elif op == "stock":
            if name in self.items:
                self.items[name] = {**self.items[name], "in_stock": what}
            self.shop.add(parse_change("patch", {"item_id": name, "in_stock": what}))
        elif op == "delete":
            self.items.pop(name, None)
            self.shop.add(ItemChange(name, "delete"))
        elif op == "rule":
            fields = {**what[0], **what[1], "id": name}
            self.rules[name] = fields
            self.shop.add(RuleChange(name, parse_rule(fields, RECIPES)))
        elif op == "end":
            self.rules.pop(name, None)
            self.shop.add(RuleChange(name, None))
        elif op == "bought before":
            self.shop.add(Event("purchase", NOW - DAY, user_id=name, item_id=what, session_id="long ago"))
            self.bought[name, what] = max(self.bought.get((name, what), 0), NOW - DAY)
        else:
            if op == "purchase":
                self.bought[name, what] = NOW - 1_000
            self.shop.add(Event(op, NOW - 1_000, user_id=name, item_id=what))
            kept = self.dismissed if op == "dismiss" else self.visit
            kept.setdefault(name, set()).add(what)

    def ask(self, asked: dict[str, Any]) -> tuple[Answer, dict[str, Any], int]:
        """A list, what was asked in full, and when."""
        now = NOW + asked.pop("seconds") * 1_000
        about = {"similar": ("i0",), "bought-together": ("i1", "i2"), "rerank": ("i3", "i4", "i5", "i6", "new")}
        asked |= {"item_ids": about.get(asked["recipe"], ()), "query": "tea pot"}
        if "where" in asked and "size" in asked["where"] and not self.knows("size"):
            del asked["where"]  # refused: no item has it
        return self.shop.ask(now=now, explain=True, **asked), asked, now

    def knows(self, attribute: str) -> bool:
        return any(attribute in of.get("attributes", {}) for of in self.items.values())

    def in_force(self, recipe: str, now: int) -> list[Fields]:
        return [
            one
            for one in self.rules.values()
            if one.get("recipe") in (None, recipe) and one.get("from", 0) <= now < one.get("until", 2**62)
        ]

    def allowed(self, name: str, asked: Fields, now: int) -> bool:
        """Whether an item may be in this list, whatever else is in it."""
        of = self.items.get(name)
        if of is None or not of["in_stock"] or name in asked.get("exclude", ()):
            return False
        if now < of.get("available_from", 0) or of.get("expires", 2**62) <= now:
            return False
        if asked.get("kind") not in (None, of["kind"]) or not WHERES[asked.get("where", "true")](of):
            return False
        concerned = [r for r in self.in_force(asked["recipe"], now) if r.get("kind") in (None, of["kind"])]
        if any(r["action"] == "exclude" and WHERES[r["where"]](of) for r in concerned):
            return False
        includes = [WHERES[r["where"]](of) for r in concerned if r["action"] == "include"]
        return (not includes or any(includes)) and self._personal(name, of, asked, now)

    def _personal(self, name: str, of: Fields, asked: Fields, now: int) -> bool:
        recipe, user, about = asked["recipe"], asked.get("user_id", ""), asked["item_ids"]
        last = self.bought.get((user, name))
        if recipe in ("for-you", "buy-again") and not self._due(last, recipe, now):
            return False
        if recipe == "rerank":
            return name in about
        if recipe in FOR_ONE and name in self.dismissed.get(user, ()):
            return False
        if recipe in ("for-you", "next") and name in self.visit.get(user, ()):
            return False
        if recipe in ("similar", "bought-together"):
            groups = {self.groups.get(one) for one in about} - {None}
            return name not in about and of.get("group_id") not in groups
        return True

    def _due(self, last: int | None, recipe: str, now: int) -> bool:
        """Whether what was bought ``last``, if at all, may be in such a list by that."""
        if recipe == "buy-again":
            return last is not None and last + DAY <= now
        return not self.hides_bought or last is None or last + DAY <= now

    def counts(self, names: list[str], asked: Fields, now: int) -> Counter[tuple[str, str]]:
        """How many of a list each cap counts, by rule and label."""
        found: Counter[tuple[str, str]] = Counter()
        for name in names:
            of = self.items[name]
            for one in self.in_force(asked["recipe"], now):
                if one["action"] != "cap" or one.get("kind") not in (None, of["kind"]) or not WHERES[one["where"]](of):
                    continue
                category = (of.get("categories") or [None])[0]
                per = {"brand": of.get("brand"), "category": category, "kind": of["kind"], None: ""}[one.get("per")]
                if per is not None:
                    found[one["id"], per] += 1
        return found


@given(_CATALOGUES, _STORIES, st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_list_breaks_a_rule_and_nothing_is_hidden_without_one(
    store: VectorStore, catalogue: list[Fields], story: list[Any], hides_bought: bool
) -> None:
    told = Told(store, hides_bought)
    for name, fields in zip(IDS, catalogue, strict=True):
        told.do("put", name, fields)
    for change, wanted in story:
        told.do(*change)
        answer, asked, now = told.ask(dict(wanted))
        shown = [one.item_id for one in answer.items]
        may = [name for name in told.items if told.allowed(name, asked, now)]
        assert set(shown) <= set(may), (asked, shown, may)
        assert len(set(shown)) == len(shown) <= asked["k"]
        of_group = Counter(group for one in shown if (group := told.items[one].get("group_id")) is not None)
        assert max(of_group.values(), default=0) <= 1
        caps = {one["id"]: one["value"] for one in told.in_force(asked["recipe"], now) if one["action"] == "cap"}
        assert all(count <= caps[cap] for (cap, _), count in told.counts(shown, asked, now).items())
        if asked["recipe"] != "search" and not caps:
            groups = [told.items[one].get("group_id") or one for one in may]
            assert len(shown) == min(asked["k"], len(set(groups))), "something is hidden that no rule hides"
        for one in answer.items:
            assert sum((one.parts or {}).values()) == pytest.approx(one.score, abs=1e-6)
        assert not any(told.shop.engine.violations.values()), "the last look should never find anything"


@given(_CATALOGUES, _STORIES)
@settings(max_examples=40, deadline=None)
def test_no_page_breaks_a_rule_or_shows_an_item_twice(
    store: VectorStore, catalogue: list[Fields], story: list[Any]
) -> None:
    told = Told(store, hides_bought=True)
    for name, fields in zip(IDS, catalogue, strict=True):
        told.do("put", name, fields)
    for change, wanted in story:
        told.do(*change)
        now, k = NOW + wanted["seconds"] * 1_000, min(wanted["k"], 3)
        asked = {name: value for name, value in wanted.items() if name in ("kind", "exclude", "user_id", "diversity")}
        shown: list[str] = []
        for row in page(told.shop.engine, Request("for-you", k=k, **asked), now):
            of_row = [one.item_id for one in row.answer.items]
            recipe, about = row.request.recipe, row.request.item_ids
            one_list = {**asked, "recipe": recipe, "item_ids": about}
            assert all(told.allowed(name, one_list, now) for name in of_row), (row.request, of_row)
            caps = {one["id"]: one["value"] for one in told.in_force(recipe, now) if one["action"] == "cap"}
            assert all(count <= caps[cap] for (cap, _), count in told.counts(of_row, one_list, now).items())
            assert 0 < len(of_row) <= k
            shown += of_row
        assert len(set(shown)) == len(shown)
        assert not any(told.shop.engine.violations.values())


# One rule at a time, over the tea shop: pot 3, cup 2, lamp 1 bought.


SOLD = (basket("u1", "pot", "cup"), basket("u2", "pot", "cup"), basket("u3", "pot", "lamp"))


@pytest.fixture
def shop(store: VectorStore) -> Small:
    return Small(store, *TEA, *SOLD)


def test_the_list_without_rules(shop: Small) -> None:
    assert shop.ids("popular") == ["pot", "cup", "lamp", "clock", "scarf"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("r", "exclude", "price >= 20")], ["cup", "clock", "scarf"]),
        ([rule("r", "include", "price >= 20")], ["pot", "lamp"]),
        ([rule("r", "include", "price >= 20"), rule("s", "include", "price = 12")], ["pot", "lamp", "scarf"]),
        ([rule("r", "include", "price >= 20"), rule("s", "exclude", "price = 30")], ["pot"]),
        ([rule("r", "include", "false", kind="campaign")], ["pot", "cup", "lamp", "clock", "scarf"]),
        ([rule("r", "exclude", "true", recipe="search")], ["pot", "cup", "lamp", "clock", "scarf"]),
        ([rule("r", "exclude", "true", recipe="popular", until=NOW)], ["pot", "cup", "lamp", "clock", "scarf"]),
        ([rule("r", "exclude", "true", recipe="popular", until=NOW + 1)], []),
        ([rule("r", "exclude", "true", **{"from": NOW + 1})], ["pot", "cup", "lamp", "clock", "scarf"]),
        ([rule("r", "exclude", "true", **{"from": NOW})], []),
        ([rule("r", "pin", "item_id = 'scarf'")], ["scarf", "pot", "cup", "lamp", "clock"]),
        ([rule("r", "pin", "item_id = 'scarf'", value=3)], ["pot", "cup", "scarf", "lamp", "clock"]),
        ([rule("r", "pin", "price > 10", value=2)], ["cup", "pot", "lamp", "clock", "scarf"]),
        ([rule("r", "pin", "item_id = 'pot'", value=900)], ["cup", "lamp", "clock", "scarf", "pot"]),
        ([rule("r", "pin", "true"), rule("s", "exclude", "price < 15")], ["pot", "lamp", "clock"]),
        ([rule("r", "cap", "price < 20", value=1)], ["pot", "cup", "lamp"]),
        ([rule("r", "cap", "true", value=1, per="brand")], ["pot", "cup", "lamp", "clock", "scarf"]),
        ([rule("r", "cap", "true", value=2, per="kind")], ["pot", "cup"]),
        ([rule("r", "cap", "price > 13", value=1), rule("s", "pin", "item_id = 'clock'")], ["clock", "cup", "scarf"]),
        ([rule("r", "boost", "item_id = 'cup'", value=0.5)], ["cup", "pot", "lamp", "clock", "scarf"]),
        ([rule("r", "boost", "item_id = 'scarf'", value=9)], ["pot", "cup", "lamp", "scarf", "clock"]),
    ],
)
def test_what_each_action_does(shop: Small, rules: list[RuleChange], expected: list[str]) -> None:
    shop.add(*rules)
    assert shop.ids("popular") == expected
    shop.add(*(RuleChange(one.rule_id, None) for one in rules))
    assert shop.ids("popular") == ["pot", "cup", "lamp", "clock", "scarf"]


def test_a_boost_is_a_part_of_the_score_by_its_name(shop: Small) -> None:
    shop.add(rule("tea", "boost", "title LIKE 'Tea%'", value=0.5), rule("cheap", "boost", "price = 5", value=0.25))
    answer = shop.ask("popular", explain=True)
    parts = {one.item_id: one.parts for one in answer.items}
    best = parts["pot"]["popular"] if parts["pot"] else 0.0
    assert parts["pot"] == pytest.approx({"popular": best, "rule:tea": 0.5 * best})
    assert parts["cup"] == pytest.approx({"popular": best * 2 / 3, "rule:tea": 0.5 * best, "rule:cheap": 0.25 * best})
    assert parts["lamp"] == pytest.approx({"popular": best / 3})
    assert {one.reason for one in answer.items[:3]} == {"A favourite of many"}, "the model is the reason, not the rule"
    assert answer.items[0].score == pytest.approx(best * 1.5)


def test_a_boost_orders_what_fills_the_list_up(store: VectorStore) -> None:
    shop = Small(store, *TEA, rule("warm", "boost", "title LIKE '%scarf%'", value=0.5))
    answer = shop.ask("popular", explain=True)
    assert [one.item_id for one in answer.items] == ["scarf", "pot", "cup", "lamp", "clock"]
    assert list(answer.items[0].parts or {}) == ["rule:warm"]


def test_a_pin_does_not_bring_into_a_search_what_was_not_found(shop: Small) -> None:
    assert "clock" not in shop.ids("search", query="tea pot")
    before = shop.ids("search", query="tea")
    shop.add(rule("r", "pin", "item_id IN ('clock', 'cup')"))
    found = shop.ids("search", query="tea")
    assert found[0] == "cup"
    assert sorted(found) == sorted(before)


def test_a_pin_is_cut_with_the_list_and_takes_one_of_a_group(store: VectorStore) -> None:
    variants = [item(f"v{size}", "Tea pot", group_id="pot", price=size) for size in (1, 2, 3)]
    shop = Small(store, *variants, item("cup", "Tea cup"), rule("r", "pin", "price > 0"))
    assert shop.ids("popular") == ["v1", "cup"]
    assert shop.ids("popular", k=1) == ["v1"]


def test_a_rule_follows_the_catalogue(shop: Small) -> None:
    shop.add(rule("r", "exclude", "price > 25"))
    assert "lamp" not in shop.ids("popular")
    shop.add(parse_change("patch", {"item_id": "lamp", "price": 25}))
    shop.add(parse_change("patch", {"item_id": "cup", "price": 26}))
    assert shop.ids("popular") == ["pot", "lamp", "clock", "scarf"]


def test_the_reasons_name_every_rule_that_hides(shop: Small) -> None:
    shop.add(
        rule("dear", "exclude", "price > 25"),
        rule("tea", "include", "title LIKE 'Tea%'", recipe="popular"),
        rule("later", "exclude", "true", **{"from": NOW + MINUTE}),
        item("old", "Old lamp", price=40, in_stock=False, expires=NOW, kind="content"),
        item("soon", "Tea towel", available_from=NOW + 1),
    )
    shop.add(did("view", "u1", "ghost"))

    def reasons(name: str, **asked: Any) -> tuple[str, ...]:
        return shop.engine.visibility.reasons(shop.state.items.row(name), NOW, **asked)

    assert reasons("pot", recipe="popular", kind="product", where="price > 1") == ()
    assert reasons("lamp") == ("rule:dear",)
    assert reasons("lamp", recipe="popular") == ("rule:dear", "rule:tea")
    assert reasons("old", kind="product", where="price < 9") == (
        "out_of_stock",
        "expired",
        "kind",
        "where",
        "rule:dear",
    )
    assert reasons("soon") == ("not_yet_available",)
    assert reasons("ghost") == ("unlisted",)


def test_what_breaks_a_rule_is_taken_off_counted_and_logged(
    shop: Small, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The masks are made to lie; the last look does not use them."""
    shop.add(rule("dear", "exclude", "price > 25"), parse_change("patch", {"item_id": "cup", "in_stock": False}))
    everything = shop.engine.visibility.mask(NOW, recipe="popular") | True
    monkeypatch.setattr(Visibility, "mask", lambda *_: everything)
    assert shop.ids("popular") == ["pot", "clock", "scarf"]
    broken = {name: count for name, count in shop.engine.violations.items() if count}
    assert broken == {"rule:dear": 1, "out_of_stock": 1}
    assert [record.message for record in caplog.records] == ["rule violated"] * 2


def test_a_rule_may_be_given_as_a_record() -> None:
    assert rule("r", "cap", "true", value=2, per="brand", kind="review", until=9).rule == Rule(
        "r", "cap", "true", None, "review", 2.0, "brand", None, 9
    )
