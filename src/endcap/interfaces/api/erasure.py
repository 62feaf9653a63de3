"""DELETE /v1/users/{id} and GET /v1/users/{id}/export: what a person may ask for by law.

Both read the whole log, so they run in a process of their own, one at a time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from starlette.responses import Response

from endcap.checks import parse_id
from endcap.errors import HomeError, InvalidFieldError, OverloadedError
from endcap.interfaces.api.child import answer_of
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming, Parameter
from endcap.pipelines.erase import Receipt

EXPORT_SECONDS = 60.0
"""After that, the log is too long for who waits: ``endcap export`` has no limit."""
PERSON_PARAMETERS = (Parameter("kind", "user or visitor; by default the user, and where there is none the visitor."),)
_OPTIONS = {"user": "--user", "visitor": "--visitor"}
_AT_A_TIME = asyncio.Semaphore(1)
_under_way: set[asyncio.Task[bytes]] = set()


async def delete_user(context: Context, incoming: Incoming) -> Response:
    """Erase a person. Answered when the log, every file of the home and the server's memory have nothing of them."""
    return Response(await erase(context, _whom(context, incoming)), media_type="application/json")


async def get_export(context: Context, incoming: Incoming) -> Response:
    """All that is held of a person."""
    return Response(await _export(context, _whom(context, incoming)[:1]), media_type="application/json")


async def export_to(context: Context, whom: list[str], path: Path) -> None:
    """Write all that is held of a person to ``path``, in a folder that only its owner may read."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"{path.parent} cannot be made ({error.strerror}): check who may write there") from error
    await _export(context, [*whom, f"--out={path}"])


async def _export(context: Context, options: list[str]) -> bytes:
    _check_free()
    async with _AT_A_TIME:
        await context.live.settle()  # what was shown a moment ago is in the log then
        return await answer_of(["export", *options], context.home, EXPORT_SECONDS, _refused)


async def erase(context: Context, whom: list[str]) -> bytes:
    """The receipt of the erasure of ``whom``, as options of ``endcap erase``. It goes on if the caller goes away."""
    _check_free()
    task = asyncio.create_task(_erase(context, whom))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)


async def _erase(context: Context, whom: list[str]) -> bytes:
    async with _AT_A_TIME:
        await context.live.settle()
        arguments = ["erase", "--yes", "--json", *whom]
        out = await answer_of(arguments, context.home, None, _refused)
        entry = msgspec.json.decode(out, type=Receipt).entry
        if entry is not None:
            await context.live.without_erased(entry)
    return out


def _refused(_out: bytes, problem: str) -> HomeError:
    return HomeError(problem.removeprefix("endcap: ").strip())


def _check_free() -> None:
    if _AT_A_TIME.locked():
        raise OverloadedError("another person is being erased or exported: ask again in some seconds")


def _whom(context: Context, incoming: Incoming) -> list[str]:
    return options(context, incoming.path("id"), asked_kind(incoming))


def asked_kind(incoming: Incoming) -> str | None:
    """The parameter ``kind``: user, visitor, or None where it is not given. Raises InvalidFieldError for another."""
    asked = dict(incoming.parameters())
    unknown = asked.keys() - {"kind"}
    if unknown:
        raise InvalidFieldError(min(unknown), f"unknown parameter {min(unknown)!r:.80}: there is kind")
    kind = asked.get("kind")
    if kind is not None and kind not in _OPTIONS:
        raise InvalidFieldError("kind", f"kind is {kind!r:.80}: use user or visitor")
    return kind


def options(context: Context, name: str, kind: str | None) -> list[str]:
    """Whom ``endcap`` is to look for. Without ``kind`` a user; also a visitor, where no user is known by that name."""
    parse_id(f"{kind or 'user'}_id", name)
    if "\0" in name:
        raise InvalidFieldError("id", f"the id {name!r:.80} has a null character: no event has one")
    if kind is not None:
        return [f"{_OPTIONS[kind]}={name}"]
    known = context.state.user_row(name, None) >= 0
    visitor = not known and context.state.user_row(None, name) >= 0
    if visitor:
        return [f"--visitor={name}", f"--user={name}"]
    return [f"--user={name}"] if known else [f"--user={name}", f"--visitor={name}"]
