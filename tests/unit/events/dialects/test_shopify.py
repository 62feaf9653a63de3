"""Shopify beyond its documented examples."""

from __future__ import annotations

from typing import Any

import pytest

from endcap.errors import InvalidFieldError
from endcap.events.dialects.shopify import Delivery, events, product, product_id, refunded_order

ORDER = {"id": 1, "created_at": "2026-11-24T09:30:00Z", "line_items": [{"product_id": 7, "quantity": 1, "price": "2"}]}


def one(topic: str, message: dict[str, Any]) -> dict[str, object]:
    (only,) = events(Delivery(topic, message, "shopify-w"))
    return only.fields


def test_an_order_is_one_purchase_whichever_topic_tells_of_it() -> None:
    assert one("orders/create", ORDER)["event_id"] == one("orders/paid", ORDER)["event_id"] == "shopify-order-1"


def test_a_guest_without_a_cart_is_somebody_of_that_order() -> None:
    fields = one("orders/create", ORDER)
    assert (fields["user_id"], fields["visitor_id"]) == (None, "shopify-order-1")


def test_a_test_order_is_no_purchase() -> None:
    fields = one("orders/create", {**ORDER, "test": True, "customer": {"id": 5}})
    assert (fields["type"], fields["text"], fields["event_id"]) == ("custom", "orders/create", "shopify-w")


def test_a_refund_of_an_unknown_order_belongs_to_that_orders_guest() -> None:
    assert (
        one("refunds/create", {"id": 3, "order_id": 1})["visitor_id"]
        == "shopify-order-1"
        == refunded_order({"order_id": 1})
    )


def test_an_empty_cart_gives_nothing() -> None:
    assert events(Delivery("carts/create", {"token": "c", "line_items": []})) == []


def test_a_new_customer_is_kept_as_custom_with_its_id() -> None:
    assert one("customers/create", {"id": 9})["user_id"] == 9


@pytest.mark.parametrize(
    ("topic", "message", "expected"),
    [
        ("inventory_levels/update", {}, "'inventory_levels/update' is about no customer: do not subscribe to it here"),
        ("customers/redact", {"customer": {"id": 1}}, "customers/redact asks for an answer by law, not for an event"),
        ("refunds/create", {"id": 1}, "order_id is missing: Shopify's message of this topic has one"),
        ("carts/create", {}, "id is missing: Shopify's message of this topic has one"),
    ],
)
def test_what_is_no_event_is_named(topic: str, message: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidFieldError, match=expected):
        events(Delivery(topic, message))


@pytest.mark.parametrize(
    ("variant", "available"),
    [
        ({"inventory_management": None, "inventory_quantity": 0}, True),
        ({"inventory_management": "shopify", "inventory_quantity": 0, "inventory_policy": "continue"}, True),
        ({"inventory_management": "shopify", "inventory_quantity": -1, "inventory_policy": "deny"}, False),
        ({"inventory_management": "shopify", "inventory_quantity": 1, "inventory_policy": "deny"}, True),
        ({}, True),
    ],
)
def test_a_product_is_in_stock_if_a_variant_can_be_bought(variant: dict[str, Any], available: bool) -> None:
    assert product({"id": 1, "variants": [variant]})["in_stock"] is available


def test_a_draft_is_not_shown_and_a_product_without_an_id_is_refused() -> None:
    assert product({"id": 1, "status": "draft"})["in_stock"] is False
    assert product({"id": 1, "category": {"full_name": "Apparel > Shirts"}})["categories"] == ["Apparel > Shirts"]
    with pytest.raises(InvalidFieldError, match="id is missing"):
        product_id({})


def test_without_a_sale_the_price_is_the_cheapest_variants() -> None:
    variants = [{"price": "9.00", "compare_at_price": "9.00"}, {"price": "12.00"}, {"price": None}]
    assert (product({"id": 1, "variants": variants})["price"], product({"id": 1})["title"]) == (9.0, None)
