"""The two faces as static files: the console at ``/``, the storefront at ``/shop``, their parts at ``/static``.

The files are read once, at the start; a page may load only what comes from here (Content-Security-Policy),
except the product photos that the catalogue names. Of a browser's devices it may ask for the microphone, to search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.responses import Response

from endcap.errors import NotFoundError
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Handler, Incoming

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}
"""What is served; other files of the folder are not."""

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: https:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent."""

    body: bytes
    headers: Mapping[str, str]

    def reply(self, incoming: Incoming) -> Response:
        """The file, or 304 where the reader has it."""
        known = incoming.headers.get(b"if-none-match", b"").decode("latin-1")
        if self.headers["etag"] in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=self.headers)
        return Response(self.body, headers=self.headers)


def static_files() -> dict[str, StaticFile]:
    """The files of interfaces/console that may be served, by their path in it."""
    return dict(_walk(resources.files("endcap.interfaces").joinpath("console"), ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found: list[tuple[str, StaticFile]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = prefix + entry.name
        kind = _TYPES.get(entry.name.rpartition(".")[2])
        if entry.is_dir():
            found += _walk(entry, f"{path}/")
        elif kind is not None:
            found.append((path, _read(entry, kind)))
    return found


def _read(entry: Traversable, kind: str) -> StaticFile:
    body = entry.read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    # no-cache: asked again each time, by ETag, so that an upgrade is seen at once
    return StaticFile(body, {"content-type": kind, "etag": etag, "cache-control": "no-cache", **SECURITY_HEADERS})


def page(files: Mapping[str, StaticFile], name: str) -> Handler:
    """A handler that answers with the file ``name``."""

    def handler(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
        return _find(files, name).reply(incoming)

    return handler


def folder(files: Mapping[str, StaticFile]) -> Handler:
    """A handler that answers with the file that the path names."""

    def handler(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
        return _find(files, incoming.path("path")).reply(incoming)

    return handler


def _find(files: Mapping[str, StaticFile], name: str) -> StaticFile:
    found = files.get(name)
    if found is None:
        raise NotFoundError(f"there is no file {name!r:.200}")
    return found
