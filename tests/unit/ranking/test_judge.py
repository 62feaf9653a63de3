"""The last look at a list, without anything that made it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.ranking.test_rules import NOW, Shelf, put

from endcap.catalog.rules import RuleChange, parse_rule
from endcap.ranking import judge
from endcap.ranking.judge import Asked, Judge
from endcap.types import IntArray


def rows(*numbers: int) -> IntArray:
    return np.array(numbers, np.int32)


def asked(**more: Any) -> Asked:
    return Asked(**{"recipe": "popular", "now": NOW, "kind": None, "where": None, "hidden": {}, **more})


@pytest.fixture
def shelf() -> Shelf:
    """Rows 0 to 5."""
    shelf = Shelf(
        put("a", price=1, brand="A", group_id="g"),
        put("b", price=2, brand="A", group_id="g"),
        put("c", price=3, brand="A"),
        put("d", price=4, kind="campaign", expires=NOW),
        put("e", price=5, in_stock=False),
        put("f", price=6, available_from=NOW + 1),
    )
    shelf.see("ghost")
    return shelf


def tell(shelf: Shelf, name: str, action: str, where: str, **more: object) -> None:
    rule = parse_rule({"id": name, "action": action, "where": where, **more}, ("popular", "search"))
    shelf.shop.change_rule(RuleChange(name, rule), NOW)


def test_every_standing_rule(shelf: Shelf) -> None:
    found = Judge(shelf.shop).violations(list(range(7)), asked(kind="product", where="price < 3"))
    assert found == {1: "variant", 2: "where", 3: "expired", 4: "out_of_stock", 5: "not_yet_available", 6: "unlisted"}
    later = asked(now=NOW - 1, kind="product")
    assert Judge(shelf.shop).violations([3], later) == {0: "kind"}
    assert Judge(shelf.shop).violations([2, 0], asked()) == {}


def test_what_the_visitor_is_not_to_see(shelf: Shelf) -> None:
    hidden = {"dismissed": rows(2), "seen": rows(0)}
    look = Judge(shelf.shop)
    assert look.violations([0, 2], asked(hidden=hidden)) == {0: "seen", 1: "dismissed"}
    assert look.violations([0, 2], asked(among=rows(2, 5))) == {0: "not_in_the_given_list"}


def test_the_shops_rules(shelf: Shelf) -> None:
    look = Judge(shelf.shop)
    assert look.violations([1, 2], asked()) == {}
    tell(shelf, "x", "exclude", "price = 2")
    assert look.violations([1, 2], asked()) == {0: "rule:x"}
    tell(shelf, "x", "exclude", "price = 2", recipe="search")
    assert look.violations([1, 2], asked()) == {}
    tell(shelf, "x", "exclude", "price = 2", until=NOW)
    assert look.violations([1, 2], asked()) == {}
    assert look.violations([1, 2], asked(now=NOW - 1)) == {0: "rule:x"}
    tell(shelf, "i", "include", "price = 3")
    tell(shelf, "j", "include", "false", kind="campaign")
    assert look.violations([1, 2], asked()) == {0: "rule:i"}


def test_what_is_too_much(shelf: Shelf) -> None:
    look = Judge(shelf.shop)
    tell(shelf, "c", "cap", "true", value=1, per="brand")
    assert look.violations([0, 2], asked()) == {1: "rule:c"}
    tell(shelf, "c", "cap", "price > 2", value=1)
    assert look.violations([0, 2], asked()) == {}
    tell(shelf, "c", "cap", "true", value=2)
    assert look.violations([0, 2], asked()) == {}


def test_what_is_remembered_is_forgotten_when_the_item_changes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "MAX_REMEMBERED", 2)
    tell(shelf, "x", "exclude", "price = 2")
    look = Judge(shelf.shop)
    for price, expected in ((2, {0: "rule:x"}), (7, {}), (2, {0: "rule:x"})):
        shelf.change(put("b", price=price))
        for _ in range(2):
            assert look.violations([1, 2, 0], asked()) == expected
