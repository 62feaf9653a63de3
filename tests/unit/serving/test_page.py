"""A page: rows under titles, and no item twice."""

from __future__ import annotations

import pytest
from tests.unit.shops import DAY, MINUTE, NOW, TEA, Small, basket, did, item

from endcap.encoders.cache import VectorStore
from endcap.serving.engine import Request
from endcap.serving.page import Row, page

MORE = [item(f"mug-{n}", f"Tea mug number {n}") for n in range(8)]


@pytest.fixture
def shop(store: VectorStore) -> Small:
    past = [basket(f"b{n}", "pot", f"mug-{n % 8}", time=NOW - (n + 2) * DAY) for n in range(30)]
    return Small(store, *TEA, *MORE, *past)


def rows(shop: Small, **asked: object) -> list[Row]:
    return page(shop.engine, Request("for-you", k=3, **asked), NOW)  # type: ignore[arg-type]


def test_a_new_visitor_sees_what_is_in_demand(shop: Small) -> None:
    found = rows(shop, visitor_id="new")
    assert [(row.title, row.request.recipe) for row in found] == [("Trending now", "trending"), ("Popular", "popular")]


def test_who_looked_at_something_sees_what_follows_and_nothing_twice(shop: Small) -> None:
    shop.add(did("view", "w", "cup", NOW - 2 * MINUTE), did("view", "w", "pot", NOW - MINUTE))
    found = rows(shop, user_id="w")
    assert [row.title for row in found][:3] == [
        "For you",
        "Because you looked at “Tea pot”",
        "Bought together with “Tea pot”",
    ]
    shown = [one.item_id for row in found for one in row.answer.items]
    assert len(shown) == len(set(shown)) > 6
    assert all(0 < len(row.answer.items) <= 3 for row in found)
    assert rows(shop, user_id="w", language="zh")[1].title == "因为您看过“Tea pot”"


def test_what_is_excluded_is_in_no_row_and_an_empty_shop_has_no_rows(shop: Small, store: VectorStore) -> None:
    found = rows(shop, exclude=("pot", "mug-1"))
    assert not {"pot", "mug-1"} & {one.item_id for row in found for one in row.answer.items}
    assert page(Small(store).engine, Request("for-you", k=3), NOW) == []


def test_each_row_can_be_made_again_by_its_own_request(shop: Small) -> None:
    shop.add(did("view", "w", "pot", NOW - MINUTE))
    for row in rows(shop, user_id="w"):
        assert shop.engine.recommend(row.request, NOW).items == row.answer.items
