"""What the log stores and what the fold reads: bodies to records and back.

The time and the key of a record are columns of the log, so the JSON leaves them out, and with them every
field that is not set: a purchase line takes about 100 bytes. Reading a body back gives an equal body, so
that a replay folds exactly what the server folded when the entry was new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from endcap.catalog.items import ItemChange
from endcap.catalog.rules import RuleChange, stored_rule
from endcap.errors import HomeError, InvalidFieldError
from endcap.events.schema import Event, Line
from endcap.events.served import Served
from endcap.protocols import Log
from endcap.types import Activation, Entry, Record

Body = Event | ItemChange | RuleChange | Activation | Served


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


class _StoredChange(msgspec.Struct, omit_defaults=True):
    item_id: str
    op: Literal["put", "patch", "delete"]
    fields: dict[str, object] = {}


class _StoredRule(msgspec.Struct, omit_defaults=True):
    """A rule by the API's names; without ``fields``, its end."""

    rule_id: str
    fields: dict[str, object] | None = None


class _StoredActivation(msgspec.Struct):
    version: str


_SHORT = {"offset": "o", "model": "m", "rows": "r", "asked": "q", "settled": "s"}


class _StoredServed(msgspec.Struct, omit_defaults=True, gc=False, rename=_SHORT):
    """A served list without its time and its request id. Short names: there is one for each answer."""

    offset: int
    model: str
    rows: tuple[int, ...]
    asked: dict[str, object]
    settled: bool = True


_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(_StoredEvent).decode
_decode_change = msgspec.json.Decoder(_StoredChange).decode
_decode_rule = msgspec.json.Decoder(_StoredRule).decode
_decode_activation = msgspec.json.Decoder(_StoredActivation).decode
_decode_served = msgspec.json.Decoder(_StoredServed).decode

SERVED_KEY = "served/"
"""Before the request id in the key of a served list, so that no event id is like it but by intent."""


def to_record(body: Body, time: int | None = None) -> Record:
    """``body`` as the log stores it.

    An event carries its own time, and its id is the key. ``time`` (milliseconds since 1970) is when a change
    of an item or of a rule, or an activation, came in; InvalidFieldError without it.
    """
    if isinstance(body, Event):
        return Record("event", body.time, _encode(_stored_event(body)), body.event_id)
    if isinstance(body, Served):
        stored = _StoredServed(body.offset, body.model, body.rows, body.asked, body.settled)
        return Record("served", body.now, _encode(stored), SERVED_KEY + body.request_id)
    if time is None:
        raise InvalidFieldError("time", f"{type(body).__name__} has no time of its own: give the moment it came in")
    if isinstance(body, ItemChange):
        return Record("item", time, _encode(_StoredChange(body.item_id, body.op, dict(body.fields))))
    if isinstance(body, RuleChange):
        fields = None if body.rule is None else body.rule.fields()
        return Record("rule", time, _encode(_StoredRule(body.rule_id, fields)))
    return Record("activation", time, _encode(_StoredActivation(body.version)))


def to_entry(offset: int, record: Record) -> Entry:
    """``record`` as the fold reads it.

    Raises HomeError for a record that cannot be read: the log is damaged, or a newer Endcap wrote it.
    """
    try:
        return Entry(offset, record.time, _body(record))
    except msgspec.MsgspecError as error:
        raise HomeError(
            f"log entry {offset} ({record.kind!r}) cannot be read ({error}): restore the log from a backup, "
            "or start the version of Endcap that wrote it"
        ) from error


def entries(log: Log, after: int = 0) -> Iterator[Entry]:
    """The entries of ``log`` with an offset greater than ``after``, in order."""
    for offset, record in log.read(after):
        yield to_entry(offset, record)


def _body(record: Record) -> Body:
    if record.kind == "event":
        return _event(record)
    if record.kind == "item":
        change = _decode_change(record.data)
        return ItemChange(change.item_id, change.op, _fields(change.fields))
    if record.kind == "rule":
        return _rule(_decode_rule(record.data))
    if record.kind == "activation":
        return Activation(_decode_activation(record.data).version)
    if record.kind == "served":
        served = _decode_served(record.data)
        request_id = (record.key or "").removeprefix(SERVED_KEY)
        return Served(request_id, record.time, served.offset, served.model, served.rows, served.asked, served.settled)
    raise msgspec.ValidationError("unknown kind of entry")


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
    )


def _rule(stored: _StoredRule) -> RuleChange:
    try:
        return RuleChange(stored.rule_id, None if stored.fields is None else stored_rule(stored.fields))
    except (KeyError, TypeError) as error:
        raise msgspec.ValidationError(f"a rule with unknown or missing fields: {error}") from error


def _fields(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of an item change, with the one that JSON cannot say, a tuple, restored."""
    categories = fields.get("categories")
    if isinstance(categories, list):
        return {**fields, "categories": tuple(categories)}
    return dict(fields)
