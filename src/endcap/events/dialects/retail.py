"""Google's Retail API (Vertex AI Search for commerce): user events as written one by one, or imported inline.

https://cloud.google.com/retail/docs/user-events
https://cloud.google.com/retail/docs/reference/rest/v2/projects.locations.catalogs.userEvents
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from endcap.checks import MAX_ID_LENGTH, shown
from endcap.errors import InvalidFieldError
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
    number,
    objects,
    stable_id,
)

TYPES = {
    "detail-page-view": "view",
    "add-to-cart": "cart",
    "remove-from-cart": "uncart",
    "purchase-complete": "purchase",
    "search": "search",
    "category-page-view": "impression",
    "promotion-offered": "impression",
}
"""Their event, and our type. Every other name is a ``custom``."""


def records(body: Message) -> Sequence[object]:
    """The user events of an import's body, or the one that is written."""
    inline = _inner(_inner(body, "inputConfig"), "userEventInlineSource")
    for holder in (body, inline):
        for name in ("userEvents", "user_events"):
            if name in holder:
                return batch(holder, name)
    return [body]


def events(event: Message) -> Sequence[Translated]:
    """The event; of a search that says which products it showed, their impression too."""
    name = _get(event, "eventType")
    if not isinstance(name, str):
        raise InvalidFieldError("eventType", f"eventType is {shown(name)}: give the kind of user event as a text")
    ours = TYPES.get(name, "custom")
    common: Fields = {
        "user_id": _get(_inner(event, "userInfo"), "userId"),
        "visitor_id": _get(event, "visitorId"),
        "session_id": _get(event, "sessionId"),
        "time": _get(event, "eventTime"),
    }
    lines = _lines(event) if ours != "custom" else []
    if ours == "custom" or (ours == "impression" and not lines):
        return [custom(name, common)]
    common["request_id"] = _token(_get(event, "attributionToken"))
    if ours == "search":
        found = [Translated({**common, "type": "search", "query": _get(event, "searchQuery")})]
        seen = {**common, "type": "impression", **about("impression", lines, name)}
        return [*found, Translated(seen)] if lines else found
    fields: Fields = {**common, "type": ours, **about(ours, lines, name)}
    return [Translated(fields | _transaction(event) if ours == "purchase" else fields)]


def _transaction(event: Message) -> Fields:
    transaction = _inner(event, "purchaseTransaction")
    fields = {"value": number(_get(transaction, "revenue")), "currency": _get(transaction, "currencyCode")}
    order = _get(transaction, "id")
    return fields if order is None else {**fields, "event_id": stable_id("retail-purchase", order)}


def _lines(event: Message) -> list[Fields]:
    details = objects(event, "productDetails") or objects(event, "product_details")
    return [_line(detail) for detail in details]


def _line(detail: Message) -> Fields:
    product = _inner(detail, "product")
    price = _get(_inner(product, "priceInfo"), "price")
    return line(_get(product, "id"), _get(detail, "quantity"), price)


def _token(token: object) -> object:
    """The id of the list that was shown. Google's own tokens can be longer than our ids; those are none of ours."""
    return None if isinstance(token, str) and len(token) > MAX_ID_LENGTH else token


def _get(message: Message, name: str) -> object:
    return first(message, name, _snake(name))


def _inner(message: Message, name: str) -> Message:
    return inner(message, name) or inner(message, _snake(name))


@cache
def _snake(name: str) -> str:
    """The name in tables and in protocol buffers, which JSON may use too."""
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


RETAIL = Dialect(records, events)
