"""The fold: State, and ``apply``, which adds one entry of the log to it.

``apply`` knows no wall clock, no randomness and no I/O; the same log gives the same state. It is the only
place that changes a State (``batch.apply_batch`` does the same for many entries). Rules for disorder: entries
count in log order; an event's own time decides how much it has decayed, so one that comes late counts as much as
if it had come in time, and joins the visit that is open.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from endcap.catalog.items import ItemChange
from endcap.catalog.rules import RuleChange
from endcap.checks import CANARY
from endcap.config import StateConfig
from endcap.errors import ConfigError
from endcap.events.canary import CanaryView
from endcap.events.erasure import Erasure, Tombstone
from endcap.events.schema import EVENT_TYPES, TYPE_CODES, Event
from endcap.events.served import Served, Tally
from endcap.state.attribution import TRADE, Attribution
from endcap.state.interests import BRAND, CATEGORY, PRICE, Facets, InterestBounds
from endcap.state.item import Popularity
from endcap.state.pairs import SessionIndex
from endcap.state.private import PrivateVisits
from endcap.state.shop import ShopState
from endcap.state.user import UserHistory
from endcap.state.visits import Bounds, Visit, open_visit
from endcap.types import Activation, Entry, FloatArray, IntArray, Query, Unreadable, Vocabulary

BASKET_TYPES = frozenset({"cart", "purchase"})
MAX_UNREADABLE = 20
"""Entries that cannot be read, of which the state says what is wrong with them; the others it counts."""
UNDONE_BY = {"return": "purchase", "uncart": "cart"}
"""What undoes what. Such an event itself says nothing about taste."""


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
        self.anchor = 0
        """The newest entry applied that never expires."""
        self.events = 0
        """Events applied."""
        self.outdated = False
        """Whether it is not what the log adds up to: somebody was erased since, or an entry could not be applied. Then
        it must be folded again, and never be kept."""
        self.unreadable = 0
        """Entries that were set aside, because they cannot be read."""
        self.unreadable_first: dict[int, str] = {}
        """The first MAX_UNREADABLE of them: offset, and what is wrong."""
        self.attribution = Attribution(config)
        """What the served lists bring."""
        self.private = PrivateVisits(Bounds.of(config), config.max_private_visits)
        """What is known of those who gave no consent, as long as their visits last."""
        self.canary: tuple[int, int] | None = None
        """The row of the item that the canary saw last, and when. In no snapshot and in no digest: its entries go."""
        self.facets = Facets()
        """The categories, brand and price band of each item."""
        self.bounds = Bounds.of(config)
        self.interest_bounds = InterestBounds.of(config)
        self._histories: list[UserHistory] = []
        self._dismissed: dict[int, dict[int, None]] = {}
        self._identified: OrderedDict[str, str] = OrderedDict()
        weights = {name: config.weights.get(name, 0.0) for name in EVENT_TYPES}
        weights |= dict.fromkeys((*UNDONE_BY, "dismiss"), 0.0)
        self._weights = np.array(list(weights.values()), np.float32)
        self._weight_of: dict[str, float] = dict(zip(weights, self._weights.tolist(), strict=True))

    def user_row(self, user_id: str | None, visitor_id: str | None) -> int:
        """The row of the user, or of the visitor (of the user that an ``identify`` joined it to); -1 if unknown."""
        key = self.user_key(user_id, visitor_id)
        return -1 if key is None else self.users.row(key)

    def history(self, user: int) -> UserHistory:
        """What the user at row ``user`` did."""
        return self._histories[user]

    def dismissed(self, user: int) -> IntArray:
        """Item rows that the user does not want to see again, the one dismissed last at the end."""
        return np.fromiter(self._dismissed.get(user, ()), np.int32)

    def interests(self, user: int, now: int) -> dict[str, list[tuple[str, float]]]:
        """By kind (``category``, ``brand``, ``price``): names and weights at ``now`` of the user, strongest first."""
        found: dict[str, list[tuple[str, float]]] = {CATEGORY: [], BRAND: [], PRICE: []}
        for facet, weight in self._histories[user].interests.at(now, self.interest_bounds):
            kind, name = self.facets.name(facet)
            found[kind].append((name, weight))
        return found

    def query(self, user: int, now: int, session_id: str | None = None) -> Query:
        """What is asked of a model for the user at row ``user`` (-1: nobody known) at ``now``.

        Its session is the visit that an event at ``now`` would join: the one of ``session_id``, or the one touched
        last; never one that is over.
        """
        if user < 0:
            return Query(now=now)
        return self._query(user, self._open_visit(self.users.name(user), user, now, session_id), now)

    def ask(
        self, user_id: str | None, visitor_id: str | None, session_id: str | None, now: int
    ) -> tuple[Query, IntArray]:
        """The query for whoever that is, known or not, and the item rows that they do not want to see.

        Those who gave no consent may have a visit without having a row.
        """
        if visitor_id == CANARY:
            return self._canary_query(now), np.empty(0, np.int32)
        key = self.user_key(user_id, visitor_id)
        user = -1 if key is None else self.users.row(key)
        visit = self._open_visit(key, user, now, session_id)
        dismissed = self.dismissed(user)
        if visit is not None and visit.dismissed is not None:
            dismissed = np.concatenate([dismissed, np.array(visit.dismissed, np.int32)])
        return self._query(user, visit, now), dismissed

    def _canary_query(self, now: int) -> Query:
        if self.canary is None:
            return Query(now=now)
        row, time = self.canary
        seen = np.array([row], np.int32)
        codes = np.array([TYPE_CODES["view"]], np.int32)
        weights, times = self.type_weights(codes), np.array([time], np.int64)
        return Query(seen, weights, times, seen, now=now, bought=np.zeros(1, np.bool_))

    def _query(self, user: int, visit: Visit | None, now: int) -> Query:
        session = np.array([] if visit is None else visit.items, np.int32)
        if user < 0:
            return Query(session=session, now=now)
        history = self._histories[user]
        types = history.types
        bought = types == TYPE_CODES["purchase"]
        return Query(history.items, self.type_weights(types), history.times, session, user, now=now, bought=bought)

    def _open_visit(self, key: str | None, user: int, now: int, session_id: str | None) -> Visit | None:
        visits = self.private.of(key)
        if visits is None:
            visits = self._histories[user].visits if user >= 0 else []
        return open_visit(visits, now, session_id, self.bounds)

    def weight(self, event: Event) -> float:
        """How much ``event`` says about taste: its type's weight; 0 for a rating below the middle."""
        weight = self._weight_of[event.type]
        if event.type in ("rate", "review"):
            rating = event.value if event.rating is None and event.type == "rate" else event.rating
            if rating is not None and rating < self.config.rating_middle:
                return 0.0
        return weight

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
            for part in (self.shop, self.popularity, self.sessions, self.baskets, self.facets):
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
        row = state._item(body.item_id)
        state.shop.change(row, body)
        state.facets.describe(row, state.shop.item(row))
    elif isinstance(body, Activation):
        state.shop.active_version = body.version
    elif isinstance(body, RuleChange):
        state.shop.change_rule(body, entry.time)
    else:
        _apply_rare(state, entry)
    if not isinstance(body, (Served, Unreadable, CanaryView)):
        state.anchor = entry.offset
    state.offset = entry.offset


