"""Rows of a table as the fields of items, Google Merchant's columns included.

Source of the names: the product data specification of Google Merchant Center.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from endcap.errors import InvalidFieldError

ITEM_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "item_id": ("item_id", "id", "sku", "product_id", "stock_code", "asin", "article_id", "movie_id"),
    "title": ("title", "name", "product_name", "item_name", "product_title"),
    "kind": ("kind",),
    "description": ("description", "product_description", "body"),
    "brand": ("brand", "manufacturer", "vendor"),
    "categories": ("categories", "category", "product_type", "google_product_category", "category_path"),
    "price": ("price", "unit_price", "list_price"),
    "sale_price": ("sale_price", "special_price"),
    "currency": ("currency", "currency_code"),
    "in_stock": ("in_stock", "availability", "available", "stock_status"),
    "url": ("url", "link", "product_url"),
    "image": ("image", "image_link", "image_url"),
    "group_id": ("group_id", "item_group_id", "parent_sku"),
    "available_from": ("available_from", "availability_date"),
    "expires": ("expires", "expiration_date"),
    "about": ("about",),
    "attributes": ("attributes",),
}
"""Our field, and the names it is found under; letter case, spaces, dashes and underscores do not count."""

_MONEY = re.compile(r"\s*(?:([A-Za-z]{3})\s*)?(-?\d+(?:\.\d+)?|nan|-?inf)\s*([A-Za-z]{3})?\s*$", re.IGNORECASE)
_STOCK: Mapping[str, bool] = {
    **dict.fromkeys(("in stock", "instock", "true", "1", "yes", "preorder", "backorder"), True),
    **dict.fromkeys(("out of stock", "outofstock", "false", "0", "no", "discontinued"), False),
}


def item_fields(row: Mapping[str, object], extra: Mapping[str, object]) -> dict[str, object]:
    """The fields of the item that ``row`` (our names, nothing empty) describes, ready for ``parse_change``.

    ``extra``: the row's other columns, which become attributes. ``12.50 GBP`` is a price and a currency. Raises
    InvalidFieldError.
    """
    fields = {name: (_READ[name](value) if name in _READ else value) for name, value in row.items()}
    for name in ("sale_price", "price"):
        if isinstance(row.get(name), str):
            fields[name], currency = _read_money(name, str(row[name]))
            if currency is not None:
                fields.setdefault("currency", currency)
    if extra:
        given = fields.get("attributes", {})
        fields["attributes"] = {**extra, **given} if isinstance(given, Mapping) else given
    return fields


def _read_money(name: str, text: str) -> tuple[float, str | None]:
    found = _MONEY.match(text)
    if found is None or (found[1] and found[3]):
        raise InvalidFieldError(name, f"{name} is {text!r:.80}: give it as 12.50 or as 12.50 GBP")
    currency = found[1] or found[3]
    return float(found[2]), currency.upper() if currency else None


def _read_id(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.strip() if isinstance(value, str) else value


def _read_stock(name: str, value: object) -> object:
    known = _STOCK.get(str(value).strip().lower().replace("_", " ").rsplit("/", 1)[-1])
    if known is None:
        raise InvalidFieldError(name, f"{name} is {value!r:.80}: give true, false, 'in stock' or 'out of stock'")
    return known


def _read_categories(name: str, value: object) -> object:
    """A JSON list, paths parted by | or ;, or one path."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _read_json(name, value)
    return [part.strip() for part in re.split(r"[|;]", value) if part.strip()]


def _read_json(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidFieldError(name, f"{name} is {value!r:.80}: a text must hold JSON") from error


def _read_moment(value: object) -> object:
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    return value if isinstance(value, (str, int)) else str(value)


_READ: dict[str, Callable[[object], object]] = {
    **dict.fromkeys(("item_id", "group_id", "about"), _read_id),
    **dict.fromkeys(("available_from", "expires"), _read_moment),
    "in_stock": partial(_read_stock, "in_stock"),
    "categories": partial(_read_categories, "categories"),
    "attributes": partial(_read_json, "attributes"),
}
