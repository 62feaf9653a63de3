"""Session-based nearest neighbours over the live session index.

VMIS-kNN: Kersbergen, Sprangers, Schelter, "Serenade: Low-Latency Session-Based Recommendation in e-Commerce
at Scale", SIGMOD 2022, https://doi.org/10.1145/3514221.3517901. Nothing is learnt: the index belongs to the
state, and an event counts in the very next answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from endcap.config import StateConfig
from endcap.errors import ConfigError, NotFittedError
from endcap.state.pairs import SessionIndex
from endcap.types import MS_PER_DAY, FloatArray, IntArray, Interactions, Query, Ranking, TimeArray

MAX_ITEMS = 63
"""A place in the visit fits into the low six bits of a sort key."""

Numbers = NDArray[np.float64]


class Sessions(Protocol):
    """What session kNN asks of an index of sessions; ``state.pairs.SessionIndex`` is one."""

    @property
    def count(self) -> int: ...

    def recent(self, item: int) -> IntArray: ...

    def last_time(self, sessions: IntArray) -> TimeArray: ...

    def members(self, sessions: IntArray) -> tuple[IntArray, IntArray]: ...

    def frequency(self) -> FloatArray: ...

    def session_of(self, user: int) -> int: ...


@dataclass(frozen=True, slots=True)
class SessionKNNSettings:
    """How neighbours are found and what they say."""

    follow: Literal["session", "history"] = "session"
    """The list follows from the current session (from the end of the history where there is none), or always
    from the history."""
    items: int = 10
    """The newest different items that the list follows from; at most 63. One that no session holds is passed over."""
    sessions: int = 100
    """The newest sessions looked at per item."""
    neighbours: int = 100
    """The most similar of them that speak."""
    decay: float | None = None
    """An item counts ``decay`` times as much as the one after it; None: of ``n`` items the newest
    counts ``n``, the oldest 1."""
    match_step: float = 0.1
    """A neighbour whose newest common item lies ``n`` items back speaks with ``1 - n match_step``, at least 0."""
    half_life_days: float | None = 90.0
    """A session's voice halves with each such span before the newest one; None: age does not matter."""
    idf: bool = True
    """Multiply by ``1 + log(sessions / sessions with the item)``."""
    lift: float = 0.0
    """Divide by ``(sessions with the item + shrink) ** lift``: 0 favours what sells anyway, 1 what sells here only."""
    shrink: float = 10.0


BOUGHT_TOGETHER = SessionKNNSettings(
    follow="history", items=1, sessions=300, neighbours=1_000, idf=False, lift=0.25, shrink=10.0
)
"""For an index of baskets and a query of one item: co-purchase, damped by how often an item is bought at all."""


@dataclass(frozen=True, slots=True)
class _Neighbours:
    sessions: IntArray = field(repr=False)
    """(n,) session numbers."""
    voice: Numbers = field(repr=False)
    """(n,) how much each one says."""


