"""Shopify's webhooks: orders, refunds and carts as events, products as changes of the catalogue.

https://shopify.dev/docs/api/webhooks
https://shopify.dev/docs/apps/build/webhooks/verify-deliveries (the signature is checked at the door)

An item is a product, by Shopify's product id. An order is one purchase whichever of its topics tells of it, and a
line of a cart counts once: Shopify sends the whole cart after each change.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from endcap.errors import InvalidFieldError
from endcap.events.dialects.message import (
    Fields,
    Message,
    Translated,
    custom,
    first,
    inner,
    line,
    number,
    objects,
    part,
    stable_id,
)

ORDERS = frozenset({"orders/create", "orders/paid"})
CARTS = frozenset({"carts/create", "carts/update"})
REFUND = "refunds/create"
PRODUCTS = frozenset({"products/create", "products/update"})
PRODUCT_END = "products/delete"
REDACT, DATA_REQUEST, SHOP_END = "customers/redact", "customers/data_request", "shop/redact"
PRIVACY = frozenset({DATA_REQUEST, REDACT, SHOP_END})
"""What an app must answer by law; they are no events."""
TOPIC = "X-Shopify-Topic"

_TAGS = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook."""

    topic: str
    message: Message
    id: str | None = None
    """Shopify's id of what happened: the same in every delivery of it."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whose order a refund belongs to: a refund says the order only."""

    user_id: str | None = None
    visitor_id: str | None = None


def events(delivery: Delivery, buyer: Buyer | None = None) -> Sequence[Translated]:
    """The events that a webhook tells of. ``buyer``: of the order that is refunded, where it is known.

    Raises InvalidFieldError for a message that lacks what its topic promises, for a request of the privacy law, and
    for a topic that is about nobody.
    """
    topic, message = delivery.topic, delivery.message
    if topic in PRIVACY:
        raise InvalidFieldError(TOPIC, f"{topic} asks for an answer by law, not for an event: send it to a server")
    if topic in CARTS:
        return _cart(message)
    if topic == REFUND:
        return [_refund(delivery, buyer)]
    if topic in ORDERS and part(message, "test") is not True:
        return [_order(delivery)]
    return [_other(delivery)]


def refunded_order(message: Message) -> str:
    """The event id of the purchase that a refund belongs to. Raises InvalidFieldError where it does not say."""
    return stable_id("shopify-order", _needed(message, "order_id"))


def customer_id(message: Message) -> object:
    """Whom a request of the privacy law is about. Raises InvalidFieldError where it does not say."""
    return _needed(inner(message, "customer"), "id")


def orders_to_redact(message: Message) -> list[str]:
    """The visitors under whose names orders without a customer are kept."""
    orders = message.get("orders_to_redact")
    return [stable_id("shopify-order", order) for order in orders] if isinstance(orders, list) else []


def request_id(message: Message) -> str:
    """The name of a request for somebody's data. Raises InvalidFieldError where it does not say."""
    return stable_id("shopify-data-request", _needed(inner(message, "data_request"), "id"))


def product_id(message: Message) -> object:
    """The item that a product's webhook is about. Raises InvalidFieldError where it does not say."""
    return _needed(message, "id")


def product(message: Message) -> Fields:
    """A product as the fields of an item, ready for ``parse_change``."""
    variants = objects(message, "variants")
    category = first(inner(message, "category"), "full_name") or part(message, "product_type")
    hidden = part(message, "status") in ("draft", "archived")
    tags = part(message, "tags")
    attributes = {"handle": part(message, "handle"), "tags": tags.split(", ") if isinstance(tags, str) else tags}
    return {
        "item_id": product_id(message),
        "title": part(message, "title"),
        "description": _plain(part(message, "body_html")),
        "brand": part(message, "vendor"),
        "categories": None if category is None else [category],
        **_prices(variants),
        "in_stock": not hidden and (not variants or any(_is_available(one) for one in variants)),
        "image": part(message, "image", "src"),
        "attributes": {name: value for name, value in attributes.items() if value is not None} or None,
    }


