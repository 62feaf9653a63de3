"""GET /v1/stream: the list again whenever it changes, as server-sent events.

A reader that is slow is not sent a queue of old lists: while it is behind, changes only leave a mark, and
what it gets next is the list as it is then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from endcap.errors import OverloadedError
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.recommend import drafted, from_parameters, to_request
from endcap.interfaces.api.schema import RecommendAnswer
from endcap.serving.engine import Request

HEARTBEAT_SECONDS = 15.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]
_encode = msgspec.json.Encoder().encode


def get_stream(context: Context, incoming: Incoming) -> ASGIApp:
    """The list at once, then again whenever it changes, until the reader goes or the server stops."""
    if context.streams.open >= context.config.max_streams:
        raise OverloadedError(f"{context.streams.open} streams are open: close one, or raise serve.max_streams")
    parameters = incoming.parameters()
    recipe = next((value for name, value in parameters if name == "recipe"), "for-you")
    wanted = from_parameters(recipe, [pair for pair in parameters if pair[0] != "recipe"])
    request = to_request(wanted, incoming)
    return _Stream(context, replace(request, by_letters=context.live.engine.contents.reading.remote))


class _Stream:
    """One reader's stream, as an ASGI app."""

    def __init__(self, context: Context, request: Request) -> None:
        self._context = context
        self._request = request
        self._sent: Sequence[object] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        self._context.streams.open += 1
        gone = asyncio.ensure_future(_until_gone(receive))
        stopping = asyncio.ensure_future(self._context.streams.stopping.wait())
        work = asyncio.ensure_future(self._push(send))
        try:
            await asyncio.wait({gone, stopping, work}, return_when=asyncio.FIRST_COMPLETED)
            here = not gone.done()
            if work.done():
                work.result()  # raises what broke it
        finally:
            self._context.streams.open -= 1
            for task in (gone, stopping, work):
                task.cancel()
            await asyncio.gather(gone, stopping, work, return_exceptions=True)
        if here:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _push(self, send: Send) -> None:
        with self._context.live.signals.subscribed(self._request.user_id, self._request.visitor_id) as changed:
            message = await self._news()  # before the status goes out: it may be an error
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            while True:
                if message is not None:
                    await send({"type": "http.response.body", "body": message, "more_body": True})
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):  # wait_for can lose a cancellation
                        await changed.wait()
                except TimeoutError:
                    message = b": still here\n\n"
                else:
                    changed.clear()
                    message = await self._news()

    async def _news(self) -> bytes | None:
        """The list as an event; None if it is the one that was sent last."""
        async with self._context.streams.turn:
            await asyncio.sleep(0)  # a change that concerns every stream must not hold up the requests
            made, show = drafted(self._context, self._request)
        shown = [(item.item_id, item.reason) for item in made.items]
        if shown == self._sent:
            return None
        show()
        self._sent = shown
        return _event(made)


def _event(made: RecommendAnswer) -> bytes:
    return b"event: list\nid: %d\ndata: %b\n\n" % (made.offset, _encode(made))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
