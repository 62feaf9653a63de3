"""Session-based nearest neighbours over the live session index.

VMIS-kNN: Kersbergen, Sprangers, Schelter, "Serenade: Low-Latency Session-Based Recommendation in e-Commerce
at Scale", SIGMOD 2022, https://doi.org/10.1145/3514221.3517901. Nothing is learnt: the index belongs to the
state, and an event counts in the very next answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from endcap.compiled import compiled
from endcap.config import StateConfig
from endcap.errors import ConfigError, NotFittedError
from endcap.features.interactions import sound
from endcap.state.pairs import SessionIndex
from endcap.types import MS_PER_DAY, FloatArray, IntArray, Interactions, Query, Ranking, TimeArray

Numbers = NDArray[np.float64]


class Sessions(Protocol):
    """What session kNN asks of an index of sessions; ``state.pairs.SessionIndex`` is one."""

    @property
    def count(self) -> int: ...

    def newest(self, items: Iterable[int], each: int, most: int) -> tuple[list[int], IntArray, TimeArray]: ...

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
    """The newest different items that the list follows from. One that no session holds is passed over."""
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
    rows: list[int]
    """The items that the list follows from, newest first."""
    heard: IntArray = field(repr=False)
    """The sessions that hold them, end to end."""
    edges: TimeArray = field(repr=False)
    """(rows + 1,) where each one's sessions begin and end."""


class SessionKNN:
    """Ranks items by what the sessions most like this one hold.

    A session is as similar as the sum of the place weights of the items it shares with the query; the most
    similar ones, and of equal ones those that began later, give their voice to each item that they hold.
    The query's own session is left out. Given an ``index`` it reads that one, live; ``fit`` makes one of its
    own, which keeps ``8 links + 110 (sessions + items)`` bytes, a link being an item of a session. A query costs
    O(items sessions + neighbours session length + catalogue).
    """

    def __init__(self, index: Sessions | None = None, settings: SessionKNNSettings | None = None) -> None:
        self.settings = settings or SessionKNNSettings()
        self._index = index
        _check(self.settings)

    def fit(self, interactions: Interactions) -> Self:
        index = SessionIndex(StateConfig(sessions_per_item=self.settings.sessions))
        index.grow(len(interactions.items))
        past = sound(interactions)
        columns = (past.user, past.session, past.item, past.time)
        known: dict[tuple[int, int], int] = {}
        for user, visit, item, time in zip(*(column.tolist() for column in columns), strict=True):
            known[user, visit] = index.add(user, known.get((user, visit), -1), item, time)
        self._index = index
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        index = self._open_index()
        found = self._neighbours(index, query)
        if found.sessions.size == 0:
            return np.empty(0, np.float32)
        position, item = index.members(found.sessions)
        said = _summed(position, item, found.voice)
        return self._emphasised(index, said, index.frequency()[: said.size])

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): a neighbour's voice falls to the items it shares with the query, by their place weights.

        An item that is several times in the history speaks at its newest place.
        """
        index = self._open_index()
        parts = np.zeros((query.history.size, items.size), np.float32)
        found = self._neighbours(index, query)
        if found.sessions.size == 0:
            return parts
        shared = np.stack([np.isin(found.sessions, one) for one in np.split(found.heard, found.edges[1:-1])])
        shares = shared * self._place_weights(len(found.rows))[:, None]  # (heard, neighbours)
        shares *= found.voice / shares.sum(axis=0)
        spoken = shares @ self._holds(index, found.sessions, items)  # (heard, items)
        newest = {row: place for place, row in enumerate(query.history.tolist())}
        for row, part in zip(found.rows, spoken, strict=True):
            if row in newest:
                parts[newest[row]] = part
        return parts

    def _open_index(self) -> Sessions:
        if self._index is None:
            raise NotFittedError(self)
        return self._index

    def _holds(self, index: Sessions, sessions: IntArray, items: IntArray) -> Numbers:
        """(sessions, items): what a session's voice for an item is multiplied by; 0 where it does not hold it."""
        column = np.full(index.frequency().size, -1, np.int32)
        known = np.flatnonzero((items >= 0) & (items < column.size))
        column[items[known]] = known
        position, item = index.members(sessions)
        wanted = column[item] >= 0
        holds = np.zeros((sessions.size, items.size))
        holds[position[wanted], column[item[wanted]]] = 1.0
        holds[:, known] *= self._emphasised(index, np.ones(known.size), index.frequency()[items[known]])
        return holds

    def _neighbours(self, index: Sessions, query: Query) -> _Neighbours:
        settings = self.settings
        of_session = settings.follow == "session" and query.session.size
        rows = query.session if of_session else query.history
        different = dict.fromkeys(rows[::-1].tolist())
        heard_rows, heard, edges = index.newest(different, settings.sessions, settings.items)
        places = self._place_weights(len(heard_rows))
        own = index.session_of(query.user)
        sessions, similarity, place = _similar(heard, edges, places, own)
        best = _best(similarity, sessions, settings.neighbours)
        sessions, voice = sessions[best], similarity[best]
        voice *= np.maximum(1.0 - settings.match_step * place[best], 0.0)
        voice *= self._freshness(index, sessions)
        return _Neighbours(sessions, voice, heard_rows, heard, edges)

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

    def _emphasised(self, index: Sessions, said: Numbers, often: FloatArray) -> FloatArray:
        """(items,) what is made of the sums of the voices; ``often`` (items,): the sessions with each item."""
        settings = self.settings
        return _emphasised(said, often, max(index.count, 1) if settings.idf else 0, settings.lift, settings.shrink)


