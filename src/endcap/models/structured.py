"""Matrix factorisation in which an item is the sum of its own vector and of those of its features.

The objective is that of implicit feedback (Hu, Koren, Volinsky 2008, equation 3), with the prior of an item at the sum
of its features' vectors instead of at zero (Agarwal, Chen, "Regression-based latent factor models", KDD 2009,
https://doi.org/10.1145/1557019.1557029, equations 3 and 4; as LightFM, Kula 2015, adds them up)::

    sum_ui c_ui (p_ui - <x_u, y_i>)^2 + l2 (sum_u |x_u|^2 + sum_i |y_i - F_i V|^2) + feature_l2 |V|^2

so ``y_i = F_i V + own_i``: an item without events is at ``F_i V`` and ranks by what the catalogue says of it, and its
own vector takes over as events come. With ``features.subwords`` among the features this is matrix factorisation with
fastText's text vectors, learnt in one objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.sparse import csr_array, hstack
from threadpoolctl import threadpool_limits

from endcap.errors import ConfigError, ModelError, NotFittedError
from endcap.features.interactions import matrix, sound_weights
from endcap.features.joined import Features
from endcap.models.als import ALS, improved
from endcap.protocols import Arrays
from endcap.types import FloatArray, IntArray, Interactions, Query, Ranking

STEPS = 3
"""Of conjugate gradients for the features' vectors, in each epoch, from where they stood."""
LEAST = 1e-30
"""An event's share however long ago: float32 would make it 0, and its item one that was never met."""


@dataclass(frozen=True, slots=True)
class StructuredMFSettings:
    """How the vectors are learnt, and how much of the history speaks."""

    factors: int = 64
    l2: float = 10.0
    """Holds users at zero and items at their features."""
    feature_l2: float = 3.0
    """Holds the features' vectors at zero."""
    alpha: float = 10.0
    """Confidence in a pair that met is ``1 + alpha weight``."""
    epochs: int = 15
    recency: float = 0.6
    """An event of the history counts ``recency`` times as much as the one after it; all alike while fitting."""
    seed: int = 0


