"""The catalogue's columns against the items that they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.catalog.items import KINDS, Item, ItemChange, parse_change
from endcap.catalog.rules import Rule, RuleChange
from endcap.state.shop import MAX_JOURNAL, NEVER, ShopState
from endcap.types import Vocabulary

Op = Literal["put", "patch", "delete"]


class Catalogue:
    """A ShopState with its vocabulary, changed by item id."""

    def __init__(self) -> None:
        self.items = Vocabulary()
        self.shop = ShopState(self.items)

    def change(self, change: ItemChange) -> None:
        row = self.items.add(change.item_id)
        self.shop.grow(len(self.items))
        self.shop.change(row, change)

    def put(self, item_id: str, **fields: object) -> None:
        self.change(parse_change("put", {"item_id": item_id, "title": item_id.upper(), **fields}))

    def patch(self, item_id: str, **fields: object) -> None:
        self.change(parse_change("patch", {"item_id": item_id, **fields}))


def test_a_put_sets_every_column() -> None:
    catalogue = Catalogue()
    catalogue.put("a")
    catalogue.put("b", price=4, sale_price=3, kind="review", in_stock=False, available_from=5, expires=9, group_id="g")
    shop = catalogue.shop
    assert shop.listed.tolist() == [True, True]
    assert shop.in_stock.tolist() == [True, False]
    assert math.isnan(shop.price[0])
    assert shop.price[1] == 3.0
    assert [KINDS[kind] for kind in shop.kinds] == ["product", "review"]
    assert shop.available_from.tolist() == [0, 5]
    assert shop.expires.tolist() == [NEVER, 9]
    assert shop.groups.tolist() == [-1, 0]
    assert (shop.size, shop.version) == (2, 2)


def test_a_put_replaces_the_whole_item_and_a_patch_only_what_it_names() -> None:
    catalogue = Catalogue()
    catalogue.put("a", price=4, group_id="g", expires=9, in_stock=False)
    catalogue.patch("a", price=5)
    assert (catalogue.shop.price[0], catalogue.shop.groups[0]) == (5.0, 0)
    assert not catalogue.shop.in_stock[0]
    catalogue.put("a", price=6)
    shop = catalogue.shop
    assert (shop.price[0], shop.groups[0], shop.expires[0], shop.in_stock[0]) == (6.0, -1, NEVER, True)
    assert (shop.size, shop.version) == (1, 3)


def test_a_null_in_a_patch_clears_the_field() -> None:
    catalogue = Catalogue()
    catalogue.put("a", price=4, sale_price=3, expires=7, available_from=2, group_id="g")
    catalogue.patch("a", sale_price=None, expires=None, available_from=None, group_id=None)
    shop = catalogue.shop
    assert (shop.price[0], shop.expires[0], shop.available_from[0], shop.groups[0]) == (4.0, NEVER, 0, -1)


def test_a_sale_price_of_nothing_is_still_a_price() -> None:
    catalogue = Catalogue()
    catalogue.put("a", price=4, sale_price=0)
    assert catalogue.shop.price[0] == 0.0


def test_a_deleted_item_is_not_listed_and_may_come_back() -> None:
    catalogue = Catalogue()
    catalogue.put("a")
    catalogue.change(ItemChange("a", "delete"))
    catalogue.change(ItemChange("a", "delete"))
    assert (catalogue.shop.get("a"), catalogue.shop.item(0), catalogue.shop.size) == (None, None, 0)
    assert catalogue.shop.listed.tolist() == [False]
    assert catalogue.shop.version == 3
    catalogue.put("a")
    assert (catalogue.shop.get("a"), catalogue.shop.size) == (Item("a", "A"), 1)


def test_a_patch_of_an_unknown_item_lists_nothing() -> None:
    catalogue = Catalogue()
    catalogue.patch("a", price=3)
    assert (catalogue.shop.size, catalogue.shop.listed.tolist(), catalogue.shop.get("a")) == (0, [False], None)


def test_rows_that_only_events_named_are_not_listed() -> None:
    items = Vocabulary(["seen", "put"])
    shop = ShopState(items)
    shop.grow(2)
    shop.change(1, ItemChange("put", "put", {"title": "Put"}))
    assert shop.listed.tolist() == [False, True]
    assert shop.listed_items() == [(1, Item("put", "Put"))]
    assert (shop.get("seen"), shop.get("nobody named it"), shop.size) == (None, None, 1)


def test_variants_share_a_number() -> None:
    catalogue = Catalogue()
    for item_id, group in (("a", "g"), ("b", "h"), ("c", "g")):
        catalogue.put(item_id, group_id=group)
    assert catalogue.shop.groups.tolist() == [0, 1, 0]


_IDS = st.sampled_from(["a", "b", "c"])
_MAYBE: Mapping[str, st.SearchStrategy[object]] = {
    "price": st.none() | st.floats(0, 99, width=32),
    "sale_price": st.none() | st.floats(0, 99, width=32),
    "in_stock": st.booleans(),
    "kind": st.sampled_from(KINDS),
    "available_from": st.none() | st.integers(0, 9),
    "expires": st.none() | st.integers(0, 9),
    "group_id": st.none() | st.sampled_from(["g", "h"]),
}
_FIELDS = st.fixed_dictionaries({}, optional=dict(_MAYBE))
_CHANGES = st.lists(st.tuples(st.sampled_from(["put", "put", "patch", "delete"]), _IDS, _FIELDS), max_size=25)


@given(_CHANGES)
@settings(deadline=None)
def test_the_columns_always_say_what_the_items_say(changes: list[tuple[Op, str, dict[str, object]]]) -> None:
    catalogue, items = Catalogue(), dict[str, Item]()
    for op, item_id, fields in changes:
        given_fields = {"item_id": item_id, **fields} | ({"title": "T"} if op == "put" else {})
        change = ItemChange(item_id, "delete") if op == "delete" else parse_change(op, given_fields)
        catalogue.change(change)
        after = change.applied_to(items.pop(item_id, None))
        if after is not None:
            items[item_id] = after
    shop = catalogue.shop
    assert shop.version == len(changes)
    assert shop.size == len(items) == shop.listed.sum()
    for row, item_id in enumerate(catalogue.items):
        item = items.get(item_id)
        assert shop.item(row) == shop.get(item_id) == item
        assert shop.listed[row] == (item is not None)
        if item is not None:
            price = item.sale_price if item.sale_price is not None else item.price
            np.testing.assert_equal(float(shop.price[row]), float("nan") if price is None else price)
            assert shop.in_stock[row] == item.in_stock
            assert KINDS[shop.kinds[row]] == item.kind
            assert shop.available_from[row] == (item.available_from or 0)
            assert shop.expires[row] == (NEVER if item.expires is None else item.expires)
            assert (shop.groups[row] < 0) == (item.group_id is None)
    grouped = [(item.group_id, int(shop.groups[catalogue.items.row(name)])) for name, item in items.items()]
    assert len(set(grouped)) == len({name for name, _ in grouped}) == len({number for _, number in grouped})


# Rules, and what has changed


def test_rules_are_kept_in_the_order_in_which_they_were_first_put() -> None:
    shop = Catalogue().shop
    first, second = Rule("b", "exclude", "true"), Rule("a", "exclude", "true")
    for change in (RuleChange("b", first), RuleChange("a", second), RuleChange("b", second), RuleChange("x", None)):
        shop.change_rule(change, 5)
    assert list(shop.rules.items()) == [("b", second), ("a", second)]
    shop.change_rule(RuleChange("b", None), 6)
    assert list(shop.rules) == ["a"]
    assert (shop.rules_version, shop.version) == (5, 0)


def test_the_rows_that_changed_are_known_for_a_while() -> None:
    catalogue = Catalogue()
    for name, price in zip("abca", range(4), strict=True):
        catalogue.put(name, price=price)
    assert catalogue.shop.changed_since(4) == set()
    assert catalogue.shop.changed_since(2) == {0, 2}
    assert catalogue.shop.changed_since(0) == {0, 1, 2}
    assert catalogue.shop.changed_since(5) is None, "a version of another state"
    catalogue.patch("a", in_stock=False, expires=9, available_from=3)
    assert catalogue.shop.changed_since(4) == set(), "what a condition cannot see has not changed"
    for price in range(MAX_JOURNAL - 1):
        catalogue.put("b", price=price)
    assert catalogue.shop.changed_since(4) == {1}
    assert catalogue.shop.changed_since(3) is None


def test_after_a_snapshot_nobody_says_what_changed_before_it() -> None:
    catalogue, again = Catalogue(), Catalogue()
    for price, name in enumerate("abb"):
        catalogue.put(name, price=price)
    for name in "ab":
        again.items.add(name)
    again.shop.unpack(catalogue.shop.pack())
    assert again.shop.changed_since(2) is None
    again.put("a", price=9)
    assert again.shop.changed_since(3) == {0}


def test_attributes_are_counted_by_what_they_can_be_compared_as() -> None:
    catalogue = Catalogue()
    catalogue.put("a", attributes={"size": 1, "new": True, "tags": ["x"], "none": None})
    catalogue.put("b", attributes={"size": 2.5, "new": "yes"})
    shop = catalogue.shop
    assert (shop.scalar("size", "number"), shop.scalar("new", "flag"), shop.scalar("new", "text")) == (2, 1, 1)
    assert shop.attribute_names() == ["new", "size"]
    catalogue.put("b", attributes={"size": "XL"})
    assert (shop.scalar("size", "number"), shop.scalar("size", "text"), shop.scalar("new", "text")) == (1, 1, 0)
    catalogue.change(ItemChange("a", "delete"))
    assert shop.attribute_names() == ["size"]
