"""A condition: which words it may have, and that looking at what changed equals looking at everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.ranking.test_rules import Shelf, put

from endcap.catalog.items import ItemChange
from endcap.errors import InvalidFieldError
from endcap.ranking.where import Condition, bring_up_to_date

SHELF = Shelf(
    put("tea", price=4, brand="Leaf", categories=["Kitchen > Tea", "Gifts"], attributes={"size": 1, "end": True}),
    put("cup", price=9, attributes={"size": "XL", "odd name": "x", "^a.*$": 1}),
)


def true_for(shelf: Shelf, where: str) -> list[str]:
    condition = Condition(where, shelf.shop)
    bring_up_to_date([condition], shelf.shop, {})
    return [name for name, answer in zip(shelf.items, condition.matches.tolist(), strict=True) if answer]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("category LIKE 'Kitchen >%'", ["tea"]),
        ("array_contains(categories, 'Gifts')", ["tea"]),
        ("size = 1", ["tea"]),
        ("size = 'XL'", ["cup"]),
        ("size = 'XL' OR price = 4", ["tea", "cup"]),
        ('"end"', ["tea"]),
        ("\"odd name\" = 'x'", ["cup"]),
        ("lower(brand) = 'leaf'", ["tea"]),
        ("CASE WHEN price > 5 THEN true ELSE false END", ["cup"]),
        ("title LIKE '%''%'", []),
        ("price BETWEEN 1 AND 5 AND NOT (brand IS NULL)", ["tea"]),
    ],
)
def test_what_a_condition_is_true_for(where: str, expected: list[str]) -> None:
    assert true_for(SHELF, where) == expected
    for name in ("tea", "cup"):
        item = SHELF.shop.get(name)
        assert item is not None
        assert Condition(where, SHELF.shop).holds(item) == (name in expected), "looked at alone it is the same"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("sum(price) > 1", "there is no function 'sum' .* at character 1;"),
        ("price > 1 AND count(*) > 1", "there is no function 'count' .* at character 15;"),
        ("lpad(brand, 9, 'a') = 'x'", "there is no function 'lpad'"),
        ("replace(brand, 'a', 'aaaa') = 'x'", "there is no function 'replace'"),
        ("brand || brand = 'x'", "is not expected at character 7;"),
        ("price > (SELECT 1)", "there is no column 'SELECT' at character 10;"),
        ("price > 1; true", "'; true' is not expected at character 10;"),
        ("price > 1 price", "found: price at character 11;"),
        ("brand = 'x", "is not expected at character 9;"),
        ("price >\n\n", "found: EOF at character 10;"),
        ('"^a.*$" = 1', "there is no column"),
        ("categories = 'Gifts'", "cannot cast List type"),
        ("NOT " * 400 + "true", "it must be a SQL condition over item_id"),
        ("(" * 900 + "true" + ")" * 900, "it must be a SQL condition over item_id"),
    ],
)
def test_what_a_condition_may_not_say(where: str, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=rf"(?s){message}") as caught:
        Condition(where, SHELF.shop)
    assert caught.value.field == "where"


def test_a_rule_s_condition_outlives_its_column_and_says_what_is_wrong() -> None:
    shelf = Shelf(put("a", attributes={"size": 3}))
    condition = Condition("size > 2", shelf.shop, strict=False)
    bring_up_to_date([condition], shelf.shop, {})
    assert condition.matches.tolist() == [True]
    shelf.change(put("a"))
    bring_up_to_date([condition], shelf.shop, {})
    assert (condition.matches.tolist(), condition.problem) == ([False], None)
    unreadable = Condition("size >", shelf.shop, strict=False)
    bring_up_to_date([unreadable], shelf.shop, {})
    assert unreadable.matches.tolist() == [False]
    assert "found: EOF" in (unreadable.problem or "")


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "price": st.integers(0, 4),
        "brand": st.sampled_from("AB"),
        "in_stock": st.booleans(),
        "attributes": st.fixed_dictionaries({}, optional={"size": st.sampled_from([1, 2.5, "2.5", True])}),
    },
)
_CHANGES = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | _FIELDS), min_size=1, max_size=12)
WHERES = ("price > 2", "size > 2", "size = '2.5'", "size", "brand = 'A' OR price IS NULL", "NOT brand = 'A'", "true")


@given(_CHANGES)
@example([("b", {"attributes": {"size": 1}}), ("b", {"attributes": {"size": True}})])
@settings(max_examples=60, deadline=None)
def test_kept_up_to_date_equals_made_anew(changes: list[tuple[str, dict[str, Any] | None]]) -> None:
    shelf = Shelf()
    kept = [Condition(where, shelf.shop, strict=False) for where in WHERES]
    for name, fields in changes:
        shelf.change(ItemChange(name, "delete") if fields is None else put(name, **fields))
        bring_up_to_date(kept, shelf.shop, {})
        anew = [Condition(where, shelf.shop, strict=False) for where in WHERES]
        bring_up_to_date(anew, shelf.shop, {})
        assert [one.matches.tolist() for one in kept] == [one.matches.tolist() for one in anew]


def test_what_changes_nothing_leaves_the_same_array() -> None:
    shelf = Shelf(put("a", price=3), put("b", price=1))
    condition = Condition("price > 2", shelf.shop)
    bring_up_to_date([condition], shelf.shop, {})
    before = condition.matches
    shelf.change(put("a", price=3, in_stock=False))
    shelf.change(put("b", price=2))
    bring_up_to_date([condition], shelf.shop, {})
    assert condition.matches is before
    shelf.change(put("b", price=5))
    bring_up_to_date([condition], shelf.shop, {})
    assert (before.tolist(), condition.matches.tolist()) == ([True, False], [True, True])
