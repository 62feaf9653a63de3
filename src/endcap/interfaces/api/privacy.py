"""The webhooks that Shopify demands of every app: somebody's data, their erasure, the end of a shop.

https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance. Shopify waits 5 s for an answer and delivers
again where none came; an erasure that takes longer goes on meanwhile, and the next delivery finds nothing left to do.
"""

from __future__ import annotations

import logging

from starlette.responses import Response

from endcap.checks import parse_id
from endcap.config import Home
from endcap.events.dialects import shopify
from endcap.events.dialects.message import Message
from endcap.interfaces.api import erasure
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import EventReceipt

_logger = logging.getLogger(__name__)


async def answer(context: Context, topic: str, message: Message) -> Response:
    """Do what the webhook of ``topic`` asks for. 202 when it is done.

    Raises InvalidFieldError where it does not say whom it is about, OverloadedError while another one is worked on:
    Shopify then sends it again.
    """
    if topic == shopify.SHOP_END:
        _logger.warning("shop/redact: stop the server and delete the home folder", extra={"home": str(context.home)})
    else:
        customer = parse_id("customer", shopify.customer_id(message))
        if topic == shopify.REDACT:
            orders = [f"--visitor={order}" for order in shopify.orders_to_redact(message)]
            await erasure.erase(context, [f"--user={customer}", *orders])
        else:
            name = parse_id("data_request", shopify.request_id(message))
            await erasure.export_to(context, [f"--user={customer}"], Home(context.home).exports / f"{name}.json")
            _logger.warning("customers/data_request: send the file to the shop's owner", extra={"file": f"{name}.json"})
    return json_reply(EventReceipt(0, 0, context.state.offset), 202)
