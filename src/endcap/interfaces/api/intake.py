"""Reads a request's body within limits: its own, what all bodies together may hold, and time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from endcap.errors import OverloadedError, TimedOutError, TooLargeError, UnsupportedMediaError
from endcap.interfaces.api.auth import Headers

BODY_SECONDS = 30.0
_JSON = frozenset({b"", b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})


def check_media(headers: Headers) -> None:
    """Raises UnsupportedMediaError for a body that is not plain JSON in UTF-8."""
    kind = headers.get(b"content-type", b"").lower()
    if kind not in _JSON:
        raise UnsupportedMediaError(
            f"the body is {kind.decode('latin-1')!r:.100}: send JSON in UTF-8 with 'Content-Type: application/json'"
        )
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding != b"identity":
        raise UnsupportedMediaError(f"the body is compressed ({encoding.decode('latin-1')!r:.100}): send it as it is")


class Intake:
    """The bodies that are being read. ``limit``: bytes of one; ``total``: bytes of all together."""

    def __init__(self, limit: int, total: int, seconds: float = BODY_SECONDS) -> None:
        self._limit = limit
        self._total = total
        self._seconds = seconds
        self._held = 0

    async def read(self, receive: Receive, headers: Headers) -> bytes:
        """The whole body.

        Raises TooLargeError as soon as it is known to be, before the rest is read; OverloadedError where other
        bodies take the room; TimedOutError after 30 seconds; ClientDisconnect where the sender went away.
        """
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._limit:
            self._refuse()
        try:
            async with asyncio.timeout(self._seconds):
                message = await receive()
                if message["type"] == "http.request" and not message.get("more_body", False):
                    return self._whole(message)
                return await self._rest(message, receive)
        except TimeoutError:
            raise TimedOutError(f"the body did not come within {self._seconds:g} s: send it again") from None

    def _whole(self, message: Message) -> bytes:
        body: bytes = message.get("body", b"")
        if len(body) > self._limit:
            self._refuse()
        return body

    async def _rest(self, message: Message, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part: bytes = message.get("body", b"")
                size += len(part)
                self._held += len(part)
                if size > self._limit:
                    self._refuse()
                if self._held > self._total:
                    raise OverloadedError("too many large bodies at once: send this one again in a moment")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._held -= size

    def _refuse(self) -> None:
        raise TooLargeError(f"the body is larger than {self._limit:,} bytes: send it in parts (serve.max_body_bytes)")
