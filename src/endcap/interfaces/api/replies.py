"""Answers: JSON as bytes, encoded once."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


def json_reply(answer: object, status: int = 200) -> Response:
    """``answer`` (a type of schema.py) as JSON."""
    return Response(_encode(answer), status, media_type="application/json")
