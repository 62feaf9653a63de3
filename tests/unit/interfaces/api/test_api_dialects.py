"""POST /v1/events/{ga4,segment,retail,shopify} over a real log and state."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from endcap.errors import ConfigError
from endcap.interfaces.api.webhooks import ShopifySecrets

SECRET = "shopify-secret-0123456789"
OTHER = SECRET[::-1]
ADMIN = {"Authorization": "Bearer admin-key-0123456789"}
ORDER = {
    "id": 820982911946154508,
    "created_at": "2026-09-21T12:00:00Z",
    "currency": "GBP",
    "total_price": "20.00",
    "customer": {"id": 42},
    "line_items": [{"id": 1, "product_id": "pot", "quantity": 1, "price": "20.00"}],
}


def signature(body: bytes, secret: str = SECRET) -> str:
    """By the definition: base64 of HMAC-SHA256 over the bytes that are sent."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def webhook(shop: Any, topic: str, message: object, webhook: str = "w-1", **headers: str) -> Any:
    body = json.dumps(message, indent=1).encode()  # not the shortest way to write it: the bytes count
    sent = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Webhook-Id": webhook,
        "X-Shopify-Hmac-Sha256": signature(body),
        **headers,
    }
    return shop.call("POST", "/v1/events/shopify", content=body, headers=sent)


def hit(name: str, **params: object) -> dict[str, object]:
    return {"name": name, "params": params}


def test_ga4_good_ones_are_kept_bad_ones_refused_by_index_and_unknown_names_counted(shop: Any) -> None:
    pot, now = [{"item_id": "pot"}], shop.context.now_ms()
    body = {
        "client_id": "ga-1",
        "timestamp_micros": now * 1000 + 7,
        "events": [hit("view_item", items=pot), hit("scroll"), hit("add_to_cart"), 7, hit("scroll")],
    }
    reply = shop.call("POST", "/v1/events/ga4", json=body)
    assert reply.status_code == 202, reply.text
    answer = reply.json()
    assert (answer["accepted"], answer["duplicates"], answer["unknown"]) == (3, 0, {"scroll": 2})
    assert [(one["index"], one.get("field")) for one in answer["errors"]] == [(2, "items"), (3, None)]
    user = shop.call("GET", "/v1/users/ga-1").json()
    assert (user["counts"], user["last_time"], user["session"]) == ({"view": 1, "custom": 2}, now, ["pot"])
    assert answer["offset"] == shop.call("GET", "/v1/stats").json()["offset"]


def test_a_purchase_sent_twice_counts_once(shop: Any) -> None:
    bought = hit("purchase", transaction_id="T-1", items=[{"item_id": "pot", "quantity": 1}])
    body = {"client_id": "ga-2", "events": [bought]}
    receipts = [shop.call("POST", "/v1/events/ga4", json=body).json() for _ in range(2)]
    assert [(one["accepted"], one["duplicates"]) for one in receipts] == [(1, 0), (0, 1)]
    assert "unknown" not in receipts[0]


def test_segment_messages_and_batches(shop: Any) -> None:
    viewed = {"type": "track", "event": "Product Viewed", "anonymousId": "seg-1", "properties": {"product_id": "cup"}}
    assert shop.call("POST", "/v1/events/segment", json=viewed).json()["accepted"] == 1
    batch = {"batch": [{**viewed, "messageId": "m1"}, {**viewed, "messageId": "m1"}, {"type": "page"}]}
    answer = shop.call("POST", "/v1/events/segment", json=batch).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)
    (refused,) = answer["errors"]
    assert (refused["index"], refused["field"]) == (2, "user_id")
    assert "unknown" not in answer  # the page was refused, so it is not counted as kept


def test_retail_user_events(shop: Any) -> None:
    event: dict[str, Any] = {"eventType": "search", "visitorId": "g-1", "searchQuery": "tea"}
    event["productDetails"] = [{"product": {"id": "pot"}}]
    assert shop.call("POST", "/v1/events/retail", json={"userEvents": [event]}).json()["accepted"] == 2
    assert shop.call("GET", "/v1/users/g-1").json()["counts"] == {"search": 1, "impression": 1}


def test_nothing_good_is_an_error_and_a_batch_has_its_limit(shop: Any) -> None:
    reply = shop.call("POST", "/v1/events/ga4", json={"client_id": "c", "events": [hit("view_item")] * 2})
    assert (reply.status_code, [one["index"] for one in reply.json()["errors"]]) == (400, [0, 1])
    assert "none of the 2 was kept; the first: view_item names no item" in reply.json()["error"]["message"]
    reply = shop.call("POST", "/v1/events/segment", json={"batch": [{}] * 1001})
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "events")
    assert shop.call("POST", "/v1/events/ga4", json=[]).json()["error"]["code"] == "malformed"


def test_a_page_speaks_for_its_visitor_only_in_any_dialect(keyed: Any) -> None:
    reader = {"Authorization": "Bearer read-key-0123456789"}
    token = keyed.call("POST", "/v1/visitor-tokens", json={"visitor_id": "mine"}, headers=reader).json()["token"]
    page = {"Authorization": "Bearer events-key-0123456789", "X-Endcap-Visitor": token}
    body = {"client_id": "another", "events": [hit("view_item", items=[{"item_id": "pot"}])]}
    reply = keyed.call("POST", "/v1/events/ga4", json=body, headers=page)
    assert (reply.status_code, "for another visitor" in reply.json()["error"]["message"]) == (400, True)
    assert keyed.call("POST", "/v1/events/ga4", json={**body, "client_id": "mine"}, headers=page).status_code == 202


