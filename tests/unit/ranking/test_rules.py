"""What may be shown, against each item's own fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.catalog.items import KINDS, Item, ItemChange, parse_change
from endcap.catalog.rules import MAX_WHERE_LENGTH
from endcap.errors import InvalidFieldError
from endcap.ranking.rules import MAX_MASKS, Visibility
from endcap.state.shop import ShopState
from endcap.types import Vocabulary

NOW = 1_764_000_000_000


class Shelf:
    """A shop with the rule's eye on it."""

    def __init__(self, *changes: ItemChange) -> None:
        self.items = Vocabulary()
        self.shop = ShopState(self.items)
        self.visibility = Visibility(self.shop)
        for change in changes:
            self.change(change)

    def see(self, item_id: str) -> int:
        """Give ``item_id`` a row, as an event does that names it."""
        row = self.items.add(item_id)
        self.shop.grow(len(self.items))
        return row

    def change(self, change: ItemChange) -> None:
        self.shop.change(self.see(change.item_id), change)

    def shown(self, now: int = NOW, **asked: Any) -> list[str]:
        mask = self.visibility.mask(now, **asked)
        assert mask.dtype == np.bool_
        assert mask.size == len(self.items)
        return [self.items.name(row) for row in np.flatnonzero(mask).tolist()]


def put(item_id: str, **fields: object) -> ItemChange:
    return parse_change("put", {"item_id": item_id, "title": item_id, **fields})


# Standing rules


def test_an_empty_shop_shows_nothing() -> None:
    assert Shelf().shown() == []
    assert Shelf().shown(kind="review", where="price > 1") == []


def test_what_is_out_of_stock_or_deleted_or_only_named_by_events_is_hidden() -> None:
    shelf = Shelf(put("a"), put("b", in_stock=False), put("c"))
    shelf.see("ghost")
    assert shelf.shown() == ["a", "c"]
    shelf.change(ItemChange("a", "delete"))
    shelf.change(parse_change("patch", {"item_id": "b", "in_stock": True}))
    assert shelf.shown() == ["b", "c"]


def test_the_dates_hold_to_the_millisecond() -> None:
    shelf = Shelf(put("always"), put("window", available_from=NOW, expires=NOW + 10))
    seen = {after: "window" in shelf.shown(NOW + after) for after in (-1, 0, 9, 10, 11)}
    assert seen == {-1: False, 0: True, 9: True, 10: False, 11: False}
    assert "window" in shelf.shown(NOW + 9), "a clock that is set back"
    assert "window" not in shelf.shown(NOW - 1), "and further back"


def test_a_kind_asked_for_hides_the_others() -> None:
    shelf = Shelf(*(put(kind, kind=kind) for kind in KINDS), put("gone", kind="review", in_stock=False))
    assert [shelf.shown(kind=kind) for kind in KINDS] == [[kind] for kind in KINDS]
    assert shelf.shown() == list(KINDS)


def test_a_new_row_gets_its_place_in_every_mask() -> None:
    shelf = Shelf(put("a", price=5), put("b"))
    for _ in range(2):
        assert shelf.shown(kind="product") == ["a", "b"]
        assert shelf.shown(where="price > 1") == ["a"]
        shelf.see("ghost")
    assert shelf.visibility.mask(NOW, where="price > 1").tolist() == [True, False, False]


_MOMENTS = st.integers(0, 6)
_FIELDS = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS[:2])},
    optional={"in_stock": st.booleans(), "available_from": _MOMENTS, "expires": _MOMENTS, "price": st.integers(0, 3)},
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcd"), _FIELDS),
        st.tuples(st.just("delete"), st.sampled_from("abcd"), st.just({})),
        st.tuples(st.just("see"), st.sampled_from("abcdef"), st.just({})),
        st.tuples(st.just("ask"), st.sampled_from(["", "product", "campaign"]), _MOMENTS.map(lambda now: {"now": now})),
    ),
    max_size=25,
)


def allowed(item: Item | None, now: int, kind: str | None) -> bool:
    """The rule for one item, in so many words."""
    if item is None or not item.in_stock or (kind is not None and item.kind != kind):
        return False
    if item.available_from is not None and now < item.available_from:
        return False
    return item.expires is None or now < item.expires


@given(_STEPS)
@settings(deadline=None)
def test_masks_equal_the_rule_item_by_item_whatever_was_asked_before(
    steps: list[tuple[str, str, dict[str, Any]]],
) -> None:
    shelf = Shelf()
    for op, name, fields in steps:
        if op == "see":
            shelf.see(name)
        elif op == "ask":
            kind, now = name or None, fields["now"]
            visible = [name for name in shelf.items if allowed(shelf.shop.get(name), now, kind)]
            assert shelf.shown(now, kind=kind) == visible
            cheap = [name for name in visible if (shelf.shop.get(name) or Item("", "")).price in (0, 1)]
            assert shelf.shown(now, kind=kind, where="price < 2") == cheap
        else:
            shelf.change(put(name, **fields) if op == "put" else ItemChange(name, "delete"))


