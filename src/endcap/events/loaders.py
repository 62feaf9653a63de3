"""Rows of a table as the fields of events: the names that columns go by, and what a table cannot say directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from endcap.errors import InvalidFieldError
from endcap.events.times import TimeReader

EVENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "event_id": ("event_id", "message_id", "uuid"),
    "type": ("type", "event_type", "event", "event_name", "action", "behavior", "behaviour", "interaction"),
    "user_id": ("user_id", "customer_id", "user", "customer", "uid", "account_id", "member_id", "buyer_id"),
    "visitor_id": ("visitor_id", "anonymous_id", "client_id", "cookie_id", "device_id", "visitor", "user_pseudo_id"),
    "session_id": (
        "session_id",
        "session",
        "user_session",
        "invoice_no",
        "invoice",
        "order_id",
        "basket_id",
        "visit_id",
    ),
    "item_id": ("item_id", "sku", "product_id", "stock_code", "item", "product", "asin", "article_id", "movie_id"),
    "time": ("time", "timestamp", "ts", "event_time", "datetime", "date", "created_at", "occurred_at", "invoice_date"),
    "items": ("items", "lines", "products"),
    "quantity": ("quantity", "qty"),
    "price": ("price", "unit_price"),
    "value": ("value", "revenue", "total", "total_price"),
    "currency": ("currency", "currency_code"),
    "query": ("query", "search_query", "search_term", "keywords"),
    "rating": ("rating", "stars", "overall"),
    "text": ("text", "review_text", "comment"),
    "request_id": ("request_id",),
    "consent": ("consent",),
}
"""Our field, and the names it is found under; letter case, spaces, dashes and underscores do not count."""

TYPE_NAMES: Mapping[str, str] = {
    "addtocart": "cart",
    "add_to_cart": "cart",
    "removefromcart": "uncart",
    "remove_from_cart": "uncart",
    "transaction": "purchase",
    "order": "purchase",
    "buy": "purchase",
    "pageview": "view",
    "page_view": "view",
    "view_item": "view",
    "refund": "return",
    "add_to_wishlist": "wishlist",
    "fav": "wishlist",
    "pv": "view",
}
"""What other systems call our types."""

_FLAGS: Mapping[str, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def event_fields(row: dict[str, object], read_time: TimeReader, default_type: str | None) -> dict[str, object]:
    """The fields of the event that ``row`` (our names, nothing empty) describes, ready for ``parse_event``.

    A quantity or a price makes a line of ``items``. Raises InvalidFieldError.
    """
    fields = {name: (_READ[name](value) if name in _READ else value) for name, value in row.items()}
    kind = fields.get("type", default_type)
    fields["type"] = TYPE_NAMES.get(kind.lower(), kind.lower()) if isinstance(kind, str) else kind
    if "time" not in fields:
        raise InvalidFieldError("time", "the row has no time: an imported event needs the moment it happened")
    fields["time"] = read_time(fields["time"])
    if "quantity" in fields or "price" in fields:
        _make_line(fields)
    return fields


def _make_line(fields: dict[str, object]) -> None:
    quantity, price = fields.pop("quantity", 1.0), fields.pop("price", None)
    if "item_id" in fields:
        fields["items"] = [{"item_id": fields.pop("item_id"), "quantity": quantity, "price": price}]


def _read_id(value: object) -> object:
    """An id; a whole number that a table keeps as a float (17850.0) is taken as its digits."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.strip() if isinstance(value, str) else value


def read_number(name: str, value: object) -> object:
    """A number; a text that is one is taken as such."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError as error:
            raise InvalidFieldError(name, f"{name} is {value!r:.80}: it must be a number such as 12.50") from error
    return value


def _read_flag(value: object) -> object:
    """True or false; yes, no, 1 and 0 are understood."""
    return _FLAGS.get(str(value).strip().lower(), value)


def _read_lines(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidFieldError(name, f"{name} is {value!r:.80}: a text must hold a JSON list of lines") from error


_IDS = ("event_id", "user_id", "visitor_id", "session_id", "item_id", "request_id")
_NUMBERS = ("value", "rating", "quantity", "price")
_READ: dict[str, Callable[[object], object]] = {
    **dict.fromkeys(_IDS, _read_id),
    **{name: partial(read_number, name) for name in _NUMBERS},
    "consent": _read_flag,
    "items": partial(_read_lines, "items"),
}
