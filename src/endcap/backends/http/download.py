"""A file from one of the hosts that are allowed, within a time and a size; never from the own network."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Timer
from urllib.parse import SplitResult, urljoin, urlsplit

from endcap.errors import EndpointError

REDIRECTS = 3
_MOVED = {301, 302, 303, 307, 308}
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host and port, as numbers."""


def resolved(host: str, port: int) -> list[str]:
    """By the system. Raises OSError if the name has no address."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether ``address`` can be of another network: not this machine, nor a private, local or reserved one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_global and not found.is_multicast


@dataclass(frozen=True, slots=True)
class Downloader:
    """Fetches from ``hosts`` only. A host may have a port, as in ``images.example.com:8443``.

    The address is looked up once, judged and then used, so a name that changes its mind gains nothing. A redirect is
    followed where its target passes the same checks.
    """

    hosts: Collection[str]
    max_bytes: int = 20_000_000
    timeout_seconds: float = 10.0
    """For all of it, from the connection to the last byte."""
    resolve: Resolve = resolved
    allows: Callable[[str], bool] = is_public
    """Which of the addresses may be connected to."""

    def get(self, address: str) -> bytes:
        """The bytes at ``address``. Raises EndpointError, which says why, where there are none to be had."""
        for _ in range(REDIRECTS + 1):
            parts = self._allowed(address)
            try:
                moved, body = self._asked(parts)
            except (OSError, HTTPException, ValueError) as error:
                raise EndpointError(
                    f"{address:.200} cannot be fetched within {self.timeout_seconds:g} s ({error!s:.120})"
                ) from error
            if moved is None:
                return body
            address = urljoin(address, moved)
        raise EndpointError(f"{address:.200} moves on more than {REDIRECTS} times: give the address where it ends")

    def _allowed(self, address: str) -> SplitResult:
        try:
            parts = urlsplit(address)
            place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
        except ValueError:
            parts, place = urlsplit(""), ""
        if parts.scheme not in {"http", "https"} or place not in {host.lower() for host in self.hosts}:
            raise EndpointError(
                f"{address:.200} is on none of the hosts that images may come from (encode.image_hosts)"
            )
        return parts

    def _asked(self, parts: SplitResult) -> tuple[str | None, bytes]:
        """Where it has moved to, or None and the bytes."""
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        found = self.resolve(host, port)
        refused = [one for one in found if not self.allows(one)]
        if refused or not found:
            raise EndpointError(f"{host} is at {', '.join(refused) or 'no address'}: images come from public ones only")
        connection = _Pinned(host, port, found[0], self.timeout_seconds, secure=parts.scheme == "https")
        with closing(connection):
            guard = Timer(self.timeout_seconds, _cut, (connection,))
            guard.daemon = True
            guard.start()
            try:
                path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
                connection.request("GET", path, headers={"User-Agent": "endcap", "Accept": "image/*"})
                with connection.getresponse() as response:
                    location = response.getheader("Location")
                    if response.status in _MOVED and location:
                        return location, b""
                    if response.status != 200:
                        raise EndpointError(f"{host} answers {response.status} for {path:.200}")
                    body = response.read(self.max_bytes + 1)
                    whole = response.length in {None, 0}
            finally:
                guard.cancel()
        if len(body) > self.max_bytes:
            raise EndpointError(f"{host}{path:.200} has more than {self.max_bytes:,} bytes: give a smaller picture")
        if connection.late or not whole:
            raise TimeoutError("it did not end")
        return None, body


class _Pinned(HTTPConnection):
    """A connection to one address, which is called by its name."""

    def __init__(self, host: str, port: int, address: str, timeout_seconds: float, *, secure: bool) -> None:
        super().__init__(host, port, timeout=timeout_seconds)
        self.late = False
        self._address, self._secure, self._seconds = address, secure, timeout_seconds

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self._seconds)
        self.sock = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=self.host) if self._secure else plain
        )


def _cut(connection: _Pinned) -> None:
    connection.late = True
    with suppress(OSError, TypeError):  # it is through just now, or not connected yet
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
