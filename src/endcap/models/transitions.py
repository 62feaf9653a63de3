"""Item-to-item transitions: what was gone on to from an item, by how soon, learnt from the order of each history.

A first-order Markov chain over items (Shani, Heckerman, Brafman, "An MDP-based recommender system", JMLR 6, 2005,
section 3) with skipping (its section 3.2: a later item counts too, the less the further it is) and the order kept
apart: to go back counts ``back`` times as much. With ``i`` before ``j`` by ``d`` places in a history::

    t_ij = sum of decay^(d-1) + back sum of decay^(d-1), the second over j before i
    w_ij = t_ij / (n_i^damp_from n_j^damp_to)
    score_j = sum over the history of recency^age weight w_ij

``n`` counts the events of an item, ``age`` the places back from the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.compiled import compiled
from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import sound, sound_weights
from endcap.protocols import Arrays
from endcap.types import MS_PER_DAY, FloatArray, IntArray, Interactions, Query, Ranking, TimeArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TransitionsSettings:
    """Which transitions count, and how much of the history speaks."""

    by: Literal["user", "session"] = "user"
    """The order is that of all that one user did and the list follows from the history, or that of a visit and
    from the current session (from the end of the history where there is none)."""
    window: int = 10
    """Places that a transition may span."""
    decay: float = 0.8
    """A transition over one place more counts ``decay`` times as much."""
    back: float = 0.3
    """A transition against the order counts that much."""
    damp_from: float = 0.25
    """How much an item that is often left says less each time: 0 not at all, 1 as a probability."""
    damp_to: float = 0.1
    """How much an item that is often reached is taken down: 0 not at all, 1 to what is reached from here only."""
    half_life_days: float | None = None
    """A transition counts half after so many days; None: its age does not matter."""
    neighbours: int = 500
    """Successors kept of each item, the best."""
    recency: float = 0.5
    """An event of the history counts ``recency`` times as much as the one after it."""
    recent: int = 50
    """Events of the history that speak, the newest."""


class Transitions:
    """Ranks items by how often, and how soon, they came after those of the history.

    Fitting takes O(events window) time and about 24 bytes times the different pairs within the window; the model
    keeps ``8 pairs + 8 items`` bytes (at most ``items neighbours`` pairs). A query costs O(recent neighbours + items).
    """

    _edges: TimeArray | None = None
    _near: IntArray
    _weight: FloatArray

    def __init__(self, settings: TransitionsSettings | None = None) -> None:
        self.settings = settings or TransitionsSettings()
        _check(self.settings)

    def fit(self, interactions: Interactions) -> Self:
        past = sound(interactions)
        table = self._counted(past)
        often = np.maximum(np.bincount(past.item, minlength=table.shape[0]), 1.0)
        sizes = np.diff(table.indptr)
        table.data /= np.repeat(often**self.settings.damp_from, sizes) * often[table.indices] ** self.settings.damp_to
        return self._take(*_best(table, self.settings.neighbours))

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        edges = self._fitted()
        _, rows, strength = self._heard(query)
        if rows.size == 0:
            return np.empty(0, np.float32)
        return _added_up(rows, strength, edges, self._near, self._weight)

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): what each item of the history says for each of ``items``; the sum is the score."""
        edges = self._fitted()
        places, rows, strength = self._heard(query)
        parts = np.zeros((query.history.size, items.size), np.float32)
        known = np.flatnonzero((items >= 0) & (items < edges.size - 1))
        for place, row, one in zip(places.tolist(), rows.tolist(), strength.tolist(), strict=True):
            if place >= 0:
                span = slice(edges[row], edges[row + 1])
                said = np.zeros(edges.size - 1, np.float32)
                said[self._near[span]] = self._weight[span] * one
                parts[place, known] += said[items[known]]
        return parts

    def to_arrays(self) -> Arrays:
        return {"edges": self._fitted(), "near": self._near, "weight": self._weight}

    def from_arrays(self, arrays: Arrays) -> Self:
        edges, near, weight = (arrays.get(name, np.empty(0)) for name in ("edges", "near", "weight"))
        ends = edges.ravel().astype(np.int64)
        if ends.size == 0 or ends[0] != 0 or (np.diff(ends) < 0).any() or not ends[-1] == near.size == weight.size:
            raise ModelError(f"edges end at {ends[-1:]}, near has {near.size} and weight {weight.size}: train again")
        if near.size and not 0 <= int(near.min()) <= int(near.max()) < ends.size - 1:
            raise ModelError(f"near names items {near.min()} to {near.max()} of {ends.size - 1}: train again")
        return self._take(ends, near.astype(np.int32), weight.astype(np.float32))

    def _fitted(self) -> TimeArray:
        if self._edges is None:
            raise NotFittedError(self)
        return self._edges

    def _take(self, edges: TimeArray, near: IntArray, weight: FloatArray) -> Self:
        self._edges, self._near, self._weight = edges, near, weight
        return self

    def _counted(self, past: Interactions) -> csr_array:
        """(items, items): t. A transition weighs as much as the event that it leads to, over the mean event."""
        n_items, settings = len(past.items), self.settings
        table = csr_array((n_items, n_items), dtype=np.float64)
        if len(past) == 0:
            return table
        group = past.user if settings.by == "user" else past.session
        order = np.argsort(group, kind="stable")
        group, item = group[order], past.item[order]
        weight = past.weight[order] / float(past.weight.mean())
        if settings.half_life_days is not None:
            weight = weight * np.exp2((past.time[order] - past.time.max()) / (settings.half_life_days * MS_PER_DAY))
        for apart in range(1, settings.window + 1):
            same = (group[apart:] == group[:-apart]) & (item[apart:] != item[:-apart])
            one, other = item[:-apart][same], item[apart:][same]
            value = weight[apart:][same] * settings.decay ** (apart - 1)
            table += csr_array((value, (one, other)), shape=table.shape)
        return csr_array(table + settings.back * table.T)

    def _heard(self, query: Query) -> tuple[NDArray[np.intp], IntArray, Numbers]:
        """The learnt items that the list follows from, their places in the history (-1: not there), their strengths."""
        n_items, settings = self._fitted().size - 1, self.settings
        of_session = settings.by == "session" and query.session.size > 0
        rows = (query.session if of_session else query.history)[-settings.recent :]
        age = np.arange(rows.size - 1, -1, -1)
        strength = np.power(settings.recency, age, dtype=np.float64)
        first = query.history.size - rows.size
        places = np.arange(first, query.history.size)
        if of_session:
            newest = {row: place for place, row in enumerate(query.history.tolist())}
            places = np.array([newest.get(row, -1) for row in rows.tolist()], np.intp)
        elif query.weights.size:
            strength *= sound_weights(query.weights[first:])
        known = (rows >= 0) & (rows < n_items) & (strength > 0)
        return places[known], np.ascontiguousarray(rows[known]), strength[known]


