"""What the log stores and what the fold reads: bodies to records and back.

The time and the key of a record are columns of the log, so the JSON leaves them out, and with them every
field that is not set: a purchase line takes about 100 bytes. Reading a body back gives an equal body, so
that a replay folds exactly what the server folded when the entry was new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

import msgspec

from endcap.catalog.items import ItemChange
from endcap.catalog.rules import RuleChange, stored_rule
from endcap.errors import DamagedEntryError, HomeError, InvalidFieldError
from endcap.events.canary import CanaryView
from endcap.events.erasure import Erasure, Tombstone
from endcap.events.schema import Event, Line, Listing
from endcap.events.served import Served, Tally
from endcap.protocols import Log
from endcap.types import DAMAGED, Activation, Entry, Record, Unreadable

Body = Event | ItemChange | RuleChange | Activation | Served | Tally | Erasure | Tombstone | CanaryView


class _StoredListing(msgspec.Struct, array_like=True, gc=False):
    """A new field goes at the end, with a default: shorter arrays stay readable."""

    recipe: str
    model: str
    time: int
    places: tuple[int, ...]
    page_row: int = 0


class _StoredEvent(msgspec.Struct, omit_defaults=True, gc=False):
    """An event without its time and id. A line is an array: ``[item_id, quantity, price]``."""

    type: str
    user_id: str | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    item_id: str | None = None
    items: tuple[tuple[str, float, float | None], ...] = ()
    value: float | None = None
    currency: str | None = None
    query: str | None = None
    rating: float | None = None
    text: str | None = None
    request_id: str | None = None
    consent: bool | None = None
    listing: _StoredListing | str | None = None


class _StoredChange(msgspec.Struct, omit_defaults=True):
    item_id: str
    op: Literal["put", "patch", "delete"]
    fields: dict[str, object] = {}


class _StoredRule(msgspec.Struct, omit_defaults=True):
    """A rule by the API's names; without ``fields``, its end."""

    rule_id: str
    fields: dict[str, object] | None = None
    by: str | None = None


class _StoredActivation(msgspec.Struct):
    version: str


class _StoredCanaryView(msgspec.Struct):
    item_id: str


_SHORT = {
    "offset": "o",
    "model": "m",
    "rows": "r",
    "asked": "q",
    "settled": "s",
    "page_row": "w",
    "experiment": "e",
    "seed": "d",
    "propensities": "p",
}


class _StoredServed(msgspec.Struct, omit_defaults=True, gc=False, rename=_SHORT):
    """A served list without its time and its request id. Short names: there is one for each answer."""

    offset: int
    model: str
    rows: tuple[int, ...]
    asked: dict[str, object]
    settled: bool = True
    page_row: int = 0
    experiment: str | None = None
    seed: int | None = None
    propensities: tuple[float, ...] = ()


class _StoredErasure(msgspec.Struct, omit_defaults=True):
    people: tuple[str, ...]
    events: dict[str, int]
    lists: int
    first: int
    offset: int
    before: str
    after: str
    remaining: int
    damaged: tuple[int, ...] = ()


class Named(msgspec.Struct, gc=False):
    """Who an event or the request of a served list names."""

    user_id: str | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    type: str = ""
    """Of the event; empty for a served list."""
    consent: bool | None = None


class _NamedInServed(msgspec.Struct, gc=False):
    q: Named


_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(_StoredEvent).decode
_decode_change = msgspec.json.Decoder(_StoredChange).decode
_decode_rule = msgspec.json.Decoder(_StoredRule).decode
_decode_activation = msgspec.json.Decoder(_StoredActivation).decode
_decode_served = msgspec.json.Decoder(_StoredServed).decode
_decode_canary = msgspec.json.Decoder(_StoredCanaryView).decode
_decode_tally = msgspec.json.Decoder(Tally).decode
_decode_erasure = msgspec.json.Decoder(_StoredErasure).decode
_decode_tombstone = msgspec.json.Decoder(Tombstone).decode
_decode_named = msgspec.json.Decoder(Named).decode
_decode_named_in_served = msgspec.json.Decoder(_NamedInServed).decode

CANARY_KIND = "canary"
"""The kind of the canary's views, of which only the newest stay."""
SERVED_KEY = "served/"
"""Before the request id in the key of a served list, so that no event id is like it: ``parse_event`` sees to that."""
ERASURE_KEY = "erasure/"
"""The same before the number of an erasure."""

