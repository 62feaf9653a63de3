"""One request with a JSON body to another server, within a time that holds for all of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event, Timer
from urllib.parse import urlsplit

from endcap.errors import ConfigError, EndpointError

MAX_REPLY_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    retry_after: str | None
    """The header of that name."""
    body: bytes


def check_address(name: str, address: str) -> None:
    """Raises ConfigError, which calls it ``name``, if ``address`` is not that of a server."""
    try:
        parts = urlsplit(address)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(
            f"{name} is {address!r:.120}: it must be the address of a server, such as http://host:port/v1"
        )


def post_json(address: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> Reply:
    """What the server at ``address`` answers to ``body``, whatever its status. Redirects are not followed.

    Raises EndpointError if it cannot be reached, hangs up, answers without end, or is not through in time: however
    slowly a server sends, ``timeout_seconds`` after the start the connection is cut. The look-up of the server's name
    is the system's, and takes what that allows.
    """
    begun, parts = time.monotonic(), urlsplit(address)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=timeout_seconds)
    late = Event()
    with closing(connection):
        try:
            connection.connect()
            guard = Timer(max(begun + timeout_seconds - time.monotonic(), 0.0), _cut, (connection.sock, late))
            guard.daemon = True
            guard.start()
            try:
                path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
                connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
                reply = _read(connection)
            finally:
                guard.cancel()
        except TimeoutError as error:
            raise EndpointError(f"{address} did not answer within {timeout_seconds:g} s") from error
        except (OSError, HTTPException, ValueError) as error:
            if late.is_set():
                raise EndpointError(f"{address} did not answer within {timeout_seconds:g} s") from error
            raise EndpointError(f"{address} cannot be reached ({error!s:.200}): is its server running?") from error
    if late.is_set():  # what was read may be cut off
        raise EndpointError(f"{address} did not answer within {timeout_seconds:g} s")
    if len(reply.body) > MAX_REPLY_BYTES:
        raise EndpointError(f"{address} answered with more than {MAX_REPLY_BYTES:,} bytes: ask for less at a time")
    return reply


def _read(connection: HTTPConnection) -> Reply:
    with connection.getresponse() as response:
        return Reply(response.status, response.getheader("Retry-After"), response.read(MAX_REPLY_BYTES + 1))


def _cut(connected: socket.socket, late: Event) -> None:
    late.set()
    with suppress(OSError):  # it is through just now
        socket.socket.shutdown(connected, socket.SHUT_RDWR)  # under TLS too, where a reader would not be woken