def _apply_rare(state: State, entry: Entry) -> None:
    body = entry.body
    if isinstance(body, CanaryView):
        row = state.items.row(body.item_id)
        state.canary = (row, body.time) if row >= 0 else None
    elif isinstance(body, Tally):
        state.attribution.tally(body)
    elif isinstance(body, Tombstone):
        for item_id in body.item_ids:
            state._item(item_id)
    elif isinstance(body, Erasure):
        known = not state.unreadable_first.keys().isdisjoint(body.damaged)
        state.outdated |= known or state.events > body.remaining
    elif isinstance(body, Unreadable):
        _set_aside(state, entry.offset, body.reason)


def _set_aside(state: State, offset: int, reason: str) -> None:
    state.unreadable += 1
    if len(state.unreadable_first) < MAX_UNREADABLE:
        state.unreadable_first[offset] = reason


def _apply_event(state: State, event: Event) -> None:
    key = state.user_key(event.user_id, event.visitor_id)
    if key is None:
        return  # parse_event lets none through
    state.events += 1
    if event.consent is False:
        _apply_private(state, key, event)
        return
    user = state._user(key)
    if event.type == "identify" and event.user_id and event.visitor_id:
        _join(state, user, event.visitor_id, event.time)
    visit = state._histories[user].arrive(event.type, event.time, event.session_id, state.bounds)
    if event.type in UNDONE_BY:
        _undo(state, user, event)
    elif event.type == "dismiss":
        _dismiss(state, user, event)
    else:
        _count(state, user, visit, event)
    if event.request_id is not None or event.type in TRADE:
        state.attribution.happened(user, event, state.items)
    if len(state.private):
        _follow(state, key, event)


