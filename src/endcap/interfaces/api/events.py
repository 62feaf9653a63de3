"""POST /v1/events: what visitors did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from endcap.events.schema import Event, parse_event
from endcap.interfaces.api.auth import Caller, speaks_for
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.decoding import checked, decode_batch
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import ErrorAnswer, ErrorDetail, EventReceipt, Refusal


async def post_events(context: Context, incoming: Incoming) -> Response:
    """202 once the good events are durable and applied; 400 if there is none."""
    arrived = context.timer()
    received = context.now_ms()
    with context.live.engine.tracer.stage("decode"):
        records = decode_batch(incoming.body, "events")
        events, refused = checked(records, lambda fields: checked_event(fields, received, incoming.caller))
    return await keep(context, Arrived(events, refused, len(records), arrived))


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came in with one request."""

    events: Sequence[Event]
    refused: list[Refusal]
    records: int
    at: float
    """When, by the monotonic clock."""
    unknown: Mapping[str, int] | None = None
    """Events of another system whose names say nothing here, kept as ``custom``: how many of each."""


async def keep(context: Context, arrived: Arrived) -> Response:
    """The receipt, once the good events are durable and applied; an error if there is none but bad ones."""
    events, refused = arrived.events, arrived.refused
    if refused and not events:
        context.meters.event_batch(0, 0, len(refused), arrived.at)
        return json_reply(nothing_kept(refused, arrived.records), 400)
    receipt = await context.live.append(events)
    now = context.timer()
    context.meters.event_batch(receipt.accepted, receipt.duplicates, len(refused), now)
    unknown = dict(arrived.unknown or {}) or None
    return json_reply(EventReceipt(receipt.accepted, receipt.duplicates, receipt.offset, refused or None, unknown), 202)


def nothing_kept(refused: list[Refusal], count: int) -> ErrorAnswer:
    """The error for a body with nothing good in it; the reasons by index where there are several."""
    first = refused[0]
    if count == 1:
        return ErrorAnswer(ErrorDetail("invalid_field" if first.field else "malformed", first.message, first.field))
    message = f"none of the {count} was kept; the first: {first.message}"
    return ErrorAnswer(ErrorDetail("invalid_field", message, first.field), refused)


def checked_event(fields: Mapping[str, object], received: int, caller: Caller) -> Event:
    """The event that ``fields`` describe, of whom the caller may speak for. Raises an EndcapError."""
    if caller.bound and fields.get("user_id") is None and fields.get("visitor_id") is None:
        fields = {**fields, "visitor_id": caller.visitor_id}
    event = parse_event(fields, received)
    if not caller.bound:
        return event
    user_id, visitor_id = speaks_for(caller, event.user_id, event.visitor_id)
    return replace(event, user_id=user_id, visitor_id=visitor_id)
