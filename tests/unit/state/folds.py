"""What the tests of the fold say in a word: events by the minute, and what a state then holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.unit.state.streams import START

from endcap.config import StateConfig
from endcap.events.schema import Event, Line
from endcap.state.fold import State, apply
from endcap.types import Entry, Query

MINUTE = 60_000
CONFIG = StateConfig()
SMALL = StateConfig(
    max_history=5,
    max_session_items=3,
    sessions_per_item=2,
    max_open_visits=2,
    max_interests=2,
    max_dismissed=2,
    max_identified=1,
    max_private_visits=1,
)


def did(kind: str, who: str, *items: str | Line, at: float = 0, **more: Any) -> Event:
    """An event of ``u:<id>`` or ``v:<id>``, ``at`` minutes after the start."""
    more["user_id" if who.startswith("u:") else "visitor_id"] = who[2:]
    lines = tuple(Line(item) if isinstance(item, str) else item for item in items)
    return Event(kind, START + int(at * MINUTE), items=lines, **more)


def joined(visitor: str, user: str, at: float = 0, **more: Any) -> Event:
    return did("identify", f"u:{user}", at=at, visitor_id=visitor, **more)


def fold(*bodies: object, config: StateConfig = CONFIG) -> State:
    state = State(config)
    for body in bodies:
        apply(state, Entry(state.offset + 1, START, body))
    return state


def row(state: State, who: str) -> int:
    return state.user_row(who[2:], None) if who.startswith("u:") else state.user_row(None, who[2:])


def ids(state: State, rows: Any) -> list[str]:
    return [state.items.name(one) for one in rows.tolist()]


def history(state: State, who: str) -> list[str]:
    return ids(state, state.history(row(state, who)).items)


def visit(state: State, who: str, at: float = 0, session_id: str | None = None) -> list[str]:
    """What a list for ``who`` at ``at`` minutes takes for the open visit."""
    query, _ = asked(state, who, at, session_id)
    return ids(state, query.session)


def asked(state: State, who: str, at: float = 0, session_id: str | None = None) -> tuple[Query, list[str]]:
    """The query for ``who``, and what is hidden from them."""
    user, visitor = (who[2:], None) if who.startswith("u:") else (None, who[2:])
    query, dismissed = state.ask(user, visitor, session_id, START + int(at * MINUTE))
    return query, ids(state, dismissed)


def trending(state: State) -> dict[str, float]:
    scores = state.popularity.scores("trending")
    return {name: round(float(score), 5) for name, score in zip(state.items, scores, strict=True)}


def together(state: State, baskets: bool = False) -> list[list[str]]:
    """The items of every session, in order of the sessions' numbers."""
    index = state.baskets if baskets else state.sessions
    found: list[list[str]] = [[] for _ in range(index.count)]
    position, items = index.members(np.arange(index.count, dtype=np.int32))
    for at, item in zip(position.tolist(), items.tolist(), strict=True):
        found[at].append(state.items.name(item))
    return found
