"""Whatever JSON comes in, the answer is a list, a receipt, or an error that names what is wrong: never a fault."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endcap.events.dialects.registry import DIALECTS
from endcap.interfaces.api.schema import EventBody, ItemBody, RecommendRequest
from endcap.serving.engine import RECIPES

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(
        [*RECIPES, "view", "purchase", "return", "identify", "dismiss", "pot", "cup", 10**30, -1, 2**63, ""]
    )
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner), max_leaves=6
)
QUIET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def bodies(record: type[msgspec.Struct], **sure: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with fields of ``record``, mostly of wrong values; those in ``sure`` are mostly there and right."""
    others = st.dictionaries(st.sampled_from(record.__struct_fields__), VALUES, max_size=4)
    return st.builds(lambda right, wild: {**right, **wild}, st.fixed_dictionaries(sure), others) | VALUES


IDS = st.sampled_from(["pot", "cup", "anna", "7"])
LISTS = st.lists(IDS, max_size=3)
LINES = st.lists(st.fixed_dictionaries({"item_id": IDS}, optional={"quantity": LEAVES, "price": LEAVES}), max_size=3)
EVENTS = bodies(
    EventBody, type=st.sampled_from(["view", "purchase", "return", "dismiss", "cart"]), visitor_id=IDS, items=LINES
)
ITEMS = bodies(ItemBody, item_id=IDS, title=st.text(st.characters(codec="utf-8"), max_size=30))
REQUESTS = bodies(
    RecommendRequest, recipe=st.sampled_from(RECIPES), visitor_id=IDS, item_ids=LISTS, query=st.text(max_size=20)
)


def answered(shop: Any, method: str, path: str, body: object) -> None:
    reply = shop.call(method, path, content=msgspec.json.encode(body))
    assert reply.status_code in {200, 202, 400}, (reply.status_code, reply.text, body)
    if reply.status_code == 400:
        error = reply.json()["error"]
        assert error["code"] in {"invalid_field", "malformed"}
        assert error["message"]


@QUIET
@given(body=EVENTS | st.fixed_dictionaries({"events": st.lists(EVENTS, max_size=4)}))
def test_events(shop: Any, body: object) -> None:
    answered(shop, "POST", "/v1/events", body)
    assert shop.call("GET", "/v1/recommend/for-you?visitor_id=anna").status_code == 200


@QUIET
@given(body=ITEMS | st.fixed_dictionaries({"items": st.lists(ITEMS, max_size=4)}))
def test_items(shop: Any, body: object) -> None:
    answered(shop, "PUT", "/v1/items", body)
    assert shop.call("GET", "/v1/recommend/popular").status_code == 200


@QUIET
@given(body=REQUESTS)
def test_requests(shop: Any, body: object) -> None:
    answered(shop, "POST", "/v1/recommend", body)


@QUIET
@given(body=st.binary(max_size=60))
def test_bytes(shop: Any, body: bytes) -> None:
    calls = [("POST", "/v1/events"), ("PUT", "/v1/items"), ("POST", "/v1/recommend")]
    for method, path in calls + [("POST", f"/v1/events/{dialect}") for dialect in DIALECTS]:
        assert shop.call(method, path, content=body).status_code == 400
