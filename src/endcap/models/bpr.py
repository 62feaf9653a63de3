"""Matrix factorisation that learns from pairs: what was touched should rank above what was not.

Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009,
https://arxiv.org/abs/1205.2618: stochastic gradient ascent (figure 4) on section 4.1's BPR-Opt, the sum of
``ln sigmoid(s_ui - s_uj) - l2 |theta|^2`` over users u, touched items i and others j, with ``s_ui = b_i + <x_u, y_i>``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from endcap.compiled import compiled
from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import matrix, sound_weights
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray, Interactions, Query, Ranking, TimeArray


@dataclass(frozen=True, slots=True)
class BPRSettings:
    """How the factors are learnt, and how much of the history speaks."""

    factors: int = 64
    epochs: int = 60
    """Passes over the pairs of user and item."""
    learning_rate: float = 0.1
    l2: float = 0.02
    popular: float = 0.5
    """The other item of a pair is drawn with a chance in proportion to (its users) ** ``popular``: 0 all alike."""
    rounds: int = 30
    """Steps for each event of the history when a visitor's vector is looked for."""
    recent: int = 20
    """Events of the history that speak, the newest."""
    seed: int = 0


class BPR:
    """Ranks items by how far their score lies above the mean item's.

    Nothing of a user is kept. A visitor's vector is found at query time by the same ascent with the items held, over
    the history, each of its events as often as its weight says: a new event counts at once and a new visitor needs
    no row. Fitting takes O(epochs pairs factors), about 0.15 microseconds a step of 64 factors; the model keeps
    ``4 items (factors + 1)`` bytes, and ``4 users factors`` more while fitting. A query costs
    O(recent rounds factors + items factors).
    """

    _items: FloatArray | None = None
    _draws: IntArray

    def __init__(self, settings: BPRSettings | None = None) -> None:
        self.settings = settings or BPRSettings()
        _check(self.settings)

    def fit(self, interactions: Interactions) -> Self:
        table, settings = matrix(interactions), self.settings
        shape = table.shape[1], settings.factors + 1  # the last column: b
        often = np.bincount(table.indices, minlength=shape[0])
        if np.count_nonzero(often) < 2:  # there is no other item
            return self._take(np.zeros(shape, np.float32))
        random = np.random.default_rng(settings.seed)
        users = random.normal(0, 0.1, (table.shape[0], settings.factors)).astype(np.float32)
        items = random.normal(0, 0.1, shape).astype(np.float32)
        items[:, -1] = 0.0
        items[often == 0] = 0.0  # what nobody touched is nobody's
        rows = np.repeat(np.arange(table.shape[0], dtype=np.int32), np.diff(table.indptr))
        others = _urn(often, settings.popular)
        edges, columns = table.indptr.astype(np.int64), table.indices.astype(np.int32)
        rates = settings.learning_rate, settings.l2
        _ascend(users, items, rows, columns, edges, others, settings.epochs * rows.size, *rates, settings.seed)
        items[often > 0] -= items[often > 0].mean(axis=0)  # the order stays, and 0 is the mean item's score
        return self._take(items)

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        items = self._fitted()
        user = self.user_vector(query)
        if not user.any():
            return np.empty(0, np.float32)
        return items[:, :-1] @ user + items[:, -1]

    def user_vector(self, query: Query) -> FloatArray:
        """(factors,): where the history puts the visitor; zeros if it holds nothing that was learnt."""
        items, settings = self._fitted(), self.settings
        history = query.history[-settings.recent :]
        weights = sound_weights(query.weights[-settings.recent :]) if query.weights.size else np.ones(history.size)
        known = (history >= 0) & (history < items.shape[0]) & (weights > 0)
        known[known] = items[history[known]].any(axis=1)
        liked, weights = np.ascontiguousarray(history[known]), weights[known]
        user = np.zeros(settings.factors, np.float32)
        if liked.size:
            shares = np.ceil(weights / weights.max() * settings.rounds).astype(np.int64)
            rates = settings.learning_rate, settings.l2, settings.seed
            _found(user, items, np.repeat(liked, shares), np.unique(liked), self._draws, *rates)
        return user

    def to_arrays(self) -> Arrays:
        return {"items": self._fitted()}

    def from_arrays(self, arrays: Arrays) -> Self:
        items = arrays.get("items")
        if items is None or items.ndim != 2 or items.shape[1] != self.settings.factors + 1:
            shape = None if items is None else items.shape
            raise ModelError(f"items has shape {shape}, not (items, {self.settings.factors + 1}): train again")
        return self._take(items.astype(np.float32))

    def _fitted(self) -> FloatArray:
        if self._items is None:
            raise NotFittedError(self)
        return self._items

    def _take(self, items: FloatArray) -> Self:
        self._items = np.ascontiguousarray(items)
        self._draws = np.flatnonzero(items.any(axis=1)).astype(np.int32)
        return self