class StructuredMF:
    """Ranks items by the dot product of their vectors with the user's, which is found at query time as in ``ALS``.

    ``features``: what is known of the items, read when it is needed; a column that all items have is added. Memory:
    ``4 factors (2 items + columns)`` bytes, and ``4 factors users`` more and the features while fitting. An epoch costs
    O(pairs factors + (users + items) factors^2 + entries of the features factors); a query as with ``ALS``; after a
    change of the features the next query takes O(entries factors), once. One thread at a time.
    """

    _own: FloatArray | None = None
    _columns: FloatArray
    _alpha: tuple[float, float]
    _solver: ALS
    _version: tuple[int, ...] | None = None

    def __init__(self, features: Sequence[Features], settings: StructuredMFSettings | None = None) -> None:
        self.settings = settings or StructuredMFSettings()
        _check(self.settings)
        self._features = tuple(features)

    def fit(self, interactions: Interactions) -> Self:
        table, settings = matrix(interactions), self.settings
        table.data *= np.float32(settings.alpha)
        across = table.T.tocsr()
        met = np.diff(across.indptr) > 0
        random = np.random.default_rng(settings.seed)
        users, items = (random.normal(0, 0.01, (n, settings.factors)).astype(np.float32) for n in table.shape)
        items[~met] = 0.0  # an item without events is no item that nobody wanted
        features = self._joined(table.shape[1])
        known = csr_array(features[met])
        columns = np.zeros((features.shape[1], settings.factors), np.float32)
        with threadpool_limits(1):  # more threads would add up in another order: another result for the same seed
            for _ in range(settings.epochs if table.nnz else 0):
                users = improved(users, items, table, settings.l2)
                items[met] = improved(items[met], users, csr_array(across[met]), settings.l2, prior=known @ columns)
                columns = _nearer(columns, known, items[met], settings.feature_l2 / settings.l2)
        own = np.where(met[:, None], items - features @ columns, np.float32(0.0)).astype(np.float32)
        return self._take(own, columns, settings.l2, settings.alpha)

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        return self._solving().scores(self._faded(query))

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): what each item of the history says for each of ``items``; the sum is the score."""
        return self._solving().contributions(self._faded(query), items)

    def to_arrays(self) -> Arrays:
        return {"own": self._fitted(), "columns": self._columns, "l2_alpha": np.array(self._alpha)}

    def from_arrays(self, arrays: Arrays) -> Self:
        own, columns, alpha = (arrays.get(name, np.empty(0)) for name in ("own", "columns", "l2_alpha"))
        wanted = sum(block.dim for block in self._features) + 1, self.settings.factors
        if columns.shape != wanted or own.ndim != 2 or own.shape[1] != wanted[1] or alpha.shape != (2,):
            shapes = f"columns {columns.shape}, own {own.shape}"
            raise ModelError(f"{shapes}: they must be {wanted}, (items, {wanted[1]}); train again")
        return self._take(own.astype(np.float32), columns.astype(np.float32), *alpha.astype(np.float64).tolist())

    def _fitted(self) -> FloatArray:
        if self._own is None:
            raise NotFittedError(self)
        return self._own

    def _take(self, own: FloatArray, columns: FloatArray, l2: float, alpha: float) -> Self:
        self._own, self._columns, self._alpha, self._version = own, columns, (l2, alpha), None
        return self

    def _joined(self, n_items: int) -> csr_array:
        """(n_items, columns) all features side by side, and the one that all items have."""
        blocks = [csr_array(np.ones((n_items, 1), np.float32))]
        for block in self._features:
            part = csr_array(block.matrix[:n_items])
            part.resize(n_items, block.dim)
            blocks.append(part)
        return csr_array(hstack(blocks), dtype=np.float32)

    def _solving(self) -> ALS:
        """What finds users' vectors and scores, over the items' vectors as the features are now."""
        own, now = self._fitted(), tuple(block.version for block in self._features)
        if self._version != now:
            n_items = max([own.shape[0], *(block.matrix.shape[0] for block in self._features)])
            items = self._joined(n_items) @ self._columns
            items[: own.shape[0]] += own
            solver = ALS(self.settings.factors, *self._alpha)
            self._solver = solver.from_arrays({"item_factors": items, "l2_alpha": np.array(self._alpha)})
            self._version = now
        return self._solver

    def _faded(self, query: Query) -> Query:
        faded = self.settings.recency ** np.arange(query.history.size - 1, -1, -1)
        faded = np.maximum(faded, LEAST)
        if query.weights.size:
            faded = faded * sound_weights(query.weights)
        return replace(query, weights=faded.astype(np.float32))


def _nearer(columns: FloatArray, features: csr_array, items: FloatArray, penalty: float) -> FloatArray:
    """(columns, factors): V nearer to the least ``|items - features V|^2 + penalty |V|^2``, each factor by itself."""
    across = features.T.tocsr()
    rest = across @ (items - features @ columns) - np.float32(penalty) * columns
    way, found = rest.copy(), columns
    size = (rest * rest).sum(axis=0)  # (factors,)
    for _ in range(STEPS):
        bent = across @ (features @ way) + np.float32(penalty) * way
        stride = size / np.maximum((way * bent).sum(axis=0), np.float32(1e-30))
        found = found + stride * way
        rest = rest - stride * bent
        left = (rest * rest).sum(axis=0)
        way, size = rest + left / np.maximum(size, np.float32(1e-30)) * way, left
    return found


def _check(settings: StructuredMFSettings) -> None:
    for name in ("factors", "epochs"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least 1")
    for name in ("l2", "feature_l2"):
        if not getattr(settings, name) > 0:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be above 0")
    if not settings.alpha >= 0:
        raise ConfigError(f"alpha is {settings.alpha}: it must not be below 0")
    if not 0 < settings.recency <= 1:
        raise ConfigError(f"recency is {settings.recency}: it must be above 0 and at most 1")
