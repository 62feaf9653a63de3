"""EASE: one ridge regression of each item on all the others, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, https://doi.org/10.1145/3308558.3313710,
equation 8: with ``G = X'X``, ``P = (G + l2 I)^-1``, ``B_ij = -P_ij / P_jj`` and ``B_jj = 0``; a history scores
``x B``. ``dropout`` is the regularisation of Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS
2020, equation 11: ``p / (1 - p) diag(G)`` beside ``l2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import spotrf, spotri
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import matrix, sound_weights
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray, Interactions, Query, Ranking

BLOCK = 1_024
"""Rows of the square matrix that are filled at a time."""


@dataclass(frozen=True, slots=True)
class EASESettings:
    """How much is regularised, how many items there may be, and how much of the history speaks."""

    l2: float = 100.0
    """Ridge penalty, in users."""
    dropout: float = 0.0
    """Share of a history that is thought away while fitting: 0 is EASE; more takes down what frequent items say."""
    items: int = 15_000
    """The most frequent ones that are learnt; the others are left out. Memory grows with the square."""
    recency: float = 0.8
    """An event of the history counts ``recency`` times as much as the one after it; 1 in the paper."""
    recent: int = 200
    """Events of the history that speak, the newest."""


class EASE:
    """Ranks items by the summed weights of the items already touched; a user who met an item twice met it.

    Fitting takes O(items^3) time (1.3e12 operations for 12,000 items: 20 CPU-seconds) and about ``1.5 x 4 items^2``
    bytes; the model keeps ``4 items^2`` (0.9 GB for 15,000). A query costs O(recent items).
    """

    _place: IntArray | None = None
    _rows: IntArray
    _weights: FloatArray

    def __init__(self, settings: EASESettings | None = None) -> None:
        self.settings = settings or EASESettings()
        _check(self.settings)

    def fit(self, interactions: Interactions) -> Self:
        table = matrix(interactions)
        table.data = np.ones_like(table.data)
        often = np.bincount(table.indices, minlength=table.shape[1])
        best = np.argsort(-often, kind="stable")[: self.settings.items]
        rows = np.sort(best[often[best] > 0]).astype(np.int32)
        weights = _gram(csr_array(table[:, rows]))
        beside = self.settings.l2 + self.settings.dropout / (1.0 - self.settings.dropout) * often[rows]
        weights[np.diag_indices(rows.size)] += beside.astype(np.float32)
        with threadpool_limits(1):  # more threads would add up in another order: another result
            weights = _inverse(weights)
        weights /= -np.diag(weights).copy()  # column j: item j from the others
        np.fill_diagonal(weights, 0.0)  # an item does not explain itself
        return self._take(rows, weights, table.shape[1])

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        place = self._fitted()
        _, inside, strength = self._heard(query)
        if inside.size == 0:
            return np.empty(0, np.float32)
        scores = np.zeros(place.size, np.float32)
        scores[self._rows] = strength @ self._weights[inside]
        return scores

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): what each item of the history says for each of ``items``; the sum is the score."""
        place = self._fitted()
        heard, inside, strength = self._heard(query)
        parts = np.zeros((query.history.size, items.size), np.float32)
        known = np.flatnonzero((items >= 0) & (items < place.size))
        known = known[place[items[known]] >= 0]
        parts[np.ix_(heard, known)] = self._weights[np.ix_(inside, place[items[known]])] * strength[:, None]
        return parts

    def to_arrays(self) -> Arrays:
        place = self._fitted()
        return {"rows": self._rows, "weights": self._weights, "n_items": np.array([place.size], np.int64)}

    def from_arrays(self, arrays: Arrays) -> Self:
        rows, weights, n_items = (arrays.get(name, np.empty(0)) for name in ("rows", "weights", "n_items"))
        if n_items.size != 1 or weights.shape != (rows.size, rows.size):
            raise ModelError(f"weights {weights.shape} do not go with {rows.size} rows: train again")
        if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < int(n_items[0]):
            raise ModelError(f"rows are {rows.min()} to {rows.max()}, of {n_items[0]} items: train again")
        return self._take(rows.astype(np.int32), weights.astype(np.float32), int(n_items[0]))

    def _fitted(self) -> IntArray:
        if self._place is None:
            raise NotFittedError(self)
        return self._place

    def _take(self, rows: IntArray, weights: FloatArray, n_items: int) -> Self:
        self._rows, self._weights = rows, weights
        self._place = np.full(n_items, -1, np.int32)
        self._place[rows] = np.arange(rows.size)
        return self

    def _heard(self, query: Query) -> tuple[NDArray[np.intp], IntArray, FloatArray]:
        """Places in the history that speak, where their items stand in the weights, and how much each one says."""
        place, first = self._fitted(), max(query.history.size - self.settings.recent, 0)
        history = query.history[first:]
        strength = (self.settings.recency ** np.arange(history.size - 1, -1, -1)).astype(np.float32)
        if query.weights.size:
            strength *= sound_weights(query.weights[first:])
        known = np.flatnonzero((history >= 0) & (history < place.size) & (strength > 0))
        known = known[place[history[known]] >= 0]
        return known + first, place[history[known]], strength[known]


def _gram(table: csr_array) -> FloatArray:
    """(items, items) dense and symmetric: how many users met both."""
    across = table.T.tocsr()
    gram = np.empty((table.shape[1], table.shape[1]), np.float32)
    for start in range(0, table.shape[1], BLOCK):
        gram[start : start + BLOCK] = (across[start : start + BLOCK] @ table).toarray()
    return gram


def _inverse(gram: FloatArray) -> FloatArray:
    """The inverse of a symmetric positive definite matrix, in its place."""
    if gram.size == 0:
        return gram
    factor, _ = spotrf(gram.T, lower=True, clean=False, overwrite_a=True)  # .T: in the order of columns, uncopied
    inverse, _ = spotri(factor, lower=True, overwrite_c=True)
    for start in range(0, inverse.shape[0], BLOCK):  # one half is filled; the other mirrors it
        here = slice(start, start + BLOCK)
        inverse[:start, here] = inverse[here, :start].T
        block = np.tril(inverse[here, here])
        inverse[here, here] = block + np.tril(block, -1).T
    mirrored: FloatArray = inverse.T
    return mirrored


def _check(settings: EASESettings) -> None:
    if not settings.l2 > 0:
        raise ConfigError(f"l2 is {settings.l2}: it must be above 0")
    if not 0 <= settings.dropout < 1:
        raise ConfigError(f"dropout is {settings.dropout}: it must be at least 0 and below 1")
    if not 0 < settings.recency <= 1:
        raise ConfigError(f"recency is {settings.recency}: it must be above 0 and at most 1")
    for name in ("items", "recent"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least 1")
