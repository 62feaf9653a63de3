"""The item record, a change to it, and the one place that checks them.

Standard library only: it runs inside Flink too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from endcap.checks import parse_currency, parse_flag, parse_id, parse_moment, parse_number, parse_text
from endcap.errors import InvalidFieldError

KINDS = ("product", "campaign", "review", "content")
MAX_ATTRIBUTES = 200
MAX_CATEGORIES = 50
MAX_DEPTH = 4
"""Lists and objects inside one another in an attribute."""


@dataclass(frozen=True, slots=True)
class Item:
    """Anything that can be recommended. See API.md for the fields."""

    item_id: str
    title: str
    kind: str = "product"
    description: str | None = None
    brand: str | None = None
    categories: tuple[str, ...] = ()
    """Paths from the general to the special: ``A > B > C``."""
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    in_stock: bool = True
    url: str | None = None
    image: str | None = None
    group_id: str | None = None
    """Variants of one product, shown once."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    available_from: int | None = None
    """Milliseconds since 1970; not shown before."""
    expires: int | None = None
    """Milliseconds since 1970; not shown from then on."""
    about: str | None = None
    """The item that a review or content speaks of."""

    def text(self) -> str:
        """What a text encoder reads: title, brand, most special categories, description."""
        leaves = (path.rsplit(">", 1)[-1].strip() for path in self.categories)
        return ". ".join(part for part in (self.title, self.brand, *leaves, self.description) if part)


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One change of the catalogue: the whole item, some fields of it, or its end."""

    item_id: str
    op: Literal["put", "patch", "delete"]
    fields: Mapping[str, object] = field(default_factory=dict)
    """Checked fields by their name in ``Item``; a None in a patch clears the field."""

    def applied_to(self, item: Item | None) -> Item | None:
        """The item after the change. A patch of an item that does not exist changes nothing."""
        if self.op == "delete":
            return None
        if self.op == "put":
            return Item(self.item_id, **self.fields)  # type: ignore[arg-type]  # parse_change checked them
        if item is None:
            return None
        fields = {name: _or_default(name, value) for name, value in self.fields.items()}
        return replace(item, **fields)  # type: ignore[arg-type]  # parse_change checked them


def _or_default(name: str, value: object) -> object:
    return _DEFAULTS[name] if value is None else value


def parse_change(op: Literal["put", "patch"], fields: Mapping[str, object]) -> ItemChange:
    """The change that ``fields`` (with ``item_id``) describe.

    Raises InvalidFieldError, naming the field, its value and what is expected.
    """
    unknown = fields.keys() - _CHECKS.keys() - {"item_id"}
    if unknown:
        name = min(unknown)
        raise InvalidFieldError(name, f"unknown field {name!r:.80}: an item has {', '.join(['item_id', *_CHECKS])}")
    item_id = parse_id("item_id", fields.get("item_id"))
    if op == "put" and not fields.get("title"):
        raise InvalidFieldError("title", f"item {item_id!r} has no title: an item needs one to be shown")
    if op == "patch" and "title" in fields and not fields["title"]:
        raise InvalidFieldError("title", f"the title of item {item_id!r} cannot be cleared: give a text")
    checked = {
        name: None if value is None else _CHECKS[name](name, value)
        for name, value in fields.items()
        if name != "item_id" and (value is not None or op == "patch")
    }
    return ItemChange(item_id, op, checked)


def _parse_kind(name: str, value: object) -> str:
    if value not in KINDS:
        raise InvalidFieldError(name, f"kind is {value!r:.80}: use one of {', '.join(KINDS)}")
    return str(value)


def _parse_price(name: str, value: object) -> float:
    price = parse_number(name, value)
    if price < 0:
        raise InvalidFieldError(name, f"{name} is {price:g}: it must not be negative")
    return price


def _parse_categories(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or len(value) > MAX_CATEGORIES:
        raise InvalidFieldError(name, f"{name} must be a list of at most {MAX_CATEGORIES} paths such as 'A > B > C'")
    return tuple(parse_text(name, path) for path in value)


def _parse_attributes(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping) or len(value) > MAX_ATTRIBUTES:
        raise InvalidFieldError(name, f"{name} must be an object of at most {MAX_ATTRIBUTES} names and values")
    return {parse_id(name, key): _parse_attribute(f"{name}.{key}", part) for key, part in value.items()}


def _parse_attribute(name: str, value: object, depth: int = 0) -> object:
    """What JSON can say and says back as it was, because the log keeps it as JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        parse_number(name, value)
        return value  # an int stays an int
    if isinstance(value, str):
        return parse_text(name, value)
    if isinstance(value, (list, tuple)) and depth < MAX_DEPTH:
        return [_parse_attribute(name, part, depth + 1) for part in value]
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        return {parse_id(name, key): _parse_attribute(name, part, depth + 1) for key, part in value.items()}
    raise InvalidFieldError(
        name,
        f"{name:.80} is {value!r:.80}: give text, numbers, true, false, "
        f"or lists and objects of them, at most {MAX_DEPTH} inside one another",
    )


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "title": parse_text,
    "kind": _parse_kind,
    "description": parse_text,
    "brand": parse_text,
    "categories": _parse_categories,
    "price": _parse_price,
    "sale_price": _parse_price,
    "currency": parse_currency,
    "in_stock": parse_flag,
    "url": parse_text,
    "image": parse_text,
    "group_id": parse_id,
    "attributes": _parse_attributes,
    "available_from": parse_moment,
    "expires": parse_moment,
    "about": parse_id,
}
_DEFAULTS: dict[str, object] = dict.fromkeys(_CHECKS) | {
    "kind": "product",
    "categories": (),
    "in_stock": True,
    "attributes": {},
}
