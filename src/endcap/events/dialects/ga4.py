"""Google Analytics 4: bodies of the Measurement Protocol, and rows of the BigQuery export.

https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference
https://developers.google.com/analytics/devguides/collection/ga4/reference/events
https://support.google.com/analytics/answer/7029846 (BigQuery Export schema)
"""

from __future__ import annotations

from collections.abc import Sequence

from endcap.checks import shown
from endcap.errors import InvalidFieldError
from endcap.events.dialects.message import (
    Dialect,
    Fields,
    Message,
    Translated,
    about,
    as_object,
    as_text,
    batch,
    custom,
    first,
    inner,
    line,
    name_of,
    number,
    objects,
    part,
    stable_id,
)

TYPES = {
    "view_item_list": "impression",
    "select_item": "click",
    "view_item": "view",
    "add_to_cart": "cart",
    "remove_from_cart": "uncart",
    "add_to_wishlist": "wishlist",
    "purchase": "purchase",
    "in_app_purchase": "purchase",
    "refund": "return",
    "search": "search",
    "view_search_results": "search",
    "view_promotion": "impression",
    "select_promotion": "click",
    "login": "identify",
    "sign_up": "identify",
}
"""Their event, and our type. Every other name is a ``custom``."""

_PROMOTIONS = frozenset({"view_promotion", "select_promotion"})
_PARAMS = (
    "event_id",
    "ga_session_id",
    "transaction_id",
    "value",
    "currency",
    "search_term",
    "promotion_id",
    "request_id",
)
"""What is read of a row's parameters."""
_LEAST_MICROS = 10**14
"""March 1973. What is smaller is seconds or milliseconds, sent for microseconds."""


def records(body: Message) -> Sequence[object]:
    """The events of a Measurement Protocol body, each as a body of its own; or the one row of an export."""
    if "event_name" in body:
        return [body]
    if "events" not in body:
        raise InvalidFieldError(
            "events", "events is missing: send a Measurement Protocol body, or a row of the BigQuery export"
        )
    return [
        event if isinstance(event, dict) and "event_name" in event else {**body, "events": [event]}
        for event in batch(body, "events")
    ]


def events(record: Message) -> Sequence[Translated]:
    """The event of one body or of one row."""
    return [_of_row(record) if "event_name" in record else _of_hit(record)]


def _of_hit(body: Message) -> Translated:
    event = as_object(next(iter(batch(body, "events")), None))
    params = inner(event, "params")
    micros = first(event, "timestamp_micros")
    common: Fields = {
        "user_id": part(body, "user_id"),
        "visitor_id": first(body, "client_id", "app_instance_id"),
        "session_id": first(params, "session_id", "ga_session_id"),
        "time": _milliseconds("timestamp_micros", first(body, "timestamp_micros") if micros is None else micros),
        "event_id": part(params, "event_id"),
    }
    if part(body, "consent", "ad_personalization") == "DENIED" or part(body, "non_personalized_ads") is True:
        common["consent"] = False
    return _translated(name_of(event, "name"), params, objects(params, "items"), common)


def _of_row(row: Message) -> Translated:
    name = name_of(row, "event_name")
    given = objects(row, "event_params")
    params = {str(one["key"]): _value(inner(one, "value")) for one in given if part(one, "key") in _PARAMS}
    for mine, theirs in (("transaction_id", "transaction_id"), ("value", "purchase_revenue")):
        if params.get(mine) is None:
            params[mine] = part(row, "ecommerce", theirs)
    names = ("user_pseudo_id", "event_timestamp", "event_bundle_sequence_id", "batch_event_index")
    common: Fields = {
        "user_id": part(row, "user_id"),
        "visitor_id": part(row, "user_pseudo_id"),
        "session_id": _digits(part(params, "ga_session_id")),
        "time": _milliseconds("event_timestamp", part(row, "event_timestamp")),
        "event_id": first(params, "event_id") or stable_id("ga4", name, *(part(row, one) for one in names)),
    }
    if part(row, "privacy_info", "analytics_storage") == "No":
        common["consent"] = False
    return _translated(name, params, objects(row, "items"), common)


def _translated(name: str, params: Message, items: list[Message], common: Fields) -> Translated:
    ours = TYPES.get(name, "custom")
    if name in _PROMOTIONS:
        lines = _promotions(params, items)
    else:
        lines = [line(part(one, "item_id"), part(one, "quantity"), part(one, "price")) for one in items]
    nobody_new = ours == "identify" and (common["user_id"] is None or common["visitor_id"] is None)
    if ours == "custom" or nobody_new or (ours == "impression" and not lines):
        return custom(name, common)
    fields: Fields = {**common, "type": ours, "request_id": part(params, "request_id")}
    if ours == "search":
        return Translated({**fields, "query": part(params, "search_term")})
    if ours == "identify":
        return Translated(fields)
    fields |= about(ours, lines, name)
    fields |= {"value": number(part(params, "value")), "currency": part(params, "currency")}
    transaction = part(params, "transaction_id")
    if ours == "purchase" and transaction is not None:
        fields["event_id"] = stable_id("ga4-purchase", transaction)  # live and exported: one purchase
    return Translated(fields)


def _promotions(params: Message, items: list[Message]) -> list[Fields]:
    """The campaigns shown, each once: named for the event, or item by item."""
    ids = [part(params, "promotion_id"), *(part(one, "promotion_id") for one in items)]
    return [line(one) for one in dict.fromkeys(as_text(one) for one in ids if one is not None)]


def _value(value: Message) -> object:
    return first(value, "string_value", "int_value", "double_value", "float_value")


def _digits(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _milliseconds(name: str, micros: object) -> int | None:
    """Milliseconds of a number of microseconds; a table in JSON writes it as a text."""
    if micros is None:
        return None
    if isinstance(micros, str) and micros.isdecimal() and len(micros) <= 20:
        micros = int(micros)
    if isinstance(micros, bool) or not isinstance(micros, int) or micros < _LEAST_MICROS:
        raise InvalidFieldError(name, f"{name} is {shown(micros)}: give microseconds since 1970, which has 16 digits")
    return micros // 1000


GA4 = Dialect(records, events)
