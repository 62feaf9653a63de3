"""DELETE and export of a person, and Shopify's privacy webhooks, with the processes that they start."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.unit.interfaces.api.test_api_dialects import ADMIN, webhook

from endcap.config import Home


def did(shop: Any, **who: str) -> None:
    body = {"type": "view", "item_id": "pot", **who}
    assert shop.call("POST", "/v1/events", json=body, headers=ADMIN).status_code == 202


def files_with(shop: Any, text: str) -> list[str]:
    """By another process: this one would let go of SQLite's locks if it opened and closed the log's file."""
    found = subprocess.run(
        ["grep", "-rlaF", text, str(shop.context.home)], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.splitlines()


def test_a_person_is_gone_when_it_is_answered(keyed: Any) -> None:
    did(keyed, user_id="uma-w8k2", visitor_id="v-w8k2")
    did(keyed, user_id="other")
    asked = {"recipe": "search", "user_id": "uma-w8k2", "query": "lamp for w8k2"}
    assert keyed.call("POST", "/v1/recommend", json=asked, headers=ADMIN).status_code == 200
    known = keyed.call("GET", "/v1/users/uma-w8k2/export", headers=ADMIN)
    assert known.status_code == 200, known.text
    assert [event["item_id"] for event in known.json()["events"]] == ["pot"]
    assert "lamp for w8k2" in known.text
    assert files_with(keyed, "w8k2")
    reply = keyed.call("DELETE", "/v1/users/uma-w8k2", headers=ADMIN)
    assert reply.status_code == 200, reply.text
    receipt = reply.json()
    assert (receipt["events"], receipt["lists"], receipt["visitors"], receipt["compacted"]) == ({"view": 1}, 1, 1, True)
    assert files_with(keyed, "w8k2") == []
    assert keyed.context.state.user_row("uma-w8k2", None) == -1
    assert keyed.call("GET", "/v1/users/uma-w8k2", headers=ADMIN).status_code == 404
    assert keyed.call("GET", "/v1/users/other", headers=ADMIN).status_code == 200
    again = keyed.call("DELETE", "/v1/users/uma-w8k2", headers=ADMIN).json()
    assert (again["number"], again["people"]) == (None, [receipt["people"][0], again["people"][1]])


def test_a_visitor_by_name_alone_and_by_kind(keyed: Any) -> None:
    did(keyed, visitor_id="vera")
    assert keyed.call("DELETE", "/v1/users/vera?kind=user", headers=ADMIN).json()["number"] is None
    assert keyed.context.state.user_row(None, "vera") >= 0
    assert keyed.call("DELETE", "/v1/users/vera", headers=ADMIN).json()["events"] == {"view": 1}
    assert keyed.context.state.user_row(None, "vera") == -1


@pytest.mark.parametrize(
    ("method", "path", "status", "field", "message"),
    [
        ("DELETE", "/v1/users/ann?kind=dog", 400, "kind", "kind is 'dog': use user or visitor"),
        ("DELETE", "/v1/users/ann?colour=red", 400, "colour", "unknown parameter 'colour': there is kind"),
        ("DELETE", "/v1/users/" + "a" * 257, 400, "user_id", "1 to 256 characters"),
        ("DELETE", "/v1/users/a%00b", 400, "id", "has a null character"),
        ("GET", "/v1/users/ann/export?kind=dog", 400, "kind", "kind is 'dog'"),
    ],
)
def test_what_cannot_be_asked(keyed: Any, method: str, path: str, status: int, field: str, message: str) -> None:
    reply = keyed.call(method, path, headers=ADMIN)
    error = reply.json()["error"]
    assert (reply.status_code, error["field"]) == (status, field)
    assert message in error["message"]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/users/other"), ("GET", "/v1/users/other/export")])
def test_an_admin_key_is_needed(keyed: Any, method: str, path: str) -> None:
    headers = {"Authorization": "Bearer read-key-0123456789"}
    assert keyed.call(method, path, headers=headers).status_code == 403


def test_shopify_asks_for_data_and_then_for_the_erasure(keyed: Any) -> None:
    order = {"id": 7001, "created_at": "2026-11-20T12:00:00Z", "line_items": [{"product_id": "pot", "quantity": 1}]}
    assert webhook(keyed, "orders/create", {**order, "customer": {"id": 7788}}, "w-70").status_code == 202
    assert webhook(keyed, "orders/create", {**order, "id": 7002}, "w-71").status_code == 202, "by nobody known"
    asked = {"shop_id": 1, "customer": {"id": 7788}, "orders_requested": [7001], "data_request": {"id": 99}}
    reply = webhook(keyed, "customers/data_request", asked, "w-72")
    assert reply.status_code == 202, reply.text
    folder = Home(keyed.context.home).exports
    (path,) = folder.glob("*.json")
    assert [one["type"] for one in json.loads(path.read_bytes())["events"]] == ["purchase"]
    assert folder.stat().st_mode & 0o077 == 0
    guest = next(key for key in keyed.context.state.users if key.startswith("v:shopify-order"))
    gone = {"shop_id": 1, "customer": {"id": 7788}, "orders_to_redact": [7001, 7002]}
    assert webhook(keyed, "customers/redact", gone, "w-73").status_code == 202
    assert keyed.context.state.user_row("7788", None) == keyed.context.state.user_row(None, guest[2:]) == -1
    assert list(folder.glob("*.json")) == [], "what was exported goes too"
    assert webhook(keyed, "customers/redact", gone, "w-73").status_code == 202, "sent again, it is done already"


def test_the_end_of_a_shop_is_said_to_who_runs_the_server(keyed: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert webhook(keyed, "shop/redact", {"shop_id": 1}).status_code == 202
    assert "shop/redact: stop the server and delete the home folder" in caplog.messages


def test_a_request_that_names_nobody_is_refused(keyed: Any) -> None:
    reply = webhook(keyed, "customers/redact", {"shop_id": 1})
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "id")
