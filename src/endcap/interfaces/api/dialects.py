"""POST /v1/events/{ga4,segment,retail,shopify}: what visitors did, as other systems say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from starlette.responses import Response

from endcap.catalog.items import ItemChange, parse_change
from endcap.checks import parse_id
from endcap.errors import EndcapError, InvalidFieldError
from endcap.events.dialects import shopify
from endcap.events.dialects.message import Dialect, Translated, as_object
from endcap.events.schema import Event
from endcap.interfaces.api import privacy
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.decoding import decode_object, refusal
from endcap.interfaces.api.events import Arrived, checked_event, keep
from endcap.interfaces.api.operation import Handler, Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import MAX_BATCH, EventReceipt, Refusal

Read = Callable[[object], Sequence[Translated]]


def post_in(dialect: Dialect) -> Handler:
    """A handler for bodies in ``dialect``: the good events are kept, the others refused by the index of their message.

    A message may tell of several events; one that is bad does not take the others with it.
    """

    async def post(context: Context, incoming: Incoming) -> Response:
        at = context.timer()
        records = dialect.records(decode_object(incoming.body))
        if len(records) > MAX_BATCH:
            raise InvalidFieldError("events", f"the body has {len(records)} events: send at most {MAX_BATCH} at once")
        return await keep(context, _read(records, lambda one: dialect.events(as_object(one)), (context, incoming), at))

    return post


async def post_shopify(context: Context, incoming: Incoming) -> Response:
    """One webhook. 401 unless it is signed with the configured secret."""
    at = context.timer()
    context.shopify.check(incoming.body, incoming.headers)  # before anything of the body is believed
    message = decode_object(incoming.body)
    topic = incoming.headers.get(b"x-shopify-topic", b"").decode("latin-1").lower()
    if not topic:
        raise InvalidFieldError(shopify.TOPIC, f"{shopify.TOPIC} is missing: Shopify sends it with each webhook")
    if topic in shopify.PRIVACY:
        return await privacy.answer(context, topic, message)
    if topic in shopify.PRODUCTS or topic == shopify.PRODUCT_END:
        receipt = await context.live.append([_change(context, topic, message)])
        return json_reply(EventReceipt(receipt.accepted, receipt.duplicates, receipt.offset), 202)
    delivery = shopify.Delivery(topic, message, _delivery_id(incoming))
    buyer = _buyer(context, message) if topic == shopify.REFUND else None
    return await keep(context, _read([message], lambda _: shopify.events(delivery, buyer), (context, incoming), at))


def _read(records: Sequence[object], read: Read, request: tuple[Context, Incoming], at: float) -> Arrived:
    context, incoming = request
    received = context.now_ms()
    events: list[Event] = []
    refused: list[Refusal] = []
    unknown: Counter[str] = Counter()
    for index, record in enumerate(records):
        try:
            found = read(record)
        except EndcapError as error:
            refused.append(refusal(index, error))
            continue
        for one in found:
            try:
                events.append(checked_event(one.fields, received, incoming.caller))
            except EndcapError as error:
                refused.append(refusal(index, error))
            else:
                unknown.update([] if one.unknown is None else [one.unknown])
    return Arrived(events, refused, max(len(records), len(refused)), at, unknown)


def _delivery_id(incoming: Incoming) -> str | None:
    """The id of what happened, or else that of the delivery; both are the same when Shopify sends it again."""
    for name in (b"x-shopify-event-id", b"x-shopify-webhook-id"):
        if value := incoming.headers.get(name, b"").decode("latin-1"):
            return f"shopify-{value}"
    return None


def _buyer(context: Context, message: dict[str, object]) -> shopify.Buyer | None:
    """Whose order is refunded, if it came in."""
    order = context.live.find(shopify.refunded_order(message))
    return None if order is None else shopify.Buyer(order.user_id, order.visitor_id)


def _change(context: Context, topic: str, message: dict[str, object]) -> ItemChange:
    """What a product's webhook changes. What Shopify does not know of a known item stays as it is."""
    item_id = parse_id("id", shopify.product_id(message))
    if topic == shopify.PRODUCT_END:
        return ItemChange(item_id, "delete")
    known = context.state.shop.get(item_id) is not None
    return parse_change("patch" if known else "put", shopify.product(message))
