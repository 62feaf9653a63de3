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
    """The newest different items that the list follows from; at most 63."""
    sessions: int = 500
    """The newest sessions looked at per item."""
    neighbours: int = 100
    """The most similar of them that speak."""
    decay: float | None = None
    """An item counts ``decay`` times as much as the one after it; None: linearly from 1 (newest) to 1/items."""
    match_step: float = 0.1
    """A neighbour whose newest common item lies ``n`` items back speaks with ``1 - n match_step``, at least 0."""
    half_life_days: float | None = None
    """A session's voice halves with each such span before the newest one; None: age does not matter."""
    idf: bool = True
    """Multiply by ``1 + log(sessions / sessions with the item)``."""
    lift: float = 0.0
    """Divide by ``(sessions with the item + shrink) ** lift``: 0 favours what sells anyway, 1 what sells here only."""
    shrink: float = 10.0


BOUGHT_TOGETHER = SessionKNNSettings(
    follow="history", items=1, sessions=1_000, neighbours=1_000, idf=False, lift=0.5, shrink=10.0
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
        if not 1 <= self.settings.items <= MAX_ITEMS:
            raise ConfigError(f"items is {self.settings.items}: it must be 1 to {MAX_ITEMS}")

    def fit(self, interactions: Interactions) -> Self:
        index = SessionIndex(StateConfig(sessions_per_item=self.settings.sessions))
        index.grow(len(interactions.items))
        columns = (interactions.user, interactions.session, interactions.item, interactions.time)
        for user, session, item, time in zip(*(column.tolist() for column in columns), strict=True):
            index.add(user, session, item, time)
        self._index = index
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        if self._index is None:
            raise NotFittedError(self)
        found = self._neighbours(self._index, self._follows(query), self._index.session_of(query.user))
        if found.sessions.size == 0:
            return Ranking()
        return Ranking.top(self._scores(self._index, found), k, above=0.0)

    def _follows(self, query: Query) -> list[int]:
        """The newest different items, newest first."""
        of_session = self.settings.follow == "session" and query.session.size
        rows = query.session if of_session else query.history
        newest_first = dict.fromkeys(rows[::-1].tolist())
        return list(newest_first)[: self.settings.items]

    def _neighbours(self, index: Sessions, items: list[int], own: int) -> _Neighbours:
        places = self._place_weights(len(items))
        lists = [index.recent(item)[-self.settings.sessions :] for item in items]
        sizes = [found.size for found in lists]
        if not sum(sizes):
            return _Neighbours(np.empty(0, np.int32), np.empty(0))
        # One sort groups the sessions: the key holds the session above the place in the visit.
        keys = np.concatenate(lists).astype(np.int64) << 6
        keys |= np.repeat(np.arange(len(items)), sizes)
        keys.sort()
        session, place = keys >> 6, keys & MAX_ITEMS
        first = np.flatnonzero(np.diff(session, prepend=-1))  # each session's newest common item
        similarity = np.add.reduceat(places[place], first)
        session, place = session[first], place[first]
        similarity[session == own] = 0.0
        best = _best(similarity, self.settings.neighbours)
        voice = similarity[best] * np.maximum(1.0 - self.settings.match_step * place[best], 0.0)
        sessions = session[best].astype(np.int32)
        return _Neighbours(sessions, voice * self._freshness(index, sessions))

    def _place_weights(self, n: int) -> Numbers:
        """(n,) by place, newest first."""
        place = np.arange(n)
        return (n - place) / max(n, 1) if self.settings.decay is None else self.settings.decay**place

    def _freshness(self, index: Sessions, sessions: IntArray) -> Numbers | float:
        if self.settings.half_life_days is None or sessions.size == 0:
            return 1.0
        times = index.last_time(sessions)
        return np.exp2((times - times.max()) / (self.settings.half_life_days * MS_PER_DAY))

    def _scores(self, index: Sessions, found: _Neighbours) -> FloatArray:
        """(items,) what the neighbours say in sum."""
        frequency = index.frequency()
        position, item = index.members(found.sessions)
        scores = np.bincount(item, found.voice[position], minlength=frequency.size)
        touched = np.flatnonzero(scores)
        often = np.maximum(frequency[touched], 1.0)
        if self.settings.idf:
            scores[touched] *= 1.0 + np.log(max(index.count, 1) / often)
        if self.settings.lift:
            scores[touched] /= (often + self.settings.shrink) ** self.settings.lift
        return scores.astype(np.float32)


def _best(similarity: Numbers, n: int) -> NDArray[np.int64]:
    """The places of the ``n`` greatest above 0; of equal ones at the edge the later. Ascending."""
    found = np.flatnonzero(similarity > 0)
    if found.size <= n:
        return found
    values = similarity[found]
    kth = np.partition(values, values.size - n)[values.size - n]
    above = np.flatnonzero(values > kth)
    edge = np.flatnonzero(values == kth)[above.size - n :]
    return found[np.sort(np.concatenate([above, edge]))]
