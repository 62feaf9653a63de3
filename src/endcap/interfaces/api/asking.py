"""Before a list can be made: a photo is looked at, a recording heard, a query read by another server or reworded."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import replace

from endcap.errors import InvalidFieldError
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.schema import RecommendRequest
from endcap.serving.advice import TOP, Advice
from endcap.serving.engine import Request

SEARCH = "search"
"""The recipe that a photo and a recording go with."""


def must_wait(context: Context, wanted: RecommendRequest) -> bool:
    """Whether something is to be done first that takes longer than a list, off the loop.

    Raises InvalidFieldError for a photo or a recording with a recipe that has no use for it.
    """
    if wanted.image is None and wanted.audio is None:
        if context.advice is not None and context.advice.helps(wanted.recipe):
            return True
        return wanted.recipe == SEARCH and context.live.engine.contents.reading.remote
    if wanted.recipe != SEARCH:
        name = "audio" if wanted.image is None else "image"
        raise InvalidFieldError(name, f"{name} goes with the recipe 'search', not {wanted.recipe!r:.80}: leave it out")
    return True


async def understood(context: Context, wanted: RecommendRequest, request: Request) -> Request:
    """``request`` with what was heard as its query, and the photo as a vector.

    Raises InvalidFieldError for a photo or a recording that cannot be read, OverloadedError where it takes too long.
    """
    senses = context.senses
    if wanted.audio is not None:
        said = await senses.hear(_bytes("audio", wanted.audio), lambda: _titles(context))
        request = replace(request, query=f"{request.query} {said}".strip())
    reading = context.live.engine.contents.reading
    if wanted.image is not None:
        photo = await senses.see(_bytes("image", wanted.image), reading)
        request = replace(request, image=photo)
    advice = context.advice
    if advice is not None and request.recipe == SEARCH and request.query not in context.state.items:
        request = replace(request, rewritten=await advice.rewritten(request.query))
    if reading.remote and request.query.strip():
        request = replace(request, by_letters=not await senses.read(request.rewritten or request.query, reading))
    if advice is not None and advice.reranks(request.recipe):
        request = replace(request, order=await _order(context, advice, request))
    return request


async def _order(context: Context, advice: Advice, request: Request) -> tuple[str, ...]:
    """The first items of the list for ``request``, put in order; empty: they stay in theirs."""
    draft = replace(request, k=max(request.k, TOP), explain=False)
    first = context.live.engine.recommend(draft, context.now_ms()).items[:TOP]
    about = [_title(context, name) for name in request.item_ids]
    return await advice.ordered(request.query, about, [(one.item_id, _title(context, one.item_id)) for one in first])


def _title(context: Context, item_id: str) -> str:
    row = context.state.items.row(item_id)
    item = None if row < 0 else context.state.shop.item(row)
    return "" if item is None else item.title


def _titles(context: Context) -> list[str]:
    return [item.title for _, item in context.state.shop.listed_items()]


def _bytes(name: str, text: str) -> bytes:
    """The file in ``text``, base64, with or without ``data:...;base64,`` before it."""
    body = text.partition(",")[2] if text[:5].lower() == "data:" else text
    try:
        return b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidFieldError(name, f"{name} is no base64 ({error}): send the bytes of a file so written") from None