def _urn(often: TimeArray, power: float) -> IntArray:
    """Item rows to draw from: each that was touched once, or as often as its share says, of about 16 an item."""
    touched = np.flatnonzero(often > 0)
    if power == 0:
        return touched.astype(np.int32)
    share = often[touched].astype(np.float64) ** power
    times = np.maximum(np.rint(share / share.mean() * 16), 1).astype(np.int64)
    return np.repeat(touched, times).astype(np.int32)


_READ = "Array(int32, 1, 'C', True)"


@compiled("uint64(uint64)")
def _next(state: np.uint64) -> np.uint64:
    """xorshift64 (Marsaglia 2003): the random number after ``state``."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@compiled(
    f"void(float32[:, ::1], float32[:, ::1], {_READ}, {_READ}, Array(int64, 1, 'C', True), {_READ},"
    "int64, float64, float64, int64)"
)
def _ascend(  # noqa: PLR0913, PLR0917 - a compiled loop takes arrays, not a class of ours
    users: FloatArray,
    items: FloatArray,
    rows: IntArray,
    columns: IntArray,
    edges: TimeArray,
    others: IntArray,
    steps: int,
    rate: float,
    l2: float,
    seed: int,
) -> None:
    """``steps`` steps of figure 4, in place: a pair (user, item) at random, and an item that the user has not touched.

    ``rows``, ``columns`` (pairs,): the pairs by user, items ascending, those of user u from ``edges[u]``.
    """
    factors = users.shape[1]
    step, decay = np.float32(rate), np.float32(rate * l2)
    state = np.uint64(seed * 2 + 0x9E3779B97F4A7C15)
    for _ in range(steps):
        state = _next(state)
        pair = np.int64(state % np.uint64(rows.size))
        state = _next(state)
        user, one = rows[pair], columns[pair]
        other = others[np.int64(state % np.uint64(others.size))]
        low, high = edges[user], edges[user + 1]
        while low < high:  # has the user touched it?
            middle = (low + high) // 2
            if columns[middle] < other:
                low = middle + 1
            else:
                high = middle
        if low < edges[user + 1] and columns[low] == other:
            continue
        gap = items[one, factors] - items[other, factors]
        for f in range(factors):
            gap += users[user, f] * (items[one, f] - items[other, f])
        pull = step * np.float32(1.0 / (1.0 + math.exp(gap)))
        for f in range(factors):
            x, y, z = users[user, f], items[one, f], items[other, f]
            users[user, f] += pull * (y - z) - decay * x
            items[one, f] += pull * x - decay * y
            items[other, f] -= pull * x + decay * z
        items[one, factors] += pull - decay * items[one, factors]
        items[other, factors] -= pull + decay * items[other, factors]


@compiled(
    f"void(float32[::1], Array(float32, 2, 'C', True), {_READ}, {_READ}, {_READ}, float64, float64, int64)",
    on_request=True,
)
def _found(  # noqa: PLR0913, PLR0917
    user: FloatArray,
    items: FloatArray,
    liked: IntArray,
    never: IntArray,
    others: IntArray,
    rate: float,
    l2: float,
    seed: int,
) -> None:
    """The same ascent of one user with the items held, in place: ``liked.size`` steps, each of one of them at random.

    The other item is one of ``others`` that is not of ``never``, which ascends.
    """
    factors = user.size
    step, decay = np.float32(rate), np.float32(rate * l2)
    state = np.uint64(seed * 2 + 0x9E3779B97F4A7C15)
    for _ in range(liked.size):
        state = _next(state)
        one = liked[np.int64(state % np.uint64(liked.size))]
        state = _next(state)
        other = others[np.int64(state % np.uint64(others.size))]
        place = np.searchsorted(never, other)
        if place < never.size and never[place] == other:
            continue
        gap = items[one, factors] - items[other, factors]
        for f in range(factors):
            gap += user[f] * (items[one, f] - items[other, f])
        pull = step * np.float32(1.0 / (1.0 + math.exp(gap)))
        for f in range(factors):
            user[f] += pull * (items[one, f] - items[other, f]) - decay * user[f]


def _check(settings: BPRSettings) -> None:
    for name in ("factors", "epochs", "rounds", "recent"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least 1")
    if not settings.learning_rate > 0 or not settings.l2 >= 0 or not settings.popular >= 0:
        raise ConfigError(
            f"learning_rate is {settings.learning_rate}, l2 {settings.l2}, popular {settings.popular}: they must be "
            "above 0, and not below 0"
        )
