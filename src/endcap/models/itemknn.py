"""Item-based nearest neighbours: items that the same people, or the same visits, came together over.

Cosine: Sarwar, Karypis, Konstan, Riedl, "Item-based collaborative filtering", WWW 2001,
https://doi.org/10.1145/371920.372071. BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework",
2009, https://doi.org/10.1561/1500000019, with the item as the document and each user as a word of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import matrix, sound, sound_weights
from endcap.protocols import Arrays
from endcap.types import BoolArray, FloatArray, IntArray, Interactions, Query, Ranking, Vocabulary

BLOCK = 512
"""Items whose co-occurrences are in memory at a time while fitting."""


@dataclass(frozen=True, slots=True)
class ItemKNNSettings:
    """What counts as similar, and how much of the history speaks."""

    similarity: Literal["cosine", "bm25"] = "bm25"
    by: Literal["user", "session"] = "user"
    """Two items meet in one user's past, or in one visit."""
    neighbours: int = 20
    """Similar items kept per item."""
    decay: float = 0.98
    """An event counts ``decay`` times as much as the one after it."""
    k1: float = 1.2
    """BM25: how soon repeated weight stops counting."""
    b: float = 0.75
    """BM25: how much the weight of a popular item is taken down, 0 to 1."""


class ItemKNN:
    """Ranks items by their summed similarity to the items of the history.

    The neighbours are kept as rectangles (items, neighbours), padded with weight 0: taking the rows of a
    history is then one copy each. Nothing is its own neighbour, so an item of the history is only proposed
    if another one speaks for it. A query costs O(history neighbours + items); the model keeps ``8 items neighbours``
    bytes.
    """

    _near: IntArray | None = None
    _weight: FloatArray

    def __init__(self, settings: ItemKNNSettings | None = None) -> None:
        self.settings = settings or ItemKNNSettings()
        _check(self.settings)

    def fit(self, interactions: Interactions) -> Self:
        interactions = sound(interactions)
        table = matrix(interactions if self.settings.by == "user" else _by_session(interactions))
        table.data /= max(float(interactions.weight.mean()), 1e-12) if len(interactions) else 1.0  # BM25 has a scale
        features = self._weighted(table).T.tocsr()  # (items, groups)
        n_items = features.shape[0]
        near = np.zeros((n_items, self.settings.neighbours), np.int32)
        weight = np.zeros((n_items, self.settings.neighbours), np.float32)
        across = features.T.tocsr()
        for start in range(0, n_items, BLOCK):
            block = (features[start : start + BLOCK] @ across).tocsr()  # (block, items)
            for row in range(block.shape[0]):
                _keep_best(block, row, start + row, (near[start + row], weight[start + row]))
        self._near, self._weight = near, weight
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        near = self._fitted()
        rows, strength = self._strengths(query)
        if rows.size == 0:
            return np.empty(0, np.float32)
        votes = self._weight[rows] * strength[:, None]  # (history, neighbours)
        return np.bincount(near[rows].ravel(), votes.ravel(), minlength=near.shape[0]).astype(np.float32)

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        near = self._fitted()
        rows, strength = self._strengths(query)
        column = np.full(near.shape[0], -1, np.int32)
        learnt = np.flatnonzero((items >= 0) & (items < near.shape[0]))
        column[items[learnt]] = learnt
        target = column[near[rows]]  # (history, neighbours)
        votes = self._weight[rows] * strength[:, None]
        known = np.flatnonzero(self._known(query))
        at, slot = np.nonzero((target >= 0) & (votes > 0))
        parts = np.zeros((query.history.size, items.size), np.float32)
        parts[known[at], target[at, slot]] = votes[at, slot]
        return parts

    def to_arrays(self) -> Arrays:
        return {"near": self._fitted(), "weight": self._weight}

    def from_arrays(self, arrays: Arrays) -> Self:
        near, weight = arrays.get("near"), arrays.get("weight")
        if near is None or weight is None or near.shape != weight.shape or near.ndim != 2:
            raise ModelError(f"near and weight must have one shape; there are {_shapes(arrays)}: train again")
        if near.size and not 0 <= int(near.min()) <= int(near.max()) < near.shape[0]:
            raise ModelError(
                f"near names items {near.min()} to {near.max()}, but there are {near.shape[0]}: train again"
            )
        self._near, self._weight = near.astype(np.int32), weight.astype(np.float32)
        return self

    def _fitted(self) -> IntArray:
        if self._near is None:
            raise NotFittedError(self)
        return self._near

    def _strengths(self, query: Query) -> tuple[IntArray, FloatArray]:
        """The learnt rows of the history and how much each one says: its weight, decayed by its age in events."""
        age = np.arange(query.history.size - 1, -1, -1)
        strength = (self.settings.decay**age).astype(np.float32)
        if query.weights.size:
            strength *= sound_weights(query.weights)
        known = self._known(query)
        return query.history[known], strength[known]

    def _known(self, query: Query) -> BoolArray:
        known: BoolArray = (query.history >= 0) & (query.history < self._fitted().shape[0])
        return known

    def _weighted(self, table: csr_array) -> csr_array:
        """(groups, items): the entries whose dot products are the similarities."""
        if self.settings.similarity == "cosine":
            met = csr_array((np.ones(table.nnz, np.float32), table.indices, table.indptr), shape=table.shape)
            size = np.bincount(table.indices, minlength=table.shape[1])
            met.data /= np.sqrt(size[table.indices]).astype(np.float32)
            return met
        group = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
        items_met = np.bincount(group, minlength=table.shape[0])
        rarity = np.log(max(table.shape[1], 1) / np.maximum(items_met, 1))  # of a group that meets few items
        length = np.bincount(table.indices, table.data, minlength=table.shape[1])
        norm = 1.0 - self.settings.b + self.settings.b * length / max(length.mean(), 1e-12) if length.size else length
        rate = table.data * (self.settings.k1 + 1.0) / (self.settings.k1 * norm[table.indices] + table.data)
        data = (rate * rarity[group]).astype(np.float32)
        return csr_array((data, table.indices, table.indptr), shape=table.shape)


def _keep_best(block: csr_array, row: int, item: int, into: tuple[IntArray, FloatArray]) -> None:
    """Write the best neighbours of ``item`` (row ``row`` of ``block``) into one line of each rectangle."""
    near, weight = into
    span = slice(block.indptr[row], block.indptr[row + 1])
    others, values = block.indices[span], block.data[span]
    order = np.argsort(others)
    others, values = others[order], values[order]
    values[others == item] = 0.0  # an item does not speak for itself
    best = Ranking.top(values, near.size, above=0.0, rows=others)
    near[: len(best)], weight[: len(best)] = best.items, best.scores


def _by_session(interactions: Interactions) -> Interactions:
    """The same past with the session in the user's place."""
    names, session = np.unique(interactions.session, return_inverse=True)
    groups = Vocabulary(map(str, names.tolist()))
    return replace(interactions, users=groups, user=session.astype(np.int32))


def _check(settings: ItemKNNSettings) -> None:
    if settings.similarity not in ("cosine", "bm25"):
        raise ConfigError(f"similarity is {settings.similarity!r}: use 'cosine' or 'bm25'")
    if settings.by not in ("user", "session"):
        raise ConfigError(f"by is {settings.by!r}: use 'user' or 'session'")
    if settings.neighbours < 1:
        raise ConfigError(f"neighbours is {settings.neighbours}: it must be at least 1")


def _shapes(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no arrays"
