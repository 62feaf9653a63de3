"""/v1/recommend over a real engine."""

from __future__ import annotations

from typing import Any

import pytest

from endcap.interfaces.api.recommend import from_parameters
from endcap.interfaces.api.schema import RecommendRequest


def test_the_answer_has_the_documented_form(shop: Any) -> None:
    answer = shop.call("POST", "/v1/recommend", json={"recipe": "popular", "k": 2}).json()
    assert set(answer) == {"request_id", "items", "model", "offset", "took_ms"}
    assert answer["took_ms"] > 0
    assert len(answer["items"]) == 2
    assert all(item["item_id"] and item["reason"] and "parts" not in item for item in answer["items"])
    again = shop.call("POST", "/v1/recommend", json={"recipe": "popular", "k": 2}).json()
    assert again["request_id"] != answer["request_id"]
    assert [item["item_id"] for item in again["items"]] == [item["item_id"] for item in answer["items"]]


def test_parts_add_up_to_the_score(shop: Any) -> None:
    shop.call("POST", "/v1/events", json={"type": "purchase", "user_id": "u", "item_id": "lamp"})
    answer = shop.call("POST", "/v1/recommend", json={"recipe": "trending", "explain": True}).json()
    assert answer["items"][0]["item_id"] == "lamp"
    for item in answer["items"]:
        assert sum(item["parts"].values()) == pytest.approx(item["score"], rel=1e-5)


def test_get_asks_the_same(shop: Any) -> None:
    posted = shop.call("POST", "/v1/recommend", json={"recipe": "similar", "item_ids": ["pot", "cup"], "k": 3}).json()
    got = shop.call("GET", "/v1/recommend/similar?item_id=pot&item_id=cup&k=3").json()
    assert [item["item_id"] for item in got["items"]] == [item["item_id"] for item in posted["items"]]
    assert not {"pot", "cup"} & {item["item_id"] for item in got["items"]}


def test_parameters_become_a_request() -> None:
    parameters = [("item_id", "1"), ("item_id", "2"), ("exclude", "3"), ("k", "5"), ("user_id", "u"), ("explain", "1")]
    assert from_parameters("similar", parameters) == RecommendRequest(
        "similar", user_id="u", item_ids=["1", "2"], k=5, exclude=["3"], explain=True
    )


def test_the_reader_s_language(shop: Any) -> None:
    def reasons(accepted: str) -> str:
        answer = shop.call("GET", "/v1/recommend/popular", headers={"accept-language": accepted}).json()
        return "".join(item["reason"] for item in answer["items"])

    for chinese in ("zh", "zh-CN,zh;q=0.9,en;q=0.8", "fr, zh;q=0.5, en;q=0.3", "ZH-tw"):
        assert not reasons(chinese).isascii()
    for english in ("en", "en-GB,zh;q=0.9", "fr", "zh;q=0.2,en;q=0.3", "zh;q=x", "*"):
        assert reasons(english).isascii()


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"recipe": "best"}, "recipe", "recipe is 'best': use one of for-you"),
        ({"recipe": "audience"}, "recipe", "it is not available in this version; use one of"),
        ({"recipe": "popular", "kind": "person"}, "kind", "kind is 'person': use one of product"),
        ({"recipe": "popular", "k": 0}, "k", "k is 0"),
        ({"recipe": "popular", "boost": {"a": 1}}, "boost", "boost is not available in this version"),
        ({"recipe": "popular", "colour": 1}, "colour", "is not a field of this request"),
        ({"recipe": "popular", "user_id": ""}, "user_id", "user_id must be a string of 1 to 256"),
        ({"recipe": "popular", "exclude": ["x" * 257]}, "exclude", "exclude must be a string of 1 to 256"),
        ({"recipe": "similar"}, "item_ids", "needs item_ids"),
        ({"recipe": "search"}, "query", "needs a query"),
    ],
)
def test_a_wrong_request_names_the_field(shop: Any, body: dict[str, object], field: str, message: str) -> None:
    reply = shop.call("POST", "/v1/recommend", json=body)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)
    assert message in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("popular?k=ten", "k"),
        ("popular?k=1&k=2", "k"),
        ("popular?colour=red", "colour"),
        ("popular?image=x", "image"),
        ("popular?user_id=%ff", "query_string"),
        ("best", "recipe"),
    ],
)
def test_a_wrong_query_string_names_the_parameter(shop: Any, path: str, field: str) -> None:
    reply = shop.call("GET", f"/v1/recommend/{path}")
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)


def test_numbers_are_ids_too(shop: Any) -> None:
    shop.call("POST", "/v1/events", json={"type": "view", "user_id": 42, "item_id": "pot"})
    assert shop.call("GET", "/v1/users/42").json()["kind"] == "user"
    answer = shop.call("POST", "/v1/recommend", json={"recipe": "for-you", "user_id": 42, "k": 100}).json()
    assert "pot" not in [item["item_id"] for item in answer["items"]]  # it is in the open session


def test_a_page_has_rows_with_ids_of_their_own(shop: Any) -> None:
    shop.call("POST", "/v1/events", json={"type": "view", "visitor_id": "pager", "item_id": "pot"})
    answer = shop.call("POST", "/v1/recommend", json={"recipe": "page", "visitor_id": "pager", "k": 2}).json()
    assert answer["items"] == []
    assert answer["request_id"] == answer["rows"][0]["request_id"]
    shown = [item["item_id"] for row in answer["rows"] for item in row["items"]]
    assert len(shown) == len(set(shown)) > 0
    assert len({row["request_id"] for row in answer["rows"]}) == len(answer["rows"])
    same = shop.call("GET", "/v1/recommend/page", params={"visitor_id": "pager", "k": 2}).json()
    assert [row["title"] for row in same["rows"]] == [row["title"] for row in answer["rows"]]
    plain = shop.call("POST", "/v1/recommend", json={"recipe": "popular"}).json()
    assert "rows" not in plain