ASIDE = "aside/"
"""Before the kind of a record that the fold leaves out, because it broke it."""


def to_record(body: Body, time: int | None = None) -> Record:
    """``body`` as the log stores it.

    An event carries its own time, and its id is the key. ``time`` (milliseconds since 1970) is when a change
    of an item or of a rule, an activation or a tally came in; InvalidFieldError without it.
    """
    if isinstance(body, (Event, Served, Erasure, Tombstone, CanaryView)):
        return _timed_record(body)
    if time is None:
        raise InvalidFieldError("time", f"{type(body).__name__} has no time of its own: give the moment it came in")
    if isinstance(body, ItemChange):
        return Record("item", time, _encode(_StoredChange(body.item_id, body.op, dict(body.fields))))
    if isinstance(body, RuleChange):
        fields = None if body.rule is None else body.rule.fields()
        return Record("rule", time, _encode(_StoredRule(body.rule_id, fields, body.by)))
    if isinstance(body, Tally):
        return Record("tally", time, _encode(body))
    return Record("activation", time, _encode(_StoredActivation(body.version)))


def _timed_record(body: Event | Served | Erasure | Tombstone | CanaryView) -> Record:
    """Of a body that has a time of its own, or, as a tombstone, none."""
    if isinstance(body, Event):
        return Record("event", body.time, _encode(_stored_event(body)), body.event_id)
    if isinstance(body, Served):
        return Record("served", body.now, _encode(_stored_served(body)), SERVED_KEY + body.request_id)
    if isinstance(body, Tombstone):
        return Record("erased", 0, _encode(body))
    if isinstance(body, CanaryView):
        return Record(CANARY_KIND, body.time, _encode(_StoredCanaryView(body.item_id)))
    counts, digests = (body.events, body.lists, body.first, body.offset), (body.before, body.after, body.remaining)
    stored = _StoredErasure(body.people, *counts, *digests, body.damaged)
    return Record("erasure", body.time, _encode(stored), f"{ERASURE_KEY}{body.number}")


def to_entry(offset: int, record: Record) -> Entry:
    """``record`` as the fold reads it.

    One that cannot be read, because it is damaged or of a newer Endcap, has the body ``Unreadable``: a single one
    must not keep a shop from starting. The fold sets it aside and counts it.
    """
    try:
        return Entry(offset, record.time, _body(record))
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, RecursionError) as error:
        return Entry(offset, record.time, Unreadable(unreadable(offset, record.kind, error)))


def unreadable(offset: int, kind: str, error: Exception) -> str:
    """What is wrong with the entry at ``offset``, and what to do about it."""
    if kind == DAMAGED:
        return (
            f"log entry {offset} is damaged (its checksum does not fit): see that the disk is sound, and restore the "
            "log from a backup"
        )
    if kind.startswith(ASIDE):
        return (
            f"log entry {offset} ({kind.removeprefix(ASIDE)!r:.40}) was set aside because it broke the fold: run "
            "'endcap repair --fold' with a later version of Endcap, which takes back what it can apply"
        )
    return (
        f"log entry {offset} ({kind!r:.40}) cannot be read ({error!s:.200}): restore the log from a backup, "
        "or start the version of Endcap that wrote it"
    )


def original(record: Record) -> Record:
    """``record`` as it was before it was set aside."""
    return replace(record, kind=record.kind.removeprefix(ASIDE)) if record.kind.startswith(ASIDE) else record


def is_unreadable(log: Log, offset: int) -> bool:
    """Whether ``log`` has an entry at ``offset`` that cannot be read."""
    found = next(iter(log.read(offset - 1, 1)), None)
    return found is not None and found[0] == offset and isinstance(to_entry(*found).body, Unreadable)


def entries(log: Log, after: int = 0) -> Iterator[Entry]:
    """The entries of ``log`` with an offset greater than ``after``, in order."""
    for offset, record in log.read(after):
        yield to_entry(offset, record)


def _body(record: Record) -> Body:
    read = _READERS.get(record.kind)
    if read is None:
        raise msgspec.ValidationError("unknown kind of entry")
    return read(record)


def _change(record: Record) -> ItemChange:
    change = _decode_change(record.data)
    return ItemChange(change.item_id, change.op, _fields(change.fields))