def _count(state: State, user: int, visit: Visit, event: Event) -> None:
    code, time, weight = TYPE_CODES[event.type], event.time, state.weight(event)
    history = state._histories[user]
    for line in event.lines():
        item = state._item(line.item_id)
        state.popularity.happened(item, code, time)
        if weight <= 0:
            continue
        visit.touch(item, state.bounds)
        history.add(item, time, code, line.quantity, state.config.max_history)
        state.popularity.add(item, weight, time)
        visit.session = state.sessions.add(user, visit.session, item, time)
        if event.type in BASKET_TYPES:
            visit.basket = state.baskets.add(user, visit.basket, item, time)
        facets = state.facets.of(item)
        if facets:
            history.interests.add(facets, weight, time, state.interest_bounds)


def _undo(state: State, user: int, event: Event) -> None:
    """Take back the newest purchases that a return is about, or the newest cart that an uncart is about."""
    weight = state._weight_of[UNDONE_BY[event.type]]
    history = state._histories[user]
    for line in event.lines():
        item = state._item(line.item_id)
        state.popularity.happened(item, TYPE_CODES[event.type], event.time)
        undone = history.undo_purchase(item, line.quantity) if event.type == "return" else history.undo_cart(item)
        for time in undone:
            state.popularity.add(item, -weight, time)
            history.interests.take_back(state.facets.of(item), weight, time, state.interest_bounds)


def _dismiss(state: State, user: int, event: Event) -> None:
    dismissed = state._dismissed.setdefault(user, {})
    for line in event.lines():
        item = state._item(line.item_id)
        state.popularity.happened(item, TYPE_CODES["dismiss"], event.time)
        dismissed.pop(item, None)
        dismissed[item] = None
    _cut(dismissed, state.config.max_dismissed)


def _cut(dismissed: dict[int, None], most: int) -> None:
    for item in list(dismissed)[: max(len(dismissed) - most, 0)]:
        del dismissed[item]


def _apply_private(state: State, key: str, event: Event) -> None:
    """An event without consent: part of its visit, and of nothing else. It gives nothing a row."""
    user = state.users.row(key)
    known = state._histories[user].visits if user >= 0 else ()
    visit = state.private.enter(key, known, event.time, event.session_id)
    if event.type == "dismiss":
        rows = state.items.rows(line.item_id for line in event.lines()).tolist()
        visit.dismiss(rows, state.config.max_dismissed)
    else:
        _touch(state, visit, event)


def _follow(state: State, key: str, event: Event) -> None:
    """An event with consent is part of a private visit too."""
    visit = state.private.follow(key, event.time, event.session_id)
    if visit is not None:
        _touch(state, visit, event)


def _touch(state: State, visit: Visit, event: Event) -> None:
    if state.weight(event) > 0:
        for item in state.items.rows(line.item_id for line in event.lines()).tolist():
            visit.touch(item, state.bounds)


def _join(state: State, user: int, visitor_id: str, time: int) -> None:
    """From now on the visitor is the user; what the visitor did before, with consent, becomes the user's."""
    key, guest = state.users.name(user), f"v:{visitor_id}"
    known = state._identified.pop(visitor_id, None)
    state._identified[visitor_id] = key
    if known == key:
        return
    if len(state._identified) > state.config.max_identified:
        state._identified.popitem(last=False)
    for one in (guest, key):
        state.private.forget(one)
    visitor = state.users.row(guest)
    if visitor >= 0:
        _merge(state, user, visitor, time)


def _merge(state: State, user: int, visitor: int, time: int) -> None:
    theirs = state._histories[visitor]
    here = open_visit(theirs.visits, time, None, state.bounds)
    state.attribution.join(user, visitor)
    state.sessions.join(visitor, user, -1 if here is None else here.session)
    state.baskets.join(visitor, user, -1 if here is None else here.basket)
    state._histories[user].absorb(theirs, state.config, state.interest_bounds)
    state._histories[visitor] = UserHistory()
    dismissed = state._dismissed.pop(visitor, {})
    if dismissed:
        own = state._dismissed.setdefault(user, {})
        own |= dismissed
        _cut(own, state.config.max_dismissed)
