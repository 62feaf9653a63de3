"""/v1/recommend: what to show next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from starlette.responses import Response

from endcap.catalog.items import KINDS
from endcap.checks import parse_id
from endcap.errors import InvalidFieldError
from endcap.explain.why import Language
from endcap.interfaces.api.asking import must_wait, understood
from endcap.interfaces.api.auth import Headers, speaks_for
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.decoding import NOT_YET, convert, decode
from endcap.interfaces.api.operation import Incoming, Parameter
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import PageRow, RecommendAnswer, RecommendedItem, RecommendRequest
from endcap.serving.engine import RECIPES, Answer, Request
from endcap.serving.exposure import served
from endcap.serving.page import page

PAGE = "page"
"""The recipe of several rows."""
LATER_RECIPES = frozenset({"users", "audience"})

LIST_PARAMETERS = (
    Parameter("user_id", "The shop's own id of a known user."),
    Parameter("visitor_id", "The browser's id, where the user is not known."),
    Parameter("session_id", "The visit."),
    Parameter("item_id", "What the list is about; may be repeated.", list[str]),
    Parameter("query", "What the visitor typed."),
    Parameter("k", "How many items, 1 to 1,000.", int),
    Parameter("kind", "Only items of this kind."),
    Parameter("where", "Only items that this condition on the catalogue holds for."),
    Parameter("exclude", "An item id to leave out; may be repeated.", list[str]),
    Parameter("diversity", "0 to 1: how far items that are like others of the list give way.", float),
    Parameter("explain", "Whether each item says the parts of its score.", bool),
)
_REPEATED = {"item_id": "item_ids", "exclude": "exclude"}
_SINGLE = frozenset(parameter.name for parameter in LIST_PARAMETERS) - _REPEATED.keys()

_decode = msgspec.json.Decoder(RecommendRequest).decode


def post_recommend(context: Context, incoming: Incoming) -> Response | Awaitable[Response]:
    """One list for one visitor. An unknown visitor gets a list like any other."""
    with context.live.engine.tracer.stage("decode"):
        wanted = decode(_decode, incoming.body)
    return _reply(context, wanted, incoming)


def get_recommend(context: Context, incoming: Incoming) -> Response | Awaitable[Response]:
    """The same for a browser and for curl."""
    wanted = from_parameters(incoming.path("recipe"), incoming.parameters())
    return _reply(context, wanted, incoming)


def _reply(context: Context, wanted: RecommendRequest, incoming: Incoming) -> Response | Awaitable[Response]:
    if must_wait(context, wanted):
        return _reply_later(context, wanted, to_request(wanted, incoming))
    if wanted.recipe == PAGE:
        return json_reply(page_answer(context, to_request(replace(wanted, recipe="for-you"), incoming)))
    return _reply_now(context, to_request(wanted, incoming))


async def _reply_later(context: Context, wanted: RecommendRequest, request: Request) -> Response:
    with context.live.engine.tracer.stage("understand"):
        request = await understood(context, wanted, request)
    return _reply_now(context, request, UNSET if wanted.audio is None else request.query)


def _reply_now(context: Context, request: Request, heard: str | UnsetType = UNSET) -> Response:
    made = answer(context, request)
    made.query = heard
    with context.live.engine.tracer.stage("encode"):
        return json_reply(made)


def answer(context: Context, request: Request) -> RecommendAnswer:
    """The list for ``request``, made now; it goes out."""
    made, show = drafted(context, request)
    show()
    return made


def drafted(context: Context, request: Request) -> tuple[RecommendAnswer, Callable[[], None]]:
    """The list for ``request``, made now, and what must be called before it goes out."""
    started, now = context.timer(), context.now_ms()
    made = context.live.engine.recommend(request, now)
    shown = _to_answer(made, round((context.timer() - started) * 1000, 3))
    return shown, partial(_show, context, request, made, now)


def page_answer(context: Context, request: Request) -> RecommendAnswer:
    """The rows of a page for who asks ``request``, made now."""
    started, now = context.timer(), context.now_ms()
    rows = page(context.live.engine, request, now)
    for number, row in enumerate(rows, 1):
        _show(context, row.request, row.answer, now, number)
    took_ms = round((context.timer() - started) * 1000, 3)
    engine = context.live.engine
    return RecommendAnswer(
        request_id=rows[0].answer.request_id if rows else "",
        items=[],
        model=engine.model.version,
        offset=engine.state.offset,
        took_ms=took_ms,
        rows=[PageRow(row.title, row.request.recipe, row.answer.request_id, _items(row.answer)) for row in rows],
    )


def _show(context: Context, request: Request, made: Answer, now: int, page_row: int = 0) -> None:
    """Note in the log that the list goes out."""
    engine = context.live.engine
    with engine.tracer.stage("served"):
        context.live.show(served(request, made, now, engine.state.items, engine.contents.waiting == 0, page_row))


def to_request(wanted: RecommendRequest, incoming: Incoming) -> Request:
    """What the engine is asked. Raises InvalidFieldError, or ForbiddenError for a list that is not the caller's."""
    if wanted.recipe not in RECIPES:
        later = wanted.recipe in LATER_RECIPES
        reason = "it is not available in this version; use" if later else "use"
        raise InvalidFieldError("recipe", f"recipe is {wanted.recipe!r:.80}: {reason} one of {', '.join(RECIPES)}")
    if wanted.kind is not None and wanted.kind not in KINDS:
        raise InvalidFieldError("kind", f"kind is {wanted.kind!r:.80}: use one of {', '.join(KINDS)}")
    user_id, visitor_id = speaks_for(
        incoming.caller, _id("user_id", wanted.user_id), _id("visitor_id", wanted.visitor_id)
    )
    return Request(
        recipe=wanted.recipe,
        user_id=user_id,
        visitor_id=visitor_id,
        session_id=_id("session_id", wanted.session_id),
        item_ids=_ids("item_ids", wanted.item_ids),
        query=wanted.query or "",
        kind=wanted.kind,
        k=wanted.k,
        where=wanted.where,
        exclude=_ids("exclude", wanted.exclude),
        explain=wanted.explain,
        diversity=wanted.diversity,
        language=_language(incoming.headers),
    )


