"""GET /v1/why: a list of the past, made again in a process of its own, so that nobody's list waits for it."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from endcap.errors import EndcapError, InvalidFieldError, ModelError, NotFoundError, OverloadedError
from endcap.interfaces.api.child import answer_of
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming, Parameter
from endcap.interfaces.api.schema import ErrorAnswer

WHY_PARAMETERS = (
    Parameter("item_id", "The item that is asked about.", required=True),
    Parameter("request_id", "The list that was served."),
    Parameter("user_id", "Without request_id: whose list."),
    Parameter("visitor_id", "Without request_id: whose list."),
    Parameter("at", "Without request_id: when, RFC 3339 or milliseconds since 1970; by default now."),
    Parameter("recipe", "Without request_id: for-you if it is not given."),
    Parameter("about", "Without request_id: the item that the list is about (similar, bought-together)."),
    Parameter("k", "Without request_id: how many items.", int),
)
_OPTIONS = {
    "item_id": "--item",
    "request_id": "--request",
    "user_id": "--user",
    "visitor_id": "--visitor",
    "at": "--at",
    "recipe": "--recipe",
    "about": "--about",
    "k": "--count",
}
SECONDS = 60.0
"""After that, the log is too long for a person who waits: ``endcap why`` has no limit."""
_AT_A_TIME = asyncio.Semaphore(1)


async def get_why(context: Context, incoming: Incoming) -> Response:
    """Why an item was in a list of the past, or at which step it was left out."""
    asked = dict(incoming.parameters())
    unknown = asked.keys() - _OPTIONS.keys()
    if unknown:
        raise InvalidFieldError(
            min(unknown), f"unknown parameter {min(unknown)!r:.80}: there are {', '.join(_OPTIONS)}"
        )
    if "item_id" not in asked:
        raise InvalidFieldError("item_id", "item_id is missing: say which item is asked about")
    if _AT_A_TIME.locked():
        raise OverloadedError("another list of the past is being made: ask again in some seconds")
    async with _AT_A_TIME:
        await context.live.settle()  # what was served a moment ago is in the log then
        arguments = [f"{_OPTIONS[name]}={value}" for name, value in asked.items()]
        out = await answer_of(["why", "--json", *arguments], context.home, SECONDS, _error)
    return Response(out, media_type="application/json")


def _error(out: bytes, problem: str) -> EndcapError:
    """The error that the command names as JSON; a wrong option is named on standard error alone."""
    try:
        detail = msgspec.json.decode(out, type=ErrorAnswer).error
    except msgspec.DecodeError:
        return InvalidFieldError("query_string", problem.removeprefix("endcap: ").strip())
    for known in (NotFoundError, ModelError):
        if detail.code == known.code:
            return known(detail.message)
    return InvalidFieldError(detail.field or "request_id", detail.message)
