"""POST /v1/visitor-tokens: lets a browser speak for one visitor."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from endcap.checks import parse_id
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.decoding import decode
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import TokenAnswer, TokenRequest

_decode = msgspec.json.Decoder(TokenRequest).decode


def post_token(context: Context, incoming: Incoming) -> Response:
    """A token for the header ``X-Endcap-Visitor``; the shop's backend hands it to its own page."""
    wanted = decode(_decode, incoming.body)
    visitor_id = parse_id("visitor_id", wanted.visitor_id)
    user_id = None if wanted.user_id is None else parse_id("user_id", wanted.user_id)
    expires = context.now_ms() + wanted.ttl_seconds * 1000
    return json_reply(TokenAnswer(context.keys.sign(visitor_id, user_id, expires), expires))
