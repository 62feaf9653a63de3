"""HTTP/1.1 on a connection, within limits: uvicorn's own protocol bounds neither the size nor the time of a head."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from endcap.errors import OverloadedError
from endcap.interfaces.api.admission import Admission
from endcap.interfaces.api.schema import ErrorAnswer, ErrorDetail

MAX_HEAD_BYTES = 65_536
HEAD_SECONDS = 30.0
ARRIVED = "endcap.arrived"
"""In an ASGI scope: the monotonic second at which its request's head was read."""


def _refusal() -> bytes:
    message = "more is asked than can be answered now: ask again in a second"
    body = msgspec.json.encode(ErrorAnswer(ErrorDetail(OverloadedError.code, message)))
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        b"x-content-type-options: nosniff\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


_REFUSAL = _refusal()


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long or do not come, with an error as JSON."""

    def __init__(self, *args: Any, admission: Admission | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission = admission or Admission(time.monotonic, time.thread_time)
        self._refusing = False
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._admission.waiting -= len(self.pipeline)  # they will not have their turn
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data) if was_in_head else 0  # else most of it was the body before
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"the headers are longer than {MAX_HEAD_BYTES} bytes")
        elif self._head_timer is None:
            self._wait_for_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._head_came()
        if self._may_refuse() and not self._admission.admits(self.url):
            self._refuse()
            return
        self._admission.waiting += 1
        self.scope[ARRIVED] = time.monotonic()  # type: ignore[literal-required]  # ASGI lets servers add keys
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refusing:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refusing:
            self._refusing = False
            self.on_response_complete()
        else:
            super().on_message_complete()

    def _may_refuse(self) -> bool:
        """Not while an earlier answer on this connection is under way, nor where the body waits for a word of ours."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self.expect_100_continue and not self.parser.should_upgrade()

    def _refuse(self) -> None:
        """Answer at once, without a task; the body, if one comes, is not kept."""
        self._refusing = True
        self.transport.write(_REFUSAL)
        if self.parser.get_http_version() == "1.0" or not self.parser.should_keep_alive():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        body = msgspec.json.encode(ErrorAnswer(ErrorDetail("malformed", msg)))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()
