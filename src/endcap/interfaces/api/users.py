"""GET /v1/users/{id}: what is known of a user."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from endcap.errors import NotFoundError
from endcap.events.schema import EVENT_TYPES
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.erasure import asked_kind
from endcap.interfaces.api.interests import THEME, user_themes
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import Interest, UserAnswer, UserEvent
from endcap.serving.live import Live
from endcap.state.fold import State
from endcap.state.interests import BRAND, CATEGORY, PRICE
from endcap.state.user import UserHistory
from endcap.state.visits import Visit

RECENT_EVENTS = 50
_IDS: dict[str, Callable[[str], tuple[str | None, str | None]]] = {
    "user": lambda name: (name, None),
    "visitor": lambda name: (None, name),
}


def get_user(context: Context, incoming: Incoming) -> Response:
    """The user with that id; if there is none, the visitor with it. ``kind`` asks for one of the two."""
    state, now, name = context.state, context.now_ms(), incoming.path("id")
    asked = asked_kind(incoming)
    for kind in _IDS if asked is None else (asked,):
        ids = _IDS[kind](name)
        row, private = state.user_row(*ids), _private(state, state.user_key(*ids), now)
        if row >= 0 or private:
            return json_reply(_answer(context.live, name, kind, private, now))
    raise NotFoundError(f"there is no {asked or 'user or visitor'} {name!r:.80}: no event has named one")


def _private(state: State, key: str | None, now: int) -> list[Visit]:
    """The open visits of which something is without consent."""
    return [one for one in state.private.of(key) or () if one.private and not one.is_over(now, state.bounds)]


def _answer(live: Live, name: str, kind: str, private: list[Visit], now: int) -> UserAnswer:
    state, ids = live.engine.state, _IDS[kind](name)
    key, row = state.user_key(*ids) or "", state.user_row(*ids)
    history = UserHistory() if row < 0 else state.history(row)
    query, dismissed = state.ask(*ids, None, now)
    interests = {CATEGORY: [], BRAND: [], PRICE: []} if row < 0 else state.interests(row, now)
    themes = [] if row < 0 else user_themes(live.engine, row, now)
    return UserAnswer(
        name,
        kind,
        key.removeprefix("u:") if key.startswith("u:") else None,
        dict(history.counts),
        max([history.last_time, *(one.last_time for one in private)]),
        _newest(state, history),
        len(history.items),
        [state.items.name(item) for item in query.session.tolist()],
        {facet: [Interest(*one) for one in found] for facet, found in (interests | {THEME: themes}).items()},
        [state.items.name(item) for item in dismissed[::-1].tolist()],
        bool(private),
    )


def _newest(state: State, history: UserHistory) -> list[UserEvent]:
    columns = (history.items, history.times, history.types, history.quantities)
    newest = zip(*(column[-RECENT_EVENTS:][::-1].tolist() for column in columns), strict=True)
    return [
        UserEvent(state.items.name(item), EVENT_TYPES[code], time, quantity) for item, time, code, quantity in newest
    ]
