"""Segment: messages of its Spec (track, identify, page, ...) with the events of Ecommerce Spec V2, alone or in a batch.

https://segment.com/docs/connections/spec/ecommerce/v2/
https://segment.com/docs/connections/spec/common/
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/ (batch)
"""

from __future__ import annotations

from collections.abc import Sequence

from endcap.events.dialects.message import (
    Dialect,
    Fields,
    Message,
    Translated,
    about,
    batch,
    custom,
    first,
    inner,
    line,
    name_of,
    number,
    objects,
    part,
)

TYPES = {
    "products searched": "search",
    "product list viewed": "impression",
    "viewed product category": "impression",
    "product list filtered": "impression",
    "promotion viewed": "impression",
    "viewed promotion": "impression",
    "promotion clicked": "click",
    "clicked promotion": "click",
    "product clicked": "click",
    "clicked product": "click",
    "product viewed": "view",
    "viewed product": "view",
    "product added": "cart",
    "added product": "cart",
    "wishlist product added to cart": "cart",
    "product removed": "uncart",
    "removed product": "uncart",
    "product added to wishlist": "wishlist",
    "order completed": "purchase",
    "completed order": "purchase",
    "order refunded": "return",
    "order cancelled": "return",
    "product reviewed": "review",
}
"""Their event of V2 and its name in V1, in small letters, and our type. Every other name is a ``custom``."""

_SHARED = ("context", "sentAt", "integrations")
"""What a batch may say of all its messages."""


def records(body: Message) -> Sequence[object]:
    """The messages of a batch, each with what the batch says of all; or the one message."""
    if "batch" not in body:
        return [body]
    shared = {name: body[name] for name in _SHARED if name in body}
    return [{**shared, **one} if isinstance(one, dict) else one for one in batch(body, "batch")]


def events(message: Message) -> Sequence[Translated]:
    """The event of one message."""
    kind = name_of(message, "type")
    common: Fields = {
        "user_id": part(message, "userId"),
        "visitor_id": part(message, "anonymousId"),
        "session_id": part(message, "context", "sessionId"),
        "time": first(message, "timestamp", "originalTimestamp", "sentAt", "receivedAt"),
        "event_id": part(message, "messageId"),
    }
    if _refuses_all(message):
        common["consent"] = False
    if kind == "alias":  # the id that a visitor had before
        common["visitor_id"] = part(message, "previousId")
    if kind in ("identify", "alias") and None not in (common["user_id"], common["visitor_id"]):
        return [Translated({**common, "type": "identify"})]
    if kind != "track":
        return [custom(kind, common)]
    return [_track(name_of(message, "event"), inner(message, "properties"), common)]


def _track(name: str, properties: Message, common: Fields) -> Translated:
    plain = " ".join(name.replace("_", " ").replace("-", " ").lower().split())
    ours = TYPES.get(plain, "custom")
    lines = _lines(plain, properties) if ours not in ("custom", "search") else []
    if ours == "custom" or (ours == "impression" and not lines):
        return custom(name, common)
    fields: Fields = {**common, "type": ours, "request_id": part(properties, "request_id")}
    if ours == "search":
        return Translated({**fields, "query": part(properties, "query")})
    fields |= about(ours, lines, name)
    if ours == "review":
        fields |= {"rating": number(part(properties, "rating")), "text": part(properties, "review_body")}
    else:
        amount = first(properties, "revenue", "total", "value")
        fields |= {"value": number(amount), "currency": part(properties, "currency")}
    return Translated(fields)


def _lines(plain: str, properties: Message) -> list[Fields]:
    if "promotion" in plain:
        promotion = part(properties, "promotion_id")
        return [] if promotion is None else [line(promotion)]
    products = objects(properties, "products")
    if not products and first(properties, "product_id", "sku") is not None:
        products = [properties]
    return [line(first(one, "product_id", "sku"), part(one, "quantity"), part(one, "price")) for one in products]


def _refuses_all(message: Message) -> bool:
    """Whether the visitor consented to no category (Consent Management: context.consent.categoryPreferences)."""
    preferences = inner(message, "context", "consent", "categoryPreferences")
    return bool(preferences) and all(value is False for value in preferences.values())


SEGMENT = Dialect(records, events)
