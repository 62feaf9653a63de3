"""Matrix factorisation of implicit feedback by alternating least squares, with exact fold-in at query time.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008,
https://doi.org/10.1109/ICDM.2008.22. The ``implicit`` library trains; it is handed the confidences
``c = 1 + alpha * w`` themselves (its own ``alpha`` would make them ``alpha * w``, which falls below the
confidence 1 of a pair that never met when w is small).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import matrix
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray, Interactions, Query, Ranking

Matrix = NDArray[np.float64]


class ALS:
    """Ranks items by the dot product of their factors with the user's.

    Only the item factors ``Y`` (items, factors) are kept. The user's vector is solved for at every query
    from the history and its weights, so a new event counts at once and a user needs no row::

        x = (Y'Y + sum_i alpha w_i y_i y_i' + l2 I)^-1  sum_i (1 + alpha w_i) y_i

    where ``w_i`` is the summed weight of item ``i`` in the history. The same ``l2`` and ``alpha`` train.
    One epoch costs O(pairs factors^2 + (users + items) factors^3); a query O(items factors).
    """

    _items: FloatArray | None = None
    _gram: Matrix

    def __init__(self, factors: int = 64, l2: float = 3.0, alpha: float = 0.1, epochs: int = 15, seed: int = 0) -> None:
        if factors < 1 or l2 <= 0 or alpha < 0:
            raise ConfigError(
                f"ALS has factors {factors}, l2 {l2}, alpha {alpha}: they must be at least 1, above 0, and not below 0"
            )
        self.factors = factors
        self.l2 = l2
        self.alpha = alpha
        self.epochs = epochs
        self.seed = seed

    def fit(self, interactions: Interactions) -> Self:
        table = matrix(interactions)
        if table.nnz == 0:
            return self._take(np.zeros((table.shape[1], self.factors), np.float32))
        confidence = csr_matrix((1.0 + self.alpha * table.data, table.indices, table.indptr), shape=table.shape)
        with threadpool_limits(1):  # more threads would add up in another order: another result for the same seed
            trainer = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.l2,
                alpha=1.0,
                use_cg=True,
                iterations=self.epochs,
                num_threads=1,
                random_state=self.seed,
            )
            trainer.fit(confidence, show_progress=False)
        return self._take(trainer.item_factors)

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        factors = self._fitted()
        rows, weights = _summed(query, factors.shape[0])
        if rows.size == 0:
            return np.empty(0, np.float32)
        user = self._fold_in(factors[rows].astype(np.float64), weights)  # (factors,)
        return factors @ user.astype(np.float32)

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): the score is a sum over the history (Hu, Koren, Volinsky 2008, section 5).

        An item that is several times in the history shares out what it says by weight.
        """
        factors = self._fitted()
        parts = np.zeros((query.history.size, items.size), np.float32)
        known = np.flatnonzero((items >= 0) & (items < factors.shape[0]))
        heard = np.flatnonzero((query.history >= 0) & (query.history < factors.shape[0]))
        rows, weights = _summed(query, factors.shape[0])
        if rows.size == 0 or known.size == 0:
            return parts
        said = self._said(factors[rows].astype(np.float64), weights, factors[items[known]].astype(np.float64))
        place = np.searchsorted(rows, query.history[heard])
        single = query.weights[heard] if query.weights.size else np.ones(heard.size)
        share = np.divide(single, weights[place], out=np.zeros(heard.size), where=weights[place] > 0)
        parts[np.ix_(heard, known)] = said[place] * share[:, None]
        return parts

    def _said(self, history: Matrix, weights: Matrix, wanted: Matrix) -> Matrix:
        """(history, wanted): ``wanted`` A^-1 (1 + alpha w_i) ``y_i``, whose sum over the history is the score."""
        _, solved, _ = dposv(self._system(history, weights), wanted.T, overwrite_a=True)  # (factors, wanted)
        return (history * (1.0 + self.alpha * weights)[:, None]) @ solved  # type: ignore[no-any-return]

    def user_vector(self, query: Query) -> Matrix:
        """(factors,): where the history puts the user; zeros if it holds nothing that was learnt."""
        factors = self._fitted()
        rows, weights = _summed(query, factors.shape[0])
        return self._fold_in(factors[rows].astype(np.float64), weights)

    def to_arrays(self) -> Arrays:
        return {"item_factors": self._fitted(), "l2_alpha": np.array([self.l2, self.alpha])}

    def from_arrays(self, arrays: Arrays) -> Self:
        factors, settings = arrays.get("item_factors"), arrays.get("l2_alpha")
        if settings is None or settings.shape != (2,):
            raise ModelError("l2_alpha is missing or not two numbers: train again")
        if factors is None or factors.ndim != 2 or factors.shape[1] != self.factors:
            shape = None if factors is None else factors.shape
            raise ModelError(f"item_factors has shape {shape}, not (items, {self.factors}): train with these settings")
        self.l2, self.alpha = settings.astype(np.float64).tolist()  # fold-in goes with the training, not the config
        return self._take(factors.astype(np.float32))

    def _fitted(self) -> FloatArray:
        if self._items is None:
            raise NotFittedError(self)
        return self._items

    def _take(self, factors: FloatArray) -> Self:
        self._items = np.ascontiguousarray(factors)
        wide = self._items.astype(np.float64)
        self._gram = wide.T @ wide + self.l2 * np.eye(self.factors)
        return self

    def _fold_in(self, factors: Matrix, weights: Matrix) -> Matrix:
        """The user's vector for items with ``factors`` (history, factors) and ``weights`` (history,)."""
        right = (1.0 + self.alpha * weights) @ factors  # (factors,)
        _, solution, _ = dposv(self._system(factors, weights), right, overwrite_a=True, overwrite_b=True)
        return solution  # type: ignore[no-any-return]  # scipy's lapack has no types

    def _system(self, factors: Matrix, weights: Matrix) -> Matrix:
        """(factors, factors): A, the left side of the user's equation; ``alpha w`` is confidence beyond 1."""
        return self._gram + factors.T @ (factors * (self.alpha * weights)[:, None])


def _summed(query: Query, n_items: int) -> tuple[IntArray, Matrix]:
    """The different learnt items of the history, ascending, and the summed weight of each."""
    known = (query.history >= 0) & (query.history < n_items)
    rows, place = np.unique(query.history[known], return_inverse=True)
    weights = query.weights[known] if query.weights.size else None
    return rows, np.bincount(place, weights, minlength=rows.size).astype(np.float64)