def from_parameters(recipe: str, parameters: Sequence[tuple[str, str]]) -> RecommendRequest:
    """What a query string asks for. Raises InvalidFieldError, naming an unknown parameter or one given twice."""
    values: dict[str, object] = {"recipe": recipe}
    for name, value in parameters:
        if name in _REPEATED:
            repeated = values.setdefault(_REPEATED[name], [])
            assert isinstance(repeated, list)
            repeated.append(value)
        elif name in NOT_YET:
            raise InvalidFieldError(name, f"{name} is not available in this version: leave it out")
        elif name not in _SINGLE:
            known = ", ".join(parameter.name for parameter in LIST_PARAMETERS)
            raise InvalidFieldError(name, f"unknown parameter {name!r:.80}: there are {known}")
        elif name in values:
            raise InvalidFieldError(name, f"{name} is given twice: give it once")
        else:
            values[name] = value
    return convert(values, RecommendRequest)


def _to_answer(made: Answer, took_ms: float) -> RecommendAnswer:
    return RecommendAnswer(made.request_id, _items(made), made.model, made.offset, took_ms)


def _items(made: Answer) -> list[RecommendedItem]:
    return [RecommendedItem(item.item_id, item.score, item.reason, item.parts, item.evidence) for item in made.items]


def _id(name: str, value: str | int | None) -> str | None:
    return None if value is None else parse_id(name, value)


def _ids(name: str, values: Sequence[str | int] | None) -> tuple[str, ...]:
    return tuple([parse_id(name, value) for value in values]) if values else ()


def _language(headers: Headers) -> Language:
    accepted = headers.get(b"accept-language")
    return _best_language(accepted) if accepted else "en"


@lru_cache(maxsize=256)
def _best_language(accepted: bytes) -> Language:
    """``zh`` where the reader likes it better than ``en`` (RFC 9110, 12.5.4), else ``en``."""
    liking = {"en": 0.0, "zh": 0.0}
    for part in accepted.decode("latin-1").lower().split(","):
        tag, _, weight = part.partition(";q=")
        language = tag.strip().partition("-")[0]
        try:
            liking[language] = max(liking.get(language, 0.0), float(weight or 1))
        except ValueError:
            continue
    return "zh" if liking["zh"] > liking["en"] else "en"
