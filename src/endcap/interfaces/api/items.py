"""/v1/items: the catalogue. A change is honoured by the very next list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

from starlette.responses import Response

from endcap.catalog.items import Item, ItemChange, parse_change
from endcap.checks import parse_id
from endcap.errors import InvalidFieldError, NotFoundError
from endcap.events.schema import EVENT_TYPES
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.decoding import checked, decode_batch, decode_object
from endcap.interfaces.api.events import nothing_kept
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import MAX_BATCH, ItemAnswer, ItemReceipt, ItemStats, Rates, Refusal, item_body


async def put_items(context: Context, incoming: Incoming) -> Response:
    """One item or ``{"items": [...]}``: the good ones replace what was there, the others are refused by index."""
    records = decode_batch(incoming.body, "items")
    changes, refused = checked(records, lambda fields: parse_change("put", fields))
    if refused and not changes:
        return json_reply(nothing_kept(refused, len(records)), 400)
    return await _receipt(context, changes, refused)


async def put_item(context: Context, incoming: Incoming) -> Response:
    """The whole item."""
    return await _receipt(context, [parse_change("put", _own_fields(incoming))])


async def patch_item(context: Context, incoming: Incoming) -> Response:
    """Some fields of an item; null clears one."""
    change = parse_change("patch", _own_fields(incoming))
    _find(context, change.item_id)
    return await _receipt(context, [change])


async def delete_item(context: Context, incoming: Incoming) -> Response:
    """The end of an item: it is in no list any more. What was done with it stays in the log."""
    op: Literal["delete"] = "delete"
    item_id = _find(context, incoming.path("item_id")).item_id
    return await _receipt(context, [ItemChange(item_id, op)])


def get_item(context: Context, incoming: Incoming) -> Response:
    """The item as it is now."""
    return json_reply(item_body(_find(context, incoming.path("item_id"))))


def get_stats(context: Context, incoming: Incoming) -> Response:
    """How much the item is wanted now, and usually is."""
    item_id = _find(context, incoming.path("item_id")).item_id
    row, popularity = context.state.items.row(item_id), context.state.popularity
    rates = {
        name: Rates(*(popularity.per_day(row, name, window) for window in popularity.WINDOWS)) for name in EVENT_TYPES
    }
    seen = {name: one for name, one in rates.items() if one.usual > 0}
    return json_reply(ItemStats(item_id, seen, float(popularity.trend()[row])))


def get_items(context: Context, incoming: Incoming) -> Response:
    """The items named in ``ids``."""
    raw: bytes = incoming.scope["query_string"]
    name, _, values = raw.decode("ascii", "replace").partition("=")
    if name != "ids" or "&" in values:
        raise InvalidFieldError("ids", "ids is missing or not alone: give ?ids=a,b,c with the ids percent-encoded")
    ids = [unquote(value) for value in values.split(",") if value]
    if len(ids) > MAX_BATCH:
        raise InvalidFieldError("ids", f"ids has {len(ids)} ids: give at most {MAX_BATCH}")
    found = (context.state.shop.get(item_id) for item_id in ids)
    return json_reply(ItemAnswer([item_body(item) for item in found if item is not None]))


def _own_fields(incoming: Incoming) -> Mapping[str, Any]:
    fields = decode_object(incoming.body)
    item_id = incoming.path("item_id")
    if parse_id("item_id", fields.get("item_id", item_id)) != item_id:
        raise InvalidFieldError("item_id", f"item_id is {fields['item_id']!r:.80} but the address says {item_id!r:.80}")
    return {**fields, "item_id": item_id}


def _find(context: Context, item_id: str) -> Item:
    item = context.state.shop.get(item_id)
    if item is None:
        raise NotFoundError(f"there is no item {item_id!r:.80}: put it first")
    return item


async def _receipt(context: Context, changes: list[ItemChange], refused: list[Refusal] | None = None) -> Response:
    receipt = await context.live.append(changes)
    return json_reply(ItemReceipt(receipt.accepted, receipt.offset, refused or None))
