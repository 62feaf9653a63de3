"""What a web page of another origin may do: nothing, unless its origin is allowed.

An open server on loopback is reachable by every page in the browser. So it answers only to a loopback
``Host`` (a name that was re-bound to 127.0.0.1 is not one) and only to its own pages and the allowed origins.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from endcap.errors import ForbiddenError
from endcap.interfaces.api.auth import Headers

_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, x-endcap-visitor"),
    (b"access-control-max-age", b"600"),
)

RawHeaders = list[tuple[bytes, bytes]]


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address, without a port) can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Origins:
    """Judges the ``Host`` and ``Origin`` of a request. ``open``: the server asks for no key."""

    def __init__(self, allowed: Collection[str], open: bool) -> None:
        self._allowed = frozenset(origin.rstrip("/").encode() for origin in allowed)
        self._open = open
        self._known_hosts: set[bytes] = set()

    def check(self, headers: Headers) -> bool:
        """Whether the request comes from a page of an allowed other origin.

        Raises ForbiddenError for a request that an open server must not answer.
        """
        origin = headers.get(b"origin")
        host = headers.get(b"host", b"")
        if self._open and host not in self._known_hosts:
            self._check_host(host)
        if origin is None or origin.partition(b"://")[2] == host:
            return False
        if origin in self._allowed:
            return True
        if self._open:
            raise ForbiddenError(
                f"this server is open and answers no page of {origin.decode('latin-1')!r:.200}: "
                "add the origin to serve.allowed_origins"
            )
        return False

    def check_browser(self, headers: Headers) -> None:
        """Raises ForbiddenError where an ``events`` key comes from a page of an origin that is not allowed."""
        origin = headers.get(b"origin")
        own = origin is None or origin.partition(b"://")[2] == headers.get(b"host", b"")
        if not own and origin not in self._allowed:
            raise ForbiddenError("an events key works from allowed origins only: see serve.allowed_origins")

    def reply_headers(self, headers: Headers) -> RawHeaders:
        """What lets the browser hand the answer to a page of an allowed origin; nothing for any other."""
        origin = headers.get(b"origin")
        if origin is None or origin not in self._allowed:
            return []
        return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]

    def preflight(self, headers: Headers) -> RawHeaders:
        """The answer to a browser that asks what a page may send.

        Raises ForbiddenError for a page of an origin that is not allowed.
        """
        granted = self.reply_headers(headers)
        if not granted:
            raise ForbiddenError("pages of this origin may not call the API: see serve.allowed_origins")
        return [*granted, *_PREFLIGHT]

    def _check_host(self, host: bytes) -> None:
        name = host.decode("latin-1")
        bare = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() and not name.endswith("]") else name
        if not is_loopback(bare):
            raise ForbiddenError(
                f"this server is open and answers to localhost only, not to {name!r:.200}: configure keys to open it up"
            )
        if len(self._known_hosts) < 100:
            self._known_hosts.add(host)
