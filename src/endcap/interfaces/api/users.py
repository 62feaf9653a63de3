"""GET /v1/users/{id}: what is known of a user."""

from __future__ import annotations

from starlette.responses import Response

from endcap.errors import NotFoundError
from endcap.events.schema import EVENT_TYPES
from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import Interest, UserAnswer, UserEvent

RECENT_EVENTS = 50


def get_user(context: Context, incoming: Incoming) -> Response:
    """The user with that id; if there is none, the visitor with it."""
    state, name = context.state, incoming.path("id")
    row, kind = state.user_row(name, None), "user"
    if row < 0:
        row, kind = state.user_row(None, name), "visitor"
    if row < 0:
        raise NotFoundError(f"there is no user or visitor {name!r:.80}: no event has named one")
    history = state.history(row)
    columns = (history.items, history.times, history.types, history.quantities)
    newest = zip(*(column[-RECENT_EVENTS:][::-1].tolist() for column in columns), strict=True)
    events = [
        UserEvent(state.items.name(item), EVENT_TYPES[code], time, quantity) for item, time, code, quantity in newest
    ]
    now = context.now_ms()
    session = [state.items.name(item) for item in state.query(row, now).session.tolist()]
    interests = {
        name: [Interest(value, weight) for value, weight in found] for name, found in state.interests(row, now).items()
    }
    return json_reply(UserAnswer(name, kind, dict(history.counts), history.last_time, events, session, interests))
