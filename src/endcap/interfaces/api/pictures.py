"""/v1/item-images: the pictures of items whose ``image`` is a path in the image folder, to be shown in a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.responses import FileResponse, Response

from endcap.errors import InvalidFieldError, NotFoundError
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming
from endcap.pipelines.pictures import file_in

_KINDS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"))
_BOXED = ((b"WEBP", "image/webp"), (b"ftypavif", "image/avif"))
"""What browsers show, by how the file begins; its name says nothing. SVG, which can hold a program, is not among it."""
_HEADERS = {
    "cache-control": "private, max-age=300",
    "content-security-policy": "default-src 'none'; sandbox",
}


async def get_picture(context: Context, incoming: Incoming) -> Response:
    """The file, in pieces as the reader takes them; 304 where it has it. Raises NotFoundError if there is none."""
    item_id = incoming.path("item_id")
    item = context.state.shop.get(item_id)
    image = "" if item is None else item.image or ""
    if not image or image.lower().startswith(("data:", "http://", "https://")):
        raise NotFoundError(f"there is no item {item_id!r:.80} with a picture in the image folder")
    reply = await asyncio.to_thread(_opened, context.pictures, image)
    known = incoming.headers.get(b"if-none-match", b"").decode("latin-1")
    if reply.headers["etag"] in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers={**_HEADERS, "etag": reply.headers["etag"]})
    return reply


def _opened(folder: Path | None, image: str) -> FileResponse:
    try:
        path = file_in(folder, image)
        with path.open("rb") as file:
            kind = _kind(file.read(16))
        found = path.stat()
    except (InvalidFieldError, OSError) as error:
        raise NotFoundError(f"there is no picture to show: {error}") from error
    if kind is None:
        raise NotFoundError(f"image {image!r:.120} is not shown: give a JPEG, PNG, GIF, WebP or AVIF file")
    return FileResponse(path, headers=_HEADERS, media_type=kind, stat_result=found)


def _kind(first: bytes) -> str | None:
    """The media type of a file that begins with these 16 bytes; None for what is not shown."""
    plain = [kind for start, kind in _KINDS if first.startswith(start)]
    boxed = [kind for mark, kind in _BOXED if mark in first[4:]]
    return next(iter(plain + boxed), None)
