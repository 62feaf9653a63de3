"""Items from outside: each field, each refusal, and what a change does."""

from __future__ import annotations

import pytest

from endcap.catalog.items import KINDS, MAX_ATTRIBUTES, MAX_CATEGORIES, Item, ItemChange, parse_change
from endcap.errors import InvalidFieldError

MUG = {"item_id": "m", "title": "Mug"}
FULL: dict[str, object] = {
    "item_id": 85123,
    "title": "White mug",
    "kind": "content",
    "description": "Holds tea.",
    "brand": "Pot",
    "categories": ["Kitchen > Cups > Mugs", "Gifts"],
    "price": 3,
    "sale_price": 2.5,
    "currency": "GBP",
    "in_stock": False,
    "url": "https://shop.example/m",
    "image": "https://shop.example/m.jpg",
    "group_id": "g",
    "attributes": {"colour": "white", "ml": 350, "weight": 0.3, "safe": True, "old": None, "sizes": ["s", {"eu": 1}]},
    "available_from": "1970-01-01T00:00:01Z",
    "expires": 9_000,
    "about": "other",
}


def test_a_put_reads_every_field() -> None:
    assert FULL.keys() == Item.__dataclass_fields__.keys()
    change = parse_change("put", FULL)
    assert (change.item_id, change.op) == ("85123", "put")
    assert change.applied_to(None) == Item(
        "85123",
        "White mug",
        "content",
        "Holds tea.",
        "Pot",
        ("Kitchen > Cups > Mugs", "Gifts"),
        3.0,
        2.5,
        "GBP",
        False,
        "https://shop.example/m",
        "https://shop.example/m.jpg",
        "g",
        {"colour": "white", "ml": 350, "weight": 0.3, "safe": True, "old": None, "sizes": ["s", {"eu": 1}]},
        1_000,
        9_000,
        "other",
    )


def test_a_put_replaces_the_whole_item_and_null_means_absent() -> None:
    before = parse_change("put", FULL).applied_to(None)
    nulls = dict.fromkeys(Item.__dataclass_fields__)
    assert parse_change("put", nulls | MUG).applied_to(before) == Item("m", "Mug")


def test_a_patch_changes_what_it_names() -> None:
    before = parse_change("put", FULL).applied_to(None)
    assert before is not None
    after = parse_change("patch", {"item_id": "85123", "price": 9, "in_stock": True}).applied_to(before)
    assert after is not None
    changed = {n for n in Item.__dataclass_fields__ if getattr(after, n) != getattr(before, n)}
    assert changed == {"price", "in_stock"}
    assert (after.price, after.in_stock) == (9.0, True)


def test_a_null_in_a_patch_gives_the_default_back() -> None:
    before = parse_change("put", FULL).applied_to(None)
    nulls = dict.fromkeys(FULL.keys() - {"item_id", "title"})
    after = parse_change("patch", {"item_id": "85123", **nulls}).applied_to(before)
    assert after == Item("85123", "White mug")


def test_a_patch_of_nothing_changes_nothing_and_a_delete_ends_it() -> None:
    assert parse_change("patch", {"item_id": "m", "price": 1}).applied_to(None) is None
    assert ItemChange("m", "delete").applied_to(Item("m", "Mug")) is None
    assert ItemChange("m", "delete").applied_to(None) is None


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_accepted(kind: str) -> None:
    assert parse_change("put", MUG | {"kind": kind}).fields["kind"] == kind


def test_one_category_may_stand_alone() -> None:
    assert parse_change("put", MUG | {"categories": "A > B"}).fields["categories"] == ("A > B",)


def test_an_attribute_keeps_its_type_and_a_tuple_becomes_a_list() -> None:
    change = parse_change("put", MUG | {"attributes": {"a": 1, "b": 1.0, "c": ("x",), 5: "five"}})
    assert repr(change.fields["attributes"]) == "{'a': 1, 'b': 1.0, 'c': ['x'], '5': 'five'}"


def nested(depth: int) -> object:
    value: object = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


def test_attributes_nest_four_deep() -> None:
    assert parse_change("put", MUG | {"attributes": {"a": nested(4)}}).fields["attributes"] == {"a": nested(4)}
    with pytest.raises(InvalidFieldError, match=r"^attributes.a is .*: give text, numbers, .* at most 4 inside one"):
        parse_change("put", MUG | {"attributes": {"a": nested(5)}})