class SessionKNN:
    """Ranks items by what the sessions most like this one hold.

    A session is as similar as the sum of the place weights of the items it shares with the query; the most
    similar ones, and of equal ones those that began later, give their voice to each item that they hold.
    The query's own session is left out. Given an ``index`` it reads that one, live; ``fit`` makes one of its
    own. A query costs O(items sessions log(items sessions) + neighbours session length + catalogue).
    """

    def __init__(self, index: Sessions | None = None, settings: SessionKNNSettings | None = None) -> None:
        self.settings = settings or SessionKNNSettings()
        self._index = index
        _check(self.settings)

    def fit(self, interactions: Interactions) -> Self:
        index = SessionIndex(StateConfig(sessions_per_item=self.settings.sessions))
        index.grow(len(interactions.items))
        columns = (interactions.user, interactions.session, interactions.item, interactions.time)
        known: dict[tuple[int, int], int] = {}
        for user, visit, item, time in zip(*(column.tolist() for column in columns), strict=True):
            known[user, visit] = index.add(user, known.get((user, visit), -1), item, time)
        self._index = index
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        if self._index is None:
            raise NotFittedError(self)
        heard = self._heard(self._index, query)
        found = self._neighbours(self._index, list(heard.values()), self._index.session_of(query.user))
        if found.sessions.size == 0:
            return np.empty(0, np.float32)
        position, item = self._index.members(found.sessions)
        said = np.bincount(item, found.voice[position]).astype(np.float32)  # the sum of the voices for each item
        rows = said.nonzero()[0]
        said[rows] *= self._emphasis(self._index, rows)
        return said

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): a neighbour's voice falls to the items it shares with the query, by their place weights.

        An item that is several times in the history speaks at its newest place.
        """
        if self._index is None:
            raise NotFittedError(self)
        parts = np.zeros((query.history.size, items.size), np.float32)
        heard = self._heard(self._index, query)
        found = self._neighbours(self._index, list(heard.values()), self._index.session_of(query.user))
        if found.sessions.size == 0:
            return parts
        shared = np.stack([np.isin(found.sessions, sessions) for sessions in heard.values()])  # (heard, neighbours)
        shares = shared * self._place_weights(len(heard))[:, None]
        shares *= found.voice / shares.sum(axis=0)
        spoken = shares @ self._holds(self._index, found.sessions, items)  # (heard, items)
        newest = {row: place for place, row in enumerate(query.history.tolist())}
        for row, part in zip(heard, spoken, strict=True):
            if row in newest:
                parts[newest[row]] = part
        return parts

    def _holds(self, index: Sessions, sessions: IntArray, items: IntArray) -> Numbers:
        """(sessions, items): what a session's voice for an item is multiplied by; 0 where it does not hold it."""
        column = np.full(index.frequency().size, -1, np.int32)
        known = np.flatnonzero((items >= 0) & (items < column.size))
        column[items[known]] = known
        position, item = index.members(sessions)
        wanted = column[item] >= 0
        holds = np.zeros((sessions.size, items.size))
        holds[position[wanted], column[item[wanted]]] = 1.0
        holds[:, known] *= self._emphasis(index, items[known])
        return holds

    def _heard(self, index: Sessions, query: Query) -> dict[int, IntArray]:
        """By item, newest first: the newest sessions with each of the newest different items that are in any."""
        of_session = self.settings.follow == "session" and query.session.size
        rows = query.session if of_session else query.history
        heard: dict[int, IntArray] = {}
        for item in dict.fromkeys(rows[::-1].tolist()):
            sessions = index.recent(item)[-self.settings.sessions :]
            if sessions.size:
                heard[item] = sessions
            if len(heard) == self.settings.items:
                break
        return heard

    def _neighbours(self, index: Sessions, heard: list[IntArray], own: int) -> _Neighbours:
        if not heard:
            return _Neighbours(np.empty(0, np.int32), np.empty(0))
        places = self._place_weights(len(heard))
        # One sort groups the sessions: the key holds the session above the place in the visit.
        keys = np.concatenate(heard).astype(np.int64) << 6
        keys |= np.repeat(np.arange(len(heard)), [sessions.size for sessions in heard])
        keys.sort()
        session, place = keys >> 6, keys & MAX_ITEMS
        begins = np.empty(session.size, np.bool_)
        begins[0] = True
        np.not_equal(session[1:], session[:-1], out=begins[1:])
        first = np.flatnonzero(begins)  # each session's newest common item
        similarity = np.add.reduceat(places[place], first)
        session, place = session[first], place[first]
        if own >= 0:
            others = session != own
            session, place, similarity = session[others], place[others], similarity[others]
        best = _best(similarity, self.settings.neighbours)
        voice = similarity[best] * np.maximum(1.0 - self.settings.match_step * place[best], 0.0)
        sessions = session[best].astype(np.int32)
        return _Neighbours(sessions, voice * self._freshness(index, sessions))

    def _place_weights(self, n: int) -> Numbers:
        """(n,) by place, newest first."""
        place = np.arange(n, dtype=np.float64)
        return n - place if self.settings.decay is None else np.power(self.settings.decay, place, dtype=np.float64)

    def _freshness(self, index: Sessions, sessions: IntArray) -> Numbers | float:
        if self.settings.half_life_days is None or sessions.size == 0:
            return 1.0
        times = index.last_time(sessions)
        age = (times.max() - times) / (self.settings.half_life_days * MS_PER_DAY)  # in half-lives
        fresh: Numbers = np.exp2(-age)
        return fresh

    def _emphasis(self, index: Sessions, rows: NDArray[np.integer]) -> Numbers | float:
        """(rows,) what the voices for each item are multiplied by."""
        emphasis: Numbers | float = 1.0
        often = np.maximum(index.frequency()[rows], 1.0)
        if self.settings.idf:
            emphasis = 1.0 + np.log(max(index.count, 1) / often)
        if self.settings.lift:
            emphasis = emphasis / (often + self.settings.shrink) ** self.settings.lift
        return emphasis


def _check(settings: SessionKNNSettings) -> None:
    if settings.follow not in ("session", "history"):
        raise ConfigError(f"follow is {settings.follow!r}: use 'session' or 'history'")
    if not 1 <= settings.items <= MAX_ITEMS:
        raise ConfigError(f"items is {settings.items}: it must be 1 to {MAX_ITEMS}")
    for name, value in (("sessions", settings.sessions), ("neighbours", settings.neighbours)):
        if value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1")


def _best(similarity: Numbers, n: int) -> NDArray[np.int64]:
    """The places of the ``n`` greatest; of equal ones at the edge the later. In no order."""
    if similarity.size <= n:
        return np.arange(similarity.size)
    kth = np.partition(similarity, similarity.size - n)[similarity.size - n]
    above = np.flatnonzero(similarity > kth)
    edge = np.flatnonzero(similarity == kth)[above.size - n :]
    return np.concatenate([above, edge])
