"""The event record and the one place that checks it. Standard library only: it runs inside Flink too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from endcap.checks import parse_currency, parse_flag, parse_id, parse_number, parse_past, parse_text, shown
from endcap.errors import InvalidFieldError

EVENT_TYPES = (
    "impression",
    "click",
    "view",
    "cart",
    "uncart",
    "wishlist",
    "purchase",
    "return",
    "search",
    "rate",
    "review",
    "like",
    "dismiss",
    "identify",
    "custom",
)
TYPE_CODES = {name: code for code, name in enumerate(EVENT_TYPES)}
"""The small integer that stands for a type in the state's columns."""

MAX_LINES = 1_000
RESERVED = ("served/", "erasure/")
"""What no event id may begin with: the keys of the log's own entries do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a basket."""

    item_id: str
    quantity: float = 1.0
    price: float | None = None
    """Per piece, in the event's currency."""


UNKNOWN_LIST, ANOTHERS_LIST = "unknown_list", "another_visitor"
"""Why an event is not of the list that it names: no such list is known (any more); it was served to somebody else."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The served list that an event names, as it was found when the event came in.

    It stands in the log with the event, because the list itself expires.
    """

    recipe: str
    model: str
    """The version that served."""
    time: int
    """Milliseconds since 1970: when the list was served."""
    places: tuple[int, ...]
    """For each line of the event the place of its item in the list, from 1; 0: it was not in the list."""
    page_row: int = 0
    """Which row of a page the list was, from 1; 0: of no page."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``parse_event`` makes it from outside input; see API.md for the fields."""

    type: str
    time: int
    """Milliseconds since 1970."""
    event_id: str | None = None
    user_id: str | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    item_id: str | None = None
    items: tuple[Line, ...] = ()
    value: float | None = None
    currency: str | None = None
    query: str | None = None
    rating: float | None = None
    text: str | None = None
    request_id: str | None = None
    consent: bool | None = None
    listing: Listing | str | None = None
    """The list that ``request_id`` names, or why it is not of that list; None: nobody has looked. Never sent."""

    def lines(self) -> tuple[Line, ...]:
        """What the event is about, as lines: ``items``, or ``item_id`` once."""
        if self.items or self.item_id is None:
            return self.items
        return (Line(self.item_id),)


_FIELDS = frozenset(Event.__dataclass_fields__) - {"listing"}
_LINE_FIELDS = frozenset(Line.__dataclass_fields__)
_IDS = ("event_id", "user_id", "visitor_id", "session_id", "item_id", "request_id")
_NUMBERS = ("value", "rating")
_TEXTS = ("query", "text")


def parse_event(fields: Mapping[str, object], received: int) -> Event:
    """The event that ``fields`` describe. Absent and null mean the same.

    ``received`` is the moment it came in (milliseconds since 1970): the time of an event that names none.
    Raises InvalidFieldError, naming the field, its value and what is expected.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    unknown = given.keys() - _FIELDS
    if unknown:
        name = min(unknown)
        raise InvalidFieldError(name, f"unknown field {name!r:.80}: an event has {', '.join(sorted(_FIELDS))}")
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in TYPE_CODES:
        raise InvalidFieldError("type", f"type is {shown(kind)}: use one of {', '.join(EVENT_TYPES)}")
    values: dict[str, object] = {"type": kind, "time": parse_past("time", given.get("time", received), received)}
    values |= {name: parse_id(name, given[name]) for name in _IDS if name in given}
    values |= {name: parse_number(name, given[name]) for name in _NUMBERS if name in given}
    values |= {name: parse_text(name, given[name]) for name in _TEXTS if name in given}
    if "currency" in given:
        values["currency"] = parse_currency("currency", given["currency"])
    if str(values.get("event_id", "")).startswith(RESERVED):
        raise InvalidFieldError("event_id", f"event_id begins with {' or '.join(RESERVED)}: Endcap's own entries do")
    if "items" in given:
        values["items"] = _parse_lines(given["items"])
    if "consent" in given:
        values["consent"] = parse_flag("consent", given["consent"])
    if "user_id" not in values and "visitor_id" not in values:
        raise InvalidFieldError("user_id", "user_id and visitor_id are both missing: give at least one")
    return Event(**values)  # type: ignore[arg-type]  # each value was checked above


def _parse_lines(value: object) -> tuple[Line, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_LINES:
        raise InvalidFieldError("items", f"items must be a list of at most {MAX_LINES} lines")
    return tuple(_parse_line(line) for line in value)


def _parse_line(value: object) -> Line:
    if not isinstance(value, Mapping) or "item_id" not in value:
        raise InvalidFieldError("items", f"a line of items is {value!r:.80}: it needs an item_id")
    given = {name: part for name, part in value.items() if part is not None}
    unknown = given.keys() - _LINE_FIELDS
    if unknown:
        name = min(unknown)
        raise InvalidFieldError("items", f"unknown field {name!r:.80} in items: a line has item_id, quantity, price")
    quantity = parse_number("quantity", given.get("quantity", 1))
    if quantity <= 0:
        raise InvalidFieldError("quantity", f"quantity is {quantity:g}: it must be above 0; send a return for a return")
    price = parse_number("price", given["price"]) if "price" in given else None
    if price is not None and price < 0:
        raise InvalidFieldError("price", f"price is {price:g}: it must not be negative")
    return Line(parse_id("item_id", value["item_id"]), quantity, price)