def test_the_text_is_what_a_reader_would_see() -> None:
    item = Item("m", "Mug", brand="Pot", categories=("Kitchen > Cups > Mugs", "Gifts"), description="Holds tea.")
    assert item.text() == "Mug. Pot. Mugs. Gifts. Holds tea."
    assert Item("m", "Mug", categories=("A > ",)).text() == "Mug"


@pytest.mark.parametrize(
    ("change", "field", "match"),
    [
        ({"color": 1}, "color", "unknown field 'color': an item has item_id, title, kind, description, "),
        ({"x" * 500: 1}, "x" * 500, "unknown field 'x{79}: an item has"),
        ({"item_id": None}, "item_id", "item_id must be a string of 1 to 256 characters, not None"),
        ({"title": None}, "title", "item 'm' has no title: an item needs one to be shown"),
        ({"title": ""}, "title", "item 'm' has no title: an item needs one to be shown"),
        ({"title": 5}, "title", "title must be a string of at most 20000 characters"),
        ({"kind": "gadget"}, "kind", "kind is 'gadget': use one of product, campaign, review, content"),
        ({"kind": ["product"]}, "kind", r"kind is \['product'\]: use one of"),
        ({"description": 1}, "description", "description must be a string of at most"),
        ({"brand": 1}, "brand", "brand must be a string of at most"),
        ({"currency": 1}, "currency", "currency is 1: give the code of three letters, such as EUR"),
        ({"url": 1}, "url", "url must be a string of at most"),
        ({"image": 1}, "image", "image must be a string of at most"),
        ({"price": -1}, "price", "price is -1: it must not be negative"),
        ({"price": float("nan")}, "price", "price must be a finite number"),
        ({"sale_price": -0.5}, "sale_price", "sale_price is -0.5: it must not be negative"),
        ({"in_stock": "yes"}, "in_stock", "in_stock must be true or false, not 'yes'"),
        ({"group_id": ""}, "group_id", "group_id must be a string of 1 to 256 characters"),
        ({"about": ""}, "about", "about must be a string of 1 to 256 characters"),
        ({"available_from": "soon"}, "available_from", "available_from is 'soon': give RFC 3339"),
        ({"expires": 10**30}, "expires", "expires is an integer of more than 64 bits: it must not be after 9999"),
        ({"categories": 5}, "categories", "categories must be a list of at most 50 paths such as 'A > B > C'"),
        ({"categories": ["a"] * (MAX_CATEGORIES + 1)}, "categories", "categories must be a list of at most 50 paths"),
        ({"categories": [5]}, "categories", "categories must be a string of at most"),
        ({"attributes": []}, "attributes", "attributes must be an object of at most 200 names and values"),
        ({"attributes": {str(i): 1 for i in range(MAX_ATTRIBUTES + 1)}}, "attributes", "attributes must be an object"),
        ({"attributes": {"": 1}}, "attributes", "attributes must be a string of 1 to 256 characters, not ''"),
        ({"attributes": {"a": {"": 1}}}, "attributes.a", "attributes.a must be a string of 1 to 256 characters"),
        ({"attributes": {"a": float("inf")}}, "attributes.a", "attributes.a must be a finite number"),
        ({"attributes": {"a": [10**30]}}, "attributes.a", "attributes.a must be a finite number"),
        ({"attributes": {"a": "\ud800"}}, "attributes.a", "attributes.a is .*: it is not valid Unicode"),
        (
            {"attributes": {"a": b"x"}},
            "attributes.a",
            "attributes.a is b'x': give text, numbers, true, false, or lists",
        ),
    ],
)
def test_each_refusal_names_the_field(change: dict[str, object], field: str, match: str) -> None:
    with pytest.raises(InvalidFieldError, match=f"^{match}") as caught:
        parse_change("put", {**MUG, **change})
    assert caught.value.field == field


@pytest.mark.parametrize("title", [None, ""])
def test_a_patch_cannot_clear_the_title(title: str | None) -> None:
    with pytest.raises(InvalidFieldError, match=r"^the title of item 'm' cannot be cleared: give a text$"):
        parse_change("patch", {"item_id": "m", "title": title})