def _check(settings: SessionKNNSettings) -> None:
    if settings.follow not in ("session", "history"):
        raise ConfigError(f"follow is {settings.follow!r}: use 'session' or 'history'")
    for name in ("items", "sessions", "neighbours"):
        value = getattr(settings, name)
        if value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1")


@compiled(
    "Tuple((int32[::1], float64[::1], float64[::1]))"
    "(Array(int32, 1, 'C', True), Array(int64, 1, 'C', True), Array(float64, 1, 'C', True), int64)",
    on_request=True,
)
def _similar(heard: IntArray, edges: TimeArray, weights: Numbers, own: int) -> tuple[IntArray, Numbers, Numbers]:
    """Every session that holds an item of the visit, but ``own``; in the order in which they are met.

    ``heard``: for each item of the visit, newest first, from ``edges[i]`` to ``edges[i + 1]`` the sessions that hold
    it; ``weights`` (items,). Given are the sessions, the sum of the weights of the items that each one holds, and the
    place of the newest of them.
    """
    slots = 16
    while slots < 2 * heard.size:
        slots *= 2
    number_at = np.full(slots, -1, np.int32)  # a hash table with open addressing
    sessions = np.empty(heard.size, np.int32)
    similarity = np.zeros(heard.size, np.float64)
    place = np.empty(heard.size, np.float64)
    count = 0
    for item in range(weights.size):
        for session in heard[edges[item] : edges[item + 1]]:
            if session == own:
                continue
            slot = (session * 40503) & (slots - 1)
            while number_at[slot] >= 0 and sessions[number_at[slot]] != session:
                slot = (slot + 1) & (slots - 1)
            if number_at[slot] < 0:
                number_at[slot] = count
                sessions[count], place[count] = session, item
                count += 1
            similarity[number_at[slot]] += weights[item]
    return sessions[:count], similarity[:count], place[:count]


@compiled("boolean(Array(float64, 1, 'C', True), Array(int32, 1, 'C', True), int64, int64)")
def _ahead(similarity: Numbers, sessions: IntArray, one: int, other: int) -> bool:
    if similarity[one] == similarity[other]:
        return bool(sessions[one] > sessions[other])
    return bool(similarity[one] > similarity[other])


@compiled("int64[::1](Array(float64, 1, 'C', True), Array(int32, 1, 'C', True), int64)", on_request=True)
def _best(similarity: Numbers, sessions: IntArray, n: int) -> TimeArray:
    """The places of the ``n`` most similar; of equal ones those that began later. In no order.

    Hoare, "Algorithm 65: FIND", Communications of the ACM 4, 1961: O(places).
    """
    order = np.arange(similarity.size)
    low, high = 0, similarity.size - 1
    while low < n <= high:
        middle = order[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while _ahead(similarity, sessions, order[left], middle):
                left += 1
            while _ahead(similarity, sessions, middle, order[right]):
                right -= 1
            if left <= right:
                order[left], order[right] = order[right], order[left]
                left, right = left + 1, right - 1
        if right < n - 1:  # not all that are wanted are before the middle
            low = left
        if left > n - 1:
            high = right
    return order[:n]


@compiled(
    "float64[::1](Array(int32, 1, 'C', True), Array(int32, 1, 'C', True), Array(float64, 1, 'C', True))",
    on_request=True,
)
def _summed(position: IntArray, item: IntArray, voice: Numbers) -> Numbers:
    """(rows,) for each item the sum of ``voice[position]`` where it is."""
    said = np.zeros(item.max() + 1 if item.size else 0, np.float64)
    for at in range(item.size):
        said[item[at]] += voice[position[at]]
    return said


@compiled(
    "float32[::1](Array(float64, 1, 'C', True), Array(float32, 1, 'C', True), int64, float64, float64)", on_request=True
)
def _emphasised(said: Numbers, often: FloatArray, count: int, lift: float, shrink: float) -> FloatArray:
    """(rows,) ``said`` times ``1 + log(count / often)`` where ``count`` is not 0, over ``(often + shrink) ** lift``."""
    result = np.zeros(said.size, np.float32)
    for row in range(said.size):
        if said[row] == 0.0:
            continue
        times, value = max(float(often[row]), 1.0), said[row]
        if count:
            value *= 1.0 + np.log(count / times)
        if lift:
            value /= (times + shrink) ** lift
        result[row] = value
    return result
