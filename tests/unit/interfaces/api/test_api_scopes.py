"""What each key may do."""

from __future__ import annotations

from typing import Any

import pytest

from endcap.events.dialects.registry import DIALECTS
from endcap.interfaces.api.operation import LISTS, WRITES
from endcap.interfaces.api.routes import OPERATIONS

KEY = {name: {"Authorization": f"Bearer {name}-key-0123456789"} for name in ("admin", "read", "events")}
PAGE = "https://shop.example"


def token(keyed: Any, **claims: object) -> dict[str, str]:
    reply = keyed.call("POST", "/v1/visitor-tokens", json={"visitor_id": "v1", **claims}, headers=KEY["read"])
    assert reply.status_code == 200, reply.text
    return {**KEY["events"], "X-Endcap-Visitor": reply.json()["token"]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")
def test_every_operation_asks_for_the_scopes_of_the_table(keyed: Any, operation: Any) -> None:
    if operation.media_type == "text/event-stream":
        assert operation.scopes == LISTS  # an endless answer: the end-to-end test opens it
        return
    path = operation.path.replace("{item_id:path}", "zzz").replace("{version}", "zzz").replace("{recipe}", "popular")
    path = path.replace("{id:path}", "zzz").replace("{path:path}", "zzz")
    headers = {"none": {}, "admin": KEY["admin"], "read": KEY["read"], "events": token(keyed)}
    refused = {
        name: keyed.call(operation.method, path, headers=sent, content=b"{").status_code
        for name, sent in headers.items()
    }
    if operation.signed:  # a key is no signature
        assert set(refused.values()) == {401}
        return
    allowed = operation.scopes or {"none", "admin", "read", "events"}
    for name, status in refused.items():
        expected = set() if name in allowed else {401 if name == "none" else 403}
        assert (status in {401, 403}) == bool(expected), (name, status)
        assert not expected or status in expected, (name, status)


def test_the_table_gives_browsers_little() -> None:
    paths = {operation.path for operation in OPERATIONS if "events" in operation.scopes}
    dialects = {f"/v1/events/{name}" for name in DIALECTS}
    assert paths == {"/v1/recommend", "/v1/recommend/{recipe}", "/v1/stream", "/v1/events"} | dialects
    assert "read" not in WRITES


def test_a_page_speaks_for_its_visitor_only(keyed: Any) -> None:
    page = token(keyed)
    sent = {"type": "view", "item_id": "pot"}
    assert keyed.call("POST", "/v1/events", json=sent, headers=page).status_code == 202
    assert keyed.call("GET", "/v1/users/v1", headers=KEY["read"]).json()["session"] == ["pot"]
    mixed = {"events": [{**sent, "visitor_id": "v1"}, {**sent, "visitor_id": "v2"}, {**sent, "user_id": "u1"}]}
    reply = keyed.call("POST", "/v1/events", json=mixed, headers=page).json()
    assert (reply["accepted"], [one["index"] for one in reply["errors"]]) == (1, [1, 2])
    assert keyed.call("GET", "/v1/users/v2", headers=KEY["read"]).status_code == 404
    assert keyed.call("GET", "/v1/recommend/for-you", headers=page).status_code == 200
    assert keyed.call("GET", "/v1/recommend/for-you?visitor_id=v1", headers=page).status_code == 200
    assert keyed.call("GET", "/v1/recommend/for-you?visitor_id=v2", headers=page).status_code == 403
    assert keyed.call("GET", "/v1/recommend/for-you?user_id=u1", headers=page).status_code == 403


def test_a_token_may_name_the_user_too(keyed: Any) -> None:
    page = token(keyed, user_id="u7")
    joined = {"type": "identify", "user_id": "u7", "visitor_id": "v1"}
    assert keyed.call("POST", "/v1/events", json=joined, headers=page).json()["accepted"] == 1
    assert keyed.call("POST", "/v1/events", json={**joined, "user_id": "u8"}, headers=page).status_code == 400


def test_a_page_of_another_origin(keyed: Any) -> None:
    page = token(keyed)
    good = keyed.call("GET", "/v1/recommend/popular", headers={**page, "Origin": PAGE})
    assert good.headers["access-control-allow-origin"] == PAGE
    bad = keyed.call("GET", "/v1/recommend/popular", headers={**page, "Origin": "https://evil.example"})
    assert bad.status_code == 403
    assert "access-control-allow-origin" not in bad.headers
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    allowed = keyed.call("OPTIONS", "/v1/events", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-methods"]) == (204, "GET, POST")
    assert keyed.call("OPTIONS", "/v1/events", headers={**asked, "Origin": "null"}).status_code == 403


def test_an_error_reaches_the_allowed_page(keyed: Any) -> None:
    reply = keyed.call("GET", "/v1/recommend/popular?k=x", headers={**token(keyed), "Origin": PAGE})
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (400, PAGE)


def test_an_allowed_page_of_an_open_server_may_send_events_but_not_change_items(shop: Any) -> None:
    page = {"Origin": PAGE}
    event = {"type": "view", "visitor_id": "p", "item_id": "pot"}
    assert shop.call("POST", "/v1/events", json=event, headers=page).status_code == 202
    assert shop.call("GET", "/v1/recommend/popular", headers=page).status_code == 200
    refused = shop.call("PUT", "/v1/items/x", json={"title": "X"}, headers=page)
    assert refused.status_code == 403
    assert (
        "the key has the scope 'events', and PUT /v1/items/{item_id} needs admin" in refused.json()["error"]["message"]
    )
