"""The fold: State, and ``apply``, which adds one entry of the log to it.

``apply`` knows no wall clock, no randomness and no I/O; the same log gives the same state. It is the only
place that changes a State. Rules for disorder: entries count in log order; an event's own time decides how
much it has decayed, so one that comes late counts as much as if it had come in time, and joins the visit
that is open.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from endcap.catalog.items import ItemChange
from endcap.config import StateConfig
from endcap.errors import ConfigError
from endcap.events.schema import EVENT_TYPES, TYPE_CODES, Event
from endcap.state.item import Popularity
from endcap.state.pairs import SessionIndex
from endcap.state.shop import ShopState
from endcap.state.user import UserHistory
from endcap.types import Activation, Entry, FloatArray, IntArray, Query, Vocabulary

BASKET_TYPES = frozenset({"cart", "purchase"})


class State:
    """What every entry so far adds up to. Read it between two ``apply`` calls, in the thread that applies."""

    def __init__(self, config: StateConfig) -> None:
        """Raises ConfigError for a weight of a type that no event has."""
        _check_types(config.weights)
        self.config = config
        self.items = Vocabulary()
        self.users = Vocabulary()
        """Keyed ``u:<user_id>`` or ``v:<visitor_id>``."""
        self.shop = ShopState(self.items)
        self.popularity = Popularity(config)
        self.sessions = SessionIndex(config)
        """All that says something about taste, by session."""
        self.baskets = SessionIndex(config)
        """Carts and purchases only, by session."""
        self.offset = 0
        """The newest entry applied."""
        self.events = 0
        """Events applied."""
        self._histories: list[UserHistory] = []
        self._dismissed: dict[int, set[int]] = {}
        self._identified: dict[str, str] = {}
        self._weights = np.array([config.weights.get(name, 0.0) for name in EVENT_TYPES], np.float32)

    def user_row(self, user_id: str | None, visitor_id: str | None) -> int:
        """The row of the user, or of the visitor (of the user that an ``identify`` joined it to); -1 if unknown."""
        key = self.user_key(user_id, visitor_id)
        return -1 if key is None else self.users.row(key)

    def history(self, user: int) -> UserHistory:
        """What the user at row ``user`` did."""
        return self._histories[user]

    def dismissed(self, user: int) -> IntArray:
        """Item rows that the user does not want to see again."""
        return np.fromiter(self._dismissed.get(user, ()), np.int32)

    def query(self, user: int, now: int) -> Query:
        """What is asked of a model for the user at row ``user`` (-1: nobody known) at ``now``.

        A visit is over after ``session_gap_minutes`` of silence, also where no event has said so yet.
        """
        if user < 0:
            return Query(now=now)
        history = self._histories[user]
        over = now - history.last_time > self.config.session_gap_minutes * 60_000
        return Query(
            history=history.items,
            weights=self.type_weights(history.types),
            times=history.times,
            session=np.empty(0, np.int32) if over else history.session_items,
            user=user,
            now=now,
        )

    def type_weights(self, codes: IntArray) -> FloatArray:
        """(n,) the configured weight of each event type number."""
        return self._weights[codes]

    def user_key(self, user_id: str | None, visitor_id: str | None) -> str | None:
        """The key in ``users`` of who that is, known or not; None if neither id is given."""
        if user_id is not None:
            return f"u:{user_id}"
        if visitor_id is None:
            return None
        return self._identified.get(visitor_id) or f"v:{visitor_id}"

    def _user(self, key: str) -> int:
        user = self.users.add(key)
        if user == len(self._histories):
            self._histories.append(UserHistory())
        return user

    def _item(self, item_id: str) -> int:
        known = len(self.items)
        item = self.items.add(item_id)
        if item == known:
            for part in (self.shop, self.popularity, self.sessions, self.baskets):
                part.grow(known + 1)
        return item


def _check_types(weights: Mapping[str, float]) -> None:
    unknown = weights.keys() - set(EVENT_TYPES)
    if unknown:
        raise ConfigError(
            f"config.toml: state.weights names {min(unknown)!r:.80}, which is no event type: "
            f"there are {', '.join(EVENT_TYPES)}"
        )


def apply(state: State, entry: Entry) -> None:
    """Add ``entry`` to ``state``. Entries come in log order; one that is not newer than the state is a no-op."""
    if entry.offset <= state.offset:
        return
    body = entry.body
    if isinstance(body, Event):
        _apply_event(state, body)
    elif isinstance(body, ItemChange):
        state.shop.change(state._item(body.item_id), body)
    elif isinstance(body, Activation):
        state.shop.active_version = body.version
    state.offset = entry.offset


def _apply_event(state: State, event: Event) -> None:
    key = state.user_key(event.user_id, event.visitor_id)
    if key is None:
        return  # parse_event lets none through
    user = state._user(key)
    if event.type == "identify" and event.user_id and event.visitor_id:
        _join(state, user, event.visitor_id)
    history = state._histories[user]
    history.arrive(event.time, event.session_id, state.config)
    history.counts[event.type] += 1
    state.events += 1
    for line in event.lines():
        item = state._item(line.item_id)
        if event.type == "return":
            _take_back(state, user, item, line.quantity)
        elif event.type == "dismiss":
            state._dismissed.setdefault(user, set()).add(item)
        else:
            _count(state, user, item, event, line.quantity)


def _count(state: State, user: int, item: int, event: Event, quantity: float) -> None:
    code = TYPE_CODES[event.type]
    weight = float(state._weights[code])
    if weight <= 0:
        return
    history = state._histories[user]
    history.touch(item, state.config)
    if event.consent is False:
        return  # served from the session alone: no profile, no counts
    history.add(item, event.time, code, quantity, state.config.max_history)
    state.popularity.add(item, weight, event.time)
    state.sessions.add(user, history.visit, item, event.time)
    if event.type in BASKET_TYPES:
        state.baskets.add(user, history.visit, item, event.time)


def _take_back(state: State, user: int, item: int, quantity: float) -> None:
    weight = float(state._weights[TYPE_CODES["purchase"]])
    for time in state._histories[user].undo_purchase(item, quantity):
        state.popularity.add(item, -weight, time)


def _join(state: State, user: int, visitor_id: str) -> None:
    """From now on the visitor is the user; what the visitor did before becomes the user's."""
    key = state.users.name(user)
    if state._identified.get(visitor_id) == key:
        return
    state._identified[visitor_id] = key
    visitor = state.users.row(f"v:{visitor_id}")
    if visitor >= 0:
        state._histories[user].absorb(state._histories[visitor], state.config.max_history)
        state._histories[visitor] = UserHistory()
        state._dismissed.setdefault(user, set()).update(state._dismissed.pop(visitor, set()))