def _erasure(record: Record) -> Erasure:
    number = int((record.key or "").removeprefix(ERASURE_KEY))
    return Erasure(number, record.time, *msgspec.structs.astuple(_decode_erasure(record.data)))


def named(record: Record) -> Named | None:
    """Who the event or the served list in ``record`` names; None for another kind. A third of the cost of the body.

    Raises DamagedEntryError where that cannot be known any more, and HomeError where another version may know it.
    """
    if record.kind == DAMAGED:
        raise DamagedEntryError("a log entry is damaged and may name anybody: run endcap repair, which leaves it out")
    if record.kind.startswith(ASIDE):
        record = original(record)
    try:
        if record.kind == "event":
            return _decode_named(record.data)
        return _decode_named_in_served(record.data).q if record.kind == "served" else None
    except (msgspec.MsgspecError, UnicodeError) as error:
        # No version that is newer than this one writes an entry without a checksum.
        refusal = HomeError if record.checked else DamagedEntryError
        raise refusal(
            f"a log entry of kind {record.kind!r} cannot be read ({error}): restore the log from a backup, or start "
            "the version of Endcap that wrote it"
        ) from error


def _stored_served(body: Served) -> _StoredServed:
    return _StoredServed(
        body.offset,
        body.model,
        body.rows,
        body.asked,
        body.settled,
        body.page_row,
        body.experiment,
        body.seed,
        body.propensities,
    )


def _served(record: Record) -> Served:
    stored = _decode_served(record.data)
    return Served(
        (record.key or "").removeprefix(SERVED_KEY),
        record.time,
        stored.offset,
        stored.model,
        stored.rows,
        stored.asked,
        stored.settled,
        stored.page_row,
        stored.experiment,
        stored.seed,
        stored.propensities,
    )


def _stored_listing(event: Event) -> _StoredListing | str | None:
    found = event.listing
    if isinstance(found, Listing):
        return _StoredListing(found.recipe, found.model, found.time, found.places, found.page_row)
    return found


def _listing(stored: _StoredListing | str | None) -> Listing | str | None:
    if isinstance(stored, _StoredListing):
        return Listing(stored.recipe, stored.model, stored.time, stored.places, stored.page_row)
    return stored


def _stored_event(event: Event) -> _StoredEvent:
    return _StoredEvent(
        event.type,
        event.user_id,
        event.visitor_id,
        event.session_id,
        event.item_id,
        tuple([(line.item_id, line.quantity, line.price) for line in event.items]),
        event.value,
        event.currency,
        event.query,
        event.rating,
        event.text,
        event.request_id,
        event.consent,
        _stored_listing(event),
    )


def _event(record: Record) -> Event:
    # Written out, and by position, because this is the inner loop of every replay.
    stored = _decode_event(record.data)
    return Event(
        stored.type,
        record.time,
        record.key,
        stored.user_id,
        stored.visitor_id,
        stored.session_id,
        stored.item_id,
        tuple([Line(*line) for line in stored.items]),
        stored.value,
        stored.currency,
        stored.query,
        stored.rating,
        stored.text,
        stored.request_id,
        stored.consent,
        None if stored.listing is None else _listing(stored.listing),
    )


def _rule(stored: _StoredRule) -> RuleChange:
    try:
        rule = None if stored.fields is None else stored_rule(stored.fields)
        return RuleChange(stored.rule_id, rule, stored.by)
    except (KeyError, TypeError) as error:
        raise msgspec.ValidationError(f"a rule with unknown or missing fields: {error}") from error


def _fields(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of an item change, with the one that JSON cannot say, a tuple, restored."""
    categories = fields.get("categories")
    if isinstance(categories, list):
        return {**fields, "categories": tuple(categories)}
    return dict(fields)


_READERS: dict[str, Callable[[Record], Body]] = {
    "event": _event,
    "item": _change,
    "rule": lambda record: _rule(_decode_rule(record.data)),
    "activation": lambda record: Activation(_decode_activation(record.data).version),
    "served": _served,
    "tally": lambda record: _decode_tally(record.data),
    "erasure": _erasure,
    CANARY_KIND: lambda record: CanaryView(_decode_canary(record.data).item_id, record.time),
    "erased": lambda record: _decode_tombstone(record.data),
}
"""By the kind of a record: what makes its body."""
