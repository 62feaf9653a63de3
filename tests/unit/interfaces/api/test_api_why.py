"""GET /v1/why, with the process that it starts."""

from __future__ import annotations

from typing import Any

import pytest


def served(shop: Any, **asked: Any) -> dict[str, Any]:
    answer: dict[str, Any] = shop.call("POST", "/v1/recommend", json={"recipe": "popular", **asked}).json()
    return answer


def test_why_and_why_not(shop: Any) -> None:
    answer = served(shop, k=2, exclude=["lamp"])
    shown = answer["items"][0]["item_id"]
    shop.call("PATCH", f"/v1/items/{shown}", json={"in_stock": False})  # later: the past stays as it was
    found = shop.call("GET", "/v1/why", params={"request_id": answer["request_id"], "item_id": shown})
    assert found.status_code == 200, found.text
    told = found.json()
    assert (told["same"], told["trace"]["place"], told["offset"]) == (True, 1, answer["offset"])
    assert told["items"] == [item["item_id"] for item in answer["items"]]
    assert told["reason"] == answer["items"][0]["reason"]
    shop.call("PATCH", f"/v1/items/{shown}", json={"in_stock": True})
    hidden = shop.call("GET", "/v1/why", params={"request_id": answer["request_id"], "item_id": "lamp"}).json()
    assert (hidden["trace"]["verdict"], hidden["trace"]["hidden_by"]) == ("hidden", ["excluded"])


def test_a_moment(shop: Any) -> None:
    found = shop.call("GET", "/v1/why", params={"visitor_id": "v9", "item_id": "pot", "recipe": "trending", "k": 3})
    assert found.status_code == 200, found.text
    assert (found.json()["same"], found.json()["request"]["recipe"]) == (None, "trending")
    asked = {"visitor_id": "v9", "item_id": "pot", "recipe": "similar", "about": "pot"}
    about = shop.call("GET", "/v1/why", params=asked).json()
    assert (about["request"]["item_ids"], about["trace"]["hidden_by"]) == (["pot"], ["on_the_page"])


@pytest.mark.parametrize(
    ("params", "status", "field", "message"),
    [
        ({"request_id": "never", "item_id": "pot"}, 404, None, "the log has no list 'never'"),
        ({"visitor_id": "v", "item_id": "nothing"}, 404, None, "item 'nothing' was unknown then"),
        ({"request_id": "x"}, 400, "item_id", "item_id is missing"),
        ({"item_id": "pot"}, 400, "request_id", "whose list"),
        ({"item_id": "pot", "visitor_id": "v", "at": "yesterday"}, 400, "at", "at"),
        ({"item_id": "pot", "visitor_id": "v", "k": "many"}, 400, "query_string", "many"),
        ({"item_id": "pot", "colour": "red"}, 400, "colour", "unknown parameter 'colour'"),
    ],
)
def test_what_cannot_be_asked(shop: Any, params: dict[str, str], status: int, field: str | None, message: str) -> None:
    found = shop.call("GET", "/v1/why", params=params)
    error = found.json()["error"]
    assert (found.status_code, error.get("field")) == (status, field), error
    assert message in error["message"]