def _best(table: csr_array, most: int) -> tuple[TimeArray, IntArray, FloatArray]:
    """The greatest ``most`` of each row, columns ascending: where rows begin and end, the columns, the values."""
    table.eliminate_zeros()
    table.sort_indices()
    row = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((table.indices, -table.data, row))
    place = np.arange(order.size) - table.indptr[:-1].astype(np.int64)[row]
    kept = np.sort(order[place < most])
    sizes = np.bincount(row[kept], minlength=table.shape[0])
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return edges, table.indices[kept].astype(np.int32), table.data[kept].astype(np.float32)


@compiled(
    "float32[::1](Array(int32, 1, 'C', True), Array(float64, 1, 'C', True), Array(int64, 1, 'C', True),"
    "Array(int32, 1, 'C', True), Array(float32, 1, 'C', True))",
    on_request=True,
)
def _added_up(rows: IntArray, strength: Numbers, edges: TimeArray, near: IntArray, weight: FloatArray) -> FloatArray:
    """(items,) the sum of the rows of the table, each times its strength."""
    total = np.zeros(edges.size - 1, np.float32)
    for at in range(rows.size):
        for place in range(edges[rows[at]], edges[rows[at] + 1]):
            total[near[place]] += np.float32(strength[at]) * weight[place]
    return total


def _check(settings: TransitionsSettings) -> None:
    if settings.by not in ("user", "session"):
        raise ConfigError(f"by is {settings.by!r}: use 'user' or 'session'")
    for name in ("window", "neighbours", "recent"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least 1")
    for name in ("decay", "recency"):
        if not 0 < getattr(settings, name) <= 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be above 0 and at most 1")