def test_a_signed_order_is_a_purchase_and_its_refund_takes_it_back(keyed: Any) -> None:
    assert webhook(keyed, "orders/create", ORDER).json()["accepted"] == 1
    again = webhook(keyed, "orders/paid", ORDER, webhook="w-2").json()
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    known = keyed.call("GET", "/v1/users/42", headers=ADMIN).json()
    assert [(one["item_id"], one["type"]) for one in known["events"]] == [("pot", "purchase")]
    line = {"quantity": 1, "line_item": ORDER["line_items"][0]}  # type: ignore[index]
    refund = {"id": 9, "order_id": ORDER["id"], "created_at": "2026-09-22T12:00:00Z", "refund_line_items": [line]}
    assert webhook(keyed, "refunds/create", refund, webhook="w-3").json()["accepted"] == 1
    assert keyed.call("GET", "/v1/users/42", headers=ADMIN).json()["events"] == []


def test_a_cart_that_is_sent_again_adds_its_new_line_only(keyed: Any) -> None:
    lines = [{"id": 1, "product_id": "pot", "quantity": 1}, {"id": 2, "product_id": "cup", "quantity": 1}]
    first = webhook(keyed, "carts/create", {"token": "cart-1", "line_items": lines[:1]}).json()
    second = webhook(keyed, "carts/update", {"token": "cart-1", "line_items": lines}, webhook="w-2").json()
    assert (first["accepted"], second["accepted"], second["duplicates"]) == (1, 1, 1)
    assert webhook(keyed, "carts/create", {"token": "cart-2", "line_items": []}).json()["accepted"] == 0


def test_the_id_of_what_happened_comes_before_that_of_the_delivery(keyed: Any) -> None:
    message = {"id": 77}
    sent = [("d-1", "e-1"), ("d-2", "e-1"), ("d-1", "")]
    replies = [
        webhook(keyed, "customers/create", message, webhook=one, **{"X-Shopify-Event-Id": event}).json()
        for one, event in sent
    ]
    assert [reply["accepted"] for reply in replies] == [1, 0, 1]
    assert replies[0]["unknown"] == {"customers/create": 1}


def test_a_product_is_honoured_by_the_next_list(keyed: Any) -> None:
    product = {"id": 5001, "title": "Kettle", "vendor": "Acme", "variants": [{"price": "30.00"}]}
    assert webhook(keyed, "products/create", product).json()["accepted"] == 1
    keyed.call("PATCH", "/v1/items/5001", json={"currency": "GBP"}, headers=ADMIN)
    webhook(keyed, "products/update", {**product, "title": "Big kettle"})
    item = keyed.call("GET", "/v1/items/5001", headers=ADMIN).json()
    assert (item["title"], item["price"], item["currency"], item["in_stock"]) == ("Big kettle", 30.0, "GBP", True)
    webhook(keyed, "products/delete", {"id": 5001})
    assert keyed.call("GET", "/v1/items/5001", headers=ADMIN).status_code == 404


@pytest.mark.parametrize("given", ["", "bm90IGl0", signature(b"another body"), signature(b"{}", OTHER)[:-1], "ü"])
def test_a_webhook_with_a_wrong_signature_is_refused_and_nothing_is_kept(keyed: Any, given: str) -> None:
    before = keyed.call("GET", "/v1/stats", headers=ADMIN).json()["offset"]
    headers = {"X-Shopify-Topic": "orders/create", "X-Shopify-Hmac-Sha256": given.encode("latin-1")}
    reply = keyed.call("POST", "/v1/events/shopify", content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorized")
    assert "X-Shopify-Hmac-Sha256 is not the signature of this body" in reply.json()["error"]["message"]
    assert SECRET not in reply.text
    assert keyed.call("GET", "/v1/stats", headers=ADMIN).json()["offset"] == before


def test_an_admin_key_is_no_signature(keyed: Any) -> None:
    reply = keyed.call("POST", "/v1/events/shopify", json=ORDER, headers={**ADMIN, "X-Shopify-Topic": "orders/create"})
    assert reply.status_code == 401


def test_the_signature_is_of_the_bytes_and_a_second_secret_counts_while_one_replaces_the_other(keyed: Any) -> None:
    body = json.dumps({"id": 78}).encode()
    headers = {"X-Shopify-Topic": "customers/create", "X-Shopify-Hmac-Sha256": signature(body, OTHER)}
    assert keyed.call("POST", "/v1/events/shopify", content=body, headers=headers).status_code == 202
    assert keyed.call("POST", "/v1/events/shopify", content=body + b" ", headers=headers).status_code == 401


def test_without_a_secret_no_webhook_is_taken(shop: Any) -> None:
    reply = webhook(shop, "orders/create", ORDER)
    assert reply.status_code == 401
    assert "no secret is configured: set ENDCAP_SHOPIFY_SECRET and restart" in reply.json()["error"]["message"]


def test_a_webhook_without_a_topic_is_refused(keyed: Any) -> None:
    reply = webhook(keyed, "", ORDER)
    assert (reply.status_code, reply.json()["error"]["field"]) == (400, "X-Shopify-Topic")
    assert webhook(keyed, "orders/create", [1]).json()["error"]["code"] == "malformed"


def test_a_short_secret_is_an_error_that_does_not_show_it() -> None:
    with pytest.raises(ConfigError, match="ENDCAP_SHOPIFY_SECRET has fewer than 16 characters") as caught:
        ShopifySecrets.parse(f"{SECRET}, hunter2")
    assert "hunter2" not in str(caught.value)