def test_a_mask_is_made_once_until_something_changes() -> None:
    shelf = Shelf(put("a", expires=NOW + 10))
    mask = shelf.visibility.mask(NOW)
    assert shelf.visibility.mask(NOW + 9) is mask
    assert shelf.visibility.mask(NOW + 10) is not mask


# where


SHELF = Shelf(
    put(
        "tea", price=4, sale_price=2, brand="Leaf", categories=["Kitchen > Tea"], attributes={"colour": "red", "g": 50}
    ),
    put("cup", price=9.5, brand="Clay", categories=["Kitchen"], attributes={"colour": "blue", "tags": ["new"]}),
    put("lamp", title="Desk lamp", attributes={"row": "odd", "price": "dear", "watt": 2.5}, group_id="l"),
    put("old", price=4, in_stock=False),
)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("price > 3", ["tea", "cup"]),
        ("price IS NULL", ["lamp"]),
        ("sale_price < price", ["tea"]),
        ("brand = 'Leaf' OR title LIKE 'Desk%'", ["tea", "lamp"]),
        ("array_contains(categories, 'Kitchen')", ["cup"]),
        ("colour = 'red'", ["tea"]),
        ("g >= 50", ["tea"]),
        ("watt < 3", ["lamp"]),
        ("item_id IN ('cup', 'old')", ["cup"]),
        ("group_id IS NOT NULL", ["lamp"]),
        ("kind = 'product'", ["tea", "cup", "lamp"]),
        ("true", ["tea", "cup", "lamp"]),
        ("price > 1000", []),
        ("NOT brand = 'Leaf'", ["cup"]),
    ],
)
def test_a_condition_keeps_what_it_is_true_for(where: str, expected: list[str]) -> None:
    assert SHELF.shown(where=where) == expected


@pytest.mark.parametrize(
    "where",
    ["", "price >", "price", "'a'", "nope = 1", "price > 'a'", "tags = 'new'", "a; DROP TABLE b", "*", "((((", "null"],
)
def test_a_condition_that_cannot_be_read_is_named_with_the_columns(where: str) -> None:
    expected = r"(?s)^where is .*; it must be a SQL condition over item_id, title, .*, about, colour, g, row, watt$"
    with pytest.raises(InvalidFieldError, match=expected) as caught:
        SHELF.shown(where=where)
    assert caught.value.field == "where"


def test_a_condition_of_any_length_is_not_read() -> None:
    longest = "true".ljust(MAX_WHERE_LENGTH)
    assert SHELF.shown(where=longest) == ["tea", "cup", "lamp"]
    with pytest.raises(InvalidFieldError, match="where has 2001 characters: at most 2000 are read"):
        SHELF.shown(where=longest + " ")


def test_a_condition_sees_the_newest_catalogue() -> None:
    shelf = Shelf(put("a", price=1), put("b", price=5))
    assert shelf.shown(where="price > 2") == ["b"]
    shelf.change(parse_change("patch", {"item_id": "a", "price": 3}))
    assert shelf.shown(where="price > 2") == ["a", "b"]
    shelf.change(put("c", attributes={"colour": "red"}))
    assert shelf.shown(where="colour = 'red'") == ["c"]


def test_a_condition_that_failed_may_become_readable() -> None:
    shelf = Shelf(put("a"))
    with pytest.raises(InvalidFieldError, match="colour"):
        shelf.shown(where="colour = 'red'")
    shelf.change(put("b", attributes={"colour": "red"}))
    assert shelf.shown(where="colour = 'red'") == ["b"]


def test_a_condition_never_shows_what_the_standing_rules_hide() -> None:
    shelf = Shelf(put("a", expires=NOW + 1), put("b", in_stock=False), put("c", kind="review"))
    assert shelf.shown(where="true") == ["a", "c"]
    assert shelf.shown(where="true", kind="product") == ["a"]
    assert shelf.shown(NOW + 1, where="true") == ["c"]


def test_conditions_are_remembered_within_bounds() -> None:
    shelf = Shelf(put("a", price=1), put("b", price=500))
    for number in range(MAX_MASKS + 20):
        assert shelf.shown(where=f"price > {number}") == (["a", "b"] if number < 1 else ["b"])
    assert len(shelf.visibility._where) == MAX_MASKS
    assert shelf.shown(where="price > 0") == ["a", "b"]


def test_an_attribute_of_mixed_types_does_not_stop_the_rest() -> None:
    shelf = Shelf(
        put("a", attributes={"size": 1}), put("b", attributes={"size": "XL"}), put("c", attributes={"size": True})
    )
    assert shelf.shown(where="title <> 'b'") == ["a", "c"]
    assert shelf.shown(where="size = 'XL'") == ["b"]
