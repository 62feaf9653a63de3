"""Another system's message, read without trust: its parts, and the fields of our event that is made of them.

A dialect is two pure functions. What they give has still to pass ``events/schema.parse_event``, the one place
that checks an event, so a part of a wrong kind is handed on for it to name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from endcap.checks import MAX_ID_LENGTH, MAX_INTEGER, shown
from endcap.errors import InvalidFieldError, MalformedError

Message = Mapping[str, object]
Fields = dict[str, object]

MAX_NAME = 100
"""Characters of another system's event name in counts."""
_COUNTED = frozenset({"cart", "uncart", "purchase", "return"})
"""Types whose quantities and prices mean something; elsewhere an item is its id."""
_ABOUT_ITEMS = frozenset({"view", "click", "wishlist", "cart", "uncart"})
"""Types that say nothing without an item."""
_NOT_SET = (None, "", "(not set)")


@dataclass(frozen=True, slots=True)
class Translated:
    """One event of ours, not yet checked."""

    fields: Fields
    """What ``parse_event`` takes."""
    unknown: str | None = None
    """Their name for it, where it says nothing that we have a type for: the event is a ``custom`` then."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How another system says what happened. Both functions raise an EndcapError and nothing else."""

    records: Callable[[Message], Sequence[object]]
    """The messages in a body: one, or those of a batch, each with what the batch says of all of them."""
    events: Callable[[Message], Sequence[Translated]]
    """The events that one message tells of."""


def part(message: Message, *path: str) -> object:
    """The value at ``path``; None where it leads nowhere, or to what stands for nothing."""
    value: object = message
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None  # what JSON gives is a dict: this is quick
    return None if isinstance(value, str) and value in _NOT_SET else value


def first(message: Message, *names: str) -> object:
    """The value of the first of ``names`` that has one."""
    return next((value for name in names if (value := part(message, name)) is not None), None)


def inner(message: Message, *path: str) -> Message:
    """The object at ``path``; an empty one where there is none."""
    value = part(message, *path)
    return value if isinstance(value, dict) else {}


def objects(message: Message, name: str) -> list[Message]:
    """The list of objects in ``message``; empty where it is absent. Raises InvalidFieldError for anything else."""
    value = part(message, name)
    if value is None:
        return []
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, dict) for one in value):
        raise InvalidFieldError(name, f"{name} is {shown(value)}: it must be a list of objects")
    return list(value)


def batch(message: Message, name: str) -> list[object]:
    """The messages of a batch, whatever they are. Raises InvalidFieldError where it is no list."""
    value = message.get(name)
    if not isinstance(value, (list, tuple)):
        raise InvalidFieldError(name, f"{name} is {shown(value)}: it must be a list of events")
    return list(value)


def name_of(message: Message, name: str) -> str:
    """What kind of event a message is. Raises InvalidFieldError where it does not say."""
    value = part(message, name)
    if not isinstance(value, str):
        raise InvalidFieldError(name, f"{name} is {shown(value)}: give the name of the event as a text")
    return value


def as_object(value: object) -> Message:
    """``value``, which must be an object. Raises MalformedError."""
    if not isinstance(value, dict):
        raise MalformedError(f"this is {shown(value)}: it must be a JSON object")
    return value


def number(value: object) -> object:
    """A number that was written as a text, as a number; anything else as it is."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def line(item_id: object, quantity: object = None, price: object = None) -> Fields:
    """One line of a basket. An id that a table keeps as a float is taken as its digits."""
    if isinstance(item_id, float) and item_id.is_integer():
        item_id = int(item_id)
    return {"item_id": item_id, "quantity": number(quantity), "price": number(price)}


def as_text(value: object) -> str:
    """An id, or a part of one, as a text; empty for None. Raises InvalidFieldError for what no id is."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, (int, float)) and abs(value) <= MAX_INTEGER:
        return str(value)
    raise InvalidFieldError("event_id", f"a part of an id is {shown(value)}: give a text or a whole number")


def about(type: str, lines: Sequence[Fields], name: str) -> Fields:
    """The fields that say which items an event of ``type`` is about; ``name`` is what the other system calls it.

    Raises InvalidFieldError where the event says nothing without an item and has none.
    """
    if not lines:
        if type in _ABOUT_ITEMS:
            raise InvalidFieldError("items", f"{name} names no item: say which one it is about")
        return {}
    if type in _COUNTED:
        return {"items": list(lines)}
    if len(lines) > 1:
        return {"items": [{"item_id": one["item_id"]} for one in lines]}
    if lines[0]["item_id"] is None:
        raise InvalidFieldError("item_id", f"{name} has an item without an id: give it")
    return {"item_id": lines[0]["item_id"]}


def custom(name: str, common: Fields) -> Translated:
    """An event that none of our types says: kept under its own name, with who and when."""
    return Translated({**common, "type": "custom", "text": name}, name[:MAX_NAME])


def stable_id(*parts: object) -> str:
    """An event id made of what identifies the event in the other system: the same parts, the same id."""
    texts = [as_text(one) for one in parts]
    joined = "-".join(texts)
    if len(joined) <= MAX_ID_LENGTH:
        return joined
    return f"{texts[0]}-{blake2b(joined.encode(errors='replace'), digest_size=16).hexdigest()}"
