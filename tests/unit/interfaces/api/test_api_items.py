"""/v1/items over a real log and state: a change is honoured by the very next list."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

import pytest


def shown(shop: Any, **more: object) -> list[str]:
    answer = shop.call("POST", "/v1/recommend", json={"recipe": "popular", "k": 100, **more}).json()
    return [item["item_id"] for item in answer["items"]]


def test_an_item_as_it_was_put(shop: Any) -> None:
    assert shop.call("GET", "/v1/items/cup").json() == {
        "item_id": "cup",
        "title": "Tea cup",
        "kind": "product",
        "categories": ["Kitchen > Tea"],
        "price": 5.0,
        "in_stock": True,
        "attributes": {"set": 6},
    }


def test_how_much_an_item_is_wanted(shop: Any) -> None:
    shop.call("PUT", "/v1/items/wanted", json={"title": "Wanted"})
    events = [{"type": kind, "visitor_id": "v", "item_id": "wanted"} for kind in ("view", "view", "purchase")]
    shop.call("POST", "/v1/events", json={"events": events})
    found = shop.call("GET", "/v1/item-stats/wanted").json()
    assert found["item_id"] == "wanted"
    assert found["per_day"].keys() == {"view", "purchase"}
    views, bought = found["per_day"]["view"], found["per_day"]["purchase"]
    # Just now: each counts 1 in windows of half-lives of 7 and of 90 days, whose rate is ln 2 / half-life a day.
    assert views["recent"] == pytest.approx(2 * math.log(2) / 7, rel=1e-3)
    assert bought["usual"] == pytest.approx(math.log(2) / 90, rel=1e-3)
    assert found["trend"] == pytest.approx(90 / 7, rel=1e-3)
    shop.call("DELETE", "/v1/items/wanted")
    assert shop.call("GET", "/v1/item-stats/wanted").status_code == 404


def test_an_id_may_hold_anything(shop: Any) -> None:
    assert shop.call("GET", f"/v1/items/{quote('a/b c', safe='')}").json()["title"] == "An id with a slash"
    shop.call("PUT", f"/v1/items/{quote('茶/%', safe='')}", json={"title": "Green tea"})
    assert shop.call("GET", f"/v1/items/{quote('茶/%', safe='')}").json()["item_id"] == "茶/%"


def test_several_items_at_once_in_the_order_asked_for(shop: Any) -> None:
    ids = ",".join(quote(name, safe="") for name in ("lamp", "nothing", "a/b c", "pot"))
    items = shop.call("GET", f"/v1/items?ids={ids}").json()["items"]
    assert [item["item_id"] for item in items] == ["lamp", "a/b c", "pot"]


@pytest.mark.parametrize("query", ["", "?id=a", "?ids=a&more=1", f"?ids={'a,' * 1001}"])
def test_a_wrong_question_for_items(shop: Any, query: str) -> None:
    reply = shop.call("GET", f"/v1/items{query}")
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "ids")


def test_stock_and_the_end_of_an_item_are_honoured_at_once(shop: Any) -> None:
    shop.call("PUT", "/v1/items/vase", json={"title": "Vase"})
    assert "vase" in shown(shop)
    reply = shop.call("PATCH", "/v1/items/vase", json={"in_stock": False})
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)
    assert "vase" not in shown(shop)
    shop.call("PATCH", "/v1/items/vase", json={"in_stock": None})
    assert "vase" in shown(shop)
    assert shop.call("DELETE", "/v1/items/vase").status_code == 200
    assert "vase" not in shown(shop)
    assert shop.call("GET", "/v1/items/vase").status_code == 404


def test_good_items_are_kept_and_the_others_refused_by_index(shop: Any) -> None:
    items = [{"item_id": "mug", "title": "Mug"}, {"item_id": "x"}, {"item_id": "y", "title": "Y", "price": -1}]
    reply = shop.call("PUT", "/v1/items", json={"items": items})
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)
    assert [(one["index"], one["field"]) for one in reply.json()["errors"]] == [(1, "title"), (2, "price")]
    assert shop.call("GET", "/v1/items/mug").status_code == 200


def test_one_item_at_the_collection(shop: Any) -> None:
    assert shop.call("PUT", "/v1/items", json={"item_id": "jug", "title": "Jug"}).json()["accepted"] == 1
    reply = shop.call("PUT", "/v1/items", json={"item_id": "jug", "title": "Jug", "colour": 1})
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "colour")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("PUT", "/v1/items/pot", {"item_id": "cup", "title": "Cup"}, 400, "item_id"),
        ("PUT", "/v1/items/pot", {"price": 3}, 400, "title"),
        ("PATCH", "/v1/items/pot", {"price": "cheap"}, 400, "price"),
        ("PATCH", "/v1/items/pot", {"title": None}, 400, "title"),
        ("PATCH", "/v1/items/nothing", {"price": 3}, 404, None),
        ("DELETE", "/v1/items/nothing", None, 404, None),
        ("GET", "/v1/items/nothing", None, 404, None),
    ],
)
def test_changes_that_are_refused(
    shop: Any, method: str, path: str, body: object, status: int, field: str | None
) -> None:
    reply = shop.call(method, path, **({"json": body} if body is not None else {}))
    assert (reply.status_code, reply.json()["error"].get("field")) == (status, field)