def _order(delivery: Delivery) -> Translated:
    message, order = delivery.message, part(delivery.message, "id")
    lines = _lines(objects(message, "line_items"))
    fields = _common(delivery) | {"type": "purchase", "items": lines or None}
    fields |= {"value": number(part(message, "total_price")), "currency": part(message, "currency")}
    if order is not None:
        fields["event_id"] = stable_id("shopify-order", order)
        if fields["user_id"] is None and fields["visitor_id"] is None:
            fields["visitor_id"] = stable_id("shopify-order", order)  # somebody bought it, unknown who
    return Translated(fields)


def _refund(delivery: Delivery, buyer: Buyer | None) -> Translated:
    message = delivery.message
    order = refunded_order(message)
    lines = [
        line(part(one, "line_item", "product_id"), part(one, "quantity"), part(one, "line_item", "price"))
        for one in objects(message, "refund_line_items")
        if part(one, "line_item", "product_id") is not None
    ]
    known = buyer or Buyer(visitor_id=order)
    refund = part(message, "id")
    return Translated(
        {
            "type": "return",
            "user_id": known.user_id,
            "visitor_id": known.visitor_id,
            "time": first(message, "processed_at", "created_at"),
            "items": lines or None,
            "event_id": delivery.id if refund is None else stable_id("shopify-refund", refund),
        }
    )


def _cart(message: Message) -> Sequence[Translated]:
    cart = _needed(message, "token" if part(message, "token") is not None else "id")
    common: Fields = {"type": "cart", "visitor_id": cart, "time": first(message, "updated_at", "created_at")}
    found = []
    for one in objects(message, "line_items"):
        for read in _lines([one]):
            key = first(one, "key", "id", "variant_id")
            event_id = stable_id("shopify-cart", cart, read["item_id"] if key is None else key)
            found.append(Translated({**common, "items": [read], "event_id": event_id}))
    return found


def _other(delivery: Delivery) -> Translated:
    fields = _common(delivery)
    if fields["user_id"] is None and delivery.topic.startswith("customers/"):
        fields["user_id"] = part(delivery.message, "id")
    if fields["user_id"] is None and fields["visitor_id"] is None:
        raise InvalidFieldError(TOPIC, f"{delivery.topic!r:.80} is about no customer: do not subscribe to it here")
    return custom(delivery.topic, fields)


def _common(delivery: Delivery) -> Fields:
    message = delivery.message
    return {
        "user_id": part(message, "customer", "id"),
        "visitor_id": first(message, "cart_token", "checkout_token"),
        "time": first(message, "created_at", "updated_at"),
        "event_id": delivery.id,
    }


def _lines(items: list[Message]) -> list[Fields]:
    """Lines of the catalogue; a tip or a line that was typed in by hand has no product."""
    return [
        line(part(one, "product_id"), part(one, "quantity"), part(one, "price"))
        for one in items
        if part(one, "product_id") is not None
    ]


def _prices(variants: list[Message]) -> Fields:
    """What the cheapest variant costs; where it was dearer before, that is the price and this the sale."""
    priced = [(price, one) for one in variants if isinstance(price := number(part(one, "price")), (int, float))]
    if not priced:
        return {}
    price, cheapest = min(priced, key=lambda pair: pair[0])
    before = number(part(cheapest, "compare_at_price"))
    if isinstance(before, (int, float)) and before > price:
        return {"price": before, "sale_price": price}
    return {"price": price, "sale_price": None}


def _is_available(variant: Message) -> bool:
    untracked = "inventory_management" in variant and variant["inventory_management"] is None
    pieces = number(part(variant, "inventory_quantity"))
    in_stock = pieces > 0 if isinstance(pieces, (int, float)) else pieces is None
    return untracked or in_stock or part(variant, "inventory_policy") == "continue"


def _plain(text: object) -> object:
    """The text of a piece of HTML."""
    return " ".join(html.unescape(_TAGS.sub(" ", text)).split()) if isinstance(text, str) else text


def _needed(message: Message, name: str) -> object:
    value = part(message, name)
    if value is None:
        raise InvalidFieldError(name, f"{name} is missing: Shopify's message of this topic has one")
    return value
